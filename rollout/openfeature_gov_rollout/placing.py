"""Where a rollout stands, read from its mode flag; and the edit that moves it. Pure.

A stage is a run of targeting rules at the head of the flag. The id of each says whose
they are: ``gov/PLAN/STAGE/TRANSITION/NUMBER``, where the transition is the record that
was made before the flag was written. So the flag alone tells which stage holds and
which transition brought it there, and a crash in between leaves no third state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping

import orjson

from openfeature.contrib.provider.featbit.building import Json
from openfeature.contrib.provider.featbit.conditions import IN_SEGMENT
from openfeature.contrib.provider.featbit.flagset import (
    Condition,
    Flag,
    Rollout,
    Rule,
    Share,
)
from openfeature.contrib.provider.featbit.parsing import parse_flag
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature.contrib.provider.featbit.timestamps import later
from openfeature_gov.errors import GovernanceError
from openfeature_gov.ladder import MODES, Mode
from openfeature_gov_rollout.audience import Layer, everybody, lowered
from openfeature_gov_rollout.places import FALLEN, Place
from openfeature_gov_rollout.plan import Plan

MARK = "gov/"
PARTS = 5


class NotPlacedError(GovernanceError):
    """Report a flag that cannot hold a plan; the message says what to do."""


class SeenOtherwiseError(GovernanceError):
    """Report a flag that is not as it was when a move of it was decided."""

    def __init__(self, key: str, seen: Json, found: Json) -> None:
        super().__init__(f'flag "{key}" changed meanwhile')
        self.seen, self.found = seen, found


def place_of(flag: Flag | None, plan: Plan, safest: Mode) -> Place:
    """Return where *flag* stands in *plan*; None is a flag that is not there."""
    if flag is None:
        return Place(altered=f'flag "{plan.mode_flag}" is not there')
    mine = [one for one in flag.rules if owner_of(one.id) == plan.name]
    if not mine:
        return Place(altered="" if flag.kind == "string" else _kind(flag))
    stage, origin, transition = _told(mine[0].id)
    first = flag.rules.index(mine[0])
    before = [one.id for one in flag.rules[:first] if not one.id.startswith(MARK)]
    if before or list(flag.rules[first : first + len(mine)]) != mine:
        altered = f"other rules come before those of stage {stage!r}"
    elif stage in FALLEN:
        altered = _raised(flag, mine, plan, safest)
    elif stage not in plan.order:
        altered = f"the plan has no stage {stage!r}"
    else:
        altered = _differing(flag, mine, plan, stage, transition)
    return Place(stage, transition, altered, origin)


def _differing(
    flag: Flag, mine: list[Rule], plan: Plan, stage: str, transition: str
) -> str:
    try:
        wanted = built(flag, plan.layers[stage], _head(plan, stage, "", transition))
    except NotPlacedError as error:
        return str(error)
    return "" if mine == wanted else f"its rules are not those of stage {stage!r}"


def _raised(flag: Flag, mine: list[Rule], plan: Plan, safest: Mode) -> str:
    """Return what is wrong with the rules of a fall, however the plan is by now."""
    modes = _modes(flag)
    served = {share.variation_id for one in mine for share in one.rollout.shares}
    if any(modes[one] > safest for one in served):
        return f"a rule serves more than {safest.label} after a fall"
    if mine[-1].conditions != tuple(_conditions(plan.everybody, ())):
        return "its last rule does not reach every call of the plan"
    return ""


def fall(flag: Flag, plan: Plan, place: Place, safest: Mode) -> tuple[Layer, ...]:
    """Return what is left after a fall from *place*: nobody gets more than before.

    That is *safest* where the stage gave more, or the next lower mode that *flag* can
    serve. Of a flag that somebody altered ``elsewhere`` is left, for who got what there
    is not known; or the least that anybody got, if that was less.

    Raises:
        NotPlacedError: the flag serves no mode that is low enough.

    """
    whole = place.stage in plan.order and not place.altered
    least = min((plan.elsewhere, *_served(flag, plan)))
    layers = plan.layers[place.stage] if whole else everybody(plan.everybody, least)
    known = [MODES[one] for one in variations(flag) if one in MODES]
    try:
        return lowered(layers, safest, known)
    except ValueError:
        raise NotPlacedError(
            f'flag "{flag.key}" has no variation as low as {safest.label}; stop its '
            "tools: gov flags kill"
        ) from None


def _served(flag: Flag, plan: Plan) -> Iterator[Mode]:
    """Yield what *flag* serves to calls of *plan*; what is no mode counts as off."""
    modes = {one.id: MODES.get(str(one.value), Mode.OFF) for one in flag.variations}
    ends = tuple(_conditions(plan.everybody, ()))
    served = [one.rollout for one in flag.rules]
    for number, one in enumerate(flag.rules):
        if owner_of(one.id) == plan.name and one.conditions == ends:
            # Nobody of the plan gets beyond the rule that reaches them all.
            served = served[: number + 1]
            break
    else:
        served.append(flag.fallthrough)
    for rollout in served:
        for share in rollout.shares:
            if share.end > share.start:
                yield modes.get(share.variation_id, Mode.OFF)


def move(
    plan: Plan,
    word: str,
    layers: tuple[Layer, ...],
    transition: str,
    *,
    origin: str = "",
    at_most: Mode | None = None,
    seen: Json | None = None,
) -> Callable[[Json, Snapshot, str], Json]:
    """Return the edit that lets the flag of *plan* serve *layers*; it is one write.

    *word* is the stage. The edit touches the plan's own rules only and never turns a
    flag on. With *at_most* it also takes away the individual targets that are above
    that mode, for they come before any rule. *seen* is the flag as it was when the move
    was decided.

    The edit raises `SeenOtherwiseError` for a flag that is not as it was seen, and
    `NotPlacedError` for one that cannot serve the stage.
    """

    def edit(document: Json, _: Snapshot, at: str) -> Json:
        edited = copy.deepcopy(document)
        found = _live(edited, plan.mode_flag)
        if seen is not None and found != seen:
            raise SeenOtherwiseError(plan.mode_flag, seen, found)
        flag = parse_flag(found)
        made = built(flag, layers, _head(plan, word, origin, transition))
        others = [one for one in found["rules"] if owner_of(one["id"]) != plan.name]
        heads = sum(one["id"].startswith(MARK) for one in others)
        if not all(one["id"].startswith(MARK) for one in others[:heads]):
            heads = 0
        found["rules"] = [*others[:heads], *map(_json, made), *others[heads:]]
        if at_most is not None:
            over = {one for one, mode in _modes(flag).items() if mode > at_most}
            found["targetUsers"] = [
                one for one in found["targetUsers"] if one["variationId"] not in over
            ]
        found["updatedAt"] = later(at, than=found["updatedAt"])
        return edited

    return edit


def built(flag: Flag, layers: Iterable[Layer], head: str) -> list[Rule]:
    """Return the rules that serve *layers* on *flag*; *head* begins their ids.

    Raises:
        NotPlacedError: the flag has no variation for a mode, or several.

    """
    if flag.kind != "string":
        raise NotPlacedError(_kind(flag))
    ids = variations(flag)
    made = []
    for number, layer in enumerate(layers):
        shares, start = [], 0.0
        for mode, end in layer.shares:
            if mode.label not in ids:
                raise NotPlacedError(
                    f'flag "{flag.key}" has no one variation "{mode.label}"; add it '
                    "(gov featbit provision does so in FeatBit)"
                )
            shares.append(Share(ids[mode.label], start, float(end)))
            start = float(end)
        conditions = tuple(_conditions(layer.where, layer.segments))
        rollout = Rollout(None, tuple(shares))
        made.append(Rule(f"{head}/{number}", conditions, rollout))
    return made


def variations(flag: Flag) -> dict[str, str]:
    """Return the id of the variation that serves each mode, where exactly one does."""
    found: dict[str, list[str]] = {}
    for one in flag.variations:
        if isinstance(one.value, str):
            found.setdefault(one.value, []).append(one.id)
    return {value: ids[0] for value, ids in found.items() if len(ids) == 1}


def singled_out(flag: Flag, above: Mode) -> int:
    """Return how many users *flag* gives more than *above*, one by one."""
    over = {one for one, mode in _modes(flag).items() if mode > above}
    return sum(len(one.keys) for one in flag.targets if one.variation_id in over)


def _conditions(
    where: Mapping[str, frozenset[str]], segments: Iterable[frozenset[str]]
) -> Iterator[Condition]:
    for name, values in sorted(where.items()):
        if len(values) == 1:
            yield Condition(name, "Equal", min(values))
        else:
            yield Condition(name, "IsOneOf", _list(values))
    for ids in sorted(map(sorted, segments)):
        yield Condition(IN_SEGMENT, None, _list(ids))


def _list(values: Iterable[str]) -> str:
    return orjson.dumps(sorted(values)).decode()


def _json(rule: Rule) -> Json:
    """Return *rule* as FeatBit writes it."""
    conditions = [
        {"id": str(n), "property": one.attribute, "op": one.op, "value": one.value}
        for n, one in enumerate(rule.conditions)
    ]
    shares = [
        {"id": one.variation_id, "rollout": [one.start, one.end], "exptRollout": 1}
        for one in rule.rollout.shares
    ]
    return {
        "id": rule.id,
        "name": rule.id,
        "includedInExpt": False,
        "conditions": conditions,
        "dispatchKey": None,
        "variations": shares,
    }


def _modes(flag: Flag) -> Mapping[str, Mode]:
    """Return the mode of each variation by its id; what is none counts as the top."""
    return {
        one.id: MODES.get(str(one.value), Mode.AUTONOMOUS) for one in flag.variations
    }


def _live(document: Json, key: str) -> Json:
    for one in document["data"]["featureFlags"]:
        if one["key"] == key and not one.get("isArchived"):
            found: Json = one
            return found
    raise NotPlacedError(f'flag "{key}" is not there; see gov flags list')


def _head(plan: Plan, word: str, origin: str, transition: str) -> str:
    told = f"{word}:{origin}" if origin else word
    return f"{MARK}{plan.name}/{told}/{transition}"


def owner_of(rule_id: str) -> str:
    """Return the plan that a rule is of, empty for none."""
    parts = rule_id.split("/")
    return parts[1] if len(parts) == PARTS and rule_id.startswith(MARK) else ""


def _told(rule_id: str) -> tuple[str, str, str]:
    _, _, word, transition, _ = rule_id.split("/")
    stage, _, origin = word.partition(":")
    return stage, origin, transition


def _kind(flag: Flag) -> str:
    return f'flag "{flag.key}" is {flag.kind}; a mode flag must be string'

"""What is wrong, or merely unwise, in the flags that contracts name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson

from openfeature.contrib.provider.featbit.conditions import (
    NOT_IN_SEGMENT,
    PREDICATES,
    SEGMENT_OPERATORS,
    is_key,
    segment_ids,
)
from openfeature.contrib.provider.featbit.flagset import (
    Condition,
    Flag,
    Rollout,
    Segment,
    Value,
)
from openfeature_gov.cli import lint, provisioning
from openfeature_gov.cli.doctoring import Check, State
from openfeature_gov.cli.provisioning import Wanted
from openfeature_gov.cli.switches import TYPES
from openfeature_gov.contracts import ABSENT
from openfeature_gov.governance import Governance
from openfeature_gov.ladder import MODES, Mode
from openfeature_gov.targets.states import Held, state

BY_HOST = frozenset(
    {"accountId", "agentId", "environment", "workflow", "targetSystem"}
    | {"region", "stage"}
)
BY_AGENT = frozenset({"toolName", "riskClass", "reversibility", "intent", "amountBand"})
"""Attributes that follow from which tool the agent calls, and with what."""
ATTRIBUTES = BY_HOST | BY_AGENT
"""What every flag context holds; nothing else ever arrives."""
NEGATIVE = frozenset({"NotEqual", "NotContain", "NotOneOf", "NotMatchRegex"})
PATTERNS = frozenset({"MatchRegex", "NotMatchRegex"})
PROVISION = "gov featbit provision mends it"
STOPPED = {
    "switch": "nothing that it governs runs",
    "mode": "its tools are off",
    "denylist": "it stops every tool",
    "fallback": "an incident is on",
}
"""What the strictest value of a kind means; that of an approval flag is normal."""


class Asked(NamedTuple):
    """One condition of a flag; *outside* holds for members of a segment to stay out."""

    where: str
    condition: Condition
    outside: bool

    @property
    def negative(self) -> bool:
        """Say whether it holds for those of whom nothing is known."""
        return (self.condition.operator in NEGATIVE) != self.outside

    def __str__(self) -> str:
        one = self.condition
        told = f'{self.where}: {one.operator} on "{one.attribute}"'
        return f"{told}, outside of the segment," if self.outside else told


def flag_checks(governance: Governance, held: Held, *, place: str) -> Iterator[Check]:
    """Yield a line for each remark on a flag that *governance* names, or that it is ok.

    *place* is what to call where the flags were read.
    """
    problems: dict[str, list[str]] = {}
    for finding in lint.flag_problems(governance, held, place=place):
        problems.setdefault(finding.key, []).append(finding.message)
    for key, want in provisioning.wanted(governance).items():
        about = f'flag "{key}"'
        remarks = [
            (State.PROBLEM, message, _mended(want, held))
            for message in problems.get(key, ())
        ]
        flag = held.flags.get(key)
        if flag is not None and flag.kind == TYPES[want.kind]:
            remarks += _remarks(governance, want, flag, held)
        if flag is not None and not remarks:
            remarks = [(State.OK, f"{want.kind}, serves {state(flag)['serves']}", "")]
        yield from (Check(about, *remark) for remark in remarks)


Remark = tuple[State, str, str]


def _mended(want: Wanted, held: Held) -> str:
    """Return what to do about a problem that `lint` finds in a flag."""
    flag = held.flags.get(want.key)
    if len(want.kinds) > 1:
        return "name a key of its own for each use in the contracts"
    if want.key in held.unread:
        return "mend it in FeatBit's console"
    if want.key in held.snapshot.flag_set.archived_flags:
        return "restore it in FeatBit, or name another key in the contracts"
    if flag is None:
        return PROVISION
    if flag.kind != TYPES[want.kind]:
        return "name another key in the contracts: FeatBit cannot change the type"
    return f"remove values that are not legal in FeatBit; {PROVISION} else"


def _remarks(
    governance: Governance, want: Wanted, flag: Flag, held: Held
) -> Iterator[Remark]:
    raw = held.raw[flag.key]
    missing = provisioning.missing_values(raw, want.kind)
    if missing and want.kind != "denylist":
        seen = f"cannot be set to {', '.join(missing)}"
        yield State.WARNING, seen, PROVISION
    yield from _defaults(governance, want, flag)
    segments = held.snapshot.flag_set.segments
    names = {one["id"]: one.get("name") or one["id"] for one in raw["rules"]}
    for asked in _asked(flag, names, segments):
        yield from _condition(asked)
    places = [(f'rule "{names[one.id]}"', one.rollout) for one in flag.rules]
    for where, rollout in [*places, ("default rule", flag.fallthrough)]:
        yield from _dispatch(where, rollout)


def _defaults(governance: Governance, want: Wanted, flag: Flag) -> Iterator[Remark]:
    """Compare what *flag* serves by default with what the contracts say."""
    shown = state(flag)
    values = [_plain(value) for value in _served(flag)]
    stop = STOPPED.get(want.kind)
    kind = lint.KIND[want.kind]
    if not flag.enabled:
        seen = f"is off, so it serves {shown['off']} to everyone"
        yield State.WARNING, seen, "if that is over: gov flags unkill"
    elif stop and all(lint.strictest(kind, value) for value in values):
        seen = f"serves {shown['serves']} by default: {stop}"
        yield State.WARNING, seen, f"if that is over: gov flags set {flag.key}"
    elif want.kind == "approval" and False in values:
        seen = f'serves {shown["serves"]} by default: "no approval required"'
        yield State.WARNING, seen, f"serve true by default: gov flags set {flag.key}"
    elif want.kind == "mode":
        yield from _released(governance, want, flag, values)


def _released(
    governance: Governance, want: Wanted, flag: Flag, values: list[object]
) -> Iterator[Remark]:
    """Remark on a mode that everyone gets and that no contract agreed to."""
    top = max((MODES[one] for one in values if one in MODES), default=Mode.OFF)
    users = [one for one in governance if one.runtime_controls.mode_flag == flag.key]
    over = [one.tool for one in users if top > one.default_mode]
    if over:
        lowest = want.default.label
        seen = f"serves {top.label} by default, above defaultMode {lowest}: "
        do = "released for all? raise defaultMode too; else gov flags set "
        yield State.WARNING, seen + ", ".join(over), f"{do}{flag.key} {lowest}"
    for one in users:
        if top not in one.modes:
            lower = max(mode for mode in one.modes if mode < top)
            seen = (
                f"serves {top.label}, which allowedModes of {one.tool} does not list: "
                f"it counts as {lower.label}"
            )
            yield State.WARNING, seen, "list it in the contract, or serve what is"


def _served(flag: Flag) -> list[Value]:
    """Return the values that the default rule serves to anyone."""
    values = {one.id: one.value for one in flag.variations}
    return [
        values[share.variation_id]
        for share in flag.fallthrough.shares
        if share.end > share.start
    ]


def _plain(value: Value) -> object:
    return orjson.loads(value) if isinstance(value, bytes) else value


def _asked(
    flag: Flag, names: Mapping[str, str], segments: Mapping[str, Segment]
) -> Iterator[Asked]:
    """Yield every condition that *flag* asks, those of its segments too."""
    for rule in flag.rules:
        where = f'rule "{names[rule.id]}"'
        for condition in rule.conditions:
            if condition.operator not in SEGMENT_OPERATORS:
                yield Asked(where, condition, outside=False)
            outside = condition.operator == NOT_IN_SEGMENT
            for one in segment_ids(condition):
                place = f'{where}, segment "{one}"'
                for listed in segments[one].rules:
                    yield from (Asked(place, each, outside) for each in listed)


def _condition(asked: Asked) -> Iterator[Remark]:
    name, op = asked.condition.attribute, asked.condition.operator
    if is_key(name):
        return
    if name not in ATTRIBUTES:
        yield from _unknown(asked)
        return
    holds = PREDICATES[op](asked.condition.value)(ABSENT) is True
    if asked.negative and name in OPTIONAL and holds != asked.outside:
        seen = f'{asked} holds for calls without one, whose value is "{ABSENT}"'
        do = f'ask for what it must be (Equal, IsOneOf), or exclude "{ABSENT}" too'
        yield State.WARNING, seen, do
    if op in PATTERNS and name in BY_AGENT:
        seen = f"{asked}, which the agent influences, is a regular expression"
        yield State.WARNING, seen, "list the values: IsOneOf"


def _unknown(asked: Asked) -> Iterator[Remark]:
    do = f"ask for one of {', '.join(sorted(ATTRIBUTES))}"
    if asked.negative:
        seen = (
            f"{asked}, which no call carries: FeatBit's own SDK and server then match "
            "everyone, this library no one"
        )
        yield State.PROBLEM, seen, do
    else:
        yield State.WARNING, f"{asked}, which no call carries: it never holds", do


OPTIONAL = frozenset(
    {"accountId", "environment", "targetSystem", "region", "stage", "amountBand"}
)
"""Attributes whose value is the text ``none`` where the host states nothing."""


def _dispatch(where: str, rollout: Rollout) -> Iterator[Remark]:
    """Remark on percentages that are dealt by something else than a stable id."""
    name = rollout.dispatch_key
    live = {one.variation_id for one in rollout.shares if one.end > one.start}
    if name is None or is_key(name) or len(live) < 2:
        return
    told = f'{where} deals its percentages by "{name}"'
    if name not in ATTRIBUTES:
        seen = f"{told}, which no call carries: its flag counts as lost"
        yield State.PROBLEM, seen, "deal by keyId"
    elif name in BY_AGENT:
        seen = f"{told}, which the agent influences: it can try again"
        yield State.WARNING, seen, "deal by keyId or accountId"

"""Describe the difference of two flags or segments as FeatBit's audit log does.

The blind spots are FeatBit's own, and kept: no instruction for re-ordered rules,
variation ids that swap equal ranges, a cleared ``dispatchKey``, experiment settings,
users of unknown variations or in second entries, and repeated ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]
Change = tuple[str, Any]
"""An instruction's kind and value."""
LISTS = frozenset({"IsOneOf", "NotOneOf"})
SAME_BOUND = 1e-5


def flag_instructions(before: Json, after: Json) -> list[Json]:
    """Return the instructions that FeatBit computes between two flags."""
    return _listed(
        [
            *_switched(before, after, "isEnabled", ("TurnFlagOn", "TurnFlagOff")),
            *_switched(before, after, "isArchived", ("ArchiveFlag", "RestoreFlag")),
            *_texts(
                before,
                after,
                {
                    "name": "UpdateName",
                    "description": "UpdateDescription",
                    "variationType": "UpdateVariationType",
                    "disabledVariationId": "UpdateDisabledVariation",
                },
            ),
            *_members(before["tags"], after["tags"], ("AddTags", "RemoveTags")),
            *_variations(before, after),
            *_fallthrough(before["fallthrough"], after["fallthrough"]),
            *_target_users(before, after),
            *_rules(before["rules"], after["rules"]),
        ]
    )


def segment_instructions(before: Json, after: Json) -> list[Json]:
    """Return the instructions that FeatBit computes between two segments."""
    users = {
        "included": ("AddTargetUsersToIncluded", "RemoveTargetUsersFromIncluded"),
        "excluded": ("AddTargetUsersToExcluded", "RemoveTargetUsersFromExcluded"),
    }
    names = {"name": "UpdateName", "description": "UpdateDescription"}
    return _listed(
        [
            *_switched(before, after, "isArchived", ("Archive", "Restore")),
            *_texts(before, after, names),
            *_members(before["tags"], after["tags"], ("AddTags", "RemoveTags")),
            *(
                change
                for field, kinds in users.items()
                for change in _members(before[field], after[field], kinds)
            ),
            *_rules(before["rules"], after["rules"]),
        ]
    )


def _listed(changes: Iterable[Change]) -> list[Json]:
    return [{"kind": kind, "value": value} for kind, value in changes]


def _switched(
    before: Json, after: Json, field: str, kinds: tuple[str, str]
) -> Iterator[Change]:
    if before[field] != after[field]:
        yield kinds[0] if after[field] else kinds[1], ""


def _texts(before: Json, after: Json, kinds: dict[str, str]) -> Iterator[Change]:
    for field, kind in kinds.items():
        if before.get(field) != after.get(field):
            yield kind, after.get(field)


def _members(
    before: list[str], after: list[str], kinds: tuple[str, str]
) -> Iterator[Change]:
    added = [one for one in after if one not in before]
    removed = [one for one in before if one not in after]
    for kind, values in zip(kinds, (added, removed), strict=True):
        if values:
            yield kind, values


def _by(items: list[Json], field: str) -> dict[Any, Json]:
    first: dict[Any, Json] = {}
    for one in items:
        first.setdefault(one.get(field), one)
    return first


def _variations(before: Json, after: Json) -> Iterator[Change]:
    old, new = _by(before["variations"], "id"), _by(after["variations"], "id")
    for one in old.keys() - new.keys():
        yield "RemoveVariation", one
    for one, variation in new.items():
        if one not in old:
            yield "AddVariation", variation
        elif _named(old[one]) != _named(variation):
            yield "UpdateVariation", variation


def _named(variation: Json) -> tuple[Any, Any]:
    return variation.get("name"), variation.get("value")


def _fallthrough(before: Json, after: Json) -> Iterator[Change]:
    key = after.get("dispatchKey")
    if key and key != before.get("dispatchKey"):
        yield "UpdateDefaultRuleDispatchKey", key
    if _rollouts_differ(before["variations"], after["variations"]):
        value = {"rolloutVariations": after["variations"]}
        yield "UpdateDefaultRuleVariationOrRollouts", value


def _rollouts_differ(before: list[Json], after: list[Json]) -> bool:
    if {one["id"] for one in before} != {one["id"] for one in after}:
        return True
    old = [bound for one in before for bound in one["rollout"]]
    new = [bound for one in after for bound in one["rollout"]]
    pairs = zip(old, new, strict=False)
    return len(old) != len(new) or any(abs(a - b) >= SAME_BOUND for a, b in pairs)


def _target_users(before: Json, after: Json) -> Iterator[Change]:
    old = _by(before["targetUsers"], "variationId")
    new = _by(after["targetUsers"], "variationId")
    kinds = ("AddTargetUsers", "RemoveTargetUsers")
    for variation in after["variations"]:
        one = variation["id"]
        was = old.get(one, {"keyIds": []})["keyIds"]
        now = new.get(one, {"keyIds": []})["keyIds"]
        for kind, keys in _members(was, now, kinds):
            yield kind, {"keyIds": keys, "variationId": one}


def _rules(before: list[Json], after: list[Json]) -> Iterator[Change]:
    if bool(before) != bool(after):
        yield "SetRules", after
        return
    old, new = _by(before, "id"), _by(after, "id")
    for one in old:
        if one not in new:
            yield "RemoveRule", one
    for one, rule in new.items():
        if one not in old:
            yield "AddRule", rule
        else:
            for kind, value in _rule(old[one], rule):
                yield kind, {**value, "ruleId": one}


def _rule(before: Json, after: Json) -> Iterator[tuple[str, Json]]:
    if before.get("name") != after.get("name"):
        yield "UpdateRuleName", {"name": after.get("name")}
    key = after.get("dispatchKey")
    if key and key != before.get("dispatchKey"):
        yield "UpdateRuleDispatchKey", {"dispatchKey": key}
    yield from _conditions(before["conditions"], after["conditions"])
    if _rollouts_differ(before.get("variations", []), after.get("variations", [])):
        value = {"rolloutVariations": after["variations"]}
        yield "UpdateRuleVariationOrRollouts", value


def _conditions(before: list[Json], after: list[Json]) -> Iterator[tuple[str, Json]]:
    old, new = _by(before, "id"), _by(after, "id")
    removed = [one for one in old if one not in new]
    if removed:
        yield "RemoveRuleConditions", {"conditionIds": removed}
    added = [condition for one, condition in new.items() if one not in old]
    if added:
        yield "AddRuleConditions", {"conditions": added}
    for one, condition in new.items():
        if one in old and old[one] != condition:
            yield from _condition(old[one], condition)


def _condition(before: Json, after: Json) -> Iterator[tuple[str, Json]]:
    same = all(before.get(field) == after.get(field) for field in ("property", "op"))
    if not (same and after.get("op") in LISTS):
        yield "UpdateRuleCondition", {"condition": after}
        return
    kinds = ("AddValuesToRuleCondition", "RemoveValuesFromRuleCondition")
    values = json.loads(before["value"]), json.loads(after["value"])
    for kind, changed in _members(*values, kinds):
        yield kind, {"conditionId": after["id"], "values": changed}

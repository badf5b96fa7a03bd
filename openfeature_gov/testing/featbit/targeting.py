"""The targeting of a flag and of a segment, as a write carries it."""

from __future__ import annotations

from typing import Any

from openfeature_gov.testing.featbit.api import ApiError, BindingError
from openfeature_gov.testing.featbit.store import Json

INVALID = "targeting_is_invalid"
WHOLE = 1e-5


def targeting_of(body: Any) -> Json:
    """Return the known members of *body*, completed as the server's model does it.

    Raises:
        ApiError: 500, a list that must be there is null or absent.
        BindingError: a member has another type.

    """
    try:
        return {
            "targetUsers": [_target(one) for one in body["targetUsers"]],
            "rules": [_rule(one) for one in body["rules"]],
            "fallthrough": {
                "dispatchKey": body["fallthrough"].get("dispatchKey"),
                "includedInExpt": bool(body["fallthrough"].get("includedInExpt")),
                "variations": _shares(body["fallthrough"]),
            },
            "exptIncludeAllTargets": bool(body.get("exptIncludeAllTargets")),
            "disabledVariationId": body.get("disabledVariationId"),
        }
    except (KeyError, TypeError):
        raise ApiError(500) from None
    except (AttributeError, ValueError):
        problem = "The JSON value could not be converted."
        raise BindingError("$.targeting", problem) from None


def segment_rules(rules: list[Any]) -> list[Json]:
    """Return the rules of a segment.

    Raises:
        ApiError: 500, a list is null or absent; 400, a rule refers to a segment.

    """
    try:
        completed = [
            {
                "id": rule.get("id"),
                "name": rule.get("name"),
                "conditions": [_condition(one) for one in rule["conditions"]],
            }
            for rule in rules
        ]
    except (KeyError, TypeError, AttributeError):
        raise ApiError(500) from None
    if any(not one["op"] for rule in completed for one in rule["conditions"]):
        raise ApiError(400, "rules_is_invalid")
    return completed


def validate(targeting: Json, flag: Json) -> None:
    """Check what version 6 checks: variations exist, each split covers everything.

    Raises:
        ApiError: 400.

    """
    ids = {one["id"] for one in flag["variations"]}
    splits = [targeting["fallthrough"], *targeting["rules"]]
    used = {one["id"] for split in splits for one in split["variations"]}
    used |= {one["variationId"] for one in targeting["targetUsers"]}
    used.add(targeting["disabledVariationId"])
    whole = all(_is_whole(split["variations"]) for split in splits)
    if used - ids or not whole:
        raise ApiError(400, INVALID)


def _is_whole(shares: list[Json]) -> bool:
    edge = 0.0
    for share in shares:
        low, high = share["rollout"]
        if abs(low - edge) > WHOLE or high < low:
            return False
        edge = high
    return abs(1 - edge) <= WHOLE


def _target(target: Any) -> Json:
    return {"keyIds": list(target["keyIds"]), "variationId": target.get("variationId")}


def _rule(rule: Any) -> Json:
    return {
        "id": rule.get("id"),
        "name": rule.get("name"),
        "dispatchKey": rule.get("dispatchKey"),
        "includedInExpt": bool(rule.get("includedInExpt")),
        "conditions": [_condition(one) for one in rule["conditions"]],
        "variations": _shares(rule),
    }


def _condition(condition: Any) -> Json:
    return {name: condition.get(name) for name in ("id", "property", "op", "value")}


def _shares(split: Any) -> list[Json]:
    return [
        {
            "id": share.get("id"),
            "rollout": list(share["rollout"]),
            "exptRollout": share.get("exptRollout", 0),
        }
        for share in split["variations"]
    ]

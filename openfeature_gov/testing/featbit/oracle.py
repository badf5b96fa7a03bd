"""Evaluate flags as FeatBit's server does: a second opinion in integration tests.

Written from the server's rules alone, apart from the provider's evaluator. Numbers
and regular expressions are Python's, a close relative of the server's.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

from openfeature_gov.testing.featbit.store import Json

User = Mapping[str, str]
Segments = Mapping[str, Json]
WHOLE = 1e-5


def user_of(body: Any) -> User:
    """Return the attributes of a user as sent; ``keyId`` is one of them.

    Raises:
        ValueError: the key is blank.

    """
    if not body["keyId"].strip():
        raise ValueError("keyId is blank")
    custom = {one["name"]: one["value"] for one in body.get("customizedProperties", [])}
    return {**custom, "keyId": body["keyId"], "name": body.get("name") or ""}


def filtered(flags: list[Json], asked: Json) -> list[Json]:
    """Return the *flags* with the keys and tags that are asked for."""
    keys, tags = asked.get("keys"), set(asked.get("tags") or [])
    every = asked.get("tagFilterMode", "and") == "and"
    fits: Callable[[set[str]], bool] = tags.issubset if every else _meets(tags)
    return [
        flag
        for flag in flags
        if (not keys or flag["key"] in keys) and (not tags or fits(set(flag["tags"])))
    ]


def _meets(tags: set[str]) -> Callable[[set[str]], bool]:
    return lambda others: bool(tags & others)


def shown(flag: Json, user: User, segments: Segments) -> Json:
    """Return the answer for one flag."""
    variation_id, reason = evaluate(flag, user, segments)
    values = {one["id"]: one["value"] for one in flag["variations"]}
    return {
        "key": flag["key"],
        "variation": {
            "id": variation_id,
            "type": flag["variationType"],
            "value": values.get(variation_id, ""),
            "matchReason": reason,
            "sendToExperiment": False,
        },
    }


def evaluate(flag: Json, user: User, segments: Segments) -> tuple[str, str]:
    """Return the variation id ("" for none) and the reason."""
    if flag["isArchived"]:
        return "", "flag archived"
    if not flag["isEnabled"]:
        return flag["disabledVariationId"], "flag disabled"
    for target in flag["targetUsers"]:
        if user["keyId"] in target["keyIds"]:
            return target["variationId"], "targeted"
    for rule in flag["rules"]:
        if _rule_matches(rule, user, segments):
            return _dealt(flag, rule, user), rule.get("name") or ""
    return _dealt(flag, flag["fallthrough"], user), "default"


def _dealt(flag: Json, split: Json, user: User) -> str:
    attribute = (split.get("dispatchKey") or "").strip() or "keyId"
    place = bucket(flag["key"] + user.get(attribute, ""))
    for share in split["variations"]:
        low, high = share["rollout"]
        if (low == 0 and 1 - high < WHOLE) or (high > 0 and low <= place <= high):
            return str(share["id"])
    return ""


def bucket(text: str) -> float:
    """Return the place of *text* in [0, 1]."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    number: int = struct.unpack("<i", digest[:4])[0]
    return abs(number / -2147483648)


def _rule_matches(rule: Json, user: User, segments: Segments) -> bool:
    return all(_matches(one, user, segments) for one in rule["conditions"])


def _matches(condition: Json, user: User, segments: Segments) -> bool:
    op, value = condition.get("op"), condition["value"]
    if not op:
        inside: bool = condition["property"] == "User is in segment"
        ids = json.loads(value)
        member = any(_in_segment(segments[one], user, segments) for one in ids)
        return member is inside
    test = TESTS.get(op)
    return test is not None and test(user.get(condition["property"], ""), value)


def _in_segment(segment: Json, user: User, segments: Segments) -> bool:
    if user["keyId"] in segment["excluded"]:
        return False
    return user["keyId"] in segment["included"] or any(
        _rule_matches(rule, user, segments) for rule in segment["rules"]
    )


def _compared(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def compare(found: str, wanted: str) -> bool:
        try:
            return test(float(found.replace(",", "")), float(wanted.replace(",", "")))
        except ValueError:
            return False

    return compare


TESTS: dict[str, Callable[[str, str], bool]] = {
    "LessThan": _compared(lambda found, wanted: found < wanted),
    "LessEqualThan": _compared(lambda found, wanted: found <= wanted),
    "BiggerThan": _compared(lambda found, wanted: found > wanted),
    "BiggerEqualThan": _compared(lambda found, wanted: found >= wanted),
    "Equal": lambda found, wanted: found == wanted,
    "NotEqual": lambda found, wanted: found != wanted,
    "Contains": lambda found, wanted: wanted in found,
    "NotContain": lambda found, wanted: wanted not in found,
    "StartsWith": lambda found, wanted: found.startswith(wanted),
    "EndsWith": lambda found, wanted: found.endswith(wanted),
    "MatchRegex": lambda found, wanted: bool(re.search(wanted, found)),
    "NotMatchRegex": lambda found, wanted: not re.search(wanted, found),
    "IsOneOf": lambda found, wanted: found in json.loads(wanted),
    "NotOneOf": lambda found, wanted: found not in json.loads(wanted),
    "IsTrue": lambda found, _wanted: found.lower() == "true",
    "IsFalse": lambda found, _wanted: found.lower() == "false",
}

"""Build FeatBit data-sync documents as plain dicts.

A variation's id is its name, so that the variant in an audit record can be read.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from openfeature.contrib.provider.featbit.conditions import (
    IN_SEGMENT,
    SEGMENT_OPERATORS,
)
from openfeature.contrib.provider.featbit.errors import FeatBitEditError
from openfeature.contrib.provider.featbit.values import (
    BOOLEAN,
    JSON,
    NUMBER,
    STRING,
)

Json = dict[str, Any]

UNCHANGED = "2000-01-01T00:00:00.000Z"
"""The ``updatedAt`` of a flag or segment that nobody has edited yet."""


def document(flags: Iterable[Json], segments: Iterable[Json] = ()) -> Json:
    """Build the full data-sync message that holds *flags* and *segments*."""
    body = {
        "eventType": "full",
        "featureFlags": copy.deepcopy(list(flags)),
        "segments": copy.deepcopy(list(segments)),
    }
    return {"messageType": "data-sync", "data": body}


def string_flag(
    key: str,
    variants: Mapping[str, str] | Sequence[str],
    *,
    serve: str,
    off: str,
    **options: Any,
) -> Json:
    """Build a string flag; a sequence of *variants* names and values them alike.

    *serve* and *off* are variant names; further *options* are those of `flag`.

    Raises:
        FeatBitEditError: *serve*, *off* or a target names no variant.

    """
    named = variants if isinstance(variants, Mapping) else {v: v for v in variants}
    return flag(key, STRING, named, serve=serve, off=off, **options)


def boolean_flag(
    key: str,
    *,
    serve: bool,
    off: bool = False,
    **options: Any,
) -> Json:
    """Build a boolean flag with the variants ``true`` and ``false``.

    Raises:
        FeatBitEditError: a target names no variant.

    """
    named = {text: text for text in ("true", "false")}
    shown = {True: "true", False: "false"}
    return flag(key, BOOLEAN, named, serve=shown[serve], off=shown[off], **options)


def number_flag(
    key: str,
    variants: Mapping[str, int | float],
    *,
    serve: str,
    off: str,
    **options: Any,
) -> Json:
    """Build a number flag.

    Raises:
        FeatBitEditError: *serve*, *off* or a target names no variant.

    """
    named = {name: str(value) for name, value in variants.items()}
    return flag(key, NUMBER, named, serve=serve, off=off, **options)


def json_flag(
    key: str,
    variants: Mapping[str, object],
    *,
    serve: str,
    off: str,
    **options: Any,
) -> Json:
    """Build a json flag from plain dicts and lists.

    Raises:
        FeatBitEditError: *serve*, *off* or a target names no variant.

    """
    named = {name: orjson.dumps(value).decode() for name, value in variants.items()}
    return flag(key, JSON, named, serve=serve, off=off, **options)


def flag(
    key: str,
    kind: str,
    variants: Mapping[str, str],
    *,
    serve: str,
    off: str,
    targets: Mapping[str, Sequence[str]] | None = None,
    rules: Sequence[Json] = (),
    enabled: bool = True,
    env_id: str = "",
    at: str = UNCHANGED,
) -> Json:
    """Build a flag of *kind* (a ``variationType``) from *variants*, name to text.

    *serve* is the variant of the fallthrough, *off* the one while the flag is off,
    *targets* the targeting keys by variant, *rules* come from `rule`.

    Raises:
        FeatBitEditError: *serve*, *off* or a target names no variant.

    """
    for wanted in (serve, off, *(targets or {})):
        if wanted not in variants:
            raise unknown(f'flag "{key}"', "variant", wanted, variants)
    return {
        "id": key,
        "envId": env_id,
        "name": key,
        "key": key,
        "variationType": kind,
        "variations": [{"id": n, "name": n, "value": v} for n, v in variants.items()],
        "targetUsers": [
            {"keyIds": list(keys), "variationId": name}
            for name, keys in (targets or {}).items()
        ],
        "rules": copy.deepcopy(list(rules)),
        "isEnabled": enabled,
        "disabledVariationId": off,
        "fallthrough": {"includedInExpt": False, **rollout({serve: 1}, None)},
        "exptIncludeAllTargets": True,
        "tags": [],
        "isArchived": False,
        "updatedAt": at,
    }


def rule(
    rule_id: str,
    conditions: Sequence[Json],
    *,
    serve: str | Mapping[str, float],
    dispatch_key: str | None = None,
) -> Json:
    """Build a rule that serves one variant id, or shares (summing to 1) of several.

    Raises:
        FeatBitEditError: the shares do not add up to 1.

    """
    shares = {serve: 1.0} if isinstance(serve, str) else serve
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) < 0:
        raise FeatBitEditError(f'rule "{rule_id}": shares {dict(shares)} are not 1')
    return {
        "id": rule_id,
        "name": rule_id,
        "includedInExpt": False,
        "conditions": copy.deepcopy(list(conditions)),
        **rollout(shares, dispatch_key),
    }


def condition(attribute: str, op: str, value: str | Sequence[str] = "") -> Json:
    """Build a condition; a list *value* is for ``IsOneOf`` and ``NotOneOf``."""
    return {"property": attribute, "op": op, "value": _condition_value(value)}


def segment_condition(segments: Sequence[str], *, where: str = IN_SEGMENT) -> Json:
    """Build a condition on membership in any of *segments* (ids).

    Raises:
        FeatBitEditError: *where* is not one of `conditions.SEGMENT_OPERATORS`.

    """
    if where not in SEGMENT_OPERATORS:
        raise unknown("segment condition", "operator", where, SEGMENT_OPERATORS)
    return {"property": where, "op": None, "value": _condition_value(segments)}


def segment(
    segment_id: str,
    *,
    included: Sequence[str] = (),
    excluded: Sequence[str] = (),
    rules: Sequence[Sequence[Json]] = (),
    at: str = UNCHANGED,
) -> Json:
    """Build a segment; each of *rules* is a list of conditions that must all hold."""
    return {
        "id": segment_id,
        "name": segment_id,
        "included": list(included),
        "excluded": list(excluded),
        "rules": [
            {
                "id": f"{segment_id}-{n}",
                "name": "",
                "conditions": copy.deepcopy(list(c)),
            }
            for n, c in enumerate(rules)
        ],
        "isArchived": False,
        "updatedAt": at,
    }


def rollout(shares: Mapping[str, float], dispatch_key: str | None) -> Json:
    """Lay *shares*, by variation id and summing to 1, end to end over [0, 1]."""
    served, start = [], 0.0
    for at, (variation_id, share) in enumerate(shares.items(), 1):
        end = 1.0 if at == len(shares) else start + share
        served.append({"id": variation_id, "rollout": [start, end], "exptRollout": 1})
        start = end
    return {"dispatchKey": dispatch_key, "variations": served}


def _condition_value(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else orjson.dumps(list(value)).decode()


def unknown(
    where: str, noun: str, wanted: str, known: Iterable[str]
) -> FeatBitEditError:
    """Build the error for a name that is not there, with those that are."""
    listed = ", ".join(sorted(known)) or "none"
    return FeatBitEditError(f'{where}: no {noun} "{wanted}"; there are: {listed}')

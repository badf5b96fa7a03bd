"""What a record keeps of one change of a flag or segment. Pure.

Whom a flag names one by one is personal data: the keys of users are kept as digests,
each in a place of its own, so that a change of one among thousands stays visible.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson

from openfeature.contrib.provider.featbit.conditions import is_key
from openfeature.contrib.provider.featbit.management.difference import (
    ABSENT,
    Change,
    canonical,
    difference,
)
from openfeature.contrib.provider.featbit.management.entries import STAMPS, AuditEntry
from openfeature_gov.evidence.texts import FIELD_LIMIT, readable

LONGEST = 64
"""How many places of a difference, and how many instructions, a record lists."""
Json = dict[str, Any]


def facts(entry: AuditEntry) -> Json:
    """Return the facts of *entry* for a record, in the integer-only domain."""
    before, after = masked(entry.previous), masked(entry.current)
    apart = [
        one for one in difference(before, after) if one.path not in STAMPS and one.path
    ]
    return {
        "entryId": readable(entry.id),
        "subject": entry.kind,
        "key": readable(entry.key),
        "refId": readable(entry.ref_id),
        "operation": readable(entry.operation),
        "actor": {
            "id": readable(entry.actor.id),
            "name": readable(entry.actor.name),
            "kind": entry.actor.kind,
        },
        "comment": _whole(entry.comment),
        "createdMs": entry.created_ms,
        "revisionBefore": readable(entry.revision_before),
        "revisionAfter": readable(entry.revision_after),
        "versionBefore": _version(entry.version_before),
        "versionAfter": _version(entry.version_after),
        "cascaded": entry.cascaded,
        "instructions": [readable(kind) for kind in entry.instructions[:LONGEST]],
        "difference": [_place(one) for one in apart[:LONGEST]],
        "differences": len(apart),
        "differenceDigest": sha256(
            canonical([_full(one) for one in apart])
        ).hexdigest(),
        "findings": list(entry.findings),
    }


def masked(whole: Json | None) -> Json:
    """Return a flag or segment with digests in place of the keys of users."""
    shown = dict(whole or {})
    for field in ("included", "excluded"):
        if field in shown:
            shown[field] = _digests(shown[field])
    if isinstance(shown.get("targetUsers"), list):
        shown["targetUsers"] = [
            {**one, "keyIds": _digests(one.get("keyIds"))}
            if isinstance(one, dict)
            else digest(one)
            for one in shown["targetUsers"]
        ]
    if isinstance(shown.get("rules"), list):
        shown["rules"] = [_rule(rule) for rule in shown["rules"]]
    return shown


def digest(value: object) -> str:
    """Return the digest of a user's key, by which a known key can be found again."""
    text = value if isinstance(value, str) else canonical(value).decode()
    return f"sha256:{sha256(text.encode('utf-8', 'replace')).hexdigest()[:32]}"


def _rule(rule: Any) -> Any:
    if not isinstance(rule, dict) or not isinstance(rule.get("conditions"), list):
        return rule
    return {**rule, "conditions": [_condition(one) for one in rule["conditions"]]}


def _condition(condition: Any) -> Any:
    """Return a condition; what it compares the user's key with becomes digests."""
    if not isinstance(condition, dict) or not is_key(str(condition.get("property"))):
        return condition
    value = condition.get("value")
    try:
        listed = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        listed = None
    shown = _digests(listed) if isinstance(listed, list) else digest(value)
    return {**condition, "value": shown}


def _digests(keys: Any) -> Any:
    if isinstance(keys, list):
        return dict.fromkeys(map(digest, keys), True)
    return None if keys is None else digest(keys)


def _place(change: Change) -> Json:
    return {
        "path": readable(change.path),
        "before": _shown(change.before),
        "after": _shown(change.after),
    }


def _shown(value: Any) -> str | None:
    return None if value is ABSENT else readable(canonical(value).decode())


def _full(change: Change) -> list[Any]:
    """Return a change for hashing: a member that is absent differs from null."""
    sides = [[] if side is ABSENT else [side] for side in (change.before, change.after)]
    return [change.path, *sides]


def _whole(text: str) -> str:
    cuts = range(0, len(text), FIELD_LIMIT)
    return "".join(readable(text[cut : cut + FIELD_LIMIT]) for cut in cuts)


def _version(milliseconds: int | None) -> str | None:
    """Return a version as decisions record it: as text."""
    return None if milliseconds is None else str(milliseconds)

"""The audit log: what a write leaves behind, and how it is read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from openfeature_gov.testing.featbit.environment import new_id
from openfeature_gov.testing.featbit.instructions import (
    flag_instructions,
    segment_instructions,
)
from openfeature_gov.testing.featbit.store import Json, Store, written

LONGEST_COMMENT = 512
FLAG, SEGMENT = "FeatureFlag", "Segment"


class Entry(NamedTuple):
    """One entry; *moment* is in microseconds since 1970."""

    moment: int
    kind: str
    operation: str
    before: Json | None
    after: Json | None
    comment: str
    actor: str
    id: str

    @property
    def item(self) -> Json:
        """The flag or segment that this is about."""
        item = self.after or self.before
        return item if item is not None else {}

    @property
    def instructions(self) -> list[Json]:
        """The instructions, as far as FeatBit sees the difference."""
        if self.before is None or self.after is None:
            return []
        compare = flag_instructions if self.kind == FLAG else segment_instructions
        return compare(self.before, self.after)


class Query(NamedTuple):
    """What is asked for; times are ms since 1970, inclusive."""

    text: str = ""
    creator: str = ""
    ref_id: str = ""
    ref_type: str = ""
    since: int | None = None
    until: int | None = None


class AuditLog:
    """The entries of one environment, oldest first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.entries: list[Entry] = []

    def add(
        self,
        kind: str,
        operation: str,
        before: Json | None,
        after: Json | None,
        *,
        comment: str,
        actor: str,
    ) -> Entry:
        """Write one entry now."""
        skew = round(self._store.faults.clock_skew_ms * 1000)
        moment = time.time_ns() // 1000 + skew
        entry = Entry(moment, kind, operation, before, after, comment, actor, new_id())
        self.entries.append(entry)
        return entry

    def find(self, query: Query) -> list[Entry]:
        """Return the entries that *query* asks for, newest first."""
        found = [one for one in reversed(self.entries) if _fits(one, query)]
        return sorted(found, key=lambda one: one.moment, reverse=True)

    def last(self, ref_id: str) -> Entry | None:
        """Return the newest entry about a flag or segment."""
        found = self.find(Query(ref_id=ref_id))
        return found[0] if found else None


def _fits(entry: Entry, query: Query) -> bool:
    names = ("key", "name") if entry.kind == FLAG else ("name",)
    texts = [str(entry.item.get(name, "")) for name in names] + [entry.comment]
    return (
        any(query.text.lower() in text.lower() for text in texts)
        and query.creator in {"", entry.actor}
        and query.ref_id in {"", entry.item["id"]}
        and query.ref_type in {"", entry.kind}
        and (query.since is None or entry.moment >= query.since * 1000)
        and (query.until is None or entry.moment <= query.until * 1000)
    )


def as_json(entry: Entry, name_of: Callable[[str], str | None]) -> Json:
    """Return *entry* as the API shows it.

    Raises:
        ValueError: an instruction has no value, which the real API cannot show.

    """
    instructions = entry.instructions
    if any(one["value"] is None for one in instructions):
        raise ValueError(f"an instruction of entry {entry.id} has no value")
    name = name_of(entry.actor)
    return {
        "id": entry.id,
        "refId": entry.item["id"],
        "refType": entry.kind,
        "operation": entry.operation,
        "dataChange": {
            "previous": _text(entry.before),
            "current": _text(entry.after),
        },
        "comment": entry.comment,
        "creatorId": entry.actor,
        "creatorName": name,
        "creatorEmail": "Access token" if name else "System",
        "createdAt": written(entry.moment / 1000),
        "instructions": instructions,
    }


def _text(item: Any) -> str:
    return "" if item is None else json.dumps(item)

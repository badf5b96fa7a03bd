"""Flags and segments: the one store under both servers.

A stored item is never changed in place; an edit stores another one.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from openfeature_gov.testing.featbit.environment import Environment, new_id
from openfeature_gov.testing.featbit.faults import Faults

Json = dict[str, Any]
Publish = Callable[[str, Json], None]
FLAGS, SEGMENTS = "featureFlags", "segments"
SYSTEM = "00000000-0000-0000-0000-000000000000"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_PUSHED = {
    FLAGS: frozenset[str](),
    SEGMENTS: frozenset({"type", "workspaceId", "scopes", "isEnvironmentSpecific"}),
}
NOT_SYNCED = {
    FLAGS: frozenset({"revision", "createdAt", "creatorId", "updatorId"}),
    SEGMENTS: NOT_PUSHED[SEGMENTS] | {"key", "tags", "createdAt"},
}
"""What an answer to a sync leaves out, from PostgreSQL; a push carries more."""


def written(ms: float) -> str:
    """Return *ms* since 1970 as FeatBit writes times, in microseconds."""
    moment = EPOCH + timedelta(microseconds=round(ms * 1000))
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def milliseconds(stamp: str) -> int:
    """Return a time as ms since 1970, cut off as the server's query does it."""
    return (datetime.fromisoformat(stamp) - EPOCH) // timedelta(milliseconds=1)


def without(item: Json, names: frozenset[str]) -> Json:
    """Return *item* without the members of these *names*."""
    return {name: value for name, value in item.items() if name not in names}


class Store:
    """Items by key or id, stamped by one clock; *lock* makes several steps one.

    *publish* is called, under the lock, with each change that is to be pushed.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.lock = threading.RLock()
        self.faults = Faults(self.items)
        self.publish: Publish = lambda _kind, _item: None
        self.flags: dict[str, Json] = {}
        self.segments: dict[str, Json] = {}
        self._newest_ms = 0

    def load(self, document: Json) -> None:
        """Replace everything by a data-sync *document*, with its stamps; no push."""
        data = document["data"]
        flags = [self._complete_flag(one) for one in data[FLAGS]]
        segments = [self._complete_segment(one) for one in data[SEGMENTS]]
        stamps = [milliseconds(one["updatedAt"]) for one in [*flags, *segments]]
        with self.lock:
            self.flags = {one["key"]: one for one in flags}
            self.segments = {one["id"]: one for one in segments}
            self._newest_ms = max([self._newest_ms, *stamps])

    def items(self) -> dict[str, list[Json]]:
        """Return the flags and segments as they are now, archived ones included."""
        with self.lock:
            return {
                FLAGS: list(self.flags.values()),
                SEGMENTS: list(self.segments.values()),
            }

    def newer_than(self, timestamp: int) -> dict[str, list[Json]]:
        """Return what a sync from *timestamp* (ms, 0 is all) would read."""
        stored = self.faults.stale_copy or self.items()
        return {
            kind: [
                without(item, NOT_SYNCED[kind])
                for item in items
                if not timestamp or milliseconds(item["updatedAt"]) > timestamp
            ]
            for kind, items in stored.items()
        }

    def stamp(self) -> str:
        """Return the time of another change: at least a millisecond after the last."""
        with self.lock:
            now = time.time_ns() // 1_000_000
            self._newest_ms = max(self._newest_ms + 1, now)
            return written(self._newest_ms + self.faults.clock_skew_ms)

    def save_flag(self, flag: Json, *, actor: str = SYSTEM) -> Json:
        """Store *flag* with another stamp and revision; return what is stored."""
        with self.lock:
            saved = self._complete_flag(flag)
            saved.update(updatedAt=self.stamp(), revision=new_id(), updatorId=actor)
            self.flags[saved["key"]] = saved
            return saved

    def save_segment(self, segment: Json) -> Json:
        """Store *segment* with another stamp; return what is stored."""
        with self.lock:
            saved = self._complete_segment(segment)
            saved["updatedAt"] = self.stamp()
            self.segments[saved["id"]] = saved
            return saved

    def touch_flag(self, key: str, *, actor: str) -> Json:
        """Stamp flag *key* without another revision, as a segment's change does."""
        with self.lock:
            saved = {**self.flags[key], "updatedAt": self.stamp(), "updatorId": actor}
            self.flags[key] = saved
            return saved

    def _complete_flag(self, flag: Json) -> Json:
        complete: Json = {
            "id": new_id(),
            "name": flag["key"],
            "description": "",
            "targetUsers": [],
            "rules": [],
            "exptIncludeAllTargets": True,
            "tags": [],
            "isArchived": False,
            "revision": new_id(),
            "creatorId": SYSTEM,
            "updatorId": SYSTEM,
            **copy.deepcopy(flag),
            "envId": self.environment.env_id,
        }
        complete.setdefault("updatedAt", written(0))
        complete.setdefault("createdAt", complete["updatedAt"])
        return complete

    def _complete_segment(self, segment: Json) -> Json:
        complete: Json = {
            "id": new_id(),
            "name": segment.get("id", ""),
            "key": segment.get("id", ""),
            "type": "environment-specific",
            "scopes": [self.environment.scope],
            "description": "",
            "included": [],
            "excluded": [],
            "rules": [],
            "tags": [],
            "isArchived": False,
            "isEnvironmentSpecific": True,
            "workspaceId": self.environment.workspace_id,
            **copy.deepcopy(segment),
            "envId": self.environment.env_id,
        }
        complete.setdefault("updatedAt", written(0))
        complete.setdefault("createdAt", complete["updatedAt"])
        return complete

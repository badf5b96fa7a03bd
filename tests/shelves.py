"""A shelf of requests and reviews in memory: what the stores must behave like."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from threading import Lock

import orjson

from openfeature_gov.approvals.codec import unpack
from openfeature_gov.approvals.shelf import Kept
from openfeature_gov.approvals.states import OPEN, State
from openfeature_gov.errors import LostRaceError
from openfeature_gov.evidence.records import Change, Record, Stamp, merged, written
from openfeature_gov.reviews import review as of_reviews
from openfeature_gov.reviews.queue import Kept as KeptReview
from openfeature_gov.reviews.states import TIMED
from openfeature_gov.reviews.states import State as ReviewState


class MemoryShelf:
    """Keep requests and records in lists. Lives for one test."""

    writer = "memory"

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self._kept: dict[str, Kept] = {}
        self._reviews: dict[str, KeptReview] = {}
        self._numbers = count(1)
        self._lock = Lock()

    def stamp(self) -> Stamp:
        return Stamp(f"memory-{next(self._numbers)}", 0, self.writer)

    def commit(self, record: Record) -> None:
        change = record.change
        with self._lock:
            if change is not None and change.table == of_reviews.TABLE:
                self._put(change)
            elif change is not None:
                held = self._kept.get(change.id)
                if (0 if held is None else held.version) != change.was:
                    raise LostRaceError(f"{change.id}: another version")
                if not change.was and self._waits(change.binding):
                    raise LostRaceError(f"{change.id}: its like waits already")
                self._kept[change.id] = Kept(unpack(change.packed), change.was + 1)
            whole = merged(*written(record, self.writer)[1])
            self.records.append(orjson.dumps(whole))

    def _put(self, change: Change) -> None:
        held = self._reviews.get(change.id)
        if (0 if held is None else held.version) != change.was:
            raise LostRaceError(f"{change.id}: another version")
        after = of_reviews.unpack(change.packed)
        self._reviews[change.id] = KeptReview(after, change.was + 1)

    def review(self, review_id: str) -> KeptReview | None:
        return self._reviews.get(review_id)

    def reviews(
        self,
        *,
        states: Iterable[ReviewState] = TIMED,
        digest: str = "",
        due_us: int | None = None,
        limit: int = 1_000,
    ) -> list[KeptReview]:
        wanted = frozenset(states)
        found = [
            kept
            for kept in self._reviews.values()
            if kept.review.state in wanted
            and digest in ("", kept.review.digest)
            and (due_us is None or kept.review.deadline_us <= due_us)
        ]
        found.sort(key=lambda kept: (kept.review.created_us, kept.review.id))
        return found[:limit]

    def last_step_us(self, reviewer: str, besides: str) -> int:
        told = map(orjson.loads, self.records)
        return max(
            (
                one["atUs"]
                for one in told
                if one["kind"] == "approval" and one["reviewer"] == reviewer
                if one["ref"] != besides
            ),
            default=0,
        )

    def _waits(self, binding: str) -> bool:
        return any(
            kept.request.state is State.PENDING and kept.request.binding == binding
            for kept in self._kept.values()
        )

    def request(self, request_id: str) -> Kept | None:
        return self._kept.get(request_id)

    def requests(
        self,
        *,
        states: Iterable[State] = OPEN,
        digest: str = "",
        due_us: int | None = None,
        since_us: int | None = None,
        newest: bool = False,
        limit: int = 1_000,
    ) -> list[Kept]:
        wanted = frozenset(states)
        found = [
            kept
            for kept in self._kept.values()
            if kept.request.state in wanted
            and digest in ("", kept.request.digest)
            and (due_us is None or kept.request.deadline_us <= due_us)
            and (since_us is None or kept.request.created_us >= since_us)
        ]
        found.sort(key=lambda kept: (kept.request.created_us, kept.request.id))
        return found[-limit:] if newest else found[:limit]

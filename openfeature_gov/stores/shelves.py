"""Requests for approval and reviews, in the database that holds the records.

What is stored is what the record writer wrote in one transaction with its record; what
is read is read from the database, so that every process sees the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openfeature_gov.approvals.codec import unpack
from openfeature_gov.approvals.shelf import Kept
from openfeature_gov.approvals.states import OPEN, State
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import Record, Stamp
from openfeature_gov.reviews import review as of_reviews
from openfeature_gov.reviews.queue import Kept as KeptReview
from openfeature_gov.reviews.states import TIMED
from openfeature_gov.reviews.states import State as ReviewState
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.writing import QueuedStore


class RecordShelf:
    """Keep requests and reviews beside the records of *store*, open at *records*."""

    def __init__(self, store: QueuedStore, records: Path | str) -> None:
        self.store, self._records = store, records

    def stamp(self) -> Stamp:
        """Return the identity of a new record."""
        return self.store.stamp()

    def commit(self, record: Record) -> None:
        """Make *record*, and the change that it carries, durable together.

        Raises:
            LostRaceError: when the request has another version by now.
            RecordStoreError: when it could not be made durable.

        """
        self.store.commit(record)

    def request(self, request_id: str) -> Kept | None:
        """Return the request *request_id*, None for an unknown one.

        Raises:
            RecordStoreError: when it cannot be read.

        """
        found = self._read("id = :id", {"id": request_id}, 1)
        return found[0] if found else None

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
        """Return requests in *states*, the oldest first, at most *limit*.

        *digest* keeps those of one action, *due_us* those whose deadline has passed,
        *since_us* those made then or later; *newest* keeps the newest of too many.

        Raises:
            RecordStoreError: when they cannot be read.

        """
        where, wanted = _where(states, digest, due_us)
        if since_us is not None:
            where, wanted["since"] = f"{where} AND created_us >= :since", since_us
        if newest:
            late = f"{where} ORDER BY created_us DESC, id DESC"
            return self._read(late, wanted, limit)[::-1]
        return self._read(f"{where} ORDER BY created_us, id", wanted, limit)

    def last_step_us(self, reviewer: str, besides: str) -> int:
        """Return when *reviewer* last did anything with a request, 0 for never.

        The one that the decision *besides* made does not count.

        Raises:
            RecordStoreError: when it cannot be read.

        """
        query = (
            "SELECT coalesce(max(at_us), 0) FROM records WHERE reviewer = :reviewer"
            " AND kind = 'approval' AND ref <> :besides"
        )
        with opened(self._records) as log:
            values = {"reviewer": reviewer, "besides": besides}
            ((found,),) = list(log.rows(query, values))
        return int(found)

    def review(self, review_id: str) -> KeptReview | None:
        """Return the review *review_id*, None for an unknown one.

        Raises:
            RecordStoreError: when it cannot be read.

        """
        found = self._reviewed("id = :id", {"id": review_id}, 1)
        return found[0] if found else None

    def reviews(
        self,
        *,
        states: Iterable[ReviewState] = TIMED,
        digest: str = "",
        due_us: int | None = None,
        limit: int = 1_000,
    ) -> list[KeptReview]:
        """Return reviews in *states*, the oldest first, at most *limit*.

        *digest* keeps those of one action, *due_us* those whose deadline has passed.

        Raises:
            RecordStoreError: when they cannot be read.

        """
        where, wanted = _where(states, digest, due_us)
        return self._reviewed(f"{where} ORDER BY created_us, id", wanted, limit)

    def _read(self, where: str, values: dict[str, Any], limit: int) -> list[Kept]:
        rows = self._rows("approvals", where, values, limit)
        try:
            return [Kept(unpack(packed), version) for packed, version in rows]
        except ValueError as error:
            raise RecordStoreError(f"an approval cannot be read: {error}") from None

    def _reviewed(
        self, where: str, values: dict[str, Any], limit: int
    ) -> list[KeptReview]:
        rows = self._rows(of_reviews.TABLE, where, values, limit)
        try:
            return [
                KeptReview(of_reviews.unpack(packed), version)
                for packed, version in rows
            ]
        except ValueError as error:
            raise RecordStoreError(f"a review cannot be read: {error}") from None

    def _rows(
        self, table: str, where: str, values: dict[str, Any], limit: int
    ) -> list[tuple[bytes, int]]:
        query = f"SELECT packed, version FROM {table} WHERE {where} LIMIT :limit"  # noqa: S608 - constants
        with opened(self._records) as log:
            rows = list(log.rows(query, {**values, "limit": limit}))
        return [(bytes(packed), version) for packed, version in rows]


def _where(
    states: Iterable[State | ReviewState], digest: str, due_us: int | None
) -> tuple[str, dict[str, Any]]:
    """Return the condition of what is wanted, and its values."""
    wanted: dict[str, Any] = {
        f"state_{number}": state.value for number, state in enumerate(sorted(states))
    }
    where = f"state IN ({', '.join(f':{name}' for name in wanted)})"
    if digest:
        where, wanted["digest"] = f"{where} AND digest = :digest", digest
    if due_us is not None:
        where, wanted["due"] = f"{where} AND deadline_us <= :due", due_us
    return where, wanted

"""`Shelf`: how requests are kept beside the records, a version after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from openfeature_gov.approvals.codec import pack
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import OPEN, State
from openfeature_gov.evidence.records import Change, Record, Stamp


class Kept(NamedTuple):
    """Hold a request as stored, with the number of its version from 1."""

    request: Request
    version: int


class Shelf(Protocol):
    """Keep requests beside the records, in one transaction with them."""

    def commit(self, record: Record) -> None:
        """Make *record*, and the `Change` that it carries, durable together.

        Raises:
            LostRaceError: when the request has another version by now.
            RecordStoreError: when it could not be made durable.

        """

    def stamp(self) -> Stamp:
        """Return the identity of a new record."""

    def request(self, request_id: str) -> Kept | None:
        """Return the request *request_id*, None for an unknown one."""

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
        """

    def last_step_us(self, reviewer: str, besides: str) -> int:
        """Return when *reviewer* last did anything with a request, 0 for never.

        The one that the decision *besides* made does not count.
        """


def change(request: Request, was: int) -> Change:
    """Return the change that stores *request* over its version *was*, 0 for none."""
    return Change(
        request.id,
        was,
        request.state.value,
        request.digest,
        request.deadline_us,
        request.created_us,
        pack(request),
        request.binding,
    )

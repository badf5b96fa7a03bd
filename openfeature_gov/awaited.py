"""Decisions handed over: whoever asked runs the tool and reports how it went."""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from openfeature_gov.allowances.aside import Held
from openfeature_gov.approvals.shelf import Kept
from openfeature_gov.reviews.queue import Kept as KeptReview

AWAITED = 8_192
"""How many decisions may await a report; the oldest then end as unknown."""


class Open(NamedTuple):
    """Hold what the report of one decision ends.

    That is the request that it used up, what it took of budgets, and its review;
    *tool* is what it was about.
    """

    used: Kept | None = None
    held: tuple[Held, ...] = ()
    review: KeptReview | None = None
    tool: str = ""


class Awaited:
    """Hold the records that await a report, with what each of them ends.

    Lives with its Governor.
    """

    def __init__(self) -> None:
        self._ids: dict[str, Open] = {}
        self._lock = threading.Lock()

    def add(self, record_id: str, ends: Open = Open()) -> None:  # noqa: B008 - frozen
        """Await a report on *record_id*, and what it *ends*."""
        self._ids[record_id] = ends
        # Many at once and rarely: nobody ever waits here for another thread.
        if len(self._ids) > AWAITED and self._lock.acquire(blocking=False):
            try:
                self._forget_oldest()
            finally:
                self._lock.release()

    def take(self, record_id: str) -> Open:
        """Await no report on *record_id* any more; return what it ends.

        Raises:
            ValueError: when none was awaited.

        """
        try:
            return self._ids.pop(record_id)
        except KeyError:
            raise ValueError(f"record {record_id!r} awaits no report") from None

    def _forget_oldest(self) -> None:
        with suppress(RuntimeError):  # another thread adds
            for oldest in list(islice(self._ids, AWAITED // 8)):
                self._ids.pop(oldest, None)

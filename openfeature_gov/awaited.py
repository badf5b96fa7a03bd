"""Decisions handed over: whoever asked runs the tool and reports how it went."""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import islice

from openfeature_gov.approvals.queue import Kept

AWAITED = 8_192
"""How many decisions may await a report; the oldest then end as unknown."""


class Awaited:
    """Hold the records that await a report, with the request that each used up.

    Lives with its Governor.
    """

    def __init__(self) -> None:
        self._ids: dict[str, Kept | None] = {}
        self._lock = threading.Lock()

    def add(self, record_id: str, used: Kept | None = None) -> None:
        """Await a report on *record_id*, which used up the request *used*."""
        self._ids[record_id] = used
        # Many at once and rarely: nobody ever waits here for another thread.
        if len(self._ids) > AWAITED and self._lock.acquire(blocking=False):
            try:
                self._forget_oldest()
            finally:
                self._lock.release()

    def take(self, record_id: str) -> Kept | None:
        """Await no report on *record_id* any more; return the request it used up.

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

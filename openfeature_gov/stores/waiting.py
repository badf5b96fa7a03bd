"""How who waits for a record hears what became of it: threads, and tasks of a loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from openfeature_gov.evidence.records import Record
from openfeature_gov.fairness import answered

Done = Callable[[Exception | None], None]
"""Hears how a record ended that somebody waits for: with which error, None for none."""
Item = tuple[Record, Done | None]
_LATE = TimeoutError()


class Wait:
    """Let one thread wait until its record is durable, or cannot be."""

    __slots__ = ("_silence", "error")

    def __init__(self) -> None:
        self._silence = threading.Lock()  # held until told; an Event is far slower
        self._silence.acquire()
        self.error: Exception | None = None

    def __call__(self, error: Exception | None) -> None:
        """Tell how it ended; what is said twice counts once."""
        if self._silence.locked():
            self.error = error
            with suppress(RuntimeError):  # another thread told at the same moment
                self._silence.release()

    def told(self, seconds: float) -> bool:
        """Return True once it has ended, False after *seconds*."""
        return self._silence.acquire(timeout=seconds)


class TaskWait:
    """Let one task wait for its record without blocking its loop."""

    __slots__ = ("_future", "_loop", "error")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Exception | None] = self._loop.create_future()
        self.error: Exception | None = None

    def __call__(self, error: Exception | None) -> None:
        """Tell how it ended, from any thread."""
        with suppress(RuntimeError):  # the loop may be gone
            self._loop.call_soon_threadsafe(self._resolve, error)

    async def told(self, seconds: float) -> bool:
        """Return True once it has ended, False after *seconds*."""
        late = self._loop.call_later(seconds, self._resolve, _LATE)
        try:
            told = await answered(self._future)
        finally:
            late.cancel()
        if told is _LATE:
            return False
        self.error = told
        return True

    def _resolve(self, error: Exception | None) -> None:
        if not self._future.done():
            self._future.set_result(error)


def tell(batch: Iterable[Item], error: Exception | None) -> None:
    """Tell everyone who waits for a record of *batch* how it ended."""
    for _, done in batch:
        if done is not None:
            done(error)

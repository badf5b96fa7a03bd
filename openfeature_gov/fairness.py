"""Let other threads go on beside an event loop that never rests.

A thread that waits for Python's lock asks for it after 5 ms in which nobody let go of
it. A busy loop lets go of it at each look for events and has it back at once: nobody
ever asks, and on several processors the writer of the records, or what hears of a kill
switch, may wait for seconds. So who decides on a busy loop sleeps for a moment now and
then, which hands the lock over. Measured on CPython 3.11 to 3.13; a loop that has
nothing to do now and then is not held up.
"""

from __future__ import annotations

import asyncio
import contextvars
import resource
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

DECIDING_S = 0.02
"""How long a loop goes on alone that is busy deciding."""
WAITING_S, RARELY_S = 0.005, 0.05
"""How long it does where a task waits for a thread; how often that looks at least."""
BUSY = 0.9
"""Which part of the time a thread works that never rests, or next to never."""
SHARE, LONGEST_S = 100, 0.01
"""Which part of the time that it went on alone it sleeps, and how long at most."""
_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)


class _Alone(threading.local):
    """Say since when this thread went on, what it had worked then, how often rested."""

    def __init__(self) -> None:
        self.since, self.worked, self.rested = time.monotonic(), *_told()


def _told() -> tuple[float, int | None]:
    """Return how long this thread worked, and how often it waited for anything.

    None where the system does not count that by thread.
    """
    if _THREAD is None:
        return time.thread_time(), None
    told = resource.getrusage(_THREAD)
    return told.ru_utime + told.ru_stime, told.ru_nvcsw


_alone = _Alone()
_nap = time.sleep


def give_way(after_s: float = DECIDING_S) -> bool:
    """Let other threads go on, if a loop kept this one busy for *after_s* seconds.

    Say whether one did.
    """
    passed = time.monotonic() - _alone.since
    if passed < after_s:
        return False
    worked, rested = _told()
    # Where others want the processor as well, a busy thread has less than all of it.
    alone = rested == _alone.rested is not None
    busy = (alone or worked - _alone.worked > passed * BUSY) and _on_a_loop()
    if busy:
        _nap(min(passed / SHARE, LONGEST_S))
        worked, rested = _told()
    _alone.since, _alone.worked, _alone.rested = time.monotonic(), worked, rested
    return busy


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def answered(future: asyncio.Future[T]) -> T:
    """Wait for *future*, and let the thread go on that is to answer it."""
    looking = _Looking(asyncio.get_running_loop())
    try:
        return await future
    finally:
        looking.end()


class _Looking:
    """Give way on *loop* again and again, more rarely where it is not busy."""

    __slots__ = ("_loop", "_pause_s", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._pause_s = loop, WAITING_S
        self._timer = loop.call_later(WAITING_S, self._look)

    def _look(self) -> None:
        busy = give_way(WAITING_S)
        self._pause_s = WAITING_S if busy else min(2 * self._pause_s, RARELY_S)
        self._timer = self._loop.call_later(self._pause_s, self._look)

    def end(self) -> None:
        self._timer.cancel()


async def in_thread(function: Callable[P, T], *args: P.args, **given: P.kwargs) -> T:
    """Call *function* in a thread, within this context; `asyncio.to_thread`, fair."""
    call = partial(contextvars.copy_context().run, function, *args, **given)
    return await answered(asyncio.get_running_loop().run_in_executor(None, call))

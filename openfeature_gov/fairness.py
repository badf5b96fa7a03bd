"""Let other threads go on beside an event loop that never rests.

A thread that waits for Python's lock asks for it after 5 ms in which nobody let go of
it. A busy loop lets go of it at each look for events and has it back at once: nobody
ever asks, and on several processors the writer of the records, or what hears of a kill
switch, may wait for seconds. So a busy loop on which decisions are made sleeps for a
moment now and then, which hands the lock over: as a decision is made, more often while
a task waits for a thread, and for a minute after. Measured on CPython 3.11 to 3.13; a
loop that has nothing to do now and then is not held up.
"""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from openfeature_gov.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

ALONE_S, WAITING_S = 0.02, 0.005
"""How long a busy loop goes on alone, and where a task waits for a thread."""
RESTING_S, RARELY_S = 0.25, 0.05
"""How rarely one looks whether a loop is busy, and where a task waits for a thread."""
LASTING_S = 60.0
"""For how long one looks after the last decision, or the last task that waited."""
BUSY = 0.9
"""Which part of the time a thread works that never rests, or next to never."""
SHARE, LONGEST_S = 100, 0.01
"""Which part of the time that it went on alone it sleeps, and how long at most."""
MOST = 32
"""How many threads tasks wait for at most, at each depth."""
_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)


_nap = time.sleep


def give_way(after_s: float = ALONE_S) -> bool:
    """Let other threads go on, if a loop kept this one busy for *after_s* seconds.

    Say whether one did. The loop is looked at for a while from now on.
    """
    if time.monotonic() - _mine.watch.since < after_s:
        return False
    watch = _watch(_running())
    watch.last()
    return watch.give_way()


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _watch(loop: asyncio.AbstractEventLoop | None) -> _Watch:
    """Return what looks at *loop*, which runs in this thread."""
    if _mine.watch.loop is not loop:
        _mine.watch = _mine.known(loop)
    return _mine.watch


def _told() -> tuple[float, int | None]:
    """Return how long this thread worked, and how often it waited for anything.

    None where the system does not count that by thread.
    """
    if _THREAD is None:
        return time.thread_time(), None
    told = resource.getrusage(_THREAD)
    return told.ru_utime + told.ru_stime, told.ru_nvcsw


class _Watch:
    """Give way on *loop* again and again, more rarely where it is not busy.

    One for all tasks: what each of ten thousand that wait looked at by itself would
    keep the loop busy. Without a loop nobody is looked at. *since* is when its thread
    let others go on.
    """

    __slots__ = (
        *("_ends", "_pause_s", "_rested", "_timer", "_waiting", "_worked"),
        *("loop", "since"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop, self._waiting = loop, 0
        self.since = self._worked = 0.0  # so long ago that the first look is heard of
        self._rested: int | None = None
        self._pause_s, self._ends = ALONE_S, 0.0
        self._timer: asyncio.TimerHandle | None = None

    def give_way(self) -> bool:
        """Let other threads go on, if the loop was busy since they last could."""
        passed = time.monotonic() - self.since
        worked, rested = _told()
        # Where others want the processor, too, who never rests has less than all of it.
        alone = rested == self._rested is not None
        busy = alone or worked - self._worked > passed * BUSY
        busy = busy and self.loop is not None
        if busy:
            _nap(min(passed / SHARE, LONGEST_S))
            worked, rested = _told()
        self.since, self._worked, self._rested = time.monotonic(), worked, rested
        return busy

    def last(self) -> None:
        """Look for `LASTING_S` from now on."""
        self._ends = time.monotonic() + LASTING_S
        if self._timer is None and self.loop is not None:
            # A signal handler may decide while the loop sorts its timers.
            self.loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        if self._timer is None:
            self._look_after(ALONE_S)

    def wait(self) -> None:
        """Look more often, until `waited` was called as often as this."""
        self._waiting += 1
        if self._timer is None or self._pause_s > WAITING_S:
            self._look_after(WAITING_S)

    def waited(self) -> None:
        """Let go of one who waited."""
        self._waiting -= 1
        self._ends = time.monotonic() + LASTING_S

    def _look_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._pause_s = seconds
        if self.loop is not None:
            self._timer = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        often, rarely = ALONE_S, RESTING_S
        if self._waiting:
            often, rarely = WAITING_S, RARELY_S
        elif now >= self._ends:
            return
        if now - self.since < often or self.give_way():
            self._look_after(often)
        else:
            self._look_after(min(2 * self._pause_s, rarely))


class _Mine(threading.local):
    """Hold what looks at the loop that this thread runs, or at none."""

    def __init__(self) -> None:
        self.watch = _Watch(None)
        self._watches = {self.watch.loop: self.watch}

    def known(self, loop: asyncio.AbstractEventLoop | None) -> _Watch:
        """Return what looks at *loop*: several may take turns in a thread."""
        found = self._watches.get(loop)
        if found is None:
            open_ones = {
                one: watch
                for one, watch in self._watches.items()
                if one is None or not one.is_closed()
            }
            found = _Watch(loop)
            self._watches = {**open_ones, loop: found}
        return found


_mine = _Mine()


async def answered(future: asyncio.Future[T]) -> T:
    """Wait for *future*, and let the thread go on that is to answer it."""
    watch = _watch(asyncio.get_running_loop())
    watch.wait()
    try:
        return await future
    finally:
        watch.waited()


_threads = Threads("gov-wait", MOST)


async def in_thread(function: Callable[P, T], *args: P.args, **given: P.kwargs) -> T:
    """Call *function* in a thread, within this context.

    As `asyncio.to_thread`, but fair, and in a thread that the host does not use.

    Raises:
        RuntimeError: when the interpreter ends.

    """
    begun = _threads.begin(partial(function, *args, **given))
    if begun is None:
        raise RuntimeError("no thread begins any more: the interpreter ends")
    return await answered(asyncio.wrap_future(begun))

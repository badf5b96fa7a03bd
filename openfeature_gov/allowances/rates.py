"""`Rates`: how often something may begin. `LocalRates` counts in this process."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple, Protocol

from openfeature_gov.errors import GovernanceError

MOST_KEYS = 100_000
"""Of how many a process keeps count; more than that may not begin at all."""
PRUNE_EVERY = 4_096


class RatesDownError(GovernanceError):
    """Report counters that cannot be reached (the store's fault)."""


class Rates(Protocol):
    """Count what begins, in sliding windows. Safe to share between threads."""

    remote: bool
    """Whether taking may wait for another computer."""
    processes: int
    """Among how many processes a limit is parted while the counters are away."""

    def take(self, key: str, count: int, seconds: int) -> bool:
        """Say whether one more may begin under *key*, and count it if so.

        On average *count* begin within *seconds*. What began in the window before is
        taken to be spread evenly: a burst at its end lets fewer than twice as many
        begin within one such time.

        Raises:
            RatesDownError: when nobody can tell.

        """


class _Window(NamedTuple):
    """Hold the counters of one key: since *begins_ns*, and of the window before."""

    begins_ns: int
    width_ns: int
    now: int
    before: int


class LocalRates:
    """Count in this process, by its monotonic clock: a set clock moves no window.

    A child counts on from a fork by itself. Two counters a key: what began in the
    window before is taken to be spread evenly over it, and rounded up.
    """

    remote = False
    processes = 1

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._news = 0
        self.unlock()
        _all.add(self)

    def unlock(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = threading.Lock()

    def take(self, key: str, count: int, seconds: int) -> bool:
        """Say whether one more may begin under *key*, and count it if so."""
        now, width = self._clock(), seconds * 10**9
        with self._lock:
            window = self._windows.get(key)
            if window is None:
                if not self._room(now):
                    return False
                window = _Window(now, width, 0, 0)
            window = _moved(window, now)
            left = width - (now - window.begins_ns)
            if window.now - (-window.before * left // width) >= count:
                return False
            self._windows[key] = window._replace(now=window.now + 1)
            return True

    def _room(self, now: int) -> bool:
        """Say whether one more key can be counted; forget those that ended."""
        self._news += 1
        if self._news >= PRUNE_EVERY or len(self._windows) >= MOST_KEYS:
            self._news = 0
            self._windows = {
                key: window
                for key, window in self._windows.items()
                if now - window.begins_ns < 2 * window.width_ns
            }
        return len(self._windows) < MOST_KEYS


def _moved(window: _Window, now: int) -> _Window:
    passed = (now - window.begins_ns) // window.width_ns
    if not passed:
        return window
    before = window.now if passed == 1 else 0
    begins = window.begins_ns + passed * window.width_ns
    return _Window(begins, window.width_ns, 0, before)


_all: weakref.WeakSet[LocalRates] = weakref.WeakSet()


def _unlock_all() -> None:
    for rates in tuple(_all):
        rates.unlock()


os.register_at_fork(after_in_child=_unlock_all)

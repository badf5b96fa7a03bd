"""`Rates`: how often something may begin. `LocalRates` counts in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from openfeature_gov.allowances.counting import Bucket, Window
from openfeature_gov.errors import GovernanceError
from openfeature_gov.locks import interrupted, renewed

MOST_KEYS = 100_000
"""Of how many a process keeps count; more than that may not begin at all."""
PRUNE_EVERY = 4_096


class RatesDownError(GovernanceError):
    """Report counters that cannot be reached (the store's fault)."""


class Rates(Protocol):
    """Count what begins. Safe to share between threads."""

    remote: bool
    """Whether taking may wait for another computer."""
    processes: int
    """Among how many processes a limit is parted while the counters are away."""

    def take(self, key: str, count: int, seconds: int, burst: int = 0) -> bool:
        """Say whether one more may begin under *key*, and count it if so.

        Without *burst*, *count* begin within *seconds*, in a sliding window. With it
        *burst* may begin at once, and *count* within *seconds* refill the bucket: in
        any time t no more than ``burst + count * t / seconds``.

        Raises:
            RatesDownError: when nobody can tell.

        """


class LocalRates:
    """Count in this process, by its monotonic clock: a set clock moves no window.

    Within no *seconds* more than *count* begin. A child counts on from a fork by
    itself.
    """

    remote = False
    processes = 1

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._kept: dict[str, Window | Bucket] = {}
        self._news = 0
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = threading.RLock()

    def take(self, key: str, count: int, seconds: int, burst: int = 0) -> bool:
        """Say whether one more may begin under *key*, and count it if so.

        None may that a signal handler asks for while one is counted.
        """
        if interrupted(self._lock):
            return False
        with self._lock:
            now, kept = self._clock(), self._kept.get(key)
            if kept is None:
                if not self._room(now):
                    return False
                width = seconds * 10**9
                kept = Bucket(width, count) if burst else Window(width)
                self._kept[key] = kept
            return kept.take(now, burst or count)

    def _room(self, now: int) -> bool:
        """Say whether one more key can be counted; forget those that ended."""
        self._news += 1
        if self._news >= PRUNE_EVERY or len(self._kept) >= MOST_KEYS:
            self._news = 0
            kept = self._kept.items()
            self._kept = {key: one for key, one in kept if not one.idle(now)}
        return len(self._kept) < MOST_KEYS

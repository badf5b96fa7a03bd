"""A token bucket for each of many callers, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

MOST = 10_000
"""Callers that are remembered; the one that was away longest is forgotten."""


class Buckets:
    """Let each caller act *burst* times at once, and *rate* times a second on average.

    *clock* returns seconds and never goes back. Safe to share between threads.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, caller: str) -> bool:
        """Say whether *caller* may act now, and count it if so."""
        now = self._clock()
        with self._lock:
            left, then = self._held.pop(caller, (float(self._burst), now))
            left = min(self._burst, left + (now - then) * self._rate)
            allowed = left >= 1
            self._held[caller] = (left - 1 if allowed else left, now)
            if len(self._held) > MOST:
                self._held.popitem(last=False)
        return allowed

"""Releases of signals that somebody recorded, such as by `gov signals release`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

EVERY_US = 1_000_000
"""How often somebody looks, at most, and only while a signal waits for a release."""
OVERLAP_US = 60_000_000
"""How much later than it says a record may become visible."""


class SignalRelease(NamedTuple):
    """Say that *by* let go of *metric* at *at_us* since 1970, by the record *id*."""

    id: str
    metric: str
    by: str
    at_us: int


class ReleaseWatch:
    """Look in a thread of its own for releases that others recorded.

    *read* returns those since a time, *heard* is told of each once. What cannot be read
    lets go of nothing. Lives with its `Observer`.
    """

    def __init__(
        self,
        read: Callable[[int], Iterable[SignalRelease]],
        heard: Callable[[SignalRelease], object],
        since_us: int,
    ) -> None:
        self._read, self._heard = read, heard
        self._since_us, self._looked_us = since_us, 0
        self._seen: dict[str, int] = {}

    def look(self, now_us: int) -> None:
        """Begin to look, unless somebody did a moment ago; returns at once."""
        if 0 <= now_us - self._looked_us < EVERY_US:
            return
        self._looked_us = now_us
        threading.Thread(target=self.take, name="gov-signals", daemon=True).start()

    def take(self) -> None:
        """Tell of every release that is new."""
        try:
            found = sorted(self._read(self._since_us), key=lambda one: one.at_us)
        except Exception:  # noqa: BLE001 - what cannot be read lets go of nothing
            return
        for one in found:
            if one.id not in self._seen:
                self._seen[one.id] = one.at_us
                self._heard(one)
        if found:
            self._since_us = max(self._since_us, found[-1].at_us - OVERLAP_US)
            kept = self._seen.items()
            self._seen = {one: at for one, at in kept if at >= self._since_us}

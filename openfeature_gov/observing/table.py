"""`Table`: a mapping that never outgrows its bound, and never drops what counts."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Table(Generic[K, V]):
    """Keep at most *limit* values, each until *lifetime_us* after it was put last.

    Where it is full of values that still count, nothing is dropped for another one:
    `room` then says so, and whoever asks must take that as not knowing. Not safe to
    share; its owner has the lock.
    """

    __slots__ = ("_kept", "_lifetime", "_limit")

    def __init__(self, limit: int, lifetime_us: int) -> None:
        self._limit, self._lifetime = limit, lifetime_us
        self._kept: dict[K, tuple[int, V]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """Return the value of *key*, None where there is none."""
        found = self._kept.get(key)
        return None if found is None else found[1]

    def room(self, key: K, now_us: int) -> bool:
        """Say whether a value of *key* is kept, or could be."""
        if key in self._kept or len(self._kept) < self._limit:
            return True
        oldest = next(iter(self._kept.values()))
        return now_us - oldest[0] > self._lifetime

    def put(self, key: K, value: V, now_us: int) -> None:
        """Keep *value* where there is room for it; what is too old makes room."""
        if not self.room(key, now_us):
            return
        if key not in self._kept and len(self._kept) >= self._limit:
            del self._kept[next(iter(self._kept))]
        # The last one put stands last, so that the first is the oldest.
        self._kept.pop(key, None)
        self._kept[key] = (now_us, value)

    def pop(self, key: K) -> V | None:
        """Drop *key* and return what was kept of it."""
        found = self._kept.pop(key, None)
        return None if found is None else found[1]

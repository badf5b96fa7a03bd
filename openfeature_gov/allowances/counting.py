"""Count what begins under one key: `Window` in a sliding window, `Bucket` in a bucket.

Times are whole nanoseconds of a clock that does not go back; nothing is rounded. Pure.
"""

from __future__ import annotations

from collections import deque

FINE = 64
"""Up to so many are each remembered by their own time."""


class Window:
    """Hold when the last ones began: in no *width* of time more than are allowed.

    Of many, those within a 64th of the width are remembered together, by the time of
    the last of them: they count a little longer, never shorter.
    """

    __slots__ = ("_begun", "_total", "_width")

    def __init__(self, width: int) -> None:
        self._width, self._total = width, 0
        self._begun: deque[tuple[int, int, int]] = deque()

    def take(self, now: int, count: int) -> bool:
        """Say whether one more may begin at *now*, of *count*, and count it if so."""
        begun, since = self._begun, now - self._width
        while begun and begun[0][1] <= since:
            self._total -= begun.popleft()[2]
        if self._total >= count:
            return False
        self._total += 1
        grain = self._width // FINE if count > FINE else 0
        if begun and now - begun[-1][0] < grain:
            first, _, many = begun.pop()
            begun.append((first, now, many + 1))
        else:
            begun.append((now, now, 1))
        return True

    def idle(self, now: int) -> bool:
        """Say whether it holds nothing that counts at *now*."""
        return not self._begun or self._begun[-1][1] <= now - self._width


class Bucket:
    """Hold how full a bucket is: *burst* may begin at once, *count* in *width* refill.

    In any time t no more than burst + count * t / width begin. This is the generic cell
    rate algorithm (ITU-T I.371) with the level in place of the arrival time: one unit
    is what drains in a nanosecond, divided by *count*, so that all are whole numbers.
    """

    __slots__ = ("_at", "_count", "_used", "_width")

    def __init__(self, width: int, count: int) -> None:
        self._width, self._count = width, count
        self._used = self._at = 0

    def take(self, now: int, burst: int) -> bool:
        """Say whether one more may begin at *now*, and count it if so."""
        used = self._left(now) + self._width
        if used > burst * self._width:
            return False
        self._used, self._at = used, now
        return True

    def idle(self, now: int) -> bool:
        """Say whether it is as good as new at *now*."""
        return self._left(now) == 0

    def _left(self, now: int) -> int:
        return max(0, self._used - max(0, now - self._at) * self._count)

"""How long ago something was, the time included that the machine slept.

The monotonic clock stands still while a laptop sleeps or a virtual machine is paused:
flags that were current eight hours ago would be a second old, whatever was killed
meanwhile. The wall clock goes on, or is set right afterwards, so it is believed where
it runs ahead. Where it was merely set forward, data counts as old until the source is
read again: that is the safe way to be wrong.
"""

import time
from collections import deque

STEP_NS = 2_000_000_000
"""How far the wall clock may run ahead between two looks; it is set right in steps."""
REMEMBERED = 16
"""How many sleeps are told apart; for older data all those before them count."""
_monotonic, _wall = time.monotonic_ns, time.time_ns


class Sleeps:
    """Hold when this machine woke, and for how long it had slept. Safe to share.

    What several threads see at once counts for each of them.
    """

    def __init__(self) -> None:
        self._sleeps: deque[tuple[int, int]] = deque()
        self._before_ns = 0
        self._apart_ns = _wall() - _monotonic()

    def look(self) -> None:
        """See whether there was a sleep since the last look; it ended just now."""
        now = _monotonic()
        apart = _wall() - now
        ahead, self._apart_ns = apart - self._apart_ns, apart
        if ahead <= STEP_NS:
            return
        # INVARIANT: read behind the wall clock: others read the source before the sleep
        # after this thread had read its *now*.
        self._sleeps.append((_monotonic(), ahead))
        if len(self._sleeps) > REMEMBERED:
            self._before_ns += self._sleeps.popleft()[1]

    def backdated(self, moment_ns: int) -> int:
        """Return *moment_ns* earlier by what was slept since, to tell an age by.

        It is `time.monotonic_ns`, and so is the result. Looks as well.
        """
        self.look()
        if not self._sleeps:
            return moment_ns
        known = tuple(self._sleeps)
        slept = sum(nap for woke, nap in known if moment_ns <= woke)
        return moment_ns - slept - (self._before_ns if moment_ns <= known[0][0] else 0)


sleeps = Sleeps()
"""Of this machine; who follows a source looks now and then."""

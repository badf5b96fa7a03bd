"""How long ago something was, the time included that the machine slept.

The monotonic clock stands still while a laptop sleeps or a virtual machine is paused:
flags that were current eight hours ago would be a second old, whatever was killed
meanwhile. The wall clock goes on, or is set right afterwards, so it is believed where
it runs ahead. Where it was merely set forward, data counts as old until the source is
read again: that is the safe way to be wrong.
"""

import time

STEP_NS = 2_000_000_000
"""How far the wall clock may run ahead between two looks; it is set right in steps."""
_monotonic, _wall = time.monotonic_ns, time.time_ns


class Sleeps:
    """Hold when this machine woke last, and for how long it slept in all.

    Any thread may look: what two see at once counts twice, until the next reading.
    """

    def __init__(self) -> None:
        self._slept_ns, self._woke_ns = 0, _monotonic()
        self._apart_ns = _wall() - self._woke_ns

    def look(self) -> None:
        """See whether there was a sleep since the last look; it ended just now."""
        now = _monotonic()
        apart = _wall() - now
        ahead, self._apart_ns = apart - self._apart_ns, apart
        if ahead > STEP_NS:
            self._slept_ns, self._woke_ns = self._slept_ns + ahead, now

    def backdated(self, moment_ns: int) -> int:
        """Return *moment_ns* earlier by what was slept since, to tell an age by.

        It is `time.monotonic_ns`, and so is the result. Looks as well.
        """
        self.look()
        return moment_ns - self._slept_ns if moment_ns <= self._woke_ns else moment_ns


sleeps = Sleeps()
"""Of this machine; who follows a source looks now and then."""

"""`QueueWatch`: how the queue does, known at most a second late.

A call never waits for a store that hangs: another thread reads, and what it does not
bring in time is unknown.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from openfeature_gov.approvals import health
from openfeature_gov.approvals.shelf import Shelf
from openfeature_gov.approvals.states import State
from openfeature_gov.controls.queue import LIMITS, QueueHealth, QueueLimits

SECOND_NS = 1_000_000_000
TRUSTED_NS = 10 * SECOND_NS
"""The age from which on the last look says nothing any more."""
PATIENCE_S, LONGEST_S = 0.05, 1.0
"""How long all calls together wait for one look: with a last one, and without."""
WINDOW_US = 24 * 3_600_000_000
ANSWERS = 500
"""How much of the past a look covers, and how many answers."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Hold one look at the queue: when it began, and what it saw once it is done."""

    began: int
    done: threading.Event = field(default_factory=threading.Event)


class QueueWatch:
    """Look at the queue on *shelf* while somebody asks. Safe to share.

    *clock* counts monotonic nanoseconds, *now* microseconds since 1970.
    """

    def __init__(
        self,
        shelf: Shelf,
        clock: Callable[[], int],
        now: Callable[[], int],
        limits: QueueLimits = LIMITS,
    ) -> None:
        self._shelf, self._clock, self._now = shelf, clock, now
        self._limits = limits
        self._seen: tuple[int, QueueHealth] | None = None
        self._look: _Look | None = None

    def __call__(self) -> QueueHealth:
        """Return how the queue does; without *known* when that cannot be told."""
        started = self._clock()
        age = self._age(started)
        if age is None or age > SECOND_NS:
            patience = LONGEST_S if age is None or age > TRUSTED_NS else PATIENCE_S
            look = self._looking(started)
            left = patience - (started - look.began) / SECOND_NS
            look.done.wait(max(0.0, left))
        seen = self._seen
        if seen is None:
            return QueueHealth(known=False)
        fresh = started - seen[0] <= TRUSTED_NS
        return seen[1] if fresh else replace(seen[1], known=False)

    def _age(self, at: int) -> int | None:
        return None if self._seen is None else at - self._seen[0]

    def _looking(self, at: int) -> _Look:
        """Return the look that is under way, or begin one.

        No lock: one held at a fork would never be free again. Two looks at once do no
        harm. One that takes too long has hung, or its thread was lost by a fork.
        """
        look = self._look
        if look is None or look.done.is_set() or at - look.began > TRUSTED_NS:
            self._look = look = _Look(at)
            threading.Thread(
                target=self._see, args=(look,), name="gov-queue", daemon=True
            ).start()
        return look

    def _see(self, look: _Look) -> None:
        try:
            now = self._now()
            waiting = self._shelf.requests(
                states=(State.PENDING,), limit=self._limits.depth + 1
            )
            answered = self._shelf.requests(
                states=health.ANSWERED,
                since_us=now - WINDOW_US,
                newest=True,
                limit=ANSWERS,
            )
            requests = [kept.request for kept in (*waiting, *answered)]
            found = health.state(requests, now, self._limits)
            age = self._age(look.began)
            if age is None or age > 0:
                self._seen = (look.began, found)
        except Exception:  # noqa: BLE001 - what cannot be read grows old, and is unknown
            return
        finally:
            look.done.set()

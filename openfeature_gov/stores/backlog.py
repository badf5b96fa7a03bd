"""`Backlog`: the records that wait in memory for the one thread that writes them.

Many threads put, one takes. It is bounded: who puts faster than can be written pauses,
and beyond `BACKLOG` nothing more is taken.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from openfeature_gov.evidence.records import Record
from openfeature_gov.stores.waiting import Done, Item

BACKLOG = 10_000
"""How many records may wait in memory; beyond that nothing more may happen."""
BATCH = 1024
"""How many records share a transaction; with as many more waiting, one thread goes on
and the others pause: many busy threads would keep Python's lock from the writer."""
ROOM_S = 30.0
"""How long who puts waits for room in a full backlog."""
LOOK_S = 0.25
"""How often who waits for room looks himself: a writer that hangs tells nobody."""
TELL_S = 0.1
"""How long the writer tries to tell of room: who holds its lock may be interrupted by a
signal handler that waits for the writer."""
PAUSE_S = 1.0
LINGER_S = 0.002
GATHER_S = 0.0003
"""How long a batch waits for those who waited for the last one: they share a sync."""


class Backlog:
    """Hold what waits, in order. *failing* says that nothing can be written now."""

    def __init__(self, failing: Callable[[], bool]) -> None:
        self._failing = failing
        self._items: deque[Item] = deque()
        self._bell = threading.Lock()  # held until rung; an Event is far slower
        self._bell.acquire()
        self._awake = self._urgent = self._shut = False
        self._crowd = self._target = 0
        # INVARIANT: taken by itself. That a Condition takes it could be interrupted.
        self._room = threading.RLock()
        self._space = threading.Condition(self._room)
        self._pacer: int | None = None

    def __len__(self) -> int:
        return len(self._items)

    def full(self) -> bool:
        """Say whether nothing more is taken."""
        return len(self._items) >= BACKLOG

    def put(self, record: Record, done: Done | None) -> bool:
        """Take *record*; *done* hears how it ends. Return False if it is full, or shut.

        Who puts may pause, for as long as the writer needs to catch up.
        """
        if len(self._items) >= BATCH and not self._roomed():
            return False
        item = (record, done)
        self._items.append(item)
        # INVARIANT: looked at after: who shuts empties after, and finds it or we do.
        if self._shut and self._withdrawn(item):
            return False
        if done is None:
            if not self._awake:
                self._ring()
        else:
            self._urgent = True
            if len(self._items) >= self._target:
                self._ring()
        return True

    def shut(self) -> None:
        """Take nothing more, not even of who is about to put; who calls empties it."""
        self._shut = True

    def hurry(self) -> None:
        """Let the writer look at once."""
        self._urgent = True
        self._ring()

    def wait(self, seconds: float | None, *, retrying: bool = False) -> bool:
        """Return True once there is something to write, False after *seconds*.

        Who is *retrying* hears only of what cannot wait for the next try.
        """
        rung = self._gathered() if self._crowd > 1 else False
        if not rung and (retrying or not self._items):
            self._awake = retrying
            rung = self._bell.acquire(timeout=-1 if seconds is None else seconds)
            if not rung:
                return False
        self._awake = True
        if not self._urgent:
            self._bell.acquire(timeout=LINGER_S)
        return True

    def take(self) -> list[Item]:
        """Return what waits, a batch at most; the writer's alone to call."""
        # INVARIANT: cleared before looking, so that whoever puts while the flag still
        # says awake is seen now, and whoever comes later rings.
        self._awake = self._urgent = False
        batch: list[Item] = []
        with suppress(IndexError):
            while len(batch) < BATCH:
                batch.append(self._items.popleft())
        self._crowd = sum(done is not None for _, done in batch)
        if self._items:
            self._urgent = True
        if len(self._items) < BATCH:
            self._pacer = None
            self._tell_of_room()
        return batch

    def waiting(self) -> list[Item]:
        """Return what waits, and leave it there."""
        return list(self._items.copy())

    def empty(self) -> list[Item]:
        """Return all that waits."""
        return [one for batch in iter(self.take, []) for one in batch]

    def give_back(self, batch: list[Item]) -> None:
        """Keep *batch* for later, before what waits; nobody waits for it any more."""
        self._items.extendleft((record, None) for record, _ in reversed(batch))
        self._crowd = 0
        self._tell_of_room()

    def _ring(self) -> None:
        # INVARIANT: only the writer says that he is awake: a handler that raises here
        # may leave the bell unrung, and whoever comes later has to ring it.
        if self._bell.locked():
            try:  # noqa: SIM105 - every call passes here
                self._bell.release()
            except RuntimeError:
                pass  # somebody else rang

    def _withdrawn(self, item: Item) -> bool:
        try:
            self._items.remove(item)
        except ValueError:  # who shut has it already
            return False
        return True

    def _tell_of_room(self) -> None:
        if self._space.acquire(timeout=TELL_S):
            try:
                self._space.notify_all()
            finally:
                self._space.release()

    def _gathered(self) -> bool:
        """Wait until as many wait as waited for the last batch, but not for long.

        Say whether the bell was rung, which it may have been for another reason.
        """
        rung = self._bell.acquire(blocking=False)
        self._target = self._crowd
        if len(self._items) < self._target:
            rung = self._bell.acquire(timeout=GATHER_S) or rung
        # INVARIANT: set before the look at what waits: whoever comes later rings.
        self._target = self._crowd = 0
        return rung

    def _roomed(self) -> bool:
        """Return when the caller may put; one thread at a time need not pause."""
        me = threading.get_ident()
        if self._pacer == me and not self.full():
            return True
        self.hurry()
        with self._room:
            if self._pacer is None:
                self._pacer = me
            if self.full():
                self._look(ROOM_S)
            elif self._pacer != me and not self._failing():
                self._look(PAUSE_S)
        return not self.full()

    def _look(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._space.wait_for(self._roomy, min(left, LOOK_S)):
                return

    def _roomy(self) -> bool:
        return len(self._items) < BATCH or self._failing()

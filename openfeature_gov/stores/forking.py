"""What becomes of the open record stores when their process forks.

They come to rest before, so that a child begins with nothing that is the parent's, and
go on after; in the child each becomes a writer of its own.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

from openfeature_gov.stores.inside import inside

FORK_WAIT_S = 5.0
"""How long a fork waits for what a store has under way, and for who reads one."""


class Forked(Protocol):
    """Outlive a fork."""

    def before_fork(self, wait_s: float) -> bool:
        """Come to rest within *wait_s* seconds; say whether that worked."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork(self) -> None:
        """Begin anew, in the child."""


class Forks:
    """Bring the open stores to rest around every fork, one fork after another.

    What is interrupted goes on as far as it came to rest, and the child is not fit.
    """

    def __init__(self) -> None:
        self.stores: weakref.WeakSet[Forked] = weakref.WeakSet()
        self._one = threading.Lock()
        self._resting: list[Forked] = []
        self._forker, self._rested = 0, False

    def rest(self) -> None:
        """Let all come to rest: who reads first, as long as records are written."""
        if not self._one.acquire(timeout=2 * FORK_WAIT_S):
            return
        self._forker = threading.get_ident()
        rested = inside.rest(FORK_WAIT_S)
        for store in tuple(self.stores):
            self._resting.append(store)
            rested = store.before_fork(FORK_WAIT_S) and rested
        self._rested = rested

    def go_on(self) -> None:
        """Go on in the parent, if the rest of this fork ever began."""
        if self._forker != threading.get_ident():
            return
        while self._resting:
            self._resting.pop().after_fork_in_parent()
        inside.go_on()
        self._forker, self._rested = 0, False
        self._one.release()

    def begin_anew(self) -> None:
        """Begin anew in the child."""
        rested = self._rested and self._forker == threading.get_ident()
        self._one, self._resting = threading.Lock(), []
        self._forker, self._rested = 0, False
        inside.begin_anew(rested=rested)
        for store in tuple(self.stores):
            store.after_fork()


_forks = Forks()


def watch(store: Forked) -> None:
    """Tell *store* of every fork from now on, while it lives."""
    _forks.stores.add(store)


def forget(store: Forked) -> None:
    """Tell *store* of no fork any more."""
    _forks.stores.discard(store)


os.register_at_fork(
    before=_forks.rest,
    after_in_parent=_forks.go_on,
    after_in_child=_forks.begin_anew,
)

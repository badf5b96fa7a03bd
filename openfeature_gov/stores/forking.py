"""What becomes of the open record stores when their process forks.

They come to rest before, so that a child begins with nothing that is the parent's, and
go on after; in the child each becomes a writer of its own.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

FORK_WAIT_S = 5.0
"""How long a fork waits for what a store has under way."""


class Forked(Protocol):
    """Outlive a fork."""

    def before_fork(self, wait_s: float) -> None:
        """Come to rest within *wait_s* seconds."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork(self) -> None:
        """Begin anew, in the child."""


_open: weakref.WeakSet[Forked] = weakref.WeakSet()


def watch(store: Forked) -> None:
    """Tell *store* of every fork from now on, while it lives."""
    _open.add(store)


def forget(store: Forked) -> None:
    """Tell *store* of no fork any more."""
    _open.discard(store)


def _rest_all() -> None:
    for store in tuple(_open):
        store.before_fork(FORK_WAIT_S)


def _go_on_all() -> None:
    for store in tuple(_open):
        store.after_fork_in_parent()


def _restart_all() -> None:
    for store in tuple(_open):
        store.after_fork()


os.register_at_fork(
    before=_rest_all, after_in_parent=_go_on_all, after_in_child=_restart_all
)

"""Locks at which neither a forked child nor a signal handler waits for ever.

A lock that another thread of the parent holds at a fork is never free again in the
child, for that thread is not there. A signal handler runs in the thread that it
interrupts, anywhere: what that thread holds is not free before the handler returns.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import Any, Protocol


class Renewed(Protocol):
    """Begin anew in a forked child."""

    def renew(self) -> None:
        """Let go of what threads of the parent may hold."""


_all: weakref.WeakSet[Renewed] = weakref.WeakSet()


def renewed(one: Renewed) -> None:
    """Renew *one* in every child from now on, while it lives."""
    _all.add(one)


def interrupted(lock: Any) -> bool:
    """Say whether this thread holds the RLock *lock* already: a signal handler asks.

    What the lock guards is half done then, and stays so until the handler returns.
    """
    return bool(lock._is_owned())  # noqa: SLF001 - as `threading.Condition` asks


class Bell:
    """Let one thread sleep until another one rings; who sleeps hears a ring once.

    An Event takes a lock to ring. Ctrl-C may come when it has it and before it would
    give it back: then whoever sleeps, and whoever rings again, waits for ever.
    """

    def __init__(self) -> None:
        self._silence = threading.Lock()  # held until rung
        self._silence.acquire()

    def ring(self) -> None:
        """Wake who sleeps, or is about to."""
        if self._silence.locked():
            with suppress(RuntimeError):  # somebody else rang
                self._silence.release()

    def heard(self, seconds: float) -> bool:
        """Return True once it was rung, False after *seconds*."""
        return self._silence.acquire(timeout=seconds)


def _renew_all() -> None:
    for one in tuple(_all):
        one.renew()


os.register_at_fork(after_in_child=_renew_all)

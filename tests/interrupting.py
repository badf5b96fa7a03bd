"""A signal handler that raises between any two steps, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress

TURNS = 300


class Interrupt(BaseException):
    """What the handler raises."""


def interrupted(work: Callable[[], object], after: Callable[[int], object]) -> None:
    """Do *work* again and again until it is interrupted, then *after*; many times."""
    armed = threading.Event()

    def interrupt(*_: object) -> None:
        if armed.is_set():
            armed.clear()
            raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for turn in range(TURNS):
            # Around the call: CPython 3.13 may raise past a loop's own handler.
            with suppress(Interrupt):
                _until_interrupted(work, armed, 1e-5 * (turn % 30 + 1))
            after(turn)
    finally:
        signal.signal(signal.SIGALRM, before)


def _until_interrupted(
    work: Callable[[], object], armed: threading.Event, seconds: float
) -> None:
    armed.set()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    while armed.is_set():
        work()

"""`Budget`: run foreign code in threads, and never wait for it longer than agreed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from openfeature_gov.locks import interrupted, renewed

T = TypeVar("T")
THREADS, STUCK = 16, 8
"""How many threads there are, and how many may hang before nobody is asked."""


_Job = tuple[Callable[[], Any], Future[Any]]


class OverrunError(Exception):
    """Report that the code did not answer in time, or that too much hangs already."""


class Budget:
    """Lend daemon threads to foreign code. Safe to share; lives with its Governor.

    What hangs keeps its thread. Once *stuck* of them hang, nothing more is asked until
    one comes back. A forked child has threads of its own.
    """

    def __init__(self, threads: int = THREADS, stuck: int = STUCK) -> None:
        self._most, self._stuck = threads, stuck
        self._closed = False
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin without threads, and with a lock that nobody holds."""
        self._started = self._idle = 0
        self._late: set[Future[Any]] = set()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.RLock()

    def run(self, work: Callable[[], T], budget_s: float) -> T:
        """Return what *work* returns within *budget_s* seconds, or raise what it does.

        Raises:
            OverrunError: it did not, too much hangs already, nobody may ask any more,
                or a signal handler asks. What it returns later is discarded.

        """
        if interrupted(self._lock):  # its threads wait for the lock as well
            raise OverrunError("somebody is being asked right now")
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise OverrunError("nobody is asked any more")
            if len(self._late) >= self._stuck:
                raise OverrunError("too many calls hang")
            if self._idle <= self._jobs.qsize() and self._started < self._most:
                threading.Thread(
                    target=self._serve, name="gov-policy", daemon=True
                ).start()
                self._started += 1
            self._jobs.put((work, future))
        try:
            return future.result(budget_s)
        except TimeoutError:
            if self._given_up(future):
                raise OverrunError(f"no answer within {budget_s} s") from None
            raise

    def _given_up(self, future: Future[Any]) -> bool:
        """Say whether *future* has no result; count its thread as late if it runs."""
        with self._lock:
            if future.done():
                return future.cancelled() or future.exception() is None
            if not future.cancel():
                # INVARIANT: under the lock, so that its thread looks here after.
                self._late.add(future)
            return True

    def close(self) -> None:
        """Let every thread go that does not hang, and ask nobody more; idempotent."""
        with self._lock:
            self._closed = True
            started, self._started = self._started, 0
        for _ in range(started):
            self._jobs.put(None)

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
            if job is None:
                return
            _done(*job)
            with self._lock:
                self._late.discard(job[1])


def _done(work: Callable[[], Any], future: Future[Any]) -> None:
    """Let *future* have what *work* returns or raises, unless nobody waits for it."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 - whoever waits decides
        future.set_exception(error)
    except BaseException as error:  # noqa: BLE001 - exits end no thread here
        future.set_exception(RuntimeError(type(error).__name__))

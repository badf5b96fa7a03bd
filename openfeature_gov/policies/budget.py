"""`Budget`: run foreign code in threads, and never wait for it longer than agreed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
THREADS, STUCK = 16, 8
"""How many threads there are, and how many may hang before nobody is asked."""


_Job = tuple[Callable[[], Any], Future[Any]]


class OverrunError(Exception):
    """Report that the code did not answer in time, or that too much hangs already."""


class Budget:
    """Lend daemon threads to foreign code. Safe to share; lives with its Governor.

    What hangs keeps its thread. Once *stuck* of them hang, nothing more is asked until
    one comes back.
    """

    def __init__(self, threads: int = THREADS, stuck: int = STUCK) -> None:
        self._most, self._stuck = threads, stuck
        self._begin()

    def _begin(self) -> None:
        self._pid, self._started, self._late = os.getpid(), 0, 0
        self._idle = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()

    def run(self, work: Callable[[], T], budget_s: float) -> T:
        """Return what *work* returns within *budget_s* seconds, or raise what it does.

        Raises:
            OverrunError: it did not, or too much hangs already. What it returns later
                is discarded.

        """
        if self._pid != os.getpid():
            self._begin()  # a fork leaves no thread behind
        future: Future[T] = Future()
        with self._lock:
            if self._late >= self._stuck:
                raise OverrunError("too many calls hang")
            if self._idle <= self._jobs.qsize() and self._started < self._most:
                self._started += 1
                threading.Thread(
                    target=self._serve, name="gov-policy", daemon=True
                ).start()
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
                self._late += 1
                future.add_done_callback(self._back)
            return True

    def _back(self, _: Future[Any]) -> None:
        with self._lock:
            self._late -= 1

    def close(self) -> None:
        """Let every thread go that does not hang; idempotent."""
        with self._lock:
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
            work, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001 - whoever waits decides
                future.set_exception(error)
            except BaseException as error:  # noqa: BLE001 - exits end no thread here
                future.set_exception(RuntimeError(type(error).__name__))

"""Leases: which writers of a shared record file are alive.

Every writer holds an advisory lock on a file of its own for as long as its process
lives; the kernel drops it when the process dies, however it dies. A second lock, on
one common file, is held for each batch, so that two processes never write or
checkpoint at the same instant (SQLite before 3.51.3 can corrupt the file when they do).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WAIT_S = 20.0
"""How long to wait for another process's batch before the store counts as failing."""


class Lease:
    """Hold one writer's lock from construction until `release` or process end."""

    def __init__(self, database: Path, writer: str) -> None:
        self._folder = database.with_name(database.name + ".writers")
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._path = self._folder / writer
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except BaseException:
            os.close(self._fd)
            raise

    def alive(self, writer: str) -> bool:
        """Say whether another *writer*'s process still holds its lock."""
        try:
            fd = os.open(self._folder / writer, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(fd)

    def forget(self, writer: str) -> None:
        """Remove the file of a dead *writer*."""
        with suppress(FileNotFoundError):
            (self._folder / writer).unlink()

    def release(self) -> None:
        """Let go and remove the file; idempotent."""
        if self._fd >= 0:
            self.forget(self._path.name)
            os.close(self._fd)
            self._fd = -1

    def abandon(self) -> None:
        """Close the inherited descriptor in a forked child; the parent keeps it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Turn:
    """Serialise the batches of all processes on one record file."""

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + ".lock")
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Whoever has the turn holds this too: a fork takes it, and with it the pause
        # between two turns.
        self._inside = threading.RLock()
        self._forking = self._held = False

    def hold(self, wait_s: float) -> bool:
        """Let nobody here take the turn; False if it is kept for *wait_s*."""
        self._forking = True
        self._held = self._inside.acquire(timeout=wait_s)
        return self._held

    def let_go(self) -> None:
        """Undo `hold`, by the thread that called it."""
        self._forking = False
        if self._held:
            self._held = False
            self._inside.release()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn and keep it for the block.

        Raises:
            TimeoutError: an OSError, when another process keeps it for `WAIT_S`.

        """
        deadline = time.monotonic() + WAIT_S
        while not self._try():
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process holds the log for {WAIT_S} s")
            time.sleep(0.0002)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._inside.release()

    def _try(self) -> bool:
        if self._forking or not self._inside.acquire(blocking=False):
            return False
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._inside.release()
            return False
        except BaseException:
            self._inside.release()
            raise
        return True

    def close(self) -> None:
        """Close the descriptor; in a forked child this leaves the parent its lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

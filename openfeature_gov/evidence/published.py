"""Checkpoints outside the store: an append-only file, one signed note a line.

Whoever can edit the database should not be able to edit this file: put it on another
volume or under another owner, or hand each note to a publisher as well.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

TAIL_BYTES = 65_536
WAIT_S = 5.0
"""How long to wait for another process that publishes."""


class Published:
    """Append notes to the file *path*; several processes may. One thread uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = -1

    def last(self) -> str | None:
        """Return the last note, None when the file holds none.

        Raises:
            ValueError: when the last line holds no note.
            FileNotFoundError: when there is no file.
            OSError: when it cannot be read.

        """
        with self.path.open("rb", buffering=0) as file:
            return _last(file)

    def begin(self) -> None:
        """Make the file where it is missing, so that its absence says something.

        Raises:
            OSError: when it cannot be made.

        """
        with self._locked():
            pass

    def extend(self, missing: Callable[[str | None], list[str]], at_us: int) -> int:
        """Append what *missing* returns for the last note, return how many notes.

        *at_us* is the time in microseconds since 1970. A line that a crash cut short
        is taken away first.

        Raises:
            OSError: when the file cannot be written.

        """
        with self._locked() as file:
            try:
                last = _last(file)
            except ValueError:
                last = None
            notes = missing(last)
            if notes:
                _append(file, b"".join(_line(one, at_us) for one in notes))
        return len(notes)

    def abandon(self) -> None:
        """Let go in a forked child of a lock that is the parent's."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    @contextmanager
    def _locked(self) -> Iterator[Any]:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o644)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            _lock(descriptor, self.path)
            self._held = descriptor
            try:
                yield file
            finally:
                # A forked child may still hold the descriptor, and so the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                self._held = -1


def notes(path: Path) -> Iterator[str]:
    """Yield every note of the file *path*, the first one first.

    Raises:
        ValueError: for a line that holds no note.
        OSError: when the file cannot be read.

    """
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # a crash may have cut the last one short
                yield _note(line)


def _append(file: Any, data: bytes) -> None:
    whole = _whole(file)
    if whole != file.seek(0, os.SEEK_END):
        file.truncate(whole)
    # A write may take less than it was given without any error.
    while data:
        data = data[file.write(data) :]
    os.fsync(file.fileno())


def _lock(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{path}: another process holds it for {WAIT_S} s"
                ) from None
            time.sleep(0.002)
        else:
            return


def _line(note: str, at_us: int) -> bytes:
    return orjson.dumps({"atUs": at_us, "note": note}) + b"\n"


def _note(line: bytes) -> str:
    found = orjson.loads(line)
    if not isinstance(found, dict) or not isinstance(found.get("note"), str):
        raise ValueError("a line without a note")  # noqa: TRY004 - bytes, not a type
    return str(found["note"])


def _last(file: Any) -> str | None:
    end = _whole(file)
    if not end:
        return None
    file.seek(max(0, end - TAIL_BYTES))
    return _note(file.read(min(end, TAIL_BYTES)).splitlines()[-1])


def _whole(file: Any) -> int:
    """Return where the last whole line ends."""
    end = int(file.seek(0, os.SEEK_END))
    start = max(0, end - TAIL_BYTES)
    file.seek(start)
    return start + int(file.read(end - start).rfind(b"\n")) + 1

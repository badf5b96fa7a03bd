"""`Footing`: that a record file and its write-ahead log are those that were opened.

Whoever removes, moves or replaces them leaves a connection that goes on writing, into
a file that nobody finds again. SQLite does not notice; it never asks for the name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

EVERY_NS = 50_000_000
"""How often a busy writer looks: to look costs as much as a sixth of a commit."""
Identity = tuple[int, int]
"""The device and the number of a file, which no other file has while it is there."""


class Footing:
    """Remember which files a writer stands on. Lives as long as the writer's log.

    *clock* counts monotonic nanoseconds.
    """

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path, self._log = str(path), f"{path}-wal"
        self._clock, self._seen = clock, 0
        self._file: Identity | None = None
        self._beside: Identity | None = None

    def find(self) -> None:
        """Take the file as it is, or require that it is the one that was taken.

        Raises:
            OSError: when it is not there, or another one is.

        """
        found, self._beside = _identity(self._path), None
        if self._file not in (None, found):
            raise _gone(self._path)
        self._file, self._seen = found, 0

    def require(self) -> None:
        """Require that what was written a moment ago stands where it is looked for.

        It is looked at unless it was within `EVERY_NS`: what goes so soon after it was
        written would go a moment later as well.

        Raises:
            OSError: when it was removed, moved, replaced or emptied.

        """
        now = self._clock()
        if self._seen and now - self._seen < EVERY_NS:
            return
        if _identity(self._path) != self._file:
            raise _gone(self._path)
        beside = _identity(self._log)
        if self._beside not in (None, beside):
            raise _gone(self._log)
        self._beside, self._seen = beside, now


def _identity(path: str) -> Identity:
    try:
        found = os.stat(path)  # noqa: PTH116 - as often as there are batches
    except FileNotFoundError:
        raise _gone(path) from None
    if not found.st_size:
        raise _gone(path)
    return found.st_dev, found.st_ino


def _gone(path: str) -> OSError:
    return OSError(
        f"{path} was removed, moved, replaced or emptied while records were written to"
        " it: put it back as it was, with the files beside it, or open the log anew"
    )

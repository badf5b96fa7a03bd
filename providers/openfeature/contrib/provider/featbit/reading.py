"""Read a file whole, where it is one and ends."""

import errno
import os
import stat
from pathlib import Path

LARGEST = 64 * 2**20
"""Bytes that a file may hold."""


def read_regular(path: Path) -> bytes:
    """Return what the regular file *path*, or the one that it links to, holds.

    Nothing else is read: a FIFO waits for a writer, and a device need not end.

    Raises:
        OSError: it cannot be read, is no regular file or holds more than `LARGEST`.

    """
    with open(path, "rb", opener=_at_once) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if found.st_size > LARGEST:
            raise OSError(errno.EFBIG, f"is larger than {LARGEST} bytes", str(path))
        return file.read()


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)

"""Read a file whole, where it is one and ends."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LARGEST = 64 * 2**20
"""Bytes that a file may hold."""


def read_regular(path: Path) -> bytes:
    """Return what the regular file *path*, or the one that it links to, holds.

    Raises:
        OSError: it cannot be read, is no regular file or holds more than `LARGEST`.

    """
    with regular(path) as file:
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise OSError(errno.EFBIG, f"is larger than {LARGEST} bytes", str(path))
        return file.read()


@contextmanager
def regular(path: Path) -> Iterator[BinaryIO]:
    """Lend the regular file *path*, or the one that it links to, to be read.

    Nothing else is opened: a FIFO waits for a writer, and a device need not end.

    Raises:
        OSError: it cannot be opened or is no regular file.

    """
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        yield file


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)

"""`FileTarget`: one flag file, read whole, changed so that no change is lost."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.reading import read_regular
from openfeature.contrib.provider.featbit.snapshot import read_snapshot
from openfeature.contrib.provider.featbit.strict_json import read_json
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.targets import Held, Keys, Planned, RefusedError, Signed, Written

LOCK_WAIT_S = 10.0


def read_flags(path: Path) -> Held:
    """Read the flag file *path*.

    Raises:
        FeatBitDataError: when a provider would refuse it.
        OSError: when it cannot be read.

    """
    return _held(path, read_regular(path))


def _held(path: Path, data: bytes) -> Held:
    try:
        snapshot = read_snapshot(data)
    except FeatBitDataError as error:
        raise FeatBitDataError(f"{path}: {error}") from None
    document: Any = read_json(data)
    return Held(str(path), document, snapshot)


class FileTarget:
    """Change the flag file *path*; it has no state of its own."""

    must_exist = True
    """Whether the lock is refused where there is no file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """Return the path."""
        return str(self.path)

    @property
    def facts(self) -> Mapping[str, str]:
        """Return the name of the file."""
        return {"file": self.path.name}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other `gov` from changing the file within the block.

        The lock is a file beside it that stays there: removing it would let two
        processes lock two different files of the same name.

        Raises:
            OSError: when the folder cannot be written.
            RefusedError: when another process holds the lock for too long.

        """
        target = self.path.resolve(strict=self.must_exist)
        lock = target.with_name(f".{target.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _wait(descriptor, lock)
            yield
        finally:
            os.close(descriptor)

    def read(self, _: Keys = None) -> Held:
        """Read the file, always whole.

        Raises:
            FeatBitDataError: when a provider would refuse it.
            OSError: when it cannot be read.

        """
        return read_flags(self.path)

    def tried(self, document: Json) -> Held:
        """Return *document* as it would read from the file; nothing is written.

        Raises:
            FeatBitDataError: when a provider would refuse it.

        """
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        return _held(self.path, orjson.dumps(document, option=option))

    def write(self, planned: Planned, _: Signed) -> Written:
        """Write *planned* over the file it was made from, and read it back.

        The caller holds the lock.

        Raises:
            OSError: when it cannot be written; the file is as it was.
            RefusedError: when the file is not the one that was planned on, or reads
                back as another.

        """
        path = self.path
        if read_flags(path).snapshot.revision != planned.before.snapshot.revision:
            raise RefusedError(
                f"{path} changed meanwhile; nothing was changed", why="stale"
            )
        write_document(path, planned.after.document)
        written = read_flags(path)
        if written.snapshot.revision != planned.revision:
            raise RefusedError(
                f"{path} reads back as another revision: something else writes it "
                "without the lock; look at it now (gov flags list)",
                why="unverified",
            )
        return Written(written)


def _wait(descriptor: int, lock: Path) -> None:
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(BlockingIOError),
            stop=stop_after_delay(LOCK_WAIT_S),
            wait=wait_random(0.005, 0.03),
            reraise=True,
        ):
            with attempt:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RefusedError(
            f"{lock}: another process has held this lock for {LOCK_WAIT_S:.0f} s; "
            "nothing was changed"
        ) from None

"""Keep the last data on disk, with the time at which it was last known current.

The file is readable by its owner alone. Its first line has that time and a keyed
SHA-256 (HMAC) of everything, with the environment's secret as the key: data that was
damaged, altered or taken from another environment is refused.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.live.frames import DataSync, read_pulled
from openfeature.contrib.provider.featbit.live.mirror import Mirror

FORMAT = b"featbit-last-good 1"


@dataclass(frozen=True, slots=True)
class Kept:
    """What was found: the data, and when it was verified (ms since 1970)."""

    data: DataSync
    verified_ms: int


@dataclass(frozen=True, slots=True)
class LastGood:
    """The file at *path*; written by one process at a time, read at its start."""

    path: Path
    key: bytes

    def __repr__(self) -> str:
        return f"LastGood({str(self.path)!r})"

    def save(self, mirror: Mirror, verified_ms: int) -> None:
        """Replace the file atomically, unless it holds data that is newer.

        Another process of the same environment may write it: the later one counts.

        Raises:
            OSError: it cannot be written; the file is as it was.

        """
        with contextlib.suppress(FeatBitDataError):
            kept = self.load()
            if kept is not None and verified_ms < kept.verified_ms <= _now_ms():
                return
        body = _document(mirror)
        header = b"%b %b %d\n" % (FORMAT, self._code(body, verified_ms), verified_ms)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}.tmp")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(header + body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def load(self) -> Kept | None:
        """Return what was kept; None when there is no file.

        Raises:
            FeatBitDataError: the file cannot be trusted; the message says why.

        """
        try:
            data = self._read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refusal(error.strerror or "cannot be read") from None
        header, _, body = data.partition(b"\n")
        parts = header.rsplit(b" ", 2)
        if len(parts) != 3 or parts[0] != FORMAT or not parts[2].isdigit():
            raise self._refusal("is not of this format")
        verified_ms = int(parts[2])
        if not hmac.compare_digest(parts[1], self._code(body, verified_ms)):
            raise self._refusal("is damaged, or of another environment")
        return Kept(read_pulled(body), verified_ms)

    def _read(self) -> bytes:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise self._refusal("is no regular file")
            if found.st_uid != os.geteuid():
                raise self._refusal("belongs to another user")
            if found.st_mode & 0o077:
                raise self._refusal("is open to other users; make it 0600")
            return file.read()

    def _code(self, body: bytes, verified_ms: int) -> bytes:
        signed = b"%b %d\n%b" % (FORMAT, verified_ms, body)
        return hmac.new(self.key, signed, hashlib.sha256).hexdigest().encode()

    def _refusal(self, problem: str) -> FeatBitDataError:
        return FeatBitDataError(f"{self.path}: {problem}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _document(mirror: Mirror) -> bytes:
    data = {
        "eventType": "full",
        "featureFlags": [item.raw for item in mirror.flags.values()],
        "segments": [item.raw for item in mirror.segments.values()],
    }
    return orjson.dumps({"messageType": "data-sync", "data": data})

"""Put a document on disk so that a reader sees the old one or the new one, whole."""

import os
import secrets
from pathlib import Path

import orjson

from openfeature.contrib.provider.featbit.building import Json
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.snapshot import read_snapshot


def write_document(path: str | Path, document: Json) -> str:
    """Replace the file at *path* by *document* atomically; return its revision.

    The bytes are parsed and compiled first, so what a provider would refuse never
    lands. They are on disk when this returns. An existing file keeps its permissions,
    and a symbolic link stays one. Two writers do not merge: the last one wins.

    Raises:
        FeatBitDataError: *document* would be refused; the file is as it was.
        OSError: the folder cannot be written; the file is as it was.

    """
    target = Path(path).resolve()
    try:
        data = orjson.dumps(
            document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        )
        revision = read_snapshot(data).revision
    except (TypeError, FeatBitDataError) as error:
        raise FeatBitDataError(f"{target}: not written: {error}") from None
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        _write_durably(temporary, data, like=target)
        temporary.replace(target)
    except OSError as error:
        # A full disk names no file, and the temporary one says nothing to anybody.
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return revision


def _write_durably(path: Path, data: bytes, *, like: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        if like.exists():
            os.fchmod(descriptor, like.stat().st_mode & 0o7777)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost with the power.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

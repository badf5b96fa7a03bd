"""The seals of a SQLite record log: what makes them, its key, and its files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from openfeature_gov.evidence import keys
from openfeature_gov.evidence.chain import Books
from openfeature_gov.evidence.merkle import Frontier
from openfeature_gov.evidence.notes import Checkpoint, Signer, parse_vkey, sign
from openfeature_gov.evidence.published import Published
from openfeature_gov.evidence.sealed import FIRST
from openfeature_gov.evidence.sealing import SEEN, Sealer, Sealing, seen
from openfeature_gov.stores.sealed import KEPT, SqliteLog


def key_file(path: Path) -> Path:
    """Return where the signing key of the record file *path* is by default."""
    return path.with_name(f"{path.name}.key")


def checkpoint_file(path: Path) -> Path:
    """Return where the checkpoints of the record file *path* go by default."""
    return path.with_name(f"{path.name}.checkpoints")


def sealer(
    path: Path,
    books: Books,
    sealing: Sealing,
    *,
    now: Callable[[], int],
    clock: Callable[[], int],
) -> Sealer:
    """Return what seals the record file *path*, which *books* writes.

    Raises:
        RecordStoreError: when the file is no record log, or the key cannot be used.
        sqlite3.Error: when the file cannot be opened.
        OSError: when its lock file or the key cannot be.

    """
    published = Published(sealing.checkpoints or checkpoint_file(path))
    log = SqliteLog(path)
    try:
        signer = _signer(sealing, path)
        return Sealer(
            log,
            books,
            signer,
            published,
            sealing,
            now=now,
            clock=clock,
            broken=_broken,
        )
    except BaseException:
        log.close()
        raise


def _broken(error: Exception) -> bool:
    return isinstance(error, sqlite3.DatabaseError) and (
        getattr(error, "sqlite_errorcode", 0) & 0xFF
        in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    )


def anchored(
    connection: sqlite3.Connection,
    path: Path,
    writer: str,
    sealing: Sealing,
    at_us: int,
) -> None:
    """Store the first checkpoint of an empty log: over no record at all.

    So every record that tells that a writer began can tell of a checkpoint, too.

    Raises:
        RecordStoreError: when the key cannot be used.
        sqlite3.Error: when it cannot be stored.
        OSError: when the key or the file of checkpoints cannot be.

    """
    (begun,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM records) OR EXISTS (SELECT 1 FROM checkpoints)"
    ).fetchone()
    if begun:
        return
    signer, empty = _signer(sealing, path)(), Frontier()
    # INVARIANT: the file is there before the first checkpoint is.
    published = Published(sealing.checkpoints or checkpoint_file(path))
    published.begin()
    origin = f"{parse_vkey(signer.vkey).name}/{writer}"
    stated = Checkpoint(origin, 0, empty.root(), 1, FIRST)
    note = sign(stated.text(), signer)
    row = (1, origin, 0, 0, empty.to_bytes(), note, at_us)
    connection.execute(KEPT, row)
    published.extend(lambda last: [note] if last is None else [], at_us)


def told(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return what the record of a start tells of the last checkpoint."""
    found = connection.execute(
        "SELECT number, note FROM checkpoints ORDER BY number DESC LIMIT 1"
    ).fetchone()
    return {} if found is None else {SEEN: seen(int(found[0]), str(found[1]))}


def keyless(path: Path, sealing: Sealing) -> bool:
    """Say whether the log at *path* is sealed with a key that *sealing* has not.

    A new key would begin a foreign tree, and call the log of its owner altered.

    Raises:
        RecordStoreError: when the file is no record log.
        sqlite3.Error: when it cannot be read.
        OSError: when its lock file cannot be opened.

    """
    key = sealing.key or key_file(path)
    if callable(key) or key.exists():
        return False
    with closing(SqliteLog(path)) as log:
        return log.head() is not None


def _signer(sealing: Sealing, path: Path) -> Callable[[], Signer]:
    if callable(sealing.key):
        return sealing.key
    return partial(keys.open_key, sealing.key or key_file(path))


def rotate(owner: Sealer, key: Path) -> str:
    """Put a new key into the file *key* of the log that *owner* seals; return its vkey.

    Raises:
        RecordStoreError: when the rotation could not be recorded; nothing changed.
        OSError: when a file cannot be read or written.

    """
    new = keys.generate(keys.read_key(key).verifier.name)
    owner.rotate(new, partial(keys.store, key, new, replace=True))
    return new.vkey

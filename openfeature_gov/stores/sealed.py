"""The seals of a SQLite record log: its rows as a Sealer reads them, key and files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from openfeature_gov.evidence import keys
from openfeature_gov.evidence.chain import Books
from openfeature_gov.evidence.merkle import Frontier
from openfeature_gov.evidence.notes import Checkpoint, Signer, parse_vkey, sign
from openfeature_gov.evidence.published import Published
from openfeature_gov.evidence.sealed import FIRST, Sealed
from openfeature_gov.evidence.sealing import (
    ROTATED,
    SEEN,
    Sealer,
    Sealing,
    last_seen,
    seen,
)
from openfeature_gov.stores.leases import Turn
from openfeature_gov.stores.schema import connect

_COLUMNS = "number, origin, size, last_seq, frontier, note"
_abandoned: list[object] = []
MARKS = "(?, ?, ?, ?, ?, ?, ?)"
TOLD = """
SELECT body FROM records WHERE kind = 'start' AND kind NOT IN ('decision', 'outcome')
ORDER BY seq DESC LIMIT 2
"""
"""The last start is that of the process that asks: it tells what it found."""
UNSEALED = """
SELECT count(*) FROM records r WHERE r.seq > ? AND EXISTS
  (SELECT 1 FROM records e WHERE e.ref = r.writer AND e.kind IN ('stop', 'reconciled'))
"""


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
    connection.execute(
        f"INSERT INTO checkpoints ({_COLUMNS}, at_us) VALUES {MARKS}",  # noqa: S608 - fixed names
        row,
    )
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


class SqliteLog:
    """Read one record file, and write its checkpoints; one Sealer owns it.

    Raises:
        RecordStoreError: when the file is no record log of this release.
        sqlite3.Error: when it cannot be opened.
        OSError: when its lock file cannot be.

    """

    def __init__(self, path: Path) -> None:
        self._path, self._turn = path, Turn(path)
        self._connection: sqlite3.Connection | None = None
        try:
            self._opened()
        except BaseException:
            self._turn.close()
            raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            with self._turn.taken():
                self._connection = connect(self._path)
        return self._connection

    def rows(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return sequence numbers and bodies behind *after*, in order."""
        # Whoever can alter the schema can store what is no blob.
        return (
            self._opened()
            .execute(
                "SELECT seq, coalesce(CAST(body AS BLOB), x'') FROM records"
                " WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            )
            .fetchall()
        )

    def last_seq(self) -> int:
        """Return the last sequence number, 0 for an empty log."""
        found = self._opened().execute("SELECT max(seq) FROM records").fetchone()
        return int(found[0] or 0)

    def archived(self) -> bytes:
        """Return the frontier of the records that were archived, empty for none."""
        found = (
            self._opened()
            .execute("SELECT frontier FROM archives ORDER BY last_seq DESC LIMIT 1")
            .fetchone()
        )
        return b"" if found is None else bytes(found[0])

    def unsealed(self, after: int) -> int:
        """Return how many records behind *after* are of writers that have ended."""
        found = self._opened().execute(UNSEALED, (after,)).fetchone()
        return int(found[0])

    def rotations(self) -> list[bytes]:
        """Return the bodies of the records of key rotations, in order."""
        found = self._opened().execute(
            "SELECT body FROM records WHERE kind = ?"
            " AND kind NOT IN ('decision', 'outcome') ORDER BY seq",
            (ROTATED,),
        )
        return [body for (body,) in found]

    def head(self) -> Sealed | None:
        """Return the last checkpoint."""
        found = (
            self._opened()
            .execute(
                f"SELECT {_COLUMNS} FROM checkpoints ORDER BY number DESC LIMIT 1"  # noqa: S608 - fixed names
            )
            .fetchone()
        )
        return None if found is None else Sealed(*found)

    def told(self) -> int:
        """Return the number of the last checkpoint that the last starts tell of."""
        found = self._opened().execute(TOLD)
        return last_seen(body for (body,) in found)

    def since(self, number: int) -> list[Sealed]:
        """Return the checkpoints behind *number*, in order."""
        found = self._opened().execute(
            f"SELECT {_COLUMNS} FROM checkpoints WHERE number > ? ORDER BY number",  # noqa: S608 - fixed names
            (number,),
        )
        return [Sealed(*one) for one in found]

    def number_of(self, note: str) -> int | None:
        """Return the number of the checkpoint *note*, None for an unknown one."""
        found = (
            self._opened()
            .execute("SELECT number FROM checkpoints WHERE note = ?", (note,))
            .fetchone()
        )
        return None if found is None else int(found[0])

    def before(self, origin: str) -> int:
        """Return the number before the first checkpoint of *origin*, 0 for none."""
        found = (
            self._opened()
            .execute("SELECT min(number) FROM checkpoints WHERE origin = ?", (origin,))
            .fetchone()
        )
        return int(found[0] or 1) - 1

    def keep(self, sealed: Sealed, at_us: int) -> bool:
        """Store *sealed* durably, unless another process took its number.

        Raises:
            sqlite3.Error: when it could not be written.
            TimeoutError: an OSError, when another process holds the log.

        """
        connection = self._opened()
        with self._turn.taken():
            try:
                connection.execute(
                    f"INSERT INTO checkpoints ({_COLUMNS}, at_us) VALUES {MARKS}",  # noqa: S608 - fixed names
                    (*sealed, at_us),
                )
            except sqlite3.IntegrityError:
                return False
        return True

    def close(self) -> None:
        """Let go of the file."""
        self.rest()
        self._turn.close()

    def rest(self) -> None:
        """Close the connection until it is needed again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def abandon(self) -> None:
        """Let go in a forked child; the connection stays the parent's."""
        _abandoned.append(self._connection)
        self._turn.close()

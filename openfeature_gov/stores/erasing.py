"""Personal parts in the SQLite record file: read them, erase them without a trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores.history import personal_part, reading
from openfeature_gov.stores.leases import Turn
from openfeature_gov.stores.schema import connect

PATIENCE_MS = 500
"""How long to wait for readers that hold what was erased; writers wait with us."""


def parts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the id and the personal part of every record at *path* that has one.

    Raises:
        RecordStoreError: when there is no such log.

    """
    with reading(path) as connection:
        personal = personal_part(connection)
        yield from connection.execute(
            f"SELECT id, {personal} FROM records WHERE {personal} IS NOT NULL"  # noqa: S608 - constants
            " ORDER BY seq"
        )


def erase(path: Path, ids: Sequence[str]) -> bool:
    """Make the personal parts of *ids* null; say whether the files forgot them too.

    Raises:
        RecordStoreError: when it could not be done; nothing was erased then.

    """
    try:
        turn = Turn(path)
        try:
            with turn.taken(), closing(connect(path)) as connection:
                return _erased(connection, ids)
        finally:
            turn.close()
    except (sqlite3.Error, OSError) as error:
        raise RecordStoreError(f"{path}: nothing was erased: {error}") from error


def _erased(connection: sqlite3.Connection, ids: Sequence[str]) -> bool:
    # What is freed inside a page is overwritten; older copies of the page are in the
    # write-ahead log until it is emptied.
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(
            "UPDATE records SET personal = NULL WHERE id = ? AND personal IS NOT NULL",
            ((one,) for one in ids),
        )
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return _forgotten(connection)


def _forgotten(connection: sqlite3.Connection) -> bool:
    connection.execute(f"PRAGMA busy_timeout={PATIENCE_MS}")
    try:
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    return not busy

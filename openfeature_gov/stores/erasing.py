"""Personal parts in the SQLite record file: read them, erase them without a trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores.history import personal_part, reading
from openfeature_gov.stores.leases import Turn
from openfeature_gov.stores.schema import connect

PORTION = 1_000
"""How many records one transaction erases: writers take their turn in between."""
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
        RecordStoreError: when it could not be done, or in part: do it again.

    """
    try:
        with closing(Turn(path)) as turn:
            return _erased(path, turn, ids)
    except (sqlite3.Error, OSError) as error:
        raise RecordStoreError(f"{path}: not all was erased: {error}") from error


def _erased(path: Path, turn: Turn, ids: Sequence[str]) -> bool:
    with ExitStack() as stack:
        with turn.taken():
            connection = stack.enter_context(closing(connect(path)))
            # What is freed inside a page is overwritten; older copies of the page are
            # in the write-ahead log until it is emptied.
            connection.execute("PRAGMA secure_delete=ON")
        for start in range(0, len(ids), PORTION):
            with turn.taken():
                _nulled(connection, ids[start : start + PORTION])
        with turn.taken():
            forgotten = _forgotten(connection)
            connection.close()
        return forgotten


def _nulled(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(
            "UPDATE records SET personal = NULL WHERE id = ? AND personal IS NOT NULL",
            ((one,) for one in ids),
        )
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _forgotten(connection: sqlite3.Connection) -> bool:
    connection.execute(f"PRAGMA busy_timeout={PATIENCE_MS}")
    try:
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    return not busy

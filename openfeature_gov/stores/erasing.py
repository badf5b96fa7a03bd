"""Personal parts in the SQLite record file: read them, erase them without a trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.erasure import Ended
from openfeature_gov.stores.history import personal_part, reading
from openfeature_gov.stores.inside import inside
from openfeature_gov.stores.leases import Turn
from openfeature_gov.stores.schema import connect, transaction

ENDED = {
    "approvals": "state NOT IN ('pending', 'approved', 'consumed')",
    "reviews": "state NOT IN ('running', 'open', 'refused', 'expired', 'undoing')",
}
"""Where nothing happens any more, by table."""
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


def ended(path: Path) -> Iterator[Ended]:
    """Yield every request for approval and every review at *path* that has ended.

    Raises:
        RecordStoreError: when there is no such log.

    """
    with reading(path) as connection:
        for table, where in ENDED.items():
            query = f"SELECT '{table}', id, packed FROM {table} WHERE {where}"  # noqa: S608 - constants
            yield from map(Ended._make, connection.execute(query))


def sealed(path: Path) -> bool:
    """Say whether the log at *path* has a checkpoint.

    Raises:
        RecordStoreError: when there is no such log.

    """
    with reading(path) as connection:
        query = "SELECT count(*) FROM (SELECT 1 FROM checkpoints LIMIT 1)"
        return bool(connection.execute(query).fetchone()[0])


def erase(path: Path, ids: Sequence[str], ended: Sequence[Ended] = ()) -> bool:
    """Make the personal parts of *ids* null, and put each of *ended* in its place.

    Say whether the files forgot them too.

    Raises:
        RecordStoreError: when it could not be done, or in part: do it again.

    """
    try:
        with inside.held(), closing(Turn(path)) as turn:
            return _erased(path, turn, ids, ended)
    except (sqlite3.Error, OSError) as error:
        raise RecordStoreError(f"{path}: not all was erased: {error}") from error


def _erased(path: Path, turn: Turn, ids: Sequence[str], ended: Sequence[Ended]) -> bool:
    with ExitStack() as stack:
        with turn.taken():
            connection = stack.enter_context(closing(connect(path)))
            # What is freed inside a page is overwritten; older copies of the page are
            # in the write-ahead log until it is emptied.
            connection.execute("PRAGMA secure_delete=ON")
        for start in range(0, max(len(ids), len(ended)), PORTION):
            end = start + PORTION
            with turn.taken():
                _emptied(connection, ids[start:end], ended[start:end])
        with turn.taken():
            forgotten = _forgotten(connection)
            connection.close()
        return forgotten


def _emptied(
    connection: sqlite3.Connection, ids: Sequence[str], ended: Sequence[Ended]
) -> None:
    with transaction(connection):
        connection.executemany(
            "UPDATE records SET personal = NULL WHERE id = ? AND personal IS NOT NULL",
            ((one,) for one in ids),
        )
        for table, identity, packed in ended:
            connection.execute(
                f"UPDATE {table} SET packed = ?, version = version + 1"  # noqa: S608 - constants
                f" WHERE id = ? AND {ENDED[table]} AND length(packed) > length(?)",
                (packed, identity, packed),
            )


def _forgotten(connection: sqlite3.Connection) -> bool:
    connection.execute(f"PRAGMA busy_timeout={PATIENCE_MS}")
    try:
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    return not busy

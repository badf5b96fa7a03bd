"""What of a SQLite record file can be archived, and how its rows are removed."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.published import Published
from openfeature_gov.evidence.standalone.gov_verify import Archive, Database
from openfeature_gov.stores.inside import inside
from openfeature_gov.stores.keeping import Source
from openfeature_gov.stores.leases import Turn
from openfeature_gov.stores.schema import connect, transaction
from openfeature_gov.stores.sealed import SqliteLog

ADD = """
INSERT INTO archives
  (first_seq, last_seq, record, bundle, sha256, frontier, cover, at_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


def source(path: Path, published: Path) -> Source:
    """Return the record file *path* to archive, sealed up to what *published* holds.

    Raises:
        RecordStoreError: when the file is no record log.
        OSError: when a file cannot be read.

    """
    try:
        with closing(SqliteLog(path)) as log:
            last = Published(published).last()
            number = None if last is None else log.number_of(last)
            sealed = 0 if number is None else log.since(number - 1)[0].size
    except (sqlite3.Error, ValueError) as error:
        raise RecordStoreError(f"{path}: {error}") from error
    return Source("", str(path), partial(Database, path), sealed, partial(remove, path))


def remove(path: Path, archive: Archive, at_us: int) -> None:
    """Put *archive* in the place of its rows in *path*, in one transaction.

    Raises:
        RecordStoreError: when it could not be done; nothing was removed then.

    """
    try:
        with (
            inside.held(),
            closing(Turn(path)) as turn,
            turn.taken(),
            closing(connect(path)) as opened,
        ):
            opened.execute("PRAGMA secure_delete=ON")
            _remove(opened, archive, at_us)
            with suppress(sqlite3.Error):
                opened.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except (sqlite3.Error, OSError) as error:
        raise RecordStoreError(
            f"{path}: records {archive.first} to {archive.last} stay: {error}; was a"
            " hold placed, or did another archive run? Run it again"
        ) from error


def _remove(connection: sqlite3.Connection, archive: Archive, at_us: int) -> None:
    with transaction(connection):
        connection.execute(ADD, (*archive[:-1], at_us))
        connection.execute("DELETE FROM records WHERE seq BETWEEN ? AND ?", archive[:2])

"""One SQLite file behind one lock: opened, copied, compared, closed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from typing import Any, Self

from openfeature_gov.demo import snapshots, tables
from openfeature_gov.demo.snapshots import Snapshot
from openfeature_gov.demo.values import OrderError, seen


class Database:
    """Hold the connection and the lock of one store, from `open` to `close`.

    Any thread may call; one call runs at a time. Other processes may use the same
    file: every change and every look-up is one transaction.
    """

    __slots__ = ("_db", "_lock")

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._lock = RLock()

    @classmethod
    def open(cls, path: str = ":memory:") -> Self:
        """Open the store in *path*, which is created when it does not exist.

        Raises:
            OrderError: *path* holds something else, or cannot be opened.

        """
        try:
            store = cls(_connect(path))
        except sqlite3.Error as error:
            raise OrderError(f"{path}: {error}") from error
        try:
            store._prepare()
        except (sqlite3.DatabaseError, OrderError) as error:
            store.close()
            raise OrderError(f"{path}: is not an order store ({error})") from error
        return store

    def copy(self, path: str = ":memory:") -> Self:
        """Return a new, independent store in *path* with all that this one holds.

        Raises:
            OrderError: *path* holds something already, or cannot be opened.

        """
        twin = type(self).open(path)
        if any(twin.baseline().values()):
            twin.close()
            raise OrderError(f"{path}: holds a store already; copy to a new file")
        twin.reset(self)
        return twin

    def reset(self, source: Database) -> None:
        """Replace all that this store holds by what *source* holds.

        Do not reset two stores from each other at the same time.
        """
        with source._lock, self._lock:
            source._db.backup(self._db)

    def load(self, source: Mapping[str, Any]) -> None:
        """Import *source*: ``products``, ``users`` and ``orders`` by id, as in JSON.

        Raises:
            OrderError: a part is missing, malformed or points nowhere, or the store
                holds data already; nothing was imported.

        """
        with self._change() as db:
            tables.fill(db, source)

    def close(self) -> None:
        """Close the file; the store is of no use afterwards."""
        with self._lock:
            self._db.close()

    def fingerprint(self) -> str:
        """Return SHA-256, in hexadecimal, over all rows of the business tables.

        Drafts, hand-overs and earlier addresses do not count.
        """
        with self._read() as db:
            return snapshots.fingerprint(db)

    def baseline(self) -> Snapshot:
        """Return what the business tables hold now, for `changes_since`.

        It holds for every copy of the store as well.
        """
        with self._read() as db:
            return snapshots.take(db)

    def changes_since(self, baseline: Snapshot) -> dict[str, int]:
        """Count the rows added, altered or removed since *baseline*, by table.

        A table without any is left out, so that nothing changed is the empty dict.
        """
        return snapshots.changes(baseline, self.baseline())

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == tables.VERSION:
            self._db.execute("SELECT 1 FROM orders LIMIT 1")
        elif version != 0 or self._db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            raise OrderError(f"schema version {seen(version)}, not {tables.VERSION}")
        else:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(f"BEGIN IMMEDIATE; {tables.SCHEMA} COMMIT;")

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        # IMMEDIATE: what a change checks cannot be overtaken by another process.
        with self._lock, self._db as db:
            db.execute("BEGIN IMMEDIATE")
            yield db

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._db as db:
            db.execute("BEGIN")
            yield db


def _connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    return db

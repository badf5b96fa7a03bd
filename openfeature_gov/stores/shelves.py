"""Read requests for approval back, from the database that holds the records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from openfeature_gov.approvals.codec import unpack
from openfeature_gov.approvals.queue import Kept
from openfeature_gov.approvals.states import OPEN, State
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import Record, Stamp
from openfeature_gov.stores.history import reading
from openfeature_gov.stores.sqlite import SqliteStore

COLUMNS = "packed, version"


class SqliteShelf:
    """Keep requests beside the records of *store*, in the same file.

    What is stored is what the record writer wrote in one transaction with its record;
    what is read is read from the file.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store, self._path = store, store.path
        self.writer = store.writer

    def stamp(self) -> Stamp:
        """Return the identity of a new record."""
        return self._store.stamp()

    def commit(self, record: Record) -> None:
        """Make *record*, and the change that it carries, durable together.

        Raises:
            LostRaceError: when the request has another version by now.
            RecordStoreError: when it could not be made durable.

        """
        self._store.commit(record)

    def request(self, request_id: str) -> Kept | None:
        """Return the request *request_id*, None for an unknown one.

        Raises:
            RecordStoreError: when it cannot be read.

        """
        found = self._read("id = ?", (request_id,), 1)
        return found[0] if found else None

    def requests(
        self,
        *,
        states: Iterable[State] = OPEN,
        digest: str = "",
        due_us: int | None = None,
        limit: int = 1_000,
    ) -> list[Kept]:
        """Return requests in *states*, the oldest first, at most *limit*.

        *digest* keeps those of one action, *due_us* those whose deadline has passed.

        Raises:
            RecordStoreError: when they cannot be read.

        """
        wanted = sorted(states)
        where = f"state IN ({', '.join('?' * len(wanted))})"
        values: list[object] = [*wanted]
        if digest:
            where, values = f"{where} AND digest = ?", [*values, digest]
        if due_us is not None:
            where, values = f"{where} AND deadline_us <= ?", [*values, due_us]
        return self._read(f"{where} ORDER BY created_us, id", values, limit)

    def _read(self, where: str, values: Iterable[object], limit: int) -> list[Kept]:
        query = f"SELECT {COLUMNS} FROM approvals WHERE {where} LIMIT ?"  # noqa: S608 - placeholders only
        try:
            with reading(self._path) as connection:
                rows = connection.execute(query, (*values, limit)).fetchall()
        except sqlite3.Error as error:
            raise RecordStoreError(f"{self._path}: {error}") from error
        return [_kept(*row) for row in rows]


def _kept(packed: bytes, version: int) -> Kept:
    try:
        return Kept(unpack(packed), version)
    except ValueError as error:
        raise RecordStoreError(f"a stored approval cannot be read: {error}") from None

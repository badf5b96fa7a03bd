"""The logs of a PostgreSQL database as evidence, for the verifier and the exporter.

One evidence is the log of one writer; the ledger holds the checkpoints of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import COLUMNS
from openfeature_gov.evidence.standalone.gov_verify import (
    Archive,
    Block,
    Leaf,
    archived,
    archived_rotations,
    loose_rows,
    shown,
)
from openfeature_gov.stores.postgres_schema import GUARDED_TABLES, guarded, place

PORTION = 2_000
WRITERS: LiteralString = """
SELECT writer FROM records UNION SELECT writer FROM checkpoints ORDER BY writer
"""
SEALED: LiteralString = """
SELECT number, origin, size, last_seq, frontier, note FROM checkpoints
WHERE writer = %s ORDER BY number
"""
ARCHIVED: LiteralString = """
SELECT first_seq, last_seq, record, bundle, sha256, frontier, cover, writer
FROM archives WHERE writer = %s ORDER BY last_seq
"""
ADDED: LiteralString = """
SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid IN
  (to_regclass('records'), to_regclass('checkpoints'), to_regclass('archives'))
  AND p.proname <> 'gov_append_only' AND NOT t.tgisinternal ORDER BY t.tgname
"""


def logs(url: str) -> dict[str, Callable[[], PostgresEvidence]]:
    """Return the logs at *url* by their names, each with the function that opens it.

    Raises:
        RecordStoreError: when the database does not answer, or holds no records.

    """
    try:
        with closing(psycopg.connect(url)) as connection:
            writers = [writer for (writer,) in connection.execute(WRITERS)]
    except psycopg.Error as error:
        raise RecordStoreError(f"{place(url)}: {error}") from error
    return {
        f"{place(url)}#{writer}": partial(PostgresEvidence, url, writer)
        for writer in writers
    }


class PostgresEvidence:
    """Read the log of *writer* at *url*, in one snapshot; nothing is written.

    Raises:
        psycopg.Error: when the database does not answer, or holds no such tables.

    """

    whole = True

    def __init__(self, url: str, writer: str) -> None:
        self.writer = writer
        self._personal: bytes | None = None
        self._connection = psycopg.connect(url)
        try:
            self._connection.read_only = True
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self.sealed = self._all(SEALED, writer)
            self.stored = [str(note) for *_, note in self.sealed]
            self.archives = [*map(Archive._make, self._all(ARCHIVED, writer))]
        except BaseException:
            self._connection.close()
            raise

    def _all(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()

    def entries(self, *, quick: bool = False) -> Iterator[Block | Leaf]:
        """Yield the records that are left, in order; *quick* without columns."""
        names = () if quick else COLUMNS
        wanted = ["seq", "body", *(() if quick else ("personal",)), *names]
        query = sql.SQL(
            "SELECT {} FROM records WHERE writer = %s AND seq > %s ORDER BY seq"
        ).format(sql.SQL(", ").join(map(sql.Identifier, wanted)))
        with self._connection.cursor("evidence", binary=True) as cursor:
            cursor.itersize = PORTION
            first = (self.writer, archived(self.archives))
            for seq, body, *rest in cursor.execute(query, first):
                self._personal = rest[0] if rest else None
                columns = dict(zip(names, rest[1:], strict=True)) if rest else None
                yield Leaf(seq, body, columns)

    def personal(self, record_id: str) -> bytes | None:  # noqa: ARG002 - of the row
        """Return the personal part of the row that was yielded last."""
        return self._personal

    def rotations(self) -> list[bytes]:
        """Return the records of new keys in this log."""
        found = self._all(
            "SELECT body FROM records WHERE writer = %s AND kind = 'key_rotation'"
            " ORDER BY seq",
            self.writer,
        )
        here = [bytes(body) for (body,) in found]
        return [*archived_rotations(self.archives), *here]

    def loose(self) -> Iterator[str]:
        """Yield what is wrong with the guards, and with rows beside the log."""
        for table in GUARDED_TABLES:
            if not guarded(self._connection, table):
                yield f"the triggers of {table} are missing, changed or disabled"
        for (name,) in self._all(ADDED):
            yield f"trigger {shown(name)} is not ours"
        yield from loose_rows(self.sealed)
        [(left,)] = self._all(
            "SELECT count(*) FROM records WHERE writer = %s AND seq <= %s",
            self.writer,
            archived(self.archives),
        )
        if left:
            yield f"{left} rows stand where records were archived"

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

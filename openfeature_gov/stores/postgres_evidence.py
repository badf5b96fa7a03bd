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
from openfeature_gov.stores.postgres_schema import (
    FORMER_REVIEW_STEP,
    FORMER_STEP,
    GUARD,
    GUARDED_TABLES,
    REVIEW_STEP,
    STEP,
)
from openfeature_gov.stores.postgres_sessions import place

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
_PATH = '{"search_path=pg_catalog, pg_temp"}'
_GUARD = ("gov_append_only", GUARD, _PATH, "plpgsql", True, True, True)
_STEP = ("gov_approval_step", STEP, _PATH, "plpgsql", True, True, True)
_REVIEW_STEP = ("gov_review_step", REVIEW_STEP, _PATH, "plpgsql", True, True, True)
_CHANGE, _TRUNCATE, _UPDATE, _DELETE = 27, 34, 19, 11
"""When triggers fire, as pg_trigger says it: BEFORE that, for each row or statement."""
TRIGGERS = {
    *((one, f"{one}_no_change", _CHANGE, *_GUARD) for one in GUARDED_TABLES),
    *((one, f"{one}_no_truncate", _TRUNCATE, *_GUARD) for one in GUARDED_TABLES),
    ("approvals", "approvals_step", _UPDATE, *_STEP),
    ("approvals", "approvals_no_delete", _DELETE, *_GUARD),
    ("approvals", "approvals_no_truncate", _TRUNCATE, *_GUARD),
    ("reviews", "reviews_step", _UPDATE, *_REVIEW_STEP),
    ("reviews", "reviews_no_delete", _DELETE, *_GUARD),
    ("reviews", "reviews_no_truncate", _TRUNCATE, *_GUARD),
}
"""All triggers that may be: each with its function, which is in the table's schema."""
FOUND: LiteralString = """
SELECT c.relname, t.tgname, t.tgtype::int, p.proname, p.prosrc, p.proconfig::text,
  l.lanname, p.pronamespace = c.relnamespace, t.tgenabled = 'A',
  t.tgqual IS NULL AND t.tgattr::text = '' AND NOT p.prosecdef
FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid
JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang
WHERE c.oid = ANY (%s::regclass[]) AND NOT t.tgisinternal
"""
ADDED: LiteralString = """
SELECT CASE WHEN c.relkind <> 'r' THEN 'is no table'
    WHEN c.relpersistence <> 'p' THEN 'is an unlogged table'
    WHEN c.relrowsecurity OR EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = c.oid)
      THEN 'has a row security policy, which may hide rows'
    WHEN EXISTS (SELECT 1 FROM pg_rewrite WHERE ev_class = c.oid)
      THEN 'has a rule, which may do something else instead'
    WHEN EXISTS (SELECT 1 FROM pg_inherits WHERE c.oid IN (inhparent, inhrelid))
      THEN 'is inherited' END, c.relname
FROM pg_class c WHERE c.oid = ANY (%s::regclass[]) ORDER BY c.relname
"""
"""What else may come between what is written and what stands there."""


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
        tables = [*GUARDED_TABLES, "approvals", "reviews"]
        newer = {FORMER_STEP: STEP, FORMER_REVIEW_STEP: REVIEW_STEP}
        found = {
            tuple(newer.get(part, part) for part in one)  # the former are stricter
            for one in self._all(FOUND, tables)
        }
        for table, name in sorted({one[:2] for one in TRIGGERS ^ found}):
            yield f"trigger {shown(name)} of {table} is missing, changed or not ours"
        for what, table in self._all(ADDED, tables):
            if what is not None:
                yield f"{table} {what}"
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

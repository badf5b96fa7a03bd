"""What is sent to a PostgreSQL log again and again: rows, steps, and who is left."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql

from openfeature_gov.errors import LostRaceError
from openfeature_gov.evidence.records import COLUMNS, Change

STORED = ("seq", *COLUMNS, "body", "personal")
TYPES = {
    "seq": "int8",
    "at_us": "int8",
    "executes": "int2",
    "amount": "float8",
    "body": "bytea",
    "personal": "bytea",
}
"""The types of the columns that are not text."""
NAMED = sql.SQL(", ").join(map(sql.Identifier, STORED))
INSERT = (
    sql.SQL("INSERT INTO records ({}) VALUES ({})")
    .format(NAMED, sql.SQL(", ").join([sql.Placeholder()] * len(STORED)))
    .as_bytes(None)
)
COPY = (
    sql.SQL("COPY records ({}) FROM STDIN (FORMAT BINARY)").format(NAMED).as_bytes(None)
)
"""Both as they are sent: putting them together costs as much as sending a record."""
COPIED = [TYPES.get(name, "text") for name in STORED]

ADD = sql.SQL("""
INSERT INTO {} (id, version, state, digest, deadline_us, created_us, packed, binding)
  VALUES (%(id)s, 1, %(state)s, %(digest)s, %(deadline_us)s, %(created_us)s, %(packed)s,
    %(binding)s)
  ON CONFLICT DO NOTHING
""")
MOVE = sql.SQL("""
UPDATE {} SET version = version + 1, state = %(state)s,
  deadline_us = %(deadline_us)s, packed = %(packed)s
  WHERE id = %(id)s AND version = %(was)s
""")

ORPHANS = """
SELECT d.id FROM records d WHERE d.writer = %s AND d.executes = 1 AND NOT EXISTS
  (SELECT 1 FROM records o WHERE o.ref = d.id AND o.kind = 'outcome') ORDER BY d.seq
"""

# A writer opens with a start, or a resumed where it had been taken for dead, and ends
# with a stop of its own or with somebody else's reconciled.
OPEN_WRITERS = """
SELECT s.writer, to_timestamp(max(s.at_us) / 1e6) < pg_postmaster_start_time() FROM
  (SELECT CASE WHEN kind IN ('start', 'resumed') THEN writer ELSE ref END AS writer,
          CASE WHEN kind IN ('start', 'resumed') THEN 1 ELSE -1 END AS step, at_us
   FROM records WHERE kind IN ('start', 'resumed', 'stop', 'reconciled')) s
WHERE s.writer = %(only)s OR %(only)s IS NULL
GROUP BY s.writer HAVING sum(s.step) > 0 ORDER BY min(s.at_us)
"""
"""The writers without an end, each with whether it is older than the server's run."""
YOUNG = "SELECT clock_timestamp() < pg_postmaster_start_time() + %s * interval '1s'"


def put(connection: Connection[tuple[Any, ...]], change: Change) -> None:
    """Put a request for approval, or a review, in its place.

    Raises:
        LostRaceError: when it has another version by now, or its like waits already.

    """
    statement = (MOVE if change.was else ADD).format(sql.Identifier(change.table))
    if connection.execute(statement, change._asdict()).rowcount != 1:
        raise LostRaceError(f"{change.table} {change.id}: somebody else was faster")

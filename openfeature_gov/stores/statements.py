"""What is sent to a SQLite log again and again: rows, steps, and who is left.

A PostgreSQL log takes some of it as it stands; the rest is in `postgres_statements`.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache

from openfeature_gov.errors import LostRaceError
from openfeature_gov.evidence.records import COLUMNS, Change, Record, columns, written

MANY = 100
"""How many rows one statement inserts. It runs without Python's lock, so few statements
let a busy process write as fast as an idle one; one of each size stays prepared."""
_STORED = (*COLUMNS, "body", "personal")


@lru_cache(maxsize=MANY)
def insert(rows: int) -> str:
    """Return the statement that inserts *rows* rows."""
    one = f"({', '.join('?' * len(_STORED))})"
    return (
        f"INSERT INTO records ({', '.join(_STORED)}) VALUES {', '.join([one] * rows)}"  # noqa: S608 - constants and placeholders
    )


def insert_at() -> str:
    """Return the statement that inserts one row at a sequence number of its own."""
    names = ("seq", *_STORED)
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO records ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - constants and placeholders


ADD = """
INSERT INTO {} (id, version, state, digest, deadline_us, created_us, packed, binding)
  VALUES (?, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
STEP = """
UPDATE {} SET version = version + 1, state = ?, deadline_us = ?, packed = ?
  WHERE id = ? AND version = ?
"""


def put(connection: sqlite3.Connection, change: Change) -> None:
    """Put a request for approval, or a review, in its place.

    Raises:
        LostRaceError: when it has another version by now, or its like waits already.

    """
    if not change.was:
        new = (change.id, change.state, change.digest)
        rest = (change.deadline_us, change.created_us, change.packed, change.binding)
        done = connection.execute(ADD.format(change.table), (*new, *rest))
    else:
        moved = (change.state, change.deadline_us, change.packed)
        which = (change.id, change.was)
        done = connection.execute(STEP.format(change.table), (*moved, *which))
    if done.rowcount != 1:
        raise LostRaceError(f"{change.table} {change.id}: somebody else was faster")


ORPHANS = """
SELECT d.id FROM records d WHERE d.writer = ? AND d.executes = 1 AND NOT EXISTS
  (SELECT 1 FROM records o WHERE o.ref = d.id AND o.kind = 'outcome') ORDER BY d.seq
"""

CONSUMED = "SELECT packed, version FROM approvals WHERE state = 'consumed'"
REVIEWED = """
SELECT packed, version FROM reviews WHERE state IN ('running', 'undoing')
"""

OPEN_WRITERS = """
SELECT s.writer FROM records s WHERE s.kind = 'start'
  AND s.kind NOT IN ('decision', 'outcome') AND NOT EXISTS
  (SELECT 1 FROM records e WHERE e.ref = s.writer AND e.kind IN ('stop', 'reconciled'))
  ORDER BY s.seq
"""
"""SQLite takes a partial index only where its condition is said in full."""


def row(record: Record, writer: str) -> tuple[object, ...]:
    """Return *record*, written by *writer*, as the parameters of `insert`."""
    kept, encoded = written(record, writer)
    return (*columns(kept, writer), *encoded)

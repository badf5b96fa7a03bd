"""The SQLite schema of the record log, and the settings that make it durable."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import Record, body

VERSION = 1
SETTINGS: tuple[tuple[str, str, object], ...] = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("busy_timeout", "5000", 5000),
    ("foreign_keys", "ON", 1),
    ("recursive_triggers", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("cell_size_check", "ON", 1),
    ("wal_autocheckpoint", "0", 0),
)
"""Name, value, and what reading it back must say. All but the first are per connection;
recursive_triggers stops INSERT OR REPLACE from passing the append-only triggers."""

TABLES = """
CREATE TABLE IF NOT EXISTS records (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  writer TEXT NOT NULL,
  ref TEXT,
  tool TEXT,
  agent TEXT,
  task TEXT,
  effect TEXT,
  reason TEXT,
  executes INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS records_ref ON records (ref) WHERE ref IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_log ON records (kind, writer)
  WHERE kind NOT IN ('decision', 'outcome');
CREATE INDEX IF NOT EXISTS records_open ON records (writer) WHERE executes = 1;
CREATE TRIGGER IF NOT EXISTS records_no_update BEFORE UPDATE ON records
  BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER IF NOT EXISTS records_no_delete BEFORE DELETE ON records
  BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
"""

CHUNKS = (512, 64, 8, 1)
"""How many rows one statement inserts. A statement runs without Python's lock, so few
large ones let a busy process write as fast as an idle one."""


def insert(rows: int) -> str:
    """Return the statement that inserts *rows* rows."""
    values = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * rows)
    return (
        "INSERT INTO records (id, kind, at_us, writer, ref, tool, agent, task, effect,"  # noqa: S608 - placeholders only
        f" reason, executes, body) VALUES {values}"
    )


ORPHANS = """
SELECT d.id FROM records d WHERE d.writer = ? AND d.executes = 1 AND NOT EXISTS
  (SELECT 1 FROM records o WHERE o.ref = d.id AND o.kind = 'outcome') ORDER BY d.seq
"""

OPEN_WRITERS = """
SELECT s.writer FROM records s WHERE s.kind = 'start' AND NOT EXISTS
  (SELECT 1 FROM records e WHERE e.ref = s.writer AND e.kind IN ('stop', 'reconciled'))
  ORDER BY s.seq
"""


def row(record: Record, writer: str) -> tuple[object, ...]:
    """Return *record* as the parameters of `INSERT`."""
    return (
        record.id,
        record.kind,
        record.at_us,
        writer,
        record.ref,
        record.tool,
        record.agent,
        record.task,
        record.effect,
        record.reason,
        int(record.executes),
        body(record),
    )


def connect(path: Path) -> sqlite3.Connection:
    """Open *path* for the one writer of this process, with every setting verified.

    Raises:
        RecordStoreError: for a setting that did not take, or another schema version.
        sqlite3.Error: when the file cannot be opened or is no database.

    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    for name, value, expected in SETTINGS:
        connection.execute(f"PRAGMA {name}={value}")
        (actual,) = connection.execute(f"PRAGMA {name}").fetchone()
        if actual != expected:
            raise RecordStoreError(
                f"{path}: PRAGMA {name} is {actual!r}, not {expected!r}; records would "
                "not be durable on this file system"
            )
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, VERSION):
        raise RecordStoreError(
            f"{path}: schema version {version}, this release reads {VERSION}; use the "
            "release that wrote it"
        )
    connection.executescript(TABLES)
    connection.execute(f"PRAGMA user_version={VERSION}")

"""The SQLite schema of the record log, and the settings that make it durable."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import (
    COLUMNS,
    derived,
)
from openfeature_gov.stores import ledger
from openfeature_gov.stores.inside import inside

VERSION = 6
"""Version 1 had neither personal parts nor checkpoints, and fewer columns; in version 2
several requests of one binding could wait; version 3 had no reviews, version 4 no
ledger of budgets; version 5 let nobody erase from what had ended."""
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

TABLES = (
    """CREATE TABLE IF NOT EXISTS records (
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
  body BLOB NOT NULL,
  personal BLOB,
  target TEXT,
  variant TEXT,
  amount REAL,
  reviewer TEXT
) STRICT""",
    """CREATE TABLE IF NOT EXISTS checkpoints (
  number INTEGER PRIMARY KEY,
  origin TEXT NOT NULL,
  size INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  frontier BLOB NOT NULL,
  note TEXT NOT NULL UNIQUE,
  at_us INTEGER NOT NULL,
  UNIQUE (origin, size)
) STRICT""",
    """CREATE TABLE IF NOT EXISTS archives (
  last_seq INTEGER PRIMARY KEY,
  first_seq INTEGER NOT NULL UNIQUE,
  record TEXT NOT NULL UNIQUE,
  bundle TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  frontier BLOB NOT NULL,
  cover BLOB NOT NULL,
  at_us INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE IF NOT EXISTS approvals (
  id TEXT NOT NULL PRIMARY KEY,
  version INTEGER NOT NULL,
  state TEXT NOT NULL,
  digest TEXT NOT NULL,
  deadline_us INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  packed BLOB NOT NULL,
  binding TEXT
) STRICT""",
    """CREATE TABLE IF NOT EXISTS reviews (
  id TEXT NOT NULL PRIMARY KEY,
  version INTEGER NOT NULL,
  state TEXT NOT NULL,
  digest TEXT NOT NULL,
  deadline_us INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  packed BLOB NOT NULL,
  binding TEXT
) STRICT""",
    *ledger.TABLES,
)
INDEXES = (
    """CREATE INDEX IF NOT EXISTS records_ref ON records (ref, kind, reason)
  WHERE ref IS NOT NULL""",
    """CREATE INDEX IF NOT EXISTS records_log ON records (kind, writer)
  WHERE kind NOT IN ('decision', 'outcome')""",
    """CREATE INDEX IF NOT EXISTS records_open ON records (writer)
  WHERE executes = 1""",
    """CREATE INDEX IF NOT EXISTS records_at ON records (at_us)""",
    """CREATE INDEX IF NOT EXISTS records_decided ON records (agent, tool, target,
  effect, reason, variant, executes, at_us, amount, task, id, kind)
  WHERE kind = 'decision'""",
    """CREATE INDEX IF NOT EXISTS records_task ON records (task)
  WHERE task IS NOT NULL""",
    """CREATE INDEX IF NOT EXISTS records_reviewer ON records (reviewer, at_us)
  WHERE reviewer IS NOT NULL""",
    """CREATE INDEX IF NOT EXISTS records_cost ON records (ref)
  WHERE kind = 'outcome' AND instr(body, CAST('"cost":"' AS BLOB)) > 0""",
    """CREATE INDEX IF NOT EXISTS approvals_state ON approvals (state, created_us)""",
    """CREATE INDEX IF NOT EXISTS approvals_due ON approvals (deadline_us)
  WHERE state IN ('pending', 'approved')""",
    """CREATE INDEX IF NOT EXISTS approvals_digest ON approvals (digest)""",
    """CREATE UNIQUE INDEX IF NOT EXISTS approvals_pending ON approvals (binding)
  WHERE state = 'pending'""",
    """CREATE INDEX IF NOT EXISTS reviews_state ON reviews (state, created_us)""",
    """CREATE INDEX IF NOT EXISTS reviews_due ON reviews (deadline_us)
  WHERE state IN ('open', 'refused', 'expired')""",
    """CREATE INDEX IF NOT EXISTS reviews_digest ON reviews (digest)""",
    *ledger.INDEXES,
)
"""Reports count decisions and outcomes from records_decided and records_ref alone:
these hold every column that is asked for, so that no record has to be read. Only of
what cost something the records are read, and records_cost leads to them."""
_SAME = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in ("seq", *COLUMNS, "body"))
HELD = """EXISTS (SELECT 1 FROM records h WHERE h.kind = 'hold'
  AND h.kind NOT IN ('decision', 'outcome') AND NOT EXISTS
  (SELECT 1 FROM records r WHERE r.ref = h.id AND r.kind = 'release')
  AND (h.id = OLD.id OR h.ref = 'task:' || OLD.task OR (h.ref GLOB 'time:*'
  AND OLD.at_us >= CAST(substr(h.ref, 6, 16) AS INTEGER)
  AND OLD.at_us < CAST(substr(h.ref, 23, 16) AS INTEGER))))"""
"""Whether a hold that was not released is on the record OLD, or is OLD itself."""
TRIGGERS = (
    f"""CREATE TRIGGER IF NOT EXISTS records_no_update BEFORE UPDATE ON records
  WHEN {HELD} OR NOT (NEW.personal IS NULL AND {_SAME})
  BEGIN SELECT RAISE(ABORT, 'records are append-only'); END""",
    f"""CREATE TRIGGER IF NOT EXISTS records_no_delete BEFORE DELETE ON records
  WHEN {HELD} OR NOT EXISTS
  (SELECT 1 FROM archives a WHERE OLD.seq BETWEEN a.first_seq AND a.last_seq)
  BEGIN SELECT RAISE(ABORT, 'records are append-only'); END""",  # noqa: S608 - constants
    """CREATE TRIGGER IF NOT EXISTS checkpoints_no_update BEFORE UPDATE ON checkpoints
  BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS checkpoints_no_delete BEFORE DELETE ON checkpoints
  BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS archives_no_update BEFORE UPDATE ON archives
  BEGIN SELECT RAISE(ABORT, 'archives are append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS archives_no_delete BEFORE DELETE ON archives
  BEGIN SELECT RAISE(ABORT, 'archives are append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS approvals_step BEFORE UPDATE ON approvals
  WHEN NOT (NEW.id IS OLD.id AND NEW.digest IS OLD.digest
    AND NEW.binding IS OLD.binding AND NEW.created_us IS OLD.created_us
    AND NEW.version = OLD.version + 1
    AND (OLD.state IN ('pending', 'approved', 'consumed')
    OR NEW.state IS OLD.state AND NEW.deadline_us IS OLD.deadline_us
    AND length(NEW.packed) < length(OLD.packed)))
  BEGIN SELECT RAISE(ABORT, 'an approval that ended stays as it is'); END""",
    """CREATE TRIGGER IF NOT EXISTS approvals_no_delete BEFORE DELETE ON approvals
  BEGIN SELECT RAISE(ABORT, 'approvals stay'); END""",
    """CREATE TRIGGER IF NOT EXISTS reviews_step BEFORE UPDATE ON reviews
  WHEN NOT (NEW.id IS OLD.id AND NEW.digest IS OLD.digest
    AND NEW.binding IS OLD.binding AND NEW.created_us IS OLD.created_us
    AND NEW.version = OLD.version + 1
    AND CASE WHEN OLD.state = 'undoing'
      THEN NEW.state IN ('undone', 'undo_failed', 'handed_over')
    ELSE OLD.state IN ('running', 'open', 'refused', 'expired')
      OR NEW.state IS OLD.state AND NEW.deadline_us IS OLD.deadline_us
      AND length(NEW.packed) < length(OLD.packed) END)
  BEGIN SELECT RAISE(ABORT, 'a review that ended stays as it is'); END""",
    """CREATE TRIGGER IF NOT EXISTS reviews_no_delete BEFORE DELETE ON reviews
  BEGIN SELECT RAISE(ABORT, 'reviews stay'); END""",
)
"""Nothing changes but that a personal part becomes null, which erases it, and that a
request for approval that has ended is emptied for the same reason; nothing goes but
what a row of archives stands for. What a hold is on stays as it is."""
FROM_1 = (
    "ALTER TABLE records ADD COLUMN personal BLOB",
    "ALTER TABLE records ADD COLUMN target TEXT",
    "ALTER TABLE records ADD COLUMN variant TEXT",
    "ALTER TABLE records ADD COLUMN amount REAL",
    "ALTER TABLE records ADD COLUMN reviewer TEXT",
    "DROP TRIGGER IF EXISTS records_no_update",
    "DROP TRIGGER IF EXISTS records_no_delete",
    "DROP INDEX IF EXISTS records_ref",
)
FROM_2 = ("ALTER TABLE approvals ADD COLUMN binding TEXT",)
"""What waits then keeps a null binding: there may be several of one."""
FROM_5 = (
    "DROP TRIGGER IF EXISTS approvals_step",
    "DROP TRIGGER IF EXISTS reviews_step",
)

FILL = 1_000
FILLED = """
SELECT seq, body FROM records WHERE kind = 'decision' AND seq > ? ORDER BY seq LIMIT ?
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open *path* for the one writer of this process, with every setting verified.

    Raises:
        RecordStoreError: for a setting that did not take, another schema version, or a
            forked process that may not use SQLite.
        sqlite3.Error: when the file cannot be opened or is no database.

    """
    inside.require()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all of the block or nothing of it, and let nobody write in between.

    Raises:
        sqlite3.Error: when it cannot begin, or not be committed.

    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    for name, value, expected in SETTINGS:
        connection.execute(f"PRAGMA {name}={value}")
        (actual,) = connection.execute(f"PRAGMA {name}").fetchone()
        if actual != expected:
            raise RecordStoreError(
                f"{path}: PRAGMA {name} is {actual!r}, not {expected!r}; records would "
                "not be durable on this file system"
            )
    _migrate(connection, path)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an empty file or one of an earlier version to `VERSION`, or nowhere."""
    if _version(connection, path) == VERSION:
        return
    with transaction(connection):
        # Another process may have been first.
        was = _version(connection, path)
        for statement in {1: FROM_1, 2: FROM_2}.get(was, ()):
            connection.execute(statement)
        if was == 1:
            _fill(connection)
        if was < VERSION:
            for statement in (*FROM_5, *TABLES, *INDEXES, *TRIGGERS):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={VERSION}")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= VERSION:
        raise RecordStoreError(
            f"{path}: schema version {version}, this release reads {VERSION}; use the "
            "release that wrote it"
        )
    return int(version)


def _fill(connection: sqlite3.Connection) -> None:
    """Let the records of version 1 be found by the columns that it did not have."""
    done = 0
    while rows := connection.execute(FILLED, (done, FILL)).fetchall():
        connection.executemany(
            "UPDATE records SET target = ?, variant = ?, amount = ?, reviewer = ?"
            " WHERE seq = ?",
            [(*derived(orjson.loads(body))[-4:], seq) for seq, body in rows],
        )
        done = rows[-1][0]

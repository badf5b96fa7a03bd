"""The PostgreSQL schema of the record logs: tables, and triggers that guard them.

Every writer has a log of its own, numbered by itself: nobody waits for anybody. What
was written is changed by nobody but who erases a personal part, and removed by nobody
but who archives it; triggers see to it, also where a session replays as a replica.
Roles keep each user to what it needs.
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege

from openfeature_gov.errors import RecordStoreError

SETUP_LOCK = 0x676F765265636F72
TABLES: tuple[LiteralString, ...] = (
    """CREATE TABLE records (
  seq BIGINT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  at_us BIGINT NOT NULL,
  writer TEXT NOT NULL,
  ref TEXT,
  tool TEXT,
  agent TEXT,
  task TEXT,
  effect TEXT,
  reason TEXT,
  executes SMALLINT NOT NULL,
  body BYTEA NOT NULL,
  personal BYTEA,
  target TEXT,
  variant TEXT,
  amount DOUBLE PRECISION,
  reviewer TEXT,
  PRIMARY KEY (writer, seq)
)""",
    """CREATE TABLE checkpoints (
  writer TEXT NOT NULL,
  number BIGINT NOT NULL,
  origin TEXT NOT NULL,
  size BIGINT NOT NULL,
  last_seq BIGINT NOT NULL,
  frontier BYTEA NOT NULL,
  note TEXT NOT NULL UNIQUE,
  at_us BIGINT NOT NULL,
  PRIMARY KEY (writer, number),
  UNIQUE (origin, size)
)""",
    """CREATE TABLE archives (
  writer TEXT NOT NULL,
  last_seq BIGINT NOT NULL,
  first_seq BIGINT NOT NULL,
  record TEXT NOT NULL UNIQUE,
  bundle TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  frontier BYTEA NOT NULL,
  cover BYTEA NOT NULL,
  at_us BIGINT NOT NULL,
  PRIMARY KEY (writer, last_seq),
  UNIQUE (writer, first_seq)
)""",
    """CREATE TABLE approvals (
  id TEXT NOT NULL PRIMARY KEY,
  version BIGINT NOT NULL,
  state TEXT NOT NULL,
  digest TEXT NOT NULL,
  deadline_us BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  packed BYTEA NOT NULL,
  binding TEXT
)""",
    """CREATE TABLE budgets (
  name TEXT NOT NULL,
  scope TEXT NOT NULL,
  task TEXT NOT NULL,
  begins_us BIGINT NOT NULL,
  unit TEXT NOT NULL,
  taken BIGINT NOT NULL,
  at_us BIGINT NOT NULL,
  PRIMARY KEY (name, scope, task, begins_us)
)""",
    """CREATE TABLE holds (
  ref TEXT NOT NULL,
  name TEXT NOT NULL,
  scope TEXT NOT NULL,
  task TEXT NOT NULL,
  begins_us BIGINT NOT NULL,
  amount BIGINT NOT NULL,
  PRIMARY KEY (ref, name, scope, task)
)""",
    "CREATE INDEX budgets_at ON budgets (name, scope, at_us)",
    "CREATE INDEX approvals_state ON approvals (state, created_us)",
    """CREATE INDEX approvals_due ON approvals (deadline_us)
  WHERE state IN ('pending', 'approved')""",
    "CREATE INDEX approvals_digest ON approvals (digest)",
    """CREATE UNIQUE INDEX approvals_pending ON approvals (binding)
  WHERE state = 'pending'""",
    """CREATE TABLE reviews (
  id TEXT NOT NULL PRIMARY KEY,
  version BIGINT NOT NULL,
  state TEXT NOT NULL,
  digest TEXT NOT NULL,
  deadline_us BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  packed BYTEA NOT NULL,
  binding TEXT
)""",
    "CREATE INDEX reviews_state ON reviews (state, created_us)",
    """CREATE INDEX reviews_due ON reviews (deadline_us)
  WHERE state IN ('open', 'refused', 'expired')""",
    "CREATE INDEX reviews_digest ON reviews (digest)",
    "CREATE INDEX records_ref ON records (ref, kind, reason) WHERE ref IS NOT NULL",
    """CREATE INDEX records_log ON records (kind, writer)
  WHERE kind NOT IN ('decision', 'outcome')""",
    "CREATE INDEX records_open ON records (writer) WHERE executes = 1",
    "CREATE INDEX records_at ON records (at_us)",
    """CREATE INDEX records_decided ON records (agent, tool, target, effect, reason,
  variant, executes, at_us, amount, task, id, kind, writer, seq)
  WHERE kind = 'decision'""",
    "CREATE INDEX records_task ON records (task) WHERE task IS NOT NULL",
    """CREATE INDEX records_reviewer ON records (reviewer, at_us)
  WHERE reviewer IS NOT NULL""",
    """CREATE INDEX records_cost ON records (ref)
  WHERE kind = 'outcome' AND position('"cost":"'::bytea IN body) > 0""",
)
GUARDED_TABLES: tuple[LiteralString, ...] = ("records", "checkpoints", "archives")
GUARD: LiteralString = """
DECLARE
  held boolean;
  kept boolean;
BEGIN
  IF TG_RELNAME = 'records' AND TG_OP IN ('UPDATE', 'DELETE') THEN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %1$I.records h WHERE h.kind = ''hold''
      AND h.kind NOT IN (''decision'', ''outcome'') AND NOT EXISTS
      (SELECT 1 FROM %1$I.records r WHERE r.ref = h.id AND r.kind = ''release'')
      AND CASE WHEN h.id = $1 OR h.ref = ''task:'' || $2 THEN true
        WHEN starts_with(h.ref, ''time:'') THEN $3 >= substr(h.ref, 6, 16)::bigint
          AND $3 < substr(h.ref, 23, 16)::bigint ELSE false END)',
      TG_TABLE_SCHEMA) INTO held USING OLD.id, OLD.task, OLD.at_us;
    IF NOT held AND TG_OP = 'UPDATE' THEN
      OLD.personal := NULL;
      IF NEW *= OLD THEN
        RETURN NEW;
      END IF;
    ELSIF NOT held THEN
      EXECUTE format('SELECT EXISTS (SELECT 1 FROM %1$I.archives a WHERE a.writer = $1
        AND $2 BETWEEN a.first_seq AND a.last_seq)', TG_TABLE_SCHEMA)
        INTO kept USING OLD.writer, OLD.seq;
      IF kept THEN
        RETURN OLD;
      END IF;
    END IF;
  END IF;
  RAISE EXCEPTION '% are append-only', TG_RELNAME USING ERRCODE = '23001';
END """
STEP: LiteralString = """
BEGIN
  IF NEW.id = OLD.id AND NEW.digest = OLD.digest
    AND NEW.binding IS NOT DISTINCT FROM OLD.binding
    AND NEW.created_us = OLD.created_us AND NEW.version = OLD.version + 1
    AND (OLD.state IN ('pending', 'approved', 'consumed')
    OR NEW.state = OLD.state AND NEW.deadline_us = OLD.deadline_us
    AND length(NEW.packed) < length(OLD.packed)) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'an approval that ended stays as it is' USING ERRCODE = '23001';
END """
REVIEW_STEP: LiteralString = """
BEGIN
  IF NEW.id = OLD.id AND NEW.digest = OLD.digest
    AND NEW.binding IS NOT DISTINCT FROM OLD.binding
    AND NEW.created_us = OLD.created_us AND NEW.version = OLD.version + 1
    AND (CASE WHEN OLD.state = 'undoing'
      THEN NEW.state IN ('undone', 'undo_failed', 'handed_over')
    ELSE OLD.state IN ('running', 'open', 'refused', 'expired')
      OR NEW.state = OLD.state AND NEW.deadline_us = OLD.deadline_us
      AND length(NEW.packed) < length(OLD.packed) END) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'a review that ended stays as it is' USING ERRCODE = '23001';
END """
GUARDS: tuple[LiteralString, ...] = (
    f"""CREATE FUNCTION gov_append_only() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $${GUARD}$$""",
    *(
        statement
        for table in GUARDED_TABLES
        for statement in (
            f"""CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION gov_append_only()""",
            f"""CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION gov_append_only()""",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_change",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate",
        )
    ),
    f"""CREATE FUNCTION gov_approval_step() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $${STEP}$$""",
    """CREATE TRIGGER approvals_step BEFORE UPDATE ON approvals
  FOR EACH ROW EXECUTE FUNCTION gov_approval_step()""",
    """CREATE TRIGGER approvals_no_delete BEFORE DELETE ON approvals
  FOR EACH ROW EXECUTE FUNCTION gov_append_only()""",
    """CREATE TRIGGER approvals_no_truncate BEFORE TRUNCATE ON approvals
  FOR EACH STATEMENT EXECUTE FUNCTION gov_append_only()""",
    "ALTER TABLE approvals ENABLE ALWAYS TRIGGER approvals_step",
    "ALTER TABLE approvals ENABLE ALWAYS TRIGGER approvals_no_delete",
    "ALTER TABLE approvals ENABLE ALWAYS TRIGGER approvals_no_truncate",
    f"""CREATE FUNCTION gov_review_step() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $${REVIEW_STEP}$$""",
    """CREATE TRIGGER reviews_step BEFORE UPDATE ON reviews
  FOR EACH ROW EXECUTE FUNCTION gov_review_step()""",
    """CREATE TRIGGER reviews_no_delete BEFORE DELETE ON reviews
  FOR EACH ROW EXECUTE FUNCTION gov_append_only()""",
    """CREATE TRIGGER reviews_no_truncate BEFORE TRUNCATE ON reviews
  FOR EACH STATEMENT EXECUTE FUNCTION gov_append_only()""",
    "ALTER TABLE reviews ENABLE ALWAYS TRIGGER reviews_step",
    "ALTER TABLE reviews ENABLE ALWAYS TRIGGER reviews_no_delete",
    "ALTER TABLE reviews ENABLE ALWAYS TRIGGER reviews_no_truncate",
)
"""ALWAYS: a superuser's ``session_replication_role`` does not pass them by either."""
GUARDED = """
SELECT c.relpersistence = 'p' AND (SELECT count(*) = 2 FROM pg_trigger t
  JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = c.oid AND t.tgenabled = 'A'
  AND p.proname = 'gov_append_only' AND p.prosrc = %(guard)s)
FROM pg_class c WHERE c.oid = %(table)s::regclass
"""

CURRENT = """
SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = to_regclass('reviews') AND t.tgname = 'reviews_step'
  AND to_regclass('holds') IS NOT NULL AND p.prosrc <> ALL (%(former)s)
"""
"""Finds the guard of this version, or one that somebody changed, which is a finding."""
FORMER_STEP = """
BEGIN
  IF OLD.state IN ('pending', 'approved', 'consumed') AND NEW.id = OLD.id
    AND NEW.digest = OLD.digest AND NEW.binding IS NOT DISTINCT FROM OLD.binding
    AND NEW.created_us = OLD.created_us AND NEW.version = OLD.version + 1 THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'an approval that ended stays as it is' USING ERRCODE = '23001';
END """
FORMER_REVIEW_STEP = """
BEGIN
  IF OLD.state IN ('running', 'open', 'refused', 'expired', 'undoing')
    AND (OLD.state <> 'undoing'
      OR NEW.state IN ('undone', 'undo_failed', 'handed_over'))
    AND NEW.id = OLD.id AND NEW.digest = OLD.digest
    AND NEW.binding IS NOT DISTINCT FROM OLD.binding
    AND NEW.created_us = OLD.created_us AND NEW.version = OLD.version + 1 THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'a review that ended stays as it is' USING ERRCODE = '23001';
END """
"""Those of version 5, which are stricter."""


def guarded(connection: Connection[tuple[Any, ...]], table: str) -> bool:
    """Say whether *table* is durable and guarded by triggers that do what ours do."""
    found = connection.execute(GUARDED, {"table": table, "guard": GUARD})
    return found.fetchone() == (True,)


def prepare(connection: Connection[tuple[Any, ...]], url: str, where: str) -> None:
    """Create what is missing, once, and see that the guards are in force.

    *where* is what messages may say of *url*.

    Raises:
        RecordStoreError: when they are not, or the user may not create it.

    """
    if not _present(connection):
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (SETUP_LOCK,))
                if not _present(connection):
                    for statement in (*TABLES, *GUARDS):
                        connection.execute(statement)
        except InsufficientPrivilege as error:
            raise RecordStoreError(
                f"{where}: there is no table of records, and this user may not create"
                f" it ({error}); let the database's owner open the log once"
            ) from error
    former = {"former": [FORMER_STEP, FORMER_REVIEW_STEP]}
    if connection.execute(CURRENT, former).fetchone() is None:
        from openfeature_gov.stores.migrating import upgrade  # noqa: PLC0415 - rare

        upgrade(url)
    for table in GUARDED_TABLES:
        if not guarded(connection, table):
            raise RecordStoreError(
                f"{where}: {table} is an unlogged table, or its append-only triggers"
                " are not in force; find out who did that before anything is written"
            )


def _present(connection: Connection[tuple[Any, ...]]) -> bool:
    # Not to_regclass: within a transaction it may answer from before a lock was had.
    found = connection.execute(
        "SELECT 1 FROM pg_class WHERE relname = 'records' AND pg_table_is_visible(oid)"
    )
    return found.fetchone() is not None

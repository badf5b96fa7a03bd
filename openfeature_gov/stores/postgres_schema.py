"""The PostgreSQL schema of the record logs, and the settings that make them durable.

Every writer has a log of its own, numbered by itself: nobody waits for anybody. What
was written is changed by nobody but who erases a personal part, and removed by nobody
but who archives it; triggers see to it, also where a session replays as a replica.
Roles keep each user to what it needs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, LiteralString

from psycopg import Connection, Error, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InsufficientPrivilege, ProgrammingError

from openfeature_gov.errors import LostRaceError, RecordStoreError
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
OLDEST = 140_000
SETTINGS: tuple[tuple[str, str | None, str], ...] = (
    ("synchronous_commit", "on", "on"),
    ("statement_timeout", "20s", "20000"),
    ("idle_session_timeout", "0", "0"),
    ("client_encoding", "UTF8", "UTF8"),
    ("fsync", None, "on"),
    ("full_page_writes", None, "on"),
    ("server_encoding", None, "UTF8"),
    ("transaction_read_only", None, "off"),
    ("session_replication_role", None, "origin"),
)
"""Name, value to set for the session, and what reading it back must say."""
REACH = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
"""How soon a server that fell silent counts as lost, unless the URL says otherwise."""
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
NAMED = sql.SQL(", ").join(map(sql.Identifier, STORED))
INSERT = sql.SQL("INSERT INTO records ({}) VALUES ({})").format(
    NAMED, sql.SQL(", ").join([sql.Placeholder()] * len(STORED))
)
COPY = sql.SQL("COPY records ({}) FROM STDIN (FORMAT BINARY)").format(NAMED)
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


def place(url: str) -> str:
    """Return what may be said of *url* in a message: where, and nobody's password.

    Raises:
        RecordStoreError: when it is no connection string.

    """
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError:
        raise RecordStoreError(
            "the record store is no PostgreSQL URL; write"
            " postgresql://USER@HOST:PORT/DATABASE, the password percent-encoded"
        ) from None
    host, port = parts.get("host") or "local", parts.get("port") or 5432
    return f"postgresql://{host}:{port}/{parts.get('dbname') or ''}"


def reached(url: str, name: str) -> str:
    """Return *url* with bounds on every wait for the server, for a session *name*."""
    given: dict[str, Any] = {**REACH, **conninfo_to_dict(url)}
    return make_conninfo(**{**given, "application_name": name})


def connect(url: str, name: str) -> Connection[tuple[Any, ...]]:
    """Open *url* for one writer as *name*, with schema and settings verified.

    Raises:
        RecordStoreError: for a server on which records would not be durable.
        psycopg.Error: when it does not answer, or refuses the user.

    """
    connection = Connection.connect(reached(url, name), autocommit=True)
    try:
        _check(connection, place(url))
        _prepare(connection, url)
    except BaseException:
        connection.close()
        raise
    return connection


def put(connection: Connection[tuple[Any, ...]], change: Change) -> None:
    """Put a request for approval, or a review, in its place.

    Raises:
        LostRaceError: when it has another version by now, or its like waits already.

    """
    statement = (MOVE if change.was else ADD).format(sql.Identifier(change.table))
    if connection.execute(statement, change._asdict()).rowcount != 1:
        raise LostRaceError(f"{change.table} {change.id}: somebody else was faster")


def guarded(connection: Connection[tuple[Any, ...]], table: str) -> bool:
    """Say whether *table* is durable and guarded by triggers that do what ours do."""
    found = connection.execute(GUARDED, {"table": table, "guard": GUARD})
    return found.fetchone() == (True,)


def leave(connection: Connection[tuple[Any, ...]]) -> None:
    """Close the socket of *connection* in a forked child; its session is the parent's.

    Closing the connection would end the session; a socket that stays open would keep
    the session, and its lease, when the parent dies.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    with suppress(Error):
        os.dup2(nothing, connection.fileno(), inheritable=False)
    os.close(nothing)


def _check(connection: Connection[tuple[Any, ...]], where: str) -> None:
    if (version := connection.info.server_version) < OLDEST:
        raise RecordStoreError(
            f"{where}: PostgreSQL {version // 10_000} is too old; 14 is the least"
        )
    connection.execute(
        "SELECT set_config(name, value, false)"
        " FROM unnest(%s::text[], %s::text[]) AS s (name, value) WHERE value <> ''",
        [[name for name, *_ in SETTINGS], [value or "" for _, value, _ in SETTINGS]],
    )
    found: dict[str, str] = dict(
        connection.execute("SELECT name, setting FROM pg_settings").fetchall()
    )
    for name, _, expected in SETTINGS:
        if (actual := found.get(name)) != expected:
            raise RecordStoreError(
                f"{where}: {name} is {actual!r}, not {expected!r}; records would not"
                " be durable on this server"
            )


def _prepare(connection: Connection[tuple[Any, ...]], url: str) -> None:
    """Create what is missing, once; raise where the guards are not in force."""
    where = place(url)
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

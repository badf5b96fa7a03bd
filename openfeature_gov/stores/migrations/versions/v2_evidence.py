"""Personal parts that can be erased, checkpoints, and columns to find records by."""

from __future__ import annotations

from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

PORTION = 1_000
KEPT = (
    *("seq", "id", "kind", "at_us", "writer", "ref", "tool", "agent", "task"),
    *("effect", "reason", "executes", "target", "variant", "amount", "reviewer"),
    "body",
)
SAME = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in KEPT)
HELD = """EXISTS (SELECT 1 FROM records h WHERE h.kind = 'hold'
  AND h.kind NOT IN ('decision', 'outcome') AND NOT EXISTS
  (SELECT 1 FROM records r WHERE r.ref = h.id AND r.kind = 'release')
  AND (h.id = OLD.id OR h.ref = 'task:' || OLD.task OR (h.ref GLOB 'time:*'
  AND OLD.at_us >= CAST(substr(h.ref, 6, 16) AS INTEGER)
  AND OLD.at_us < CAST(substr(h.ref, 23, 16) AS INTEGER))))"""
SQLITE = (
    f"""CREATE TRIGGER records_no_update BEFORE UPDATE ON records
  WHEN {HELD} OR NOT (NEW.personal IS NULL AND {SAME})
  BEGIN SELECT RAISE(ABORT, 'records are append-only'); END""",
    f"""CREATE TRIGGER records_no_delete BEFORE DELETE ON records
  WHEN {HELD} OR NOT EXISTS
  (SELECT 1 FROM archives a WHERE OLD.seq BETWEEN a.first_seq AND a.last_seq)
  BEGIN SELECT RAISE(ABORT, 'records are append-only'); END""",  # noqa: S608 - constants
    """CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints
  BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END""",
    """CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
  BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END""",
    """CREATE TRIGGER archives_no_update BEFORE UPDATE ON archives
  BEGIN SELECT RAISE(ABORT, 'archives are append-only'); END""",
    """CREATE TRIGGER archives_no_delete BEFORE DELETE ON archives
  BEGIN SELECT RAISE(ABORT, 'archives are append-only'); END""",
    """CREATE TRIGGER approvals_step BEFORE UPDATE ON approvals
  WHEN NOT (OLD.state IN ('pending', 'approved', 'consumed')
    AND NEW.id IS OLD.id AND NEW.digest IS OLD.digest
    AND NEW.created_us IS OLD.created_us AND NEW.version = OLD.version + 1)
  BEGIN SELECT RAISE(ABORT, 'an approval that ended stays as it is'); END""",
    """CREATE TRIGGER approvals_no_delete BEFORE DELETE ON approvals
  BEGIN SELECT RAISE(ABORT, 'approvals stay'); END""",
    "PRAGMA user_version=2",
)
POSTGRESQL = (
    """CREATE OR REPLACE FUNCTION gov_append_only() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
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
END $$""",
    """CREATE TRIGGER checkpoints_no_change BEFORE UPDATE OR DELETE ON checkpoints
  FOR EACH ROW EXECUTE FUNCTION gov_append_only()""",
    """CREATE TRIGGER checkpoints_no_truncate BEFORE TRUNCATE ON checkpoints
  FOR EACH STATEMENT EXECUTE FUNCTION gov_append_only()""",
    "ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_no_change",
    "ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_no_truncate",
    """CREATE TRIGGER archives_no_change BEFORE UPDATE OR DELETE ON archives
  FOR EACH ROW EXECUTE FUNCTION gov_append_only()""",
    """CREATE TRIGGER archives_no_truncate BEFORE TRUNCATE ON archives
  FOR EACH STATEMENT EXECUTE FUNCTION gov_append_only()""",
    "ALTER TABLE archives ENABLE ALWAYS TRIGGER archives_no_change",
    "ALTER TABLE archives ENABLE ALWAYS TRIGGER archives_no_truncate",
    """CREATE FUNCTION gov_approval_step() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF OLD.state IN ('pending', 'approved', 'consumed') AND NEW.id = OLD.id
    AND NEW.digest = OLD.digest AND NEW.created_us = OLD.created_us
    AND NEW.version = OLD.version + 1 THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'an approval that ended stays as it is' USING ERRCODE = '23001';
END $$""",
    """CREATE TRIGGER approvals_step BEFORE UPDATE ON approvals
  FOR EACH ROW EXECUTE FUNCTION gov_approval_step()""",
    """CREATE TRIGGER approvals_no_delete BEFORE DELETE ON approvals
  FOR EACH ROW EXECUTE FUNCTION gov_append_only()""",
    """CREATE TRIGGER approvals_no_truncate BEFORE TRUNCATE ON approvals
  FOR EACH STATEMENT EXECUTE FUNCTION gov_append_only()""",
    "ALTER TABLE approvals ENABLE ALWAYS TRIGGER approvals_step",
    "ALTER TABLE approvals ENABLE ALWAYS TRIGGER approvals_no_delete",
    "ALTER TABLE approvals ENABLE ALWAYS TRIGGER approvals_no_truncate",
)


def upgrade() -> None:
    """Add the columns and fill them from the bodies, which stay as they are."""
    lite = op.get_bind().dialect.name == "sqlite"
    op.add_column("records", sa.Column("personal", sa.LargeBinary()))
    op.add_column("records", sa.Column("target", sa.TEXT()))
    op.add_column("records", sa.Column("variant", sa.TEXT()))
    real: sa.types.TypeEngine[float] = sa.REAL() if lite else sa.DOUBLE_PRECISION()
    op.add_column("records", sa.Column("amount", real))
    op.add_column("records", sa.Column("reviewer", sa.TEXT()))
    if lite:
        op.execute("DROP TRIGGER records_no_update")
        op.execute("DROP TRIGGER records_no_delete")
    else:
        op.execute("ALTER TABLE records DISABLE TRIGGER records_no_change")
    fill(op.get_bind())
    if not lite:
        op.execute("ALTER TABLE records ENABLE ALWAYS TRIGGER records_no_change")
    _checkpoints(lite=lite)
    _archives(lite=lite)
    _approvals(lite=lite)
    _indexes(lite=lite)
    for statement in SQLITE if lite else POSTGRESQL:
        op.execute(statement)


def fill(connection: sa.Connection) -> None:
    """Let the records of version 1 be found by the columns that it did not have."""
    found = sa.text(
        "SELECT id, body FROM records WHERE kind = 'decision' AND id > :after"
        " ORDER BY id LIMIT :portion"
    )
    filled = sa.text(
        "UPDATE records SET target = :target, variant = :variant, amount = :amount"
        " WHERE id = :id"
    )
    after = ""
    while rows := connection.execute(
        found, {"after": after, "portion": PORTION}
    ).fetchall():
        connection.execute(filled, [{"id": id_, **said(body)} for id_, body in rows])
        after = rows[-1][0]


def said(body: bytes) -> dict[str, Any]:
    """Return the columns that the *body* of a decision implies."""
    facts = orjson.loads(bytes(body))
    flags, amount = facts.get("flags") or (), facts.get("amount")
    variants = [flag["variant"] for flag in flags if flag["kind"] == "mode"]
    return {
        "target": facts.get("targetSystem") or None,
        "variant": variants[0] if variants else None,
        "amount": None if amount is None else float(amount),
    }


def _checkpoints(*, lite: bool) -> None:
    big = sa.INTEGER() if lite else sa.BIGINT()
    op.create_table(
        "checkpoints",
        *([] if lite else [sa.Column("writer", sa.TEXT(), nullable=False)]),
        sa.Column("number", big, nullable=lite, autoincrement=False),
        sa.Column("origin", sa.TEXT(), nullable=False),
        sa.Column("size", big, nullable=False),
        sa.Column("last_seq", big, nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.TEXT(), nullable=False, unique=True),
        sa.Column("at_us", big, nullable=False),
        sa.PrimaryKeyConstraint(*(["number"] if lite else ["writer", "number"])),
        sa.UniqueConstraint("origin", "size"),
        sqlite_strict=True,
    )


def _archives(*, lite: bool) -> None:
    big = sa.INTEGER() if lite else sa.BIGINT()
    writer = [] if lite else ["writer"]
    op.create_table(
        "archives",
        *(sa.Column(name, sa.TEXT(), nullable=False) for name in writer),
        sa.Column("last_seq", big, nullable=lite, autoincrement=False),
        sa.Column("first_seq", big, nullable=False),
        sa.Column("record", sa.TEXT(), nullable=False, unique=True),
        sa.Column("bundle", sa.TEXT(), nullable=False),
        sa.Column("sha256", sa.TEXT(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("cover", sa.LargeBinary(), nullable=False),
        sa.Column("at_us", big, nullable=False),
        sa.PrimaryKeyConstraint(*writer, "last_seq"),
        sa.UniqueConstraint(*writer, "first_seq"),
        sqlite_strict=True,
    )


def _approvals(*, lite: bool) -> None:
    big = sa.INTEGER() if lite else sa.BIGINT()
    op.create_table(
        "approvals",
        sa.Column("id", sa.TEXT(), nullable=False),
        sa.Column("version", big, nullable=False),
        sa.Column("state", sa.TEXT(), nullable=False),
        sa.Column("digest", sa.TEXT(), nullable=False),
        sa.Column("deadline_us", big, nullable=False),
        sa.Column("created_us", big, nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("approvals_state", "approvals", ["state", "created_us"])
    text = sa.text("state IN ('pending', 'approved')")
    op.create_index(
        "approvals_due",
        "approvals",
        ["deadline_us"],
        sqlite_where=text,
        postgresql_where=text,
    )
    op.create_index("approvals_digest", "approvals", ["digest"])


def _indexes(*, lite: bool) -> None:
    _index("records_at", ["at_us"])
    _index("records_task", ["task"], "task IS NOT NULL")
    op.drop_index("records_ref")
    _index("records_ref", ["ref", "kind", "reason"], "ref IS NOT NULL")
    decided = (
        *("agent", "tool", "target", "effect", "reason", "variant", "executes"),
        *("at_us", "amount", "task", "id", "kind"),
        *(() if lite else ("writer", "seq")),
    )
    _index("records_decided", list(decided), "kind = 'decision'")
    _index("records_reviewer", ["reviewer", "at_us"], "reviewer IS NOT NULL")
    costs = (
        'instr(body, CAST(\'"cost":"\' AS BLOB)) > 0'
        if lite
        else 'position(\'"cost":"\'::bytea IN body) > 0'
    )
    _index("records_cost", ["ref"], f"kind = 'outcome' AND {costs}")


def _index(name: str, columns: list[str], where: str | None = None) -> None:
    text = None if where is None else sa.text(where)
    op.create_index(name, "records", columns, sqlite_where=text, postgresql_where=text)

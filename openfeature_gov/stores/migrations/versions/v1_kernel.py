"""Records, append-only: the schema of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SQLITE = (
    """CREATE TRIGGER records_no_update BEFORE UPDATE ON records
  BEGIN SELECT RAISE(ABORT, 'records are append-only'); END""",
    """CREATE TRIGGER records_no_delete BEFORE DELETE ON records
  BEGIN SELECT RAISE(ABORT, 'records are append-only'); END""",
    "PRAGMA user_version=1",
)
POSTGRESQL = (
    """CREATE FUNCTION gov_append_only() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% are append-only', TG_RELNAME USING ERRCODE = '23001';
END $$""",
    """CREATE TRIGGER records_no_change BEFORE UPDATE OR DELETE ON records
  FOR EACH ROW EXECUTE FUNCTION gov_append_only()""",
    """CREATE TRIGGER records_no_truncate BEFORE TRUNCATE ON records
  FOR EACH STATEMENT EXECUTE FUNCTION gov_append_only()""",
    "ALTER TABLE records ENABLE ALWAYS TRIGGER records_no_change",
    "ALTER TABLE records ENABLE ALWAYS TRIGGER records_no_truncate",
)


def upgrade() -> None:
    """Create the table of records with its guards."""
    lite = op.get_bind().dialect.name == "sqlite"
    big = sa.INTEGER() if lite else sa.BIGINT()
    op.create_table(
        "records",
        sa.Column("seq", big, nullable=lite, autoincrement=False),
        sa.Column("id", sa.TEXT(), nullable=False, unique=True),
        sa.Column("kind", sa.TEXT(), nullable=False),
        sa.Column("at_us", big, nullable=False),
        sa.Column("writer", sa.TEXT(), nullable=False),
        sa.Column("ref", sa.TEXT()),
        sa.Column("tool", sa.TEXT()),
        sa.Column("agent", sa.TEXT()),
        sa.Column("task", sa.TEXT()),
        sa.Column("effect", sa.TEXT()),
        sa.Column("reason", sa.TEXT()),
        sa.Column("executes", sa.INTEGER() if lite else sa.SMALLINT(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(*(["seq"] if lite else ["writer", "seq"])),
        sqlite_strict=True,
    )
    for name, columns, where in (
        ("records_ref", ["ref"], "ref IS NOT NULL"),
        ("records_log", ["kind", "writer"], "kind NOT IN ('decision', 'outcome')"),
        ("records_open", ["writer"], "executes = 1"),
    ):
        text = sa.text(where)
        op.create_index(
            name, "records", columns, sqlite_where=text, postgresql_where=text
        )
    for statement in SQLITE if lite else POSTGRESQL:
        op.execute(statement)

"""Of one binding a single request for approval waits at a time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SQLITE = (
    "DROP TRIGGER approvals_step",
    """CREATE TRIGGER approvals_step BEFORE UPDATE ON approvals
  WHEN NOT (OLD.state IN ('pending', 'approved', 'consumed')
    AND NEW.id IS OLD.id AND NEW.digest IS OLD.digest
    AND NEW.binding IS OLD.binding AND NEW.created_us IS OLD.created_us
    AND NEW.version = OLD.version + 1)
  BEGIN SELECT RAISE(ABORT, 'an approval that ended stays as it is'); END""",
    "PRAGMA user_version=3",
)
POSTGRESQL = (
    """CREATE OR REPLACE FUNCTION gov_approval_step() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF OLD.state IN ('pending', 'approved', 'consumed') AND NEW.id = OLD.id
    AND NEW.digest = OLD.digest AND NEW.binding IS NOT DISTINCT FROM OLD.binding
    AND NEW.created_us = OLD.created_us AND NEW.version = OLD.version + 1 THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'an approval that ended stays as it is' USING ERRCODE = '23001';
END $$""",
)


def upgrade() -> None:
    """Add the column; what waits keeps null, for there may be several of one."""
    op.add_column("approvals", sa.Column("binding", sa.TEXT()))
    text = sa.text("state = 'pending'")
    op.create_index(
        "approvals_pending",
        "approvals",
        ["binding"],
        unique=True,
        sqlite_where=text,
        postgresql_where=text,
    )
    lite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE if lite else POSTGRESQL:
        op.execute(statement)

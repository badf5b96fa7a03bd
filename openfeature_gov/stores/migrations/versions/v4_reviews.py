"""Reviews of actions that ran at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SQLITE = (
    """CREATE TRIGGER reviews_step BEFORE UPDATE ON reviews
  WHEN NOT (OLD.state IN ('running', 'open', 'refused', 'expired', 'undoing')
    AND (OLD.state <> 'undoing'
      OR NEW.state IN ('undone', 'undo_failed', 'handed_over'))
    AND NEW.id IS OLD.id AND NEW.digest IS OLD.digest
    AND NEW.binding IS OLD.binding AND NEW.created_us IS OLD.created_us
    AND NEW.version = OLD.version + 1)
  BEGIN SELECT RAISE(ABORT, 'a review that ended stays as it is'); END""",
    """CREATE TRIGGER reviews_no_delete BEFORE DELETE ON reviews
  BEGIN SELECT RAISE(ABORT, 'reviews stay'); END""",
    "PRAGMA user_version=4",
)
POSTGRESQL = (
    """CREATE FUNCTION gov_review_step() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
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
END $$""",
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


def upgrade() -> None:
    """Add the table with its indexes and guards."""
    lite = op.get_bind().dialect.name == "sqlite"
    big = sa.INTEGER() if lite else sa.BIGINT()
    op.create_table(
        "reviews",
        sa.Column("id", sa.TEXT(), nullable=False),
        sa.Column("version", big, nullable=False),
        sa.Column("state", sa.TEXT(), nullable=False),
        sa.Column("digest", sa.TEXT(), nullable=False),
        sa.Column("deadline_us", big, nullable=False),
        sa.Column("created_us", big, nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.Column("binding", sa.TEXT()),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("reviews_state", "reviews", ["state", "created_us"])
    text = sa.text("state IN ('open', 'refused', 'expired')")
    op.create_index(
        "reviews_due",
        "reviews",
        ["deadline_us"],
        sqlite_where=text,
        postgresql_where=text,
    )
    op.create_index("reviews_digest", "reviews", ["digest"])
    for statement in SQLITE if lite else POSTGRESQL:
        op.execute(statement)

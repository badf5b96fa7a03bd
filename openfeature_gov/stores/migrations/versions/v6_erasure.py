"""What ended can be erased from: requests for approval and reviews."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

SQLITE = (
    "DROP TRIGGER approvals_step",
    "DROP TRIGGER reviews_step",
    """CREATE TRIGGER approvals_step BEFORE UPDATE ON approvals
  WHEN NOT (NEW.id IS OLD.id AND NEW.digest IS OLD.digest
    AND NEW.binding IS OLD.binding AND NEW.created_us IS OLD.created_us
    AND NEW.version = OLD.version + 1
    AND (OLD.state IN ('pending', 'approved', 'consumed')
    OR NEW.state IS OLD.state AND NEW.deadline_us IS OLD.deadline_us
    AND length(NEW.packed) < length(OLD.packed)))
  BEGIN SELECT RAISE(ABORT, 'an approval that ended stays as it is'); END""",
    """CREATE TRIGGER reviews_step BEFORE UPDATE ON reviews
  WHEN NOT (NEW.id IS OLD.id AND NEW.digest IS OLD.digest
    AND NEW.binding IS OLD.binding AND NEW.created_us IS OLD.created_us
    AND NEW.version = OLD.version + 1
    AND CASE WHEN OLD.state = 'undoing'
      THEN NEW.state IN ('undone', 'undo_failed', 'handed_over')
    ELSE OLD.state IN ('running', 'open', 'refused', 'expired')
      OR NEW.state IS OLD.state AND NEW.deadline_us IS OLD.deadline_us
      AND length(NEW.packed) < length(OLD.packed) END)
  BEGIN SELECT RAISE(ABORT, 'a review that ended stays as it is'); END""",
    "PRAGMA user_version=6",
)
POSTGRESQL = (
    """CREATE OR REPLACE FUNCTION gov_approval_step() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
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
END $$""",
    """CREATE OR REPLACE FUNCTION gov_review_step() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
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
END $$""",
)


def upgrade() -> None:
    """Change the two guards; no row changes."""
    lite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE if lite else POSTGRESQL:
        op.execute(statement)

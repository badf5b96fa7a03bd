"""The ledger of budgets: what was taken of each, and what calls under way hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the two tables; nothing was spent before."""
    lite = op.get_bind().dialect.name == "sqlite"
    big = sa.INTEGER() if lite else sa.BIGINT()
    op.create_table(
        "budgets",
        *(sa.Column(name, sa.TEXT()) for name in ("name", "scope", "task")),
        sa.Column("begins_us", big, autoincrement=False),
        sa.Column("unit", sa.TEXT(), nullable=False),
        sa.Column("taken", big, nullable=False),
        sa.Column("at_us", big, nullable=False),
        sa.PrimaryKeyConstraint("name", "scope", "task", "begins_us"),
        sqlite_strict=True,
    )
    op.create_table(
        "holds",
        *(sa.Column(name, sa.TEXT()) for name in ("ref", "name", "scope", "task")),
        sa.Column("begins_us", big, nullable=False),
        sa.Column("amount", big, nullable=False),
        sa.PrimaryKeyConstraint("ref", "name", "scope", "task"),
        sqlite_strict=True,
    )
    op.create_index("budgets_at", "budgets", ["name", "scope", "at_us"])
    if lite:
        op.execute("PRAGMA user_version=5")

"""The schema of the record stores as SQLAlchemy tables: for queries and migrations.

The embedded store needs none of this. The extra ``sql`` brings what it imports.
"""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from openfeature_gov.errors import RecordStoreError

Dialect = Literal["sqlite", "postgresql"]
Indexes = tuple[tuple[str, tuple[str, ...], str | None], ...]
DECIDED = (
    *("agent", "tool", "target", "effect", "reason", "variant", "executes"),
    *("at_us", "amount", "task", "id", "kind"),
)
EVERYWHERE: Indexes = (
    ("records_ref", ("ref", "kind", "reason"), "ref IS NOT NULL"),
    ("records_log", ("kind", "writer"), "kind NOT IN ('decision', 'outcome')"),
    ("records_open", ("writer",), "executes = 1"),
    ("records_at", ("at_us",), None),
    ("records_task", ("task",), "task IS NOT NULL"),
    ("records_reviewer", ("reviewer", "at_us"), "reviewer IS NOT NULL"),
)
"""Name, columns and condition of the indexes of every store."""
APPROVALS: Indexes = (
    ("approvals_state", ("state", "created_us"), None),
    ("approvals_due", ("deadline_us",), "state IN ('pending', 'approved')"),
    ("approvals_digest", ("digest",), None),
)
PENDING = "state = 'pending'"
REVIEWS: Indexes = (
    ("reviews_state", ("state", "created_us"), None),
    ("reviews_due", ("deadline_us",), "state IN ('open', 'refused', 'expired')"),
    ("reviews_digest", ("digest",), None),
)
INDEXES: dict[Dialect, Indexes] = {
    "sqlite": (
        ("records_decided", DECIDED, "kind = 'decision'"),
        (
            "records_cost",
            ("ref",),
            "kind = 'outcome' AND instr(body, CAST('\"cost\":\"' AS BLOB)) > 0",
        ),
    ),
    "postgresql": (
        ("records_decided", (*DECIDED, "writer", "seq"), "kind = 'decision'"),
        (
            "records_cost",
            ("ref",),
            "kind = 'outcome' AND position('\"cost\":\"'::bytea IN body) > 0",
        ),
    ),
}


def metadata(dialect: str) -> sa.MetaData:
    """Return the tables of the record store as *dialect* keeps them.

    SQLite has one log a file, numbered by the file; PostgreSQL one log a writer.

    Raises:
        RecordStoreError: for another dialect.

    """
    if dialect not in INDEXES:
        raise RecordStoreError(
            f"records are kept in sqlite or postgresql, not in {dialect!r}"
        )
    found = sa.MetaData()
    lite = dialect == "sqlite"
    records = _records(found, lite=lite)
    _checkpoints(found, lite=lite)
    _archives(found, lite=lite)
    approvals = _asked("approvals", found, lite=lite)
    _index(approvals, APPROVALS)
    _index(approvals, (("approvals_pending", ("binding",), PENDING),), unique=True)
    _index(_asked("reviews", found, lite=lite), REVIEWS)
    _ledger(found, lite=lite)
    _index(records, (*EVERYWHERE, *INDEXES[dialect]))
    return found


def _index(table: sa.Table, indexes: Indexes, *, unique: bool = False) -> None:
    for name, columns, where in indexes:
        text = None if where is None else sa.text(where)
        chosen = [table.c[column] for column in columns]
        sa.Index(name, *chosen, unique=unique, sqlite_where=text, postgresql_where=text)


def _asked(name: str, found: sa.MetaData, *, lite: bool) -> sa.Table:
    """Return the table *name* of what people are asked."""
    big = sa.INTEGER() if lite else sa.BIGINT()
    return sa.Table(
        name,
        found,
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


def _ledger(found: sa.MetaData, *, lite: bool) -> None:
    big = sa.INTEGER() if lite else sa.BIGINT()
    budgets = sa.Table(
        "budgets",
        found,
        *(sa.Column(name, sa.TEXT()) for name in ("name", "scope", "task")),
        sa.Column("begins_us", big, autoincrement=False),
        sa.Column("unit", sa.TEXT(), nullable=False),
        sa.Column("taken", big, nullable=False),
        sa.Column("at_us", big, nullable=False),
        sa.PrimaryKeyConstraint("name", "scope", "task", "begins_us"),
        sqlite_strict=True,
    )
    sa.Table(
        "holds",
        found,
        *(sa.Column(name, sa.TEXT()) for name in ("ref", "name", "scope", "task")),
        sa.Column("begins_us", big, nullable=False),
        sa.Column("amount", big, nullable=False),
        sa.PrimaryKeyConstraint("ref", "name", "scope", "task"),
        sqlite_strict=True,
    )
    _index(budgets, (("budgets_at", ("name", "scope", "at_us"), None),))


def _records(found: sa.MetaData, *, lite: bool) -> sa.Table:
    big = sa.INTEGER() if lite else sa.BIGINT()
    return sa.Table(
        "records",
        found,
        # In SQLite this is the row's own number, which is never null.
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
        sa.Column("personal", sa.LargeBinary()),
        sa.Column("target", sa.TEXT()),
        sa.Column("variant", sa.TEXT()),
        sa.Column("amount", sa.REAL() if lite else sa.DOUBLE_PRECISION()),
        sa.Column("reviewer", sa.TEXT()),
        sa.PrimaryKeyConstraint(*(["seq"] if lite else ["writer", "seq"])),
        sqlite_strict=True,
    )


def _checkpoints(found: sa.MetaData, *, lite: bool) -> sa.Table:
    big = sa.INTEGER() if lite else sa.BIGINT()
    return sa.Table(
        "checkpoints",
        found,
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


def _archives(found: sa.MetaData, *, lite: bool) -> sa.Table:
    big = sa.INTEGER() if lite else sa.BIGINT()
    writer = [] if lite else ["writer"]
    return sa.Table(
        "archives",
        found,
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

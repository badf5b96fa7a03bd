"""Roles for a shared record database: to own, write, erase, read and archive.

Nobody logs in as one of them: a login is made a member (``GRANT gov_writer TO app``).
The owner can switch triggers off, so no application may be a member of it; what a
superuser does is found by verification against published checkpoints, not prevented.
"""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

from psycopg import Connection, Error
from psycopg.sql import SQL, Identifier

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores.postgres_sessions import connect, place

WRITTEN = SQL("records, checkpoints, approvals, reviews, budgets, holds")
TABLES = SQL("{}, archives").format(WRITTEN)
OWNED = (
    *("TABLE records", "TABLE checkpoints", "TABLE approvals", "TABLE archives"),
    *("TABLE reviews", "TABLE budgets", "TABLE holds"),
    *("FUNCTION gov_append_only()", "FUNCTION gov_approval_step()"),
    "FUNCTION gov_review_step()",
)


class Roles(NamedTuple):
    """Name the roles: *owner* of the tables, and what the others may do with them."""

    owner: str = "gov_owner"
    writer: str = "gov_writer"
    eraser: str = "gov_eraser"
    reader: str = "gov_reader"
    archiver: str = "gov_archiver"


ROLES = Roles()


def set_up_roles(url: str, roles: Roles = ROLES) -> None:
    """Create *roles* where missing, and give each its part of the tables in *url*.

    The writer adds records, the eraser also empties personal parts, the archiver also
    removes what was archived, the reader reads; rights that anybody else had on the
    tables are taken away. Run it as a superuser, and again whenever you doubt it: the
    tables are made where they are missing.

    Raises:
        RecordStoreError: when the database does not answer or refuses: no right is
            changed then.

    """
    try:
        connect(url, "gov-roles").close()
        with closing(Connection.connect(url)) as connection, connection.transaction():
            for role in roles:
                _create(connection, role)
            _own(connection, roles.owner)
            _grant(connection, roles)
    except Error as error:
        raise RecordStoreError(f"{place(url)}: {error}") from error


def _create(connection: Connection, role: str) -> None:
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    if found.fetchone() is None:
        connection.execute(SQL("CREATE ROLE {} NOLOGIN").format(Identifier(role)))


def _own(connection: Connection, owner: str) -> None:
    for kind in OWNED:
        connection.execute(
            SQL("ALTER {} OWNER TO {}").format(SQL(kind), Identifier(owner))
        )


def _grant(connection: Connection, roles: Roles) -> None:
    writing = (roles.writer, roles.eraser, roles.archiver)
    users = SQL(", ").join(map(Identifier, (*writing, roles.reader)))
    writers = SQL(", ").join(map(Identifier, writing))
    for (grantee,) in connection.execute(
        "SELECT DISTINCT grantee FROM information_schema.role_table_grants"
        " WHERE table_schema = current_schema()"
        " AND table_name IN ('records', 'checkpoints', 'approvals', 'reviews',"
        " 'archives', 'budgets', 'holds')"
        " AND grantee <> %s",
        (roles.owner,),
    ).fetchall():
        who = SQL("PUBLIC") if grantee == "PUBLIC" else Identifier(grantee)
        connection.execute(SQL("REVOKE ALL ON {} FROM {}").format(TABLES, who))
    connection.execute(SQL("GRANT SELECT ON {} TO {}").format(TABLES, users))
    connection.execute(SQL("GRANT INSERT ON {} TO {}").format(WRITTEN, writers))
    connection.execute(
        SQL("GRANT UPDATE (personal) ON records TO {}").format(Identifier(roles.eraser))
    )
    archiver = Identifier(roles.archiver)
    connection.execute(SQL("GRANT DELETE ON records TO {}").format(archiver))
    connection.execute(SQL("GRANT INSERT ON archives TO {}").format(archiver))
    connection.execute(
        SQL("GRANT UPDATE ON approvals, reviews, budgets TO {}").format(writers)
    )
    connection.execute(SQL("GRANT DELETE ON holds TO {}").format(writers))

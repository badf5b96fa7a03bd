"""Sessions of a PostgreSQL server: bounded waits, and settings that make it durable."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from psycopg import Connection, Error
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import ProgrammingError

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores import postgres_schema as schema

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
        schema.prepare(connection, url, place(url))
    except BaseException:
        connection.close()
        raise
    return connection


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

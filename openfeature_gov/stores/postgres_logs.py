"""Read the record logs of all writers in a PostgreSQL database, as one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, LiteralString, cast

import psycopg
from psycopg import IsolationLevel
from psycopg.sql import SQL

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores.logs import COLUMNS, DERIVED, Log, Values
from openfeature_gov.stores.postgres_sessions import place, reached

NAME = "gov-audit"
PORTION = 1_000 if psycopg.pq.version() >= 170_000 else 1
"""How many rows come at a time, where libpq can do more than one."""
MARK = re.compile(r"(?<!:):(\w+)")
SERVED = (
    "EXISTS (SELECT 1 FROM jsonb_array_elements(CASE WHEN kind = 'decision' THEN"
    " convert_from(body, 'UTF8')::jsonb -> 'flags' END) AS flag"
    " WHERE flag ->> 'key' = :{0} AND flag ->> 'variant' = :{1})"
)
ENDED = "JOIN records o ON o.ref = d.id AND o.kind = 'outcome' AND d.executes = 1"
COSTED = f'{ENDED} AND position(\'"cost":"\'::bytea IN o.body) > 0'
LAST = (
    "WITH g AS MATERIALIZED (SELECT {keys}, count(*) AS calls,"
    " min(d.at_us) AS first_us, max(d.at_us) AS last_us"
    " FROM {decisions} GROUP BY {keys})"
    " SELECT g.*, (SELECT d.id FROM {decisions} WHERE d.at_us = g.last_us AND {same}"
    " ORDER BY d.writer DESC, d.seq DESC LIMIT 1) FROM g"
)
"""Looks the last decision of each group up: carrying it along costs the most."""
SETTINGS: tuple[LiteralString, ...] = (
    "SET LOCAL jit = off",
    "SET LOCAL random_page_cost = 1.1",
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL enable_mergejoin = off",
)
"""Reports are answered from indexes that hold all they ask for; the server believes
that reading the records, with their bodies, is cheaper, as on a disk that turns. What
is joined then fits into memory, unsorted."""


@contextmanager
def opened_at(url: str) -> Iterator[Log]:
    """Open the database *url* for reading only, in one snapshot.

    Raises:
        RecordStoreError: when it does not answer, or holds no record log.

    """
    try:
        with closing(psycopg.connect(reached(url, NAME))) as connection:
            connection.read_only = True
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            for setting in SETTINGS:
                connection.execute(setting)
            yield Log(
                rows=lambda query, values: _rows(connection, query, values),
                order=("at_us", "writer", "seq"),
                place=("writer", "seq"),
                said={name: name for name in (*COLUMNS, *DERIVED)},
                served=SERVED,
                by="",
                last=LAST,
                ended=ENDED,
                costed=COSTED,
                one_log=False,
            )
    except psycopg.Error as error:
        raise RecordStoreError(
            f"{place(url)}: {error}; is it a record database?"
        ) from None


def _rows(
    connection: psycopg.Connection[Any], query: str, values: Values
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of *query*, whose parameters are named ``:name``, as they come.

    Meanwhile the connection takes no other query.
    """
    said = cast("Any", MARK.sub(r"%(\1)s", query.replace("%", "%%")))
    with connection.cursor() as cursor:
        # Not a cursor of the server: its plans favour the first row over the last.
        yield from cursor.stream(SQL(said), dict(values), size=PORTION)

"""Personal parts in PostgreSQL: read them, and erase them as the role that may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import LiteralString

import psycopg

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.erasure import Ended
from openfeature_gov.stores.erasing import ENDED
from openfeature_gov.stores.postgres_sessions import place

PORTION = 2_000
EMPTIED = {
    table: f"UPDATE {table} SET packed = %(packed)s, version = version + 1"  # noqa: S608 - constants
    f" WHERE id = %(id)s AND {where} AND length(packed) > length(%(packed)s::bytea)"
    for table, where in ENDED.items()
}
VACUUMED: tuple[LiteralString, ...] = (
    *("VACUUM records", "VACUUM approvals", "VACUUM reviews"),
)


def parts(url: str) -> Iterator[tuple[str, bytes]]:
    """Yield the id and the personal part of every record at *url* that has one.

    Raises:
        RecordStoreError: when they cannot be read.

    """
    try:
        with (
            closing(psycopg.connect(url)) as connection,
            connection.cursor("parts") as cursor,
        ):
            cursor.itersize = PORTION
            yield from cursor.execute(
                "SELECT id, personal FROM records WHERE personal IS NOT NULL"
                " ORDER BY at_us, id"
            )
    except psycopg.Error as error:
        raise RecordStoreError(f"{place(url)}: {error}") from error


def ended(url: str) -> Iterator[Ended]:
    """Yield every request for approval and every review at *url* that has ended.

    Raises:
        RecordStoreError: when they cannot be read.

    """
    try:
        with closing(psycopg.connect(url)) as connection:
            for table, where in ENDED.items():
                query = f"SELECT id, packed FROM {table} WHERE {where}"  # noqa: S608 - constants
                for identity, packed in connection.execute(query.encode()):
                    yield Ended(table, identity, bytes(packed))
    except psycopg.Error as error:
        raise RecordStoreError(f"{place(url)}: {error}") from error


def sealed(url: str) -> bool:
    """Say whether a log at *url* has a checkpoint.

    Raises:
        RecordStoreError: when that cannot be read.

    """
    try:
        with closing(psycopg.connect(url)) as connection:
            found = connection.execute("SELECT 1 FROM checkpoints LIMIT 1")
            return found.fetchone() is not None
    except psycopg.Error as error:
        raise RecordStoreError(f"{place(url)}: {error}") from error


def erase(url: str, ids: Sequence[str], ended: Sequence[Ended] = ()) -> bool:
    """Make the personal parts of *ids* null, and put each of *ended* in its place.

    Say whether the files forgot them too. They did not: PostgreSQL keeps the bytes of
    old rows until their place is used again, longer in its write-ahead log. Vacuuming
    is begun where this user may.

    Raises:
        RecordStoreError: when it could not be done; nothing was erased then.

    """
    try:
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            with connection.transaction():
                connection.execute(
                    "UPDATE records SET personal = NULL"
                    " WHERE id = ANY(%s) AND personal IS NOT NULL",
                    [list(ids)],
                )
                for one in ended:
                    connection.execute(EMPTIED[one.table].encode(), one._asdict())
            for table in VACUUMED:
                with suppress(psycopg.Error):
                    connection.execute(table)
    except psycopg.Error as error:
        raise RecordStoreError(
            f"{place(url)}: nothing was erased: {error}; use a role with"
            " UPDATE (personal) on records, such as gov_eraser"
        ) from error
    return not (ids or ended)

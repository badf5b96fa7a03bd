"""Personal parts in PostgreSQL: read them, and erase them as the role that may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

import psycopg

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores.postgres_schema import place

PORTION = 2_000


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


def erase(url: str, ids: Sequence[str]) -> bool:
    """Make the personal parts of *ids* null; say whether the files forgot them too.

    They did not: PostgreSQL keeps the bytes of old rows until their place is used
    again, longer in its write-ahead log. Vacuuming is begun where this user may.

    Raises:
        RecordStoreError: when it could not be done; nothing was erased then.

    """
    try:
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute(
                "UPDATE records SET personal = NULL"
                " WHERE id = ANY(%s) AND personal IS NOT NULL",
                [list(ids)],
            )
            with suppress(psycopg.Error):
                connection.execute("VACUUM records")
    except psycopg.Error as error:
        raise RecordStoreError(
            f"{place(url)}: nothing was erased: {error}; use a role with"
            " UPDATE (personal) on records, such as gov_eraser"
        ) from error
    return not ids

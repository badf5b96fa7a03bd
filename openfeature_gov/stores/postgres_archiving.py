"""Which logs of a PostgreSQL database can be archived, and how rows are removed.

The ledger is not: it holds the checkpoints that show that no log was dropped.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import LiteralString

import orjson
import psycopg

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.published import Published
from openfeature_gov.evidence.standalone.gov_verify import (
    Archive,
    parse_checkpoint,
    parse_note,
)
from openfeature_gov.stores.keeping import Source
from openfeature_gov.stores.postgres_evidence import PostgresEvidence
from openfeature_gov.stores.postgres_seals import CHECKPOINT, LEDGER
from openfeature_gov.stores.postgres_sessions import place

ENTERED: LiteralString = """
SELECT ref, body FROM records WHERE writer = %s AND kind = %s AND seq <= %s
ORDER BY seq
"""
ADD: LiteralString = """
INSERT INTO archives
  (first_seq, last_seq, record, bundle, sha256, frontier, cover, writer, at_us)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
REMOVE: LiteralString = """
DELETE FROM records WHERE writer = %s AND seq BETWEEN %s AND %s
"""


def sources(url: str, published: Path) -> list[Source]:
    """Return the logs at *url*, each sealed as far as the ledger in *published* says.

    Raises:
        RecordStoreError: when the database does not answer, or *published* is of
            another one.
        OSError: when *published* cannot be read.

    """
    try:
        with closing(psycopg.connect(url)) as connection:
            last = Published(published).last()
            found = connection.execute(
                "SELECT size FROM checkpoints WHERE writer = %s AND note = %s",
                (LEDGER, last),
            ).fetchone()
            size = 0 if found is None else found[0]
            entered = connection.execute(ENTERED, (LEDGER, CHECKPOINT, size)).fetchall()
    except (psycopg.Error, ValueError) as error:
        raise RecordStoreError(f"{place(url)}: {error}") from error
    sealed = {
        writer: parse_checkpoint(parse_note(orjson.loads(bytes(body))["note"])).size
        for writer, body in entered
    }
    return [
        Source(
            writer,
            url,
            partial(PostgresEvidence, url, writer),
            sealed[writer],
            partial(remove, url),
        )
        for writer in sorted(sealed)
    ]


def remove(url: str, archive: Archive, at_us: int) -> None:
    """Put *archive* in the place of its rows at *url*, in one transaction.

    Raises:
        RecordStoreError: when it could not be done; nothing was removed then.

    """
    log = (archive.log, archive.first, archive.last)
    try:
        with psycopg.connect(url) as connection:
            connection.execute("SET LOCAL synchronous_commit = on")
            connection.execute(ADD, (*archive, at_us))
            # A release must not go before its hold.
            connection.execute(REMOVE + " AND kind = 'hold'", log)
            connection.execute(REMOVE, log)
    except psycopg.Error as error:
        raise RecordStoreError(
            f"{place(url)}: records {archive.first} to {archive.last} stay: {error};"
            " was a hold placed, or did another archive run? Run it again, as a role"
            " that may, such as gov_archiver"
        ) from error

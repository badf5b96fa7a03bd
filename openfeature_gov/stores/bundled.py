"""Ask a bundle what one would ask the log: its records as a database in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, is_zipfile

import orjson

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import DIGEST, derived
from openfeature_gov.stores.inside import inside
from openfeature_gov.stores.schema import INDEXES, TABLES, VERSION
from openfeature_gov.stores.statements import insert_at

if TYPE_CHECKING:
    from openfeature_gov.evidence.standalone.gov_verify import Bundle


def is_bundle(path: Path | str) -> bool:
    """Say whether the file *path* is a zip and no database."""
    # INVARIANT: SQLite looks first. Closing a descriptor of our own on a database would
    # drop the locks that this process's connections hold on it (POSIX).
    try:
        uri = f"{Path(path).absolute().as_uri()}?mode=ro"
        with inside.held(), closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        no_database = error.sqlite_errorcode == sqlite3.SQLITE_NOTADB
        return no_database and is_zipfile(path)
    return False


@contextmanager
def unpacked(path: Path | str) -> Iterator[sqlite3.Connection]:
    """Lend the records of the bundle *path*.

    It is as an exporter writes it, and each personal part is the one that its record
    was signed with. No signature is verified: do that first, with a key that you
    pinned, by ``gov audit verify``.

    Raises:
        RecordStoreError: when it is no bundle that can be read, or not a whole one.

    """
    # Late: a Governor that opens reads no bundle, and that brings the verifier in.
    from openfeature_gov.evidence.standalone import gov_verify  # noqa: PLC0415

    with inside.held(), closing(sqlite3.connect(":memory:")) as database:
        for statement in (*TABLES, *INDEXES, f"PRAGMA user_version={VERSION}"):
            database.execute(statement)
        try:
            with closing(gov_verify.Bundle(Path(path))) as bundle, database:
                database.executemany(insert_at(), _rows(bundle))
        except (
            *(gov_verify.Refused, BadZipFile, sqlite3.IntegrityError),
            *(KeyError, ValueError, TypeError, OSError),
        ) as error:
            what = f"{path}: no bundle that can be read: {error}"
            raise RecordStoreError(what) from None
        yield database


def _rows(bundle: Bundle) -> Iterator[tuple[object, ...]]:
    last = bundle.first - 1
    for leaf in bundle.records(last):
        last, facts = last + 1, orjson.loads(leaf.body)
        part = bundle.personal(facts["id"])
        if part is not None and sha256(part).hexdigest() != facts.get(DIGEST):
            raise ValueError(f"record {last} has a personal part of another")
        yield (last, *derived(facts), leaf.body, part)
    if last != bundle.last:
        raise ValueError(f"records to {last}, not to {bundle.last}")
    if loose := next(bundle.loose(), None):
        raise ValueError(loose)

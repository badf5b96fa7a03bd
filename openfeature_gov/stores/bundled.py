"""Ask a bundle what one would ask the log: its records as a database in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

import orjson

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import DIGEST, derived
from openfeature_gov.stores.schema import INDEXES, TABLES, VERSION, insert_at


def is_bundle(path: Path | str) -> bool:
    """Say whether the file *path* is a zip and no database."""
    # INVARIANT: SQLite looks first. Closing a descriptor of our own on a database would
    # drop the locks that this process's connections hold on it (POSIX).
    try:
        uri = f"{Path(path).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        no_database = error.sqlite_errorcode == sqlite3.SQLITE_NOTADB
        return no_database and is_zipfile(path)
    return False


@contextmanager
def unpacked(path: Path | str) -> Iterator[sqlite3.Connection]:
    """Lend the records of the bundle *path*.

    They are as many as its manifest says, and each personal part is the one that its
    record was signed with. No signature is verified: do that first, with a key that you
    pinned, by ``gov audit verify``.

    Raises:
        RecordStoreError: when it is no bundle that can be read, or not a whole one.

    """
    try:
        with ZipFile(path) as bundle, closing(sqlite3.connect(":memory:")) as database:
            for statement in (*TABLES, *INDEXES, f"PRAGMA user_version={VERSION}"):
                database.execute(statement)
            database.executemany(insert_at(), _rows(bundle))
            database.commit()
            yield database
    except (BadZipFile, KeyError, ValueError, TypeError, OSError) as error:
        raise RecordStoreError(f"{path}: no bundle that can be read: {error}") from None


def _rows(bundle: ZipFile) -> Iterator[tuple[object, ...]]:
    # Late: a Governor that opens reads no bundle, and that brings the verifier in.
    from openfeature_gov.evidence.bundles import FORMAT  # noqa: PLC0415

    manifest = orjson.loads(bundle.read("manifest.json"))
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']!r}, not {FORMAT}")
    with bundle.open("personal.jsonl") as lines:
        parts = {
            one["id"]: one["personal"].encode() for one in map(orjson.loads, lines)
        }
    seq = manifest["firstSeq"] - 1
    with bundle.open("records.jsonl") as lines:
        for seq, line in enumerate(lines, manifest["firstSeq"]):
            body = line.rstrip(b"\n")
            facts = orjson.loads(body)
            part = parts.pop(facts["id"], None)
            if part is not None and sha256(part).hexdigest() != facts.get(DIGEST):
                raise ValueError(f"record {seq} has a personal part of another")
            yield (seq, *derived(facts), body, part)
    if seq != manifest["lastSeq"] or parts:
        raise ValueError(
            f"records to {seq}, not to {manifest['lastSeq']}, and {len(parts)} personal"
            " parts without a record"
        )

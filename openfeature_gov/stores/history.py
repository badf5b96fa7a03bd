"""Read the records of a SQLite file in the order of the log. Read-only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import merged
from openfeature_gov.stores.inside import inside

PERSONAL = 2
"""The version of the schema that brought personal parts."""


@contextmanager
def reading(path: Path | str) -> Iterator[sqlite3.Connection]:
    """Open the record log at *path* for reading only.

    Raises:
        RecordStoreError: when there is no such log, or this process is a fork that may
            not use SQLite.

    """
    # Late: whoever writes records reads no file, and that brings the verifier in.
    from openfeature_gov.evidence.standalone.gov_verify import opened  # noqa: PLC0415

    target = Path(path).absolute()
    try:
        with inside.held(), closing(opened(target)) as connection:
            connection.execute("SELECT 1 FROM records LIMIT 1")
            yield connection
    except sqlite3.Error as error:
        raise RecordStoreError(f"{target}: {error}; is it a record file?") from None


def records(
    path: Path | str, *, task: str | None = None, kind: str | None = None
) -> list[dict[str, Any]]:
    """Return the bodies of records in the order of the log, each with its ``seq``.

    *task* keeps the decisions of one task and their outcomes, *kind* one kind. What may
    be personal stands among the rest; ``erased`` says that it did once.

    Raises:
        RecordStoreError: when there is no such log.

    """
    where = (
        "(:kind IS NULL OR kind = :kind) AND (:task IS NULL OR task = :task OR ref IN"
        " (SELECT id FROM records WHERE task = :task))"
    )
    with reading(path) as connection:
        rows = connection.execute(
            f"SELECT seq, body, {personal_part(connection)} FROM records"  # noqa: S608 - constants
            f" WHERE {where} ORDER BY seq",
            {"task": task, "kind": kind},
        )
        return [{"seq": seq, **merged(body, personal)} for seq, body, personal in rows]


def personal_part(connection: sqlite3.Connection) -> str:
    """Return where the personal part of a record is; a log of version 1 has none."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return "NULL" if version < PERSONAL else "personal"

"""Open the record store that a setting names: a file, or a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores.sqlite import SqliteStore
from openfeature_gov.stores.writing import QueuedStore

SCHEMES = ("postgresql://", "postgres://")


def open_store(records: Path | str) -> QueuedStore:
    """Return the store *records*: a ``postgresql://`` URL, else a SQLite file.

    Raises:
        RecordStoreError: when it cannot be opened as a durable record log.

    """
    if isinstance(records, Path) or not records.startswith(SCHEMES):
        return SqliteStore(records)
    try:
        from openfeature_gov.stores.postgres import PostgresStore  # noqa: PLC0415
    except ImportError as error:
        raise RecordStoreError(
            f"records in PostgreSQL need {error.name}; run"
            " pip install 'openfeature-gov[sql]'"
        ) from error
    return PostgresStore(records)

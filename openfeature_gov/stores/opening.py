"""Open the record store that a setting names: a file, or a PostgreSQL database."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import urlsplit

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.stores.sqlite import SqliteStore
from openfeature_gov.stores.writing import QueuedStore

SCHEMES = ("postgresql://", "postgres://")
logger = logging.getLogger(__name__)


def shown(records: Path | str) -> str:
    """Return what may be said of *records* in a message: where, and no password."""
    text = str(records)
    if not text.startswith(SCHEMES):
        return text
    try:
        parts = urlsplit(text)
        port = parts.port or 5432
    except ValueError:
        return "the PostgreSQL URL that was given"
    return f"postgresql://{parts.hostname or 'local'}:{port}{parts.path}"


def open_store(records: Path | str, *, sealing: Sealing | None = None) -> QueuedStore:
    """Return the store *records*: a ``postgresql://`` URL, else a SQLite file.

    *sealing* says when, with which key and where to the log is sealed. By default the
    key and the checkpoints of a file stand beside it; a database is beside nothing, so
    its logs are sealed only where *sealing* names both.

    Raises:
        RecordStoreError: when it cannot be opened as a durable record log.

    """
    if isinstance(records, Path) or not records.startswith(SCHEMES):
        return SqliteStore(records, sealing=sealing or Sealing())
    try:
        from openfeature_gov.stores.postgres import PostgresStore  # noqa: PLC0415
    except ImportError as error:
        raise RecordStoreError(
            f"records in PostgreSQL need {error.name}; run"
            " pip install 'openfeature-gov[sql]'"
        ) from error
    if sealing is None:
        logger.warning("the records in PostgreSQL are not sealed: name key and place")
    return PostgresStore(records, sealing=sealing)

"""Where records are kept. One protocol; SQLite is the embedded default."""

from __future__ import annotations

from typing import Protocol

from openfeature_gov.controls.recording import StoreHealth
from openfeature_gov.evidence.records import Record


class RecordStore(Protocol):
    """Keep records in the order in which they were handed over; never change one."""

    writer: str
    """The id of this log's only writer, in every record that it writes."""

    def append(self, record: Record) -> None:
        """Take *record*; it becomes durable soon.

        Raises:
            RecordStoreError: when it cannot even be kept in memory.

        """

    def commit(self, record: Record) -> None:
        """Take *record* and return once it is durable.

        Raises:
            RecordStoreError: when it could not be made durable.

        """

    async def acommit(self, record: Record) -> None:
        """Take *record* and return once it is durable, without blocking the loop.

        Raises:
            RecordStoreError: when it could not be made durable.

        """

    def health(self) -> StoreHealth:
        """Return how the store does right now."""

    def close(self) -> None:
        """Make everything durable and let go; idempotent."""


__all__ = ["RecordStore"]

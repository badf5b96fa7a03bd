"""Records that a database took and did not keep."""

from __future__ import annotations

from openfeature_gov.errors import RecordStoreError


class SwallowedError(RecordStoreError):
    """Report a database that said yes, and did not insert every record."""


def require_rows(inserted: int, rows: int) -> None:
    """Require that as many records were inserted as were to be.

    Raises:
        SwallowedError: when a trigger or rule of somebody took some away.

    """
    if inserted != rows:
        raise SwallowedError(
            f"{inserted} of {rows} records were inserted: look for a trigger or rule on"
            " the table records"
        )

"""What becomes of record stores that nobody closed when their process ends.

A writer thread does not outlive the interpreter: what was handed over in the last
milliseconds would be lost, and what ran to its end reconciled to unknown.
"""

from __future__ import annotations

import atexit
import logging
import weakref
from typing import Protocol

from openfeature_gov.errors import RecordStoreError

logger = logging.getLogger(__name__)


class Open(Protocol):
    """Hold what is to be written before the process ends."""

    def close(self) -> None:
        """Write what waits, and let go; idempotent."""


_open: weakref.WeakSet[Open] = weakref.WeakSet()


def watch(store: Open) -> None:
    """Close *store* when the interpreter ends, unless it was closed before."""
    _open.add(store)


def forget(store: Open) -> None:
    """Let *store* be: it is closed."""
    _open.discard(store)


@atexit.register
def _close_all() -> None:
    while _open:
        try:
            _open.pop().close()
        except RecordStoreError as error:
            logger.error("%s", error)  # noqa: TRY400 - a trace tells nothing more
        except Exception:  # the others are closed as well
            logger.exception("records may be left unwritten")

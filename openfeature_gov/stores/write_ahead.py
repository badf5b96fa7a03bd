"""`WriteAhead`: how long SQLite's write-ahead log is, and when it is begun anew."""

from __future__ import annotations

import sqlite3
from pathlib import Path

PAGE, BATCH_PAGES, ROW_PAGES = 4_096, 7, 2
"""How many bytes a page has; how many pages a batch adds to the write-ahead log, and
each row of it."""
CHECKPOINT_PAGES = 4_000
"""After how many pages the log is copied into the database, and begun anew: a sync of
what overwrites takes half as long as of what makes the file longer."""


class WriteAhead:
    """Count the pages of the log beside *path*. Lives as long as the writer's log."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}-wal")
        self._pages = 0

    def opened(self, connection: sqlite3.Connection) -> None:
        """Begin the write-ahead log anew where others left it long.

        Each of many short processes writes too little to do that later on.
        """
        log = self._path
        self._pages = log.stat().st_size // PAGE if log.exists() else 0
        if self._pages >= CHECKPOINT_PAGES:
            self.begin_anew(connection)

    def wrote(self, rows: int) -> bool:
        """Count a batch of *rows* rows; say whether the log is long now."""
        self._pages += BATCH_PAGES + ROW_PAGES * rows
        return self._pages >= CHECKPOINT_PAGES

    def begin_anew(self, connection: sqlite3.Connection) -> None:
        """Copy what can be copied into the database: who writes next overwrites."""
        self._pages = 0
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

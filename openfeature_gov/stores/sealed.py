"""The SQLite record log as a Sealer reads it, and its checkpoints."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from openfeature_gov.evidence.sealed import Sealed
from openfeature_gov.evidence.sealing import ROTATED, last_seen
from openfeature_gov.stores.leases import Turn
from openfeature_gov.stores.schema import connect

_abandoned: list[object] = []
_COLUMNS = "number, origin, size, last_seq, frontier, note"
KEPT = f"INSERT INTO checkpoints ({_COLUMNS}, at_us) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - fixed names
TOLD = """
SELECT body FROM records WHERE kind = 'start' AND kind NOT IN ('decision', 'outcome')
ORDER BY seq DESC LIMIT 2
"""
"""The last start is that of the process that asks: it tells what it found."""
UNSEALED = """
SELECT count(*) FROM records r WHERE r.seq > ? AND EXISTS
  (SELECT 1 FROM records e WHERE e.ref = r.writer AND e.kind IN ('stop', 'reconciled'))
"""


class SqliteLog:
    """Read one record file, and write its checkpoints; one Sealer owns it.

    Raises:
        RecordStoreError: when the file is no record log of this release.
        sqlite3.Error: when it cannot be opened.
        OSError: when its lock file cannot be.

    """

    def __init__(self, path: Path) -> None:
        self._path, self._turn = path, Turn(path)
        self._connection: sqlite3.Connection | None = None
        try:
            self._opened()
        except BaseException:
            self._turn.close()
            raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            with self._turn.taken():
                self._connection = connect(self._path)
        return self._connection

    def rows(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return sequence numbers and bodies behind *after*, in order."""
        # Whoever can alter the schema can store what is no blob.
        return (
            self._opened()
            .execute(
                "SELECT seq, coalesce(CAST(body AS BLOB), x'') FROM records"
                " WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            )
            .fetchall()
        )

    def last_seq(self) -> int:
        """Return the last sequence number, 0 for an empty log."""
        found = self._opened().execute("SELECT max(seq) FROM records").fetchone()
        return int(found[0] or 0)

    def archived(self) -> bytes:
        """Return the frontier of the records that were archived, empty for none."""
        found = (
            self._opened()
            .execute("SELECT frontier FROM archives ORDER BY last_seq DESC LIMIT 1")
            .fetchone()
        )
        return b"" if found is None else bytes(found[0])

    def unsealed(self, after: int) -> int:
        """Return how many records behind *after* are of writers that have ended."""
        found = self._opened().execute(UNSEALED, (after,)).fetchone()
        return int(found[0])

    def rotations(self) -> list[bytes]:
        """Return the bodies of the records of key rotations, in order."""
        found = self._opened().execute(
            "SELECT body FROM records WHERE kind = ?"
            " AND kind NOT IN ('decision', 'outcome') ORDER BY seq",
            (ROTATED,),
        )
        return [body for (body,) in found]

    def head(self) -> Sealed | None:
        """Return the last checkpoint."""
        found = (
            self._opened()
            .execute(
                f"SELECT {_COLUMNS} FROM checkpoints ORDER BY number DESC LIMIT 1"  # noqa: S608 - fixed names
            )
            .fetchone()
        )
        return None if found is None else Sealed(*found)

    def told(self) -> int:
        """Return the number of the last checkpoint that the last starts tell of."""
        found = self._opened().execute(TOLD)
        return last_seen(body for (body,) in found)

    def since(self, number: int) -> list[Sealed]:
        """Return the checkpoints behind *number*, in order."""
        found = self._opened().execute(
            f"SELECT {_COLUMNS} FROM checkpoints WHERE number > ? ORDER BY number",  # noqa: S608 - fixed names
            (number,),
        )
        return [Sealed(*one) for one in found]

    def number_of(self, note: str) -> int | None:
        """Return the number of the checkpoint *note*, None for an unknown one."""
        found = (
            self._opened()
            .execute("SELECT number FROM checkpoints WHERE note = ?", (note,))
            .fetchone()
        )
        return None if found is None else int(found[0])

    def before(self, origin: str) -> int:
        """Return the number before the first checkpoint of *origin*, 0 for none."""
        found = (
            self._opened()
            .execute("SELECT min(number) FROM checkpoints WHERE origin = ?", (origin,))
            .fetchone()
        )
        return int(found[0] or 1) - 1

    def keep(self, sealed: Sealed, at_us: int) -> bool:
        """Store *sealed* durably, unless another process took its number.

        Raises:
            sqlite3.Error: when it could not be written.
            TimeoutError: an OSError, when another process holds the log.

        """
        connection = self._opened()
        with self._turn.taken():
            try:
                connection.execute(KEPT, (*sealed, at_us))
            except sqlite3.IntegrityError:
                return False
        return True

    def close(self) -> None:
        """Let go of the file."""
        self.rest()
        self._turn.close()

    def rest(self) -> None:
        """Close the connection until it is needed again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def abandon(self) -> None:
        """Let go in a forked child; the connection stays the parent's."""
        _abandoned.append(self._connection)
        self._turn.close()

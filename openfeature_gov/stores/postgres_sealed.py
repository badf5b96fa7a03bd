"""One record log in PostgreSQL as a Sealer reads it, and its checkpoints."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, LiteralString

import psycopg

from openfeature_gov.evidence.sealed import Sealed
from openfeature_gov.evidence.sealing import ROTATED, last_seen
from openfeature_gov.stores import postgres_sessions as sessions

_abandoned: list[object] = []
UNSEALED: LiteralString = """
SELECT count(*) FROM records r WHERE r.writer = %s AND r.seq > %s AND EXISTS
  (SELECT 1 FROM records e WHERE e.ref = r.writer AND e.kind IN ('stop', 'reconciled'))
"""
UNFINISHED: LiteralString = """
SELECT w.writer FROM
  (SELECT DISTINCT ref AS writer FROM records WHERE kind IN ('stop', 'reconciled')) w
  LEFT JOIN LATERAL (SELECT last_seq, note FROM checkpoints
    WHERE writer = w.writer ORDER BY number DESC LIMIT 1) c ON true
WHERE c.note IS NULL
  OR c.last_seq < (SELECT max(seq) FROM records WHERE writer = w.writer)
  OR NOT EXISTS (SELECT 1 FROM records WHERE id = 'checkpoint-'
    || left(encode(sha256(convert_to(c.note, 'UTF8')), 'hex'), 32))
"""
KEPT: LiteralString = """
INSERT INTO checkpoints (writer, number, origin, size, last_seq, frontier, note, at_us)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
SEALED: LiteralString = """
SELECT number, origin, size, last_seq, frontier, note FROM checkpoints WHERE writer = %s
"""
TOLD: LiteralString = """
SELECT body FROM records WHERE writer = %s AND kind = 'checkpoint'
  AND kind NOT IN ('decision', 'outcome') ORDER BY seq DESC LIMIT 2
"""


class PostgresLog:
    """Read the log of *writer* at *url*, and write its checkpoints; for one Sealer.

    A connection that was lost is opened again at the next question.

    Raises:
        RecordStoreError: when the database is no record log of this release.
        psycopg.Error: when it does not answer.

    """

    def __init__(self, url: str, writer: str) -> None:
        self._url, self._writer = url, writer
        self._connection = self._connect()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return sessions.connect(self._url, f"gov-seals {self._writer}")

    def _all(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        if self._connection.closed:
            self._connection = self._connect()
        return self._connection.execute(query, values).fetchall()

    def rows(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return sequence numbers and bodies behind *after*, in order."""
        found = self._all(
            "SELECT seq, body FROM records WHERE writer = %s AND seq > %s"
            " ORDER BY seq LIMIT %s",
            self._writer,
            after,
            limit,
        )
        return [(seq, bytes(body)) for seq, body in found]

    def last_seq(self) -> int:
        """Return the last sequence number, 0 for an empty log."""
        query: LiteralString = "SELECT max(seq) FROM records WHERE writer = %s"
        [(last,)] = self._all(query, self._writer)
        return int(last or 0)

    def archived(self) -> bytes:
        """Return the frontier of the records that were archived, empty for none."""
        found = self._all(
            "SELECT frontier FROM archives WHERE writer = %s"
            " ORDER BY last_seq DESC LIMIT 1",
            self._writer,
        )
        return bytes(found[0][0]) if found else b""

    def unsealed(self, after: int) -> int:
        """Return how many records behind *after* there are, if the writer has ended."""
        [(count,)] = self._all(UNSEALED, self._writer, after)
        return int(count)

    def unfinished(self) -> list[str]:
        """Return the writers that have ended and are not in the ledger to their end."""
        return [writer for (writer,) in self._all(UNFINISHED)]

    def rotations(self) -> list[bytes]:
        """Return the bodies of the records of key rotations, of any writer, by time."""
        found = self._all(
            "SELECT body FROM records WHERE kind = %s"
            " AND kind NOT IN ('decision', 'outcome') ORDER BY at_us, id",
            ROTATED,
        )
        return [bytes(body) for (body,) in found]

    def head(self) -> Sealed | None:
        """Return the last checkpoint."""
        found = self._sealed("ORDER BY number DESC LIMIT 1")
        return found[0] if found else None

    def told(self) -> int:
        """Return the number of the last checkpoint that the last entries tell of."""
        return last_seen(bytes(body) for (body,) in self._all(TOLD, self._writer))

    def since(self, number: int) -> list[Sealed]:
        """Return the checkpoints behind *number*, in order."""
        return self._sealed("AND number > %s ORDER BY number", number)

    def _sealed(self, which: LiteralString, *values: object) -> list[Sealed]:
        found = self._all(SEALED + which, self._writer, *values)
        return [Sealed(*one) for one in found]

    def number_of(self, note: str) -> int | None:
        """Return the number of the checkpoint *note*, None for an unknown one."""
        query: LiteralString = (
            "SELECT number FROM checkpoints WHERE writer = %s AND note = %s"
        )
        found = self._all(query, self._writer, note)
        return int(found[0][0]) if found else None

    def before(self, origin: str) -> int:
        """Return the number before the first checkpoint of *origin*, 0 for none."""
        query: LiteralString = (
            "SELECT min(number) FROM checkpoints WHERE writer = %s AND origin = %s"
        )
        [(first,)] = self._all(query, self._writer, origin)
        return int(first or 1) - 1

    def keep(self, sealed: Sealed, at_us: int) -> bool:
        """Store *sealed* durably, unless another process took its number.

        Raises:
            psycopg.Error: when it could not be written.

        """
        try:
            self._connection.execute(KEPT, (self._writer, *sealed, at_us))
        except psycopg.errors.UniqueViolation:
            return False
        return True

    def rest(self) -> None:
        """Do nothing: a child leaves the parent its sessions."""

    def close(self) -> None:
        """Let go of the database."""
        with suppress(psycopg.Error):
            self._connection.close()

    def abandon(self) -> None:
        """Let go in a forked child; the connection stays the parent's."""
        sessions.leave(self._connection)
        _abandoned.append(self._connection)

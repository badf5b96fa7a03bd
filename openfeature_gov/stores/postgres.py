"""`PostgresStore`: record logs for many processes, one log a writer, in one database.

A batch is one statement on one connection, and that is one transaction. The session
holds an advisory lock for as long as it lives: that is the lease which says that its
writer is alive. After a lost connection the writer asks what of its last batch was
kept, and writes the rest.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, ClassVar, LiteralString

import psycopg
from psycopg.pq import TransactionStatus

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.erasure import Ended
from openfeature_gov.evidence.keys import require_key
from openfeature_gov.evidence.notes import Signer
from openfeature_gov.evidence.records import Record, changes, entries, note_record
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.stores import ledger, postgres_erasing
from openfeature_gov.stores import postgres_sessions as sessions
from openfeature_gov.stores import postgres_statements as statements
from openfeature_gov.stores.postgres_seals import Seals, seals
from openfeature_gov.stores.statements import CONSUMED, REVIEWED, row
from openfeature_gov.stores.swallowed import SwallowedError, require_rows
from openfeature_gov.stores.writing import Errors, QueuedStore

RETURN_S = 30
"""How long writers may take to come back after a restart of the server."""


class PostgresStore(QueuedStore):
    """Keep the records of this process in a log of its own, in a shared database.

    *url* is ``postgresql://USER@HOST:PORT/DATABASE``; it must reach the server itself
    or a pooler that keeps a session on one connection. Lives as long as the Governor
    that owns it. After a fork the child is a writer of its own. *sealing* names the key
    that all writers share and where this host publishes checkpoints; with None the log
    is not sealed by this process.

    Raises:
        RecordStoreError: when the database cannot be used as a durable record log, or
            the key that seals it is not fit.

    """

    FAULTS: ClassVar[Errors] = (OSError, psycopg.Error)
    REFUSED: ClassVar[Errors] = (
        psycopg.IntegrityError,
        psycopg.DataError,
        psycopg.errors.ProgramLimitExceeded,
        UnicodeError,
    )
    IDLE_S: ClassVar[float | None] = 10.0

    def __init__(
        self,
        url: str,
        *,
        sealing: Sealing | None = None,
        now: Callable[[], int] = time.time_ns,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._url, self._sealing = url, sealing
        super().__init__(sessions.place(url), now=now, clock=clock)

    def personal(self) -> Iterator[tuple[str, bytes]]:
        """Yield the id and the personal part of every record, of any writer.

        What waits in this store is written first.

        Raises:
            RecordStoreError: when they cannot be read, or what waits cannot be written.

        """
        self.flush()
        return postgres_erasing.parts(self._url)

    def held(self, ids: Sequence[str]) -> list[str]:
        """Return of each record of *ids* that is held by whom and why.

        Raises:
            RecordStoreError: when the log cannot be read.

        """
        from openfeature_gov.stores.keeping import held  # noqa: PLC0415 - a cycle

        return held(self._url, ids)

    def ended(self) -> Iterator[Ended]:
        """Yield every request for approval and every review that has ended.

        Raises:
            RecordStoreError: when they cannot be read.

        """
        return postgres_erasing.ended(self._url)

    def signer(self) -> Signer | None:
        """Return the key that seals the log, None where nothing seals it.

        Raises:
            RecordStoreError: when the log is sealed, and not by this process.

        """
        if self._seals is not None:
            return self._seals.own.signer()
        require_key(self.place, sealed=postgres_erasing.sealed(self._url))
        return None

    def erase(self, ids: Sequence[str], ended: Sequence[Ended] = ()) -> bool:
        """Make the personal parts of *ids* null, and put each of *ended* in its place.

        Say whether no trace is left.

        Raises:
            RecordStoreError: when it could not be done; nothing was erased then.

        """
        return postgres_erasing.erase(self._url, ids, ended)

    def _prepare(self) -> None:
        self._seals: Seals | None = None
        self._died = threading.Event()
        self._died.set()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._cursor: psycopg.Cursor[tuple[Any, ...]] | None = None
        super()._prepare()

    def _seal(self) -> None:
        if self._sealing is None:
            return
        now, clock = self._now, self._clock
        self._seals = seals(
            self._url, self, self._sealing, self._died, now=now, clock=clock
        )
        self._seals.own.start()

    def close(self) -> None:
        """Write what waits, a ``stop`` record, seal it all, and let go; idempotent.

        Raises:
            RecordStoreError: when records were left that could not be written.

        """
        if self._seals is not None:
            self._seals.stop()
        try:
            super().close()
        finally:
            if self._closed and (owner := self._seals) is not None:
                self._seals = None
                owner.close()

    def _behind_ns(self) -> int:
        seals = self._seals
        return super()._behind_ns() if seals is None else seals.own.behind_ns()

    def _enter(self) -> None:
        self._seq = 0
        self._settle_at = 0
        self._connection = None

    def _turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def _ready(self) -> None:
        if self._connection is not None:
            return
        connection = sessions.connect(self._url, _session(self.writer))
        # Known before it claims: a fork meanwhile must leave it as well.
        self._connection = connection
        try:
            self._claim(connection)
            if self._seq:
                self._resume()
        except BaseException:
            self._connection = None
            connection.close()
            raise

    def _claim(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Take this writer's lease; end what is left of its own session before."""
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = %s AND pid <> pg_backend_pid()",
            (_session(self.writer),),
        )
        if not _locked(connection, self.writer):
            raise RecordStoreError(
                f"{self.place}: another process settles this log right now; open it"
                " again"
            )

    def _resume(self) -> None:
        """Find what became of the last batch, and say what happened meanwhile."""
        found = self._all(
            "SELECT id, seq FROM records WHERE writer = %s AND seq > %s",
            self.writer,
            self._seq,
        )
        self._kept.update(one for one, _ in found)
        [(last,)] = self._all(
            "SELECT coalesce(max(seq), 0) FROM records WHERE writer = %s", self.writer
        )
        known, self._seq = self._seq, max(self._seq, last)
        if last < known:  # a standby or a backup took over; the hole stays visible
            facts = {"expected": known, "found": last}
            self._insert_here([note_record(self.stamp(), "rolled_back", **facts)])
        if not self._unsettled(self.writer):
            self._insert_here([note_record(self.stamp(), "resumed", self.writer)])

    def _unsettled(self, only: str | None = None) -> list[tuple[str, bool]]:
        """Return the writers without an end, all or *only* one, as `OPEN_WRITERS`."""
        return (
            self._opened().execute(statements.OPEN_WRITERS, {"only": only}).fetchall()
        )

    def _opened(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            raise RecordStoreError(f"{self.place}: not open")
        return self._connection

    def _inserter(self) -> psycopg.Cursor[tuple[Any, ...]]:
        """Return the cursor of the connection; a new one for each batch is slow."""
        connection, cursor = self._opened(), self._cursor
        if cursor is None or cursor.connection is not connection:
            cursor = self._cursor = connection.cursor()
        return cursor

    def _all(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        return self._opened().execute(query, values).fetchall()

    def _drop(self) -> None:
        """Keep a session that still answers: it holds the lease."""
        connection = self._connection
        idle = TransactionStatus.IDLE
        if connection is not None and connection.info.transaction_status != idle:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _insert(self, records: list[Record]) -> None:
        try:
            self._insert_here(records)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name != "records_pkey":
                raise
            # Somebody wrote under our name: go on behind that; it stays to be found.
            self._resume()
            self._insert_here(records)

    def _insert_here(self, records: list[Record]) -> None:
        fresh = self._unwritten(records)
        rows = [
            (seq, *row(record, self.writer))
            for seq, record in enumerate(fresh, self._seq + 1)
        ]
        moves, paid = list(changes(fresh)), entries(fresh)
        connection = self._opened()
        try:
            # One statement is a transaction by itself.
            with connection.transaction() if moves or paid else nullcontext():
                require_rows(_inserted(self._inserter(), rows), len(rows))
                for change in moves:
                    statements.put(connection, change)
                for entry in paid:
                    ledger.enter(ledger.of_postgres(connection), entry)
        except SwallowedError:
            self._close()  # the next connection asks what was kept
            raise
        self._seq += len(rows)

    def _wrote(self, rows: int) -> None:  # noqa: ARG002 - time counts, not rows
        if self._settle_at and self._clock() > self._settle_at:
            self._settle_at = 0
            self._reconcile()

    def _opening(self) -> Record:
        connection = self._opened()
        return note_record(
            self.stamp(),
            "start",
            postgres=connection.info.server_version,
            python=platform.python_version(),
            pid=os.getpid(),
            tls=connection.pgconn.ssl_in_use,
            fsync="on",
            synchronousCommit="on",
        )

    def _dead(self) -> list[str]:
        """Return the dead, each locked, so that nobody else settles them as well.

        Right after a restart of the server everyone looks dead: those who were alive
        before have `RETURN_S` to come back.
        """
        [(young,)] = self._all(statements.YOUNG, RETURN_S)
        if young:
            self._settle_at = self._clock() + RETURN_S * 10**9
        dead = []
        for writer, older in self._unsettled():
            away = writer != self.writer and not (young and older)
            if away and _locked(self._opened(), writer):
                # Whoever held it a moment ago may have settled everything.
                if self._unsettled(writer):
                    dead.append(writer)
                else:
                    _unlock(self._opened(), writer)
        return dead

    def _buried(self, writer: str) -> None:
        _unlock(self._opened(), writer)
        self._died.set()

    def _orphans(self, writer: str) -> list[str]:
        return [ref for (ref,) in self._all(statements.ORPHANS, writer)]

    def _consumed(self) -> list[tuple[bytes, int]]:
        return [(bytes(packed), version) for packed, version in self._all(CONSUMED)]

    def _reviewed(self) -> list[tuple[bytes, int]]:
        return [(bytes(packed), version) for packed, version in self._all(REVIEWED)]

    def _release(self) -> None:
        self._close()

    def _abandon(self) -> object:
        if self._connection is not None:
            sessions.leave(self._connection)
        if self._seals is not None:
            self._seals.abandon()
        return (self._connection, self._seals)


def _inserted(
    cursor: psycopg.Cursor[tuple[Any, ...]], rows: list[tuple[object, ...]]
) -> int:
    """Insert *rows*; return how many the server says it did."""
    if not rows:
        cursor.execute("SELECT 1")
        return 0
    if len(rows) == 1:
        cursor.execute(statements.INSERT, rows[0], prepare=True, binary=True)
    else:
        with cursor.copy(statements.COPY) as copy:
            copy.set_types(statements.COPIED)
            for one in rows:
                copy.write_row(one)
    return cursor.rowcount


def _session(writer: str) -> str:
    return f"gov-records {writer}"


def _key(writer: str) -> int:
    return int.from_bytes(bytes.fromhex(writer), "big", signed=True)


def _locked(connection: psycopg.Connection[tuple[Any, ...]], writer: str) -> bool:
    found = connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(writer),))
    return found.fetchone() == (True,)


def _unlock(connection: psycopg.Connection[tuple[Any, ...]], writer: str) -> None:
    connection.execute("SELECT pg_advisory_unlock(%s)", (_key(writer),))

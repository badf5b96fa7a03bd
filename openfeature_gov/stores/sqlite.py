"""`SqliteStore`: the embedded record log. One writer thread, group commit, WAL, FULL.

`append` hands a record to the writer and returns; `commit` returns once the record is
on the disk. All records waiting at the same moment share one transaction. A write that
fails is kept and tried again; until it succeeds the store says so, and the Governor
lowers authority.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from secrets import token_hex

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from openfeature_gov.controls.recording import HEALTHY, StoreHealth
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import (
    Record,
    Stamp,
    note_record,
    outcome_record,
    readable,
)
from openfeature_gov.stores.leases import Lease, Turn
from openfeature_gov.stores.schema import (
    CHUNKS,
    OPEN_WRITERS,
    ORPHANS,
    connect,
    insert,
    row,
)

BACKLOG = 10_000
"""How many records may wait in memory; beyond that nothing more may happen."""
BATCH = 1024
"""How many records share a transaction; with as many more waiting, one thread goes on
and the others pause: many busy threads would keep Python's lock from the writer."""
PAUSE_S = 1.0
LINGER_S = 0.002
RETRY_S = 1.0
STALL_NS = 2_000_000_000
"""How long one batch may take before the store counts as failing."""
CHECKPOINT_ROWS = 2_000
COMMIT_WAIT_S = 30.0

Done = Callable[[Exception | None], None]
Item = tuple[Record, Done | None]
REFUSED = (sqlite3.IntegrityError, sqlite3.InterfaceError, UnicodeError)
"""What SQLite says of a record that it could not take on any day."""
_INSERTS = {size: insert(size) for size in CHUNKS}
_abandoned: list[object] = []
_stores: weakref.WeakSet[SqliteStore] = weakref.WeakSet()


def _busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and (
        error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    )


class SqliteStore:
    """Keep records in one SQLite file. Lives as long as the Governor that owns it.

    Opening verifies the settings, writes a ``start`` record with them, and marks as
    ``unknown`` what dead writers of the same file left without an outcome. Several
    processes may share the file. After a fork the child is a writer of its own.

    Raises:
        RecordStoreError: when the file cannot be opened as a durable record log.

    """

    def __init__(
        self,
        path: Path | str,
        *,
        now: Callable[[], int] = time.time_ns,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.path = Path(path).absolute()
        self._now, self._clock = now, clock
        self._start()
        _stores.add(self)

    def _start(self) -> None:
        self.writer = token_hex(8)
        self._count = 0
        self._pending: deque[Item] = deque()
        self._work, self._urgent = threading.Event(), threading.Event()
        self._space = threading.Condition()
        self._awake = self._closing = False
        self._pacer: int | None = None
        self._failing_since: int | None = None
        self._busy_since: int | None = None
        self._lost = self._rows = 0
        self._connection: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._turn = Turn(self.path)
            self._lease = Lease(self.path, self.writer)
        except OSError as error:
            raise RecordStoreError(f"{self.path}: {error}") from error
        try:
            with self._turn.taken():
                self._connection = self._open()
                self._write([(self._opening(), None)])
                self._reconcile()
        except (OSError, sqlite3.Error) as error:
            self._let_go()
            raise RecordStoreError(f"{self.path}: {error}") from error
        except BaseException:
            self._let_go()
            raise
        self._thread = threading.Thread(
            target=self._run, name="gov-records", daemon=True
        )
        self._thread.start()

    def append(self, record: Record) -> None:
        """Take *record*; it becomes durable within milliseconds.

        Raises:
            RecordStoreError: when the store is closed or its backlog is full.

        """
        self._put(record, None)

    def commit(self, record: Record) -> None:
        """Take *record* and return once it is on the disk.

        Raises:
            RecordStoreError: when it could not be written; it stays in the backlog.

        """
        done = threading.Event()
        failure: list[Exception] = []

        def settle(error: Exception | None) -> None:
            if error is not None:
                failure.append(error)
            done.set()

        self._put(record, settle)
        if not done.wait(COMMIT_WAIT_S):
            raise RecordStoreError(f"{self.path}: no answer in {COMMIT_WAIT_S} s")
        if failure:
            raise RecordStoreError(f"{self.path}: {failure[0]}") from failure[0]

    async def acommit(self, record: Record) -> None:
        """Take *record* and return once it is on the disk, without blocking the loop.

        Raises:
            RecordStoreError: when it could not be written; it stays in the backlog.

        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Exception | None] = loop.create_future()

        def settle(error: Exception | None) -> None:
            with suppress(RuntimeError):  # the loop may be gone
                loop.call_soon_threadsafe(_resolve, future, error)

        self._put(record, settle)
        try:
            error = await asyncio.wait_for(future, COMMIT_WAIT_S)
        except TimeoutError:
            error = RecordStoreError(f"no answer in {COMMIT_WAIT_S} s")
        if error is not None:
            raise RecordStoreError(f"{self.path}: {error}") from error

    def health(self) -> StoreHealth:
        """Return since when nothing was written, and whether the backlog is full.

        A batch that hangs, on a slow disk or behind another process, counts as failing
        from its beginning once it takes longer than `STALL_NS`.
        """
        since, busy = self._failing_since, self._busy_since
        if since is None and busy is None:
            return HEALTHY
        now = self._clock()
        if since is None and (busy is None or now - busy < STALL_NS):
            return HEALTHY
        start = min(one for one in (since, busy) if one is not None)
        return StoreHealth(max(1, now - start), full=self._full())

    def flush(self) -> None:
        """Return once everything handed over so far is durable.

        Raises:
            RecordStoreError: when it could not be written.

        """
        self.commit(note_record(self.stamp(), "mark"))

    def stamp(self) -> Stamp:
        """Return the identity of a record of the log itself."""
        self._count += 1
        return Stamp(
            id=f"{self.writer}-log-{self._count}",
            at_us=self._now() // 1000,
            writer=self.writer,
        )

    def close(self) -> None:
        """Write what waits, a ``stop`` record, and let go; idempotent.

        Raises:
            RecordStoreError: when records were left that could not be written.

        """
        if self._closing:
            return
        self._closing = True
        self._wake(urgent=True)
        self._thread.join(COMMIT_WAIT_S)
        try:
            with self._turn.taken():
                if self._connection is None:
                    self._connection = self._open()
                # Whoever appended while the writer was leaving.
                left = [*self._gap(), *self._pending]
                self._write(left)
                self._pending.clear()
                _settle(left, None)
                self._settle_orphans(self.writer)
                self._write([(note_record(self.stamp(), "stop", self.writer), None)])
        except (sqlite3.Error, OSError, RecordStoreError) as error:
            _settle([*self._pending], error)
            lost = f"{len(self._pending)} records were left unwritten"
            raise RecordStoreError(f"{self.path}: {lost}: {error}") from error
        finally:
            self._let_go()
            _stores.discard(self)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lease.release()
        self._turn.close()

    def _put(self, record: Record, done: Done | None) -> None:
        if self._closing:
            raise RecordStoreError(f"{self.path}: the store is closed")
        if len(self._pending) >= BATCH:
            self._make_room()
        self._pending.append((record, done))
        if done is not None or not self._awake:
            self._wake(urgent=done is not None)

    def _wake(self, *, urgent: bool) -> None:
        self._awake = True
        self._work.set()
        if urgent:
            self._urgent.set()

    def _make_room(self) -> None:
        """Return when the caller may append; one thread at a time need not pause."""
        me = threading.get_ident()
        if self._pacer == me and not self._full():
            return
        self._wake(urgent=True)
        with self._space:
            if self._pacer is None:
                self._pacer = me
            if self._full():
                self._space.wait_for(self._roomy, COMMIT_WAIT_S)
            elif self._pacer != me and self.health() is HEALTHY:
                self._space.wait_for(self._roomy, PAUSE_S)
        if self._full():
            self._lost += 1
            raise RecordStoreError(f"{self.path}: {BACKLOG} records wait already")

    def _roomy(self) -> bool:
        return len(self._pending) < BATCH or self._failing_since is not None

    def _full(self) -> bool:
        return len(self._pending) >= BACKLOG

    def _run(self) -> None:
        while True:
            self._work.wait()
            if not self._closing:
                self._urgent.wait(LINGER_S)
            # INVARIANT: cleared before looking, so that whoever appends or closes while
            # the flag still says awake is seen now, and whoever comes later wakes us.
            self._awake = False
            self._work.clear()
            self._urgent.clear()
            closing = self._closing
            batch = self._drain()
            if batch:
                self._flush(batch)
            if self._failing_since is not None and not closing:
                self._urgent.wait(RETRY_S)
            if closing and (self._failing_since is not None or not self._pending):
                return

    def _drain(self) -> list[Item]:
        batch: list[Item] = []
        with suppress(IndexError):
            while len(batch) < BATCH:
                batch.append(self._pending.popleft())
        if self._pending:
            self._work.set()
        if len(self._pending) < BATCH:
            with self._space:
                self._pacer = None
                self._space.notify_all()
        return batch

    def _flush(self, batch: list[Item]) -> None:
        batch = self._gap() + batch
        self._busy_since = self._clock()
        try:
            with self._turn.taken():
                if self._connection is None:
                    self._connection = self._open()
                self._write(batch)
                self._checkpoint(len(batch))
        except Exception as error:  # noqa: BLE001 - the writer must outlive any fault
            self._failed(batch, error)
        else:
            self._failing_since = None
            _settle(batch, None)
        finally:
            self._busy_since = None

    def _failed(self, batch: list[Item], error: Exception) -> None:
        """Keep *batch* for later, tell who waits, and reopen before the next try."""
        if self._failing_since is None:
            self._failing_since = self._clock()
        self._pending.extendleft((record, None) for record, _ in reversed(batch))
        # After an I/O error the handle may report success for pages that were lost.
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        _settle(batch, error)
        with self._space:
            self._space.notify_all()
        self._work.set()

    def _gap(self) -> list[Item]:
        """Return a record of how many denied calls could not even be kept in memory."""
        if not self._lost:
            return []
        lost, self._lost = self._lost, 0
        return [(note_record(self.stamp(), "gap", lost=lost), None)]

    def _open(self) -> sqlite3.Connection:
        for attempt in Retrying(
            retry=retry_if_exception(_busy),
            stop=stop_after_delay(10),
            wait=wait_random(0.01, 0.1),
            reraise=True,
        ):
            with attempt:
                return connect(self.path)
        raise RecordStoreError(f"{self.path}: could not be opened")

    def _write(self, batch: list[Item]) -> None:
        """Insert *batch* in one transaction; set apart what SQLite can never take."""
        try:
            self._insert([row(record, self.writer) for record, _ in batch])
        except REFUSED:
            for item in batch:
                self._write_one(*item)

    def _write_one(self, record: Record, done: Done | None) -> None:
        try:
            self._insert([row(record, self.writer)])
        except REFUSED as error:
            facts = {"refused": readable(record.id), "error": type(error).__name__}
            note = note_record(self.stamp(), "unwritable", **facts)
            self._insert([row(note, self.writer)])
            if done is not None:
                done(error)

    def _insert(self, rows: list[tuple[object, ...]]) -> None:
        connection = self._connection
        if connection is None:
            raise RecordStoreError(f"{self.path}: not open")
        connection.execute("BEGIN IMMEDIATE")
        try:
            for size in CHUNKS:
                while len(rows) >= size:
                    taken, rows = rows[:size], rows[size:]
                    connection.execute(_INSERTS[size], list(chain(*taken)))
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _checkpoint(self, rows: int) -> None:
        self._rows += rows
        if self._rows >= CHECKPOINT_ROWS and self._connection is not None:
            self._rows = 0
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _opening(self) -> Record:
        """Return record #0 of this writer: under which settings it writes."""
        return note_record(
            self.stamp(),
            "start",
            sqlite=sqlite3.sqlite_version,
            python=platform.python_version(),
            pid=os.getpid(),
            journalMode="wal",
            synchronous="full",
        )

    def _reconcile(self) -> None:
        """Give every decision that a dead writer left open the outcome unknown."""
        connection = self._connection
        if connection is None:
            return
        for (writer,) in connection.execute(OPEN_WRITERS).fetchall():
            if writer == self.writer or self._lease.alive(writer):
                continue
            found = self._settle_orphans(writer)
            mark = note_record(self.stamp(), "reconciled", writer, unknown=found)
            self._write([(mark, None)])
            self._lease.forget(writer)

    def _settle_orphans(self, writer: str) -> int:
        connection = self._connection
        if connection is None:
            return 0
        orphans = connection.execute(ORPHANS, (writer,)).fetchall()
        records = [
            outcome_record(self.stamp(), ref, status="unknown") for (ref,) in orphans
        ]
        if records:
            self._write([(record, None) for record in records])
        return len(records)

    def after_fork(self) -> None:
        """Become a writer of its own in a forked child; the parent's work stays its."""
        _abandoned.extend((self._connection, self._thread))
        self._lease.abandon()
        self._turn.close()
        self._start()


def _settle(batch: list[Item], error: Exception | None) -> None:
    """Tell everyone who waits for a record of *batch* how it ended."""
    for _, done in batch:
        if done is not None:
            done(error)


def _resolve(future: asyncio.Future[Exception | None], error: Exception | None) -> None:
    if not future.done():
        future.set_result(error)


def _restart_all() -> None:
    for store in tuple(_stores):
        try:
            store.after_fork()
        except RecordStoreError:
            store._failing_since = store._clock()  # noqa: SLF001


os.register_at_fork(after_in_child=_restart_all)

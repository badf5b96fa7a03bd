"""`SqliteStore`: the embedded record log. One file, WAL, FULL, taken in turns."""

from __future__ import annotations

import logging
import os
import platform
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import chain
from pathlib import Path
from typing import ClassVar

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.erasure import Ended
from openfeature_gov.evidence.keys import require_key
from openfeature_gov.evidence.notes import Signer
from openfeature_gov.evidence.records import Record, changes, entries, note_record
from openfeature_gov.evidence.sealing import Sealer, Sealing
from openfeature_gov.stores import erasing, ledger, seals
from openfeature_gov.stores.footing import Footing
from openfeature_gov.stores.inside import inside
from openfeature_gov.stores.leases import Lease, Turn
from openfeature_gov.stores.schema import connect, transaction
from openfeature_gov.stores.statements import (
    CONSUMED,
    MANY,
    OPEN_WRITERS,
    ORPHANS,
    REVIEWED,
    insert,
    put,
    row,
)
from openfeature_gov.stores.swallowed import require_rows
from openfeature_gov.stores.write_ahead import WriteAhead
from openfeature_gov.stores.writing import Errors, QueuedStore

SEALING = Sealing()
logger = logging.getLogger(__name__)


def _busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and (
        error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    )


def _inserted(connection: sqlite3.Connection, rows: list[tuple[object, ...]]) -> None:
    done = connection.execute(insert(len(rows)), list(chain(*rows)))
    require_rows(done.rowcount, len(rows))


def _there(connection: sqlite3.Connection, record: Record, writer: str) -> bool:
    query = "SELECT 1 FROM records WHERE id = ? AND body = ? AND personal IS ?"
    *_, body, personal = row(record, writer)
    found = connection.execute(query, (record.id, body, personal))
    return found.fetchone() is not None


def _private(path: Path) -> None:
    """Make *path* for its owner alone; SQLite gives the files beside it the same mode.

    A file that is there keeps its mode: others may be meant to read it.
    """
    try:
        os.close(
            os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        )
    except FileExistsError:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o007:
            logger.warning(
                "%s: mode %04o, any user of this host can reach what is personal in it;"
                " chmod it and the files beside it to 0600",
                path,
                mode,
            )


class SqliteStore(QueuedStore):
    """Keep records in one SQLite file. Lives as long as the Governor that owns it.

    Opening verifies the settings, writes a ``start`` record with them, and marks as
    ``unknown`` what dead writers of the same file left without an outcome. Several
    processes may share the file. After a fork the child is a writer of its own.
    *sealing* says when and where the log is sealed; by default the key and the
    checkpoints stand beside the file. With None the log is not sealed by this process,
    nor where it was sealed before and the file of the key is not there.

    Raises:
        RecordStoreError: when the file cannot be opened as a durable record log, or
            the key that seals it is not fit.

    """

    sealer: Sealer | None
    """What seals the log in this process; None while nothing does."""
    FAULTS: ClassVar[Errors] = (OSError, sqlite3.Error)
    REFUSED: ClassVar[Errors] = (
        sqlite3.IntegrityError,
        sqlite3.InterfaceError,
        UnicodeError,
    )

    def __init__(
        self,
        path: Path | str,
        *,
        sealing: Sealing | None = SEALING,
        now: Callable[[], int] = time.time_ns,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.path = Path(path).absolute()
        self._sealing = sealing
        with inside.held():
            super().__init__(str(self.path), now=now, clock=clock)

    def personal(self) -> Iterator[tuple[str, bytes]]:
        """Yield the id and the personal part of every record that has one.

        What waits in this store is written first.

        Raises:
            RecordStoreError: when they cannot be read, or what waits cannot be written.

        """
        self.flush()
        return erasing.parts(self.path)

    def held(self, ids: Sequence[str]) -> list[str]:
        """Return of each record of *ids* that is held by whom and why.

        Raises:
            RecordStoreError: when the log cannot be read.

        """
        from openfeature_gov.stores.keeping import held  # noqa: PLC0415 - a cycle

        return held(str(self.path), ids)

    def ended(self) -> Iterator[Ended]:
        """Yield every request for approval and every review that has ended.

        Raises:
            RecordStoreError: when they cannot be read.

        """
        return erasing.ended(self.path)

    def signer(self) -> Signer | None:
        """Return the key that seals the log, None where nothing seals it.

        Raises:
            RecordStoreError: when the log is sealed, and not by this process.

        """
        if self.sealer is not None:
            return self.sealer.signer()
        require_key(self.place, sealed=erasing.sealed(self.path))
        return None

    def erase(self, ids: Sequence[str], ended: Sequence[Ended] = ()) -> bool:
        """Make the personal parts of *ids* null, and put each of *ended* in its place.

        Say whether no trace is left.

        Raises:
            RecordStoreError: when it could not be done, or in part: do it again.

        """
        return erasing.erase(self.path, ids, ended)

    def close(self) -> None:
        """Write what waits, a ``stop`` record, seal it all, and let go; idempotent.

        Raises:
            RecordStoreError: when records were left that could not be written.

        """
        with inside.held():
            if self.sealer is not None:
                self.sealer.stop()
            try:
                super().close()
            finally:
                if self._closed and (owner := self.sealer) is not None:
                    self.sealer = None
                    owner.close()

    def before_fork(self, wait_s: float) -> bool:
        """Close what is open, or a child would believe the parent's locks its own."""
        rests = self.sealer is None or self.sealer.rest(wait_s)
        if self._turns.hold(wait_s):
            self._drop()
            return rests
        return False

    def after_fork_in_parent(self) -> None:
        """Go on after a fork; the connections are opened again when needed."""
        self._turns.let_go()
        if self.sealer is not None:
            self.sealer.go_on()

    def after_fork(self) -> None:
        """Become a writer of its own in a forked child, if that may use SQLite."""
        inside.prove(self.path)
        super().after_fork()

    def _begin(self) -> None:
        with inside.held():
            super()._begin()

    def _prepare(self) -> None:
        self.sealer = None
        self._connection: sqlite3.Connection | None = None
        super()._prepare()

    def _seal(self) -> None:
        with inside.held():
            self._sealed(self._sealing)

    def _sealed(self, sealing: Sealing | None) -> None:
        if sealing is None:
            return
        if seals.keyless(self.path, sealing):
            logger.warning(
                "%s: is sealed with a key that is not in %s; this process does not"
                " seal: name the key, or let its owner seal",
                self.path,
                sealing.key or seals.key_file(self.path),
            )
            self._unsealed_since = self._clock()
            return
        now, clock = self._now, self._clock
        made = seals.sealer(self.path, self, sealing, now=now, clock=clock)
        self.sealer = made
        made.start()

    def _behind_ns(self) -> int:
        sealer = self.sealer
        return super()._behind_ns() if sealer is None else sealer.behind_ns()

    def _broken_since(self) -> int | None:
        return None if self.sealer is None else self.sealer.broken_since

    def _enter(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._footing = Footing(self.path, self._clock)
        self._wal = WriteAhead(self.path)
        self._turns = Turn(self.path)
        try:
            # Its descriptor, once closed, takes away the locks of others here.
            with self._turns.taken():
                _private(self.path)
            self._lease = Lease(self.path, self.writer)
        except BaseException:
            self._turns.close()
            raise

    def _turn(self) -> AbstractContextManager[object]:
        return self._turns.taken()

    def _ready(self) -> None:
        if self._connection is None:
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        for attempt in Retrying(
            retry=retry_if_exception(_busy),
            stop=stop_after_delay(10),
            wait=wait_random(0.01, 0.1),
            reraise=True,
        ):
            with attempt:
                return self._connect()
        raise RecordStoreError(f"{self.path}: could not be opened")

    def _connect(self) -> sqlite3.Connection:
        if self._begun:
            self._footing.find()  # or another file would be made in its place
        connection = connect(self.path)
        try:
            if not self._begun:
                self._footing.find()
            self._wal.opened(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RecordStoreError(f"{self.path}: not open")
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with inside.held(), suppress(sqlite3.Error):
                connection.close()

    def _insert(self, records: list[Record]) -> None:
        connection = self._opened()
        if self._failing_since is not None:  # the last try may have written some
            self._kept.update(
                one.id for one in records if _there(connection, one, self.writer)
            )
        fresh = self._unwritten(records)
        rows = [row(record, self.writer) for record in fresh]
        moves, paid = list(changes(fresh)), list(entries(fresh))
        if rows and len(rows) < MANY and not moves and not paid:
            # One statement is a transaction by itself.
            _inserted(connection, rows)
        else:
            with transaction(connection):
                for at in range(0, len(rows), MANY):
                    _inserted(connection, rows[at : at + MANY])
                for change in moves:
                    put(connection, change)
                for entry in paid:
                    ledger.enter(connection.execute, entry)
        if rows:
            self._footing.require()

    def _wrote(self, rows: int) -> None:
        if self.sealer is not None:
            self.sealer.wrote(rows)
        if self._wal.wrote(rows):
            with self._turn():
                self._wal.begin_anew(self._opened())

    def _opening(self) -> Record:
        connection = self._opened()
        if self._sealing is not None:
            self._anchor(connection, self._sealing)
        return note_record(
            self.stamp(),
            "start",
            sqlite=sqlite3.sqlite_version,
            python=platform.python_version(),
            pid=os.getpid(),
            journalMode="wal",
            synchronous="full",
            **seals.told(connection),
        )

    def _anchor(self, connection: sqlite3.Connection, sealing: Sealing) -> None:
        try:
            at_us = self._now() // 1000
            seals.anchored(connection, self.path, self.writer, sealing, at_us)
        except OSError:  # records go on; the next checkpoint is the first then
            logger.exception("%s: has no checkpoint yet", self.path)

    def _dead(self) -> list[str]:
        found = self._opened().execute(OPEN_WRITERS).fetchall()
        return [
            writer
            for (writer,) in found
            if writer != self.writer and not self._lease.alive(writer)
        ]

    def _buried(self, writer: str) -> None:
        self._lease.forget(writer)

    def _orphans(self, writer: str) -> list[str]:
        return [ref for (ref,) in self._opened().execute(ORPHANS, (writer,))]

    def _consumed(self) -> list[tuple[bytes, int]]:
        return self._opened().execute(CONSUMED).fetchall()

    def _reviewed(self) -> list[tuple[bytes, int]]:
        return self._opened().execute(REVIEWED).fetchall()

    def _release(self) -> None:
        self._lease.release()
        self._turns.close()

    def _abandon(self) -> object:
        self._lease.abandon()
        self._turns.close()
        if self.sealer is not None:
            self.sealer.abandon()
        return (self._connection, self.sealer)

"""`QueuedStore`: what every record store shares. One queue, one writer, group commit.

`append` hands a record to the writer and returns; `commit` returns once the record is
durable. All records waiting at the same moment share one transaction. A write that
fails is kept and tried again; until it succeeds the store says so, and the Governor
lowers authority.

Nobody who waits writes for himself, though that would save two changes of threads: a
disk that hangs must end a wait, Ctrl-C must not come between what is on the disk and
what is known to be, and a signal handler may close the store at any moment.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from secrets import token_hex
from typing import ClassVar

from openfeature_gov.controls.recording import HEALTHY, StoreHealth
from openfeature_gov.errors import LostRaceError, OverspentError, RecordStoreError
from openfeature_gov.evidence.erasure import Parts
from openfeature_gov.evidence.records import (
    Record,
    Stamp,
    note_record,
)
from openfeature_gov.evidence.texts import readable
from openfeature_gov.fairness import in_thread
from openfeature_gov.stores import forking, leaving
from openfeature_gov.stores.backlog import BACKLOG, Backlog
from openfeature_gov.stores.orphans import unknown_outcomes
from openfeature_gov.stores.waiting import Done, Item, TaskWait, Wait, tell

RETRY_S = 1.0
STALL_NS = 2_000_000_000
"""How long one batch may take before the store counts as failing."""
COMMIT_WAIT_S = 30.0
MOST_VOID = 10_000
"""How many decisions that others were faster than are remembered for their outcomes."""

Errors = tuple[type[Exception], ...]
logger = logging.getLogger(__name__)
_abandoned: list[object] = []


class QueuedStore(Parts, ABC):
    """Keep records through one writer thread. A store says how to reach its database.

    Opening writes a ``start`` record with the settings, and marks as ``unknown`` what
    dead writers of the same log left without an outcome. After a fork the child is a
    writer of its own. *place* names the log in errors.

    Raises:
        RecordStoreError: when the log cannot be opened as a durable one.

    """

    FAULTS: ClassVar[Errors]
    """What the database raises when it does not answer as it should."""
    REFUSED: ClassVar[Errors]
    """What it says of a record that it could not take on any day."""
    IDLE_S: ClassVar[float | None] = None
    """After how long without a record the database is asked whether it still answers,
    None where nobody can take it away."""

    def __init__(
        self, place: str, *, now: Callable[[], int], clock: Callable[[], int]
    ) -> None:
        self.place = place
        self._now, self._clock = now, clock
        self._prepare()
        self._begin()
        self._launch()
        self._seal_or_close()
        forking.watch(self)
        leaving.watch(self)

    @abstractmethod
    def _seal(self) -> None:
        """Begin to seal the log, if this process is to."""

    @abstractmethod
    def _enter(self) -> None:
        """Take what this writer holds until it ends, such as its lease."""

    @abstractmethod
    def _turn(self) -> AbstractContextManager[object]:
        """Keep other writers out of the database for as long as it needs that."""

    @abstractmethod
    def _ready(self) -> None:
        """Open the connection unless it is open; raise if it is not fit."""

    @abstractmethod
    def _drop(self) -> None:
        """Close the connection, if any; never raise for what the database says."""

    @abstractmethod
    def _insert(self, records: list[Record]) -> None:
        """Write *records* in one transaction that is durable on return.

        Without records, find out whether the database answers.
        """

    @abstractmethod
    def _opening(self) -> Record:
        """Return record #0 of this writer: under which settings it writes."""

    @abstractmethod
    def _dead(self) -> list[str]:
        """Return the writers of this log that died without a stop."""

    @abstractmethod
    def _buried(self, writer: str) -> None:
        """Forget *writer*, which is dead and whose orphans are settled."""

    @abstractmethod
    def _orphans(self, writer: str) -> list[str]:
        """Return the ids of the decisions that *writer* left without an outcome."""

    @abstractmethod
    def _consumed(self) -> list[tuple[bytes, int]]:
        """Return the requests that were used up and did not end, with versions."""

    @abstractmethod
    def _reviewed(self) -> list[tuple[bytes, int]]:
        """Return the reviews of what runs, or whose undo does, with versions."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what `_enter` took; idempotent."""

    @abstractmethod
    def _abandon(self) -> object:
        """Let go in a forked child of what stays the parent's; return what to keep."""

    def _wrote(self, rows: int) -> None:
        """Do what is due after *rows* rows became durable, and who waited was told."""

    def before_fork(self, wait_s: float) -> bool:  # noqa: ARG002 - not all must rest
        """Come to rest within *wait_s* seconds; say whether that worked."""
        return True

    def after_fork_in_parent(self) -> None:
        """Go on after a fork."""

    def _prepare(self) -> None:
        """Begin as a writer of an own name, with nothing in hand."""
        self.writer = token_hex(8)
        self._begun = False
        self._count = 0
        self._backlog = Backlog(self._failing)
        self._closing = self._finishing = self._closed = False
        self._closer = threading.RLock()
        self._hand: list[Item] = []
        self._failing_since: int | None = None
        self._busy_since: int | None = None
        self._unsealed_since: int | None = None
        self._lost = 0
        self._void: dict[str, None] = {}
        self._kept: set[str] = set()

    def _begin(self) -> None:
        """Open the log, say so in it, and settle what the dead left."""
        try:
            self._enter()
        except self.FAULTS as error:
            raise RecordStoreError(f"{self.place}: {error}") from error
        try:
            with self._turn():
                self._ready()
                self._write([(self._opening(), None)])
                self._reconcile()
        except self.FAULTS as error:
            self._let_go()
            raise RecordStoreError(f"{self.place}: {error}") from error
        except BaseException:
            self._let_go()
            raise
        self._begun = True

    def _launch(self) -> None:
        self._thread = threading.Thread(
            target=self._run, name="gov-records", daemon=True
        )
        self._thread.start()

    def _seal_or_close(self) -> None:
        try:
            self._seal()
        except self.FAULTS as error:
            self.close()
            raise RecordStoreError(f"{self.place}: {error}") from error
        except BaseException:
            self.close()
            raise

    def append(self, record: Record) -> None:
        """Take *record*; it becomes durable within milliseconds.

        Raises:
            RecordStoreError: when the store is closed or its backlog is full.

        """
        self._put(record, None)

    def commit(self, record: Record) -> None:
        """Take *record* and return once it is durable.

        Raises:
            RecordStoreError: when it could not be written; it stays in the backlog.

        """
        wait = Wait()
        self._put(record, wait)
        told = wait.told(COMMIT_WAIT_S)
        self._heard(wait, told=told)

    async def acommit(self, record: Record) -> None:
        """Take *record* and return once it is durable, without blocking the loop.

        Raises:
            RecordStoreError: when it could not be written; it stays in the backlog.

        """
        wait = TaskWait()
        if self._backlog.full():  # who waits for room must not do so on the loop
            await in_thread(self._put, record, wait)
        else:
            self._put(record, wait)
        told = await wait.told(COMMIT_WAIT_S)
        self._heard(wait, told=told)

    def _heard(self, wait: Wait | TaskWait, *, told: bool) -> None:
        """Raise what *wait* was told, or that nobody did."""
        if not told:
            raise RecordStoreError(f"{self.place}: no answer in {COMMIT_WAIT_S} s")
        if wait.error is not None:
            raise self._failure(wait.error) from wait.error

    def _failure(self, error: Exception) -> RecordStoreError:
        if isinstance(error, OverspentError):
            return OverspentError(error.purse, error.amount, error.taken)
        kind = LostRaceError if isinstance(error, LostRaceError) else RecordStoreError
        return kind(f"{self.place}: {error}")

    def health(self) -> StoreHealth:
        """Return since when nothing was written or sealed, and if the backlog is full.

        A batch that hangs, on a slow disk or behind another process, counts as failing
        from its beginning once it takes longer than `STALL_NS`; so does a log that can
        be written, but not read any more.
        """
        since, busy, behind = self._failing_since, self._busy_since, self._behind_ns()
        since = self._broken_since() if since is None else since
        if since is None and busy is None and not behind:
            return HEALTHY
        now = self._clock()
        if since is None and (busy is None or now - busy < STALL_NS):
            return StoreHealth(unsealed_ns=behind) if behind else HEALTHY
        start = min(one for one in (since, busy) if one is not None)
        full = self._backlog.full()
        return StoreHealth(max(1, now - start), full=full, unsealed_ns=behind)

    def _broken_since(self) -> int | None:
        """Return since when what is written cannot be read, None while it can."""
        return None

    def _failing(self) -> bool:
        return self.health().failing_ns > 0

    def _behind_ns(self) -> int:
        """Return since when a checkpoint that was due could not be published."""
        since = self._unsealed_since
        return 0 if since is None else max(1, self._clock() - since)

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
        with self._closer:
            if self._closed:
                return
            self._closing = True
            self._backlog.hurry()
            self._thread.join(COMMIT_WAIT_S)
            if self._thread.is_alive():
                raise self._hung()
            if not (self._closed or self._finishing):  # a signal handler may close
                self._finish()

    def _hung(self) -> RecordStoreError:
        """Tell who waits in the backlog of a writer that hangs; return what to raise.

        What it hangs in is not for another thread to touch.
        """
        waiting = self._backlog.waiting()
        tell(waiting, RecordStoreError("the disk or the server does not answer"))
        number = len(waiting) + len(self._hand)
        return RecordStoreError(
            f"{self.place}: the disk or the server does not answer: {number} records"
            " may be left unwritten; close again once it does"
        )

    def _finish(self) -> None:
        """Do what is left to do once the writer has ended."""
        self._finishing = True
        self._backlog.shut()
        faults: Errors = (*self.FAULTS, RecordStoreError)
        left: list[Item] = []
        try:
            if not self._begun:
                self._begin()
            with self._turn():
                self._ready()
                # Whoever appended while the writer was leaving.
                left += [*self._gap(), *self._backlog.empty()]
                self._write(left)
                self._done(left)
                self._settle_orphans(self.writer)
                self._write([(note_record(self.stamp(), "stop", self.writer), None)])
        except faults as error:
            left += self._backlog.empty()
            tell(left, error)
            lost = f"{len(left)} records were left unwritten"
            self._end()
            raise RecordStoreError(f"{self.place}: {lost}: {error}") from error
        except BaseException:  # a signal handler raised: who closes again goes on
            self._failed(left, RecordStoreError("who closed it was interrupted"))
            self._finishing = False
            raise
        self._end()

    def _end(self) -> None:
        self._closed = True
        self._let_go()
        forking.forget(self)
        leaving.forget(self)

    def _let_go(self) -> None:
        self._drop()
        self._release()

    def _put(self, record: Record, done: Done | None) -> None:
        if self._closing:
            raise self._shut()
        if not self._backlog.put(record, done):
            if self._closing:
                raise self._shut()
            self._lost += 1
            raise RecordStoreError(f"{self.place}: {BACKLOG} records wait already")

    def _shut(self) -> RecordStoreError:
        return RecordStoreError(f"{self.place}: the store is closed")

    def _run(self) -> None:
        while True:
            failed = self._failing_since is not None
            found = self._backlog.wait(
                RETRY_S if failed else self.IDLE_S, retrying=failed
            )
            # INVARIANT: read before what waits: who still puts after it was set is met
            # by who closes.
            closing = self._closing
            batch = self._backlog.take()
            if batch or failed or not found:
                self._flush(batch)
            if closing and (self._failing_since is not None or not self._backlog):
                return

    def _flush(self, batch: list[Item]) -> None:
        batch = self._gap() + batch
        rows = len(batch)
        self._hand = batch
        self._busy_since = self._clock()
        try:
            if not self._begun:
                self._begin()
            with self._turn():
                self._ready()
                self._write(batch)
            # Told earlier, who waited would keep Python's lock from who has the turn.
            self._done(batch)
            self._wrote(rows)
        except Exception as error:  # noqa: BLE001 - the writer must outlive any fault
            self._failed(batch, error)
        finally:
            self._busy_since = None
            self._hand = []

    def _failed(self, batch: list[Item], error: Exception) -> None:
        """Keep *batch* for later, tell who waits, and reopen before the next try."""
        if self._failing_since is None:
            self._failing_since = self._clock()
        self._backlog.give_back(batch)
        # After an I/O error the handle may report success for pages that were lost.
        self._drop()
        tell(batch, error)

    def _gap(self) -> list[Item]:
        """Return a record of how many denied calls could not even be kept in memory."""
        if not self._lost:
            return []
        lost, self._lost = self._lost, 0
        return [(note_record(self.stamp(), "gap", lost=lost), None)]

    def _write(self, batch: list[Item]) -> None:
        """Insert *batch* in one transaction; set apart what can never be taken.

        What had to be written by itself is told of that, and no longer in *batch*.
        """
        try:
            self._insert([one for one, _ in batch if one.ref not in self._void])
        except LostRaceError:
            self._write_singly(batch)
        except self.REFUSED:
            self._write_singly(batch)
        self._failing_since = None

    def _unwritten(self, records: list[Record]) -> list[Record]:
        """Return which of *records* were not written unheard by a try that failed."""
        if not self._kept:
            return records
        return [record for record in records if record.id not in self._kept]

    def _done(self, batch: list[Item]) -> None:
        """Tell who waits for *batch* that it is written, and keep nothing of it."""
        tell(batch, None)
        if self._kept:
            self._kept.difference_update(record.id for record, _ in batch)
        batch.clear()

    def _write_singly(self, batch: list[Item]) -> None:
        while batch:
            self._write_one(*batch[0])
            del batch[0]

    def _write_one(self, record: Record, done: Done | None) -> None:
        failure: Exception | None = None
        try:
            self._insert([record] if record.ref not in self._void else [])
        except LostRaceError as error:
            failure = self._outrun(record, done, error)
        except self.REFUSED as error:
            facts = {"refused": readable(record.id), "error": type(error).__name__}
            self._insert([note_record(self.stamp(), "unwritable", **facts)])
            failure = error
        tell([(record, done)], failure)

    def _outrun(
        self, record: Record, done: Done | None, error: LostRaceError
    ) -> Exception | None:
        """Write an outcome without its step: what happened has happened.

        A decision that nobody waits for any more was denied or cancelled when it could
        not be written. It is void, and so is its outcome: it must not end somebody
        else's.
        """
        if record.kind == "outcome":
            self._insert([record._replace(change=None)])
            return None
        if record.executes:
            self._void[record.id] = None
            if len(self._void) > MOST_VOID:
                del self._void[next(iter(self._void))]
            if done is None:
                self._lost += 1
        return error

    def _reconcile(self) -> None:
        """Give every decision that a dead writer left open the outcome unknown."""
        for writer in self._dead():
            found = self._settle_orphans(writer)
            mark = note_record(self.stamp(), "reconciled", writer, unknown=found)
            self._write([(mark, None)])
            self._buried(writer)

    def _settle_orphans(self, writer: str) -> int:
        """Let what *writer* left open end as unknown, and the requests it used up."""
        orphans = self._orphans(writer)
        if orphans:
            unknown = unknown_outcomes(
                orphans, self._consumed(), self._reviewed(), self.stamp
            )
            self._write([(record, None) for record in unknown])
        return len(orphans)

    def after_fork(self) -> None:
        """Become a writer of its own in a forked child; the parent's work stays its.

        What cannot be opened at once is tried again by the threads of the child.
        """
        _abandoned.extend((self._abandon(), self._thread))
        self._prepare()
        try:
            self._begin()
            self._launch()
            self._seal()
        except Exception:  # the child must outlive any fault
            logger.exception(
                "%s: not all is open after a fork; it is tried", self.place
            )
            self._begin_later()

    def _begin_later(self) -> None:
        self._unsealed_since = self._clock()
        if not self._begun:
            self._failing_since = self._clock()
            self._launch()
            self._backlog.hurry()
        threading.Thread(
            target=self._seal_later, name="gov-sealing-later", daemon=True
        ).start()

    def _seal_later(self) -> None:
        while not self._closing:
            time.sleep(RETRY_S)
            if not self._begun:
                continue
            try:
                self._seal()
            except Exception:  # it is tried until it works
                logger.exception("%s: could not be sealed yet", self.place)
            else:
                self._unsealed_since = None
                return

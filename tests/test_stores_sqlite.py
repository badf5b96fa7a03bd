"""The record log: durable, append-only, in order, and honest when it cannot write."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov import Effect, RecordStoreError, Status, ToolCall
from openfeature_gov.controls.recording import HEALTHY
from openfeature_gov.evidence.records import Record, note_record, outcome_record
from openfeature_gov.stores import history, leases, writing
from openfeature_gov.stores.leases import Turn
from openfeature_gov.stores.schema import SETTINGS, connect
from openfeature_gov.stores.sqlite import SqliteStore
from tests.conftest import CONTEXT, Desk, contract_yaml


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "records.db")
    yield made
    made.close()


def note(store: SqliteStore, **facts: Any) -> Record:
    return note_record(store.stamp(), "note", **facts)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "condition never held"
        time.sleep(0.01)


def kinds(path: Path) -> list[str]:
    return [record["kind"] for record in history.records(path)]


def test_log_opens_with_its_settings_and_ends_with_a_stop(store: SqliteStore) -> None:
    """Record number one says under which settings the log was written."""
    store.commit(note(store))
    store.close()
    first, second, last = history.records(store.path)
    assert (first["kind"], first["synchronous"]) == ("start", "full")
    assert (second["kind"], last["kind"], last["ref"]) == ("note", "stop", store.writer)


def test_settings_are_in_force(store: SqliteStore) -> None:
    """Every setting reads back as demanded: WAL, FULL, recursive triggers and more."""
    assert store._connection is not None
    for name, _, expected in SETTINGS:
        (actual,) = store._connection.execute(f"PRAGMA {name}").fetchone()
        assert actual == expected, name
    assert ("journal_mode", "WAL", "wal") in SETTINGS
    assert ("synchronous", "FULL", 2) in SETTINGS
    assert ("recursive_triggers", "ON", 1) in SETTINGS


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET effect = 'allow'",
        "DELETE FROM records",
        "INSERT OR REPLACE INTO records SELECT * FROM records WHERE seq = 1",
    ],
)
def test_records_are_append_only(store: SqliteStore, statement: str) -> None:
    """Neither UPDATE nor DELETE nor INSERT OR REPLACE changes a written record."""
    assert store._connection is not None
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store._connection.execute(statement)


def test_many_threads_keep_their_order(store: SqliteStore) -> None:
    """Sixteen threads that commit at once lose nothing and keep each one's order."""

    def work(name: int) -> None:
        for count in range(50):
            store.commit(note(store, name=name, count=count))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = history.records(store.path, kind="note")
    assert len(found) == 800
    for name in range(16):
        assert [r["count"] for r in found if r["name"] == name] == list(range(50))


def test_append_becomes_durable_without_anyone_waiting(store: SqliteStore) -> None:
    """A record that was only handed over is on the disk soon after."""
    store.append(note(store))
    wait_for(lambda: "note" in kinds(store.path))


def test_close_writes_what_waits(tmp_path: Path) -> None:
    """Thousands of records handed over right before close are all there."""
    for number in range(5):
        store = SqliteStore(tmp_path / f"{number}.db")
        for count in range(3000):
            store.append(note(store, count=count))
        store.close()
        found = history.records(store.path, kind="note")
        assert [r["count"] for r in found] == list(range(3000))


def test_closed_store_takes_nothing(store: SqliteStore) -> None:
    """After close a record is refused, not dropped."""
    store.close()
    store.close()
    with pytest.raises(RecordStoreError, match="closed"):
        store.append(note(store))


def test_what_is_no_record_log_is_refused(tmp_path: Path) -> None:
    """A foreign file, another schema version and a missing log are errors by name."""
    foreign = tmp_path / "foreign.db"
    foreign.write_bytes(b"not a database" * 100)
    with pytest.raises(RecordStoreError, match=r"foreign\.db"):
        SqliteStore(foreign)
    later = tmp_path / "later.db"
    with closing(sqlite3.connect(later)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RecordStoreError, match="version 99"):
        SqliteStore(later)
    with pytest.raises(RecordStoreError, match="missing"):
        history.records(tmp_path / "missing.db")


def test_setting_that_does_not_take_is_refused() -> None:
    """A file system that cannot hold a write-ahead log holds no records of ours."""
    with pytest.raises(RecordStoreError, match="journal_mode is 'memory'"):
        connect(Path(":memory:"))


def test_close_says_what_it_could_not_write(full: Full) -> None:
    """A store that closes on a full disk does not pretend that all was written."""
    full.full = True
    fill(full)
    full.append(note(full, size=BIG))
    wait_for(lambda: full.health() != HEALTHY)
    with pytest.raises(RecordStoreError, match="1 records were left unwritten"):
        full.close()


def fill(store: SqliteStore) -> None:
    """Let the database grow no further: SQLite then answers SQLITE_FULL."""
    assert store._connection is not None
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")


class Full(SqliteStore):
    """A store on a volume that is full until a test says otherwise."""

    full = False

    def _open(self) -> sqlite3.Connection:
        connection = super()._open()
        if self.full:
            self._connection = connection
            fill(self)
        return connection


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Full]:
    monkeypatch.setattr(writing, "RETRY_S", 0.02)
    made = Full(tmp_path / "records.db")
    yield made
    made.full = False
    made.close()


BIG = "x" * 200_000


def test_full_disk_fails_the_commit_and_keeps_the_record(full: Full) -> None:
    """Nobody is told that a record is durable when it is not; it is written later."""
    full.full = True
    fill(full)
    with pytest.raises(RecordStoreError, match="full"):
        full.commit(note(full, size=BIG))
    assert full.health().failing_ns > 0
    full.full = False
    wait_for(lambda: full.health() == HEALTHY)
    assert "note" in kinds(full.path)


def test_full_backlog_refuses_and_says_how_many(
    full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the backlog a record is refused, and the log later tells the gap."""
    monkeypatch.setattr(writing, "BACKLOG", 20)
    monkeypatch.setattr(writing, "BATCH", 20)
    full.full = True
    fill(full)
    refused = 0
    for count in range(40):
        try:
            full.append(note(full, size=BIG, count=count))
        except RecordStoreError:
            refused += 1
        wait_for(lambda: full.health() != HEALTHY)
    assert refused > 0
    assert full.health().full
    full.full = False
    wait_for(lambda: full.health() == HEALTHY)
    full.flush()
    found = history.records(full.path)
    gaps = [r["lost"] for r in found if r["kind"] == "gap"]
    kept = [r for r in found if r["kind"] == "note"]
    assert sum(gaps) == refused
    assert len(kept) + refused == 40


def test_failing_store_lowers_authority(desk: Callable[..., Desk]) -> None:
    """While records cannot be written, consequential calls stop and look-ups go on."""
    safe = "{safestMode: search_only, owner: team}"
    look = contract_yaml(
        "look",
        riskClass="search",
        reversibility="automatic",
        defaultMode="search_only",
        rollback=safe,
    )
    one = desk(contract_yaml("pay") + "---\n" + look)
    one.governor.tool("pay")(one.spy)
    one.governor.tool("look")(one.spy)
    store = one.governor.records
    assert isinstance(store, SqliteStore)
    fill(store)
    with pytest.raises(RecordStoreError):
        store.commit(note(store, size=BIG))
    paid = one.governor.run(ToolCall("pay", {}, CONTEXT))
    assert (paid.effect, paid.reason) == (Effect.DENY, "records_unavailable")
    looked = one.governor.run(ToolCall("look", {}, CONTEXT))
    assert (looked.effect, looked.status) == (Effect.ALLOW, Status.EXECUTED)
    store._failing_since = time.monotonic_ns() - 61 * 10**9
    late = one.governor.plan(ToolCall("look", {}, CONTEXT))
    assert (late.effect, late.reason) == (Effect.DENY, "records_unavailable")


def test_commit_that_fails_denies_and_nothing_runs(desk: Callable[..., Desk]) -> None:
    """The first decision that finds the disk full is denied before the tool starts."""
    one = desk(contract_yaml("pay", evidence="{recordFields: [a]}"))
    one.governor.tool("pay")(one.spy)
    store = one.governor.records
    assert isinstance(store, SqliteStore)
    store.commit(note(store, size=BIG))
    fill(store)
    effects = set()
    for count in range(60):
        outcome = one.governor.run(ToolCall("pay", {"a": "x" * 250}, CONTEXT))
        effects.add((outcome.effect, outcome.reason))
        if outcome.effect is Effect.DENY:
            break
        assert len(one.calls) == count + 1
    assert (Effect.DENY, "records_unavailable") in effects
    assert (len(one.calls), outcome.status) == (count, Status.NOT_RUN)
    ran = len(one.calls)
    assert one.governor.run(ToolCall("pay", {"a": "x"}, CONTEXT)).ran == ""
    assert len(one.calls) == ran


def open_decision(store: SqliteStore) -> Record:
    stamp = store.stamp()
    return note_record(stamp, "decision")._replace(executes=True)


def test_orphans_of_a_dead_writer_become_unknown(tmp_path: Path) -> None:
    """What a killed process left open is unknown, never success; the living is let."""
    path = tmp_path / "records.db"
    child = os.fork()
    if child == 0:
        dying = SqliteStore(path)
        settled = open_decision(dying)
        dying.commit(settled)
        dying.commit(outcome_record(dying.stamp(), settled.id, status="executed"))
        dying.commit(open_decision(dying))
        os._exit(0)
    os.waitpid(child, 0)
    living = SqliteStore(path)
    pending = open_decision(living)
    living.commit(pending)
    SqliteStore(path).close()
    statuses = [r["status"] for r in history.records(path, kind="outcome")]
    assert statuses == ["executed", "unknown"]
    living.commit(outcome_record(living.stamp(), pending.id, status="executed"))
    living.close()
    statuses = [r["status"] for r in history.records(path, kind="outcome")]
    assert statuses == ["executed", "unknown", "executed"]


def test_clean_close_settles_its_own_orphans(store: SqliteStore) -> None:
    """A decision without outcome at close is unknown."""
    store.commit(open_decision(store))
    store.close()
    assert history.records(store.path, kind="outcome")[0]["status"] == "unknown"


def test_forked_child_is_a_writer_of_its_own(store: SqliteStore) -> None:
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
    found = [r["side"] for r in history.records(store.path, kind="note")]
    assert len(found) == len(set(found)) == 11
    writers = {r["writer"] for r in history.records(store.path)}
    assert len(writers) == 6


def test_record_that_cannot_be_encoded_keeps_its_place(store: SqliteStore) -> None:
    """Foreign data that no encoder takes does not stop the log."""
    store.commit(note(store, odd=object()))
    store.commit(note(store))
    first, second = history.records(store.path, kind="note")
    assert first["unencodable"]
    assert "unencodable" not in second


def test_runs_and_find(desk: Callable[..., Desk]) -> None:
    """A task's calls are summed by effect, and a record is found with its outcome."""
    one = desk(contract_yaml("pay"))
    one.governor.tool("pay")(one.spy)
    outcome = one.governor.run(ToolCall("pay", {}, CONTEXT))
    one.set(mode="off")
    one.governor.run(ToolCall("pay", {}, CONTEXT))
    one.governor.close()
    (run,) = history.runs(one.records)
    assert (run.task, run.calls) == ("task-1", 2)
    assert run.effects == {"allow": 1, "deny": 1}
    found = history.find(one.records, outcome.record_id)
    assert [r["kind"] for r in found] == ["decision", "outcome"]
    assert [r["kind"] for r in history.records(one.records, task="task-1")] == [
        "decision",
        "outcome",
        "decision",
    ]


def test_a_record_that_sqlite_never_takes_is_set_apart(store: SqliteStore) -> None:
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
    assert kinds(store.path).count("unwritable") == 2
    assert kinds(store.path).count("note") == 2


class Stumbling(SqliteStore):
    """A store whose database fails once a batch is on the disk, while told to."""

    stumbles = False

    def _wrote(self, rows: int) -> None:
        if self.stumbles:
            raise sqlite3.OperationalError("disk I/O error")
        super()._wrote(rows)


def test_what_is_on_the_disk_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that fails is a fault of the store, not of the records before it."""
    monkeypatch.setattr(writing, "RETRY_S", 0.02)
    store = Stumbling(tmp_path / "records.db")
    store.stumbles = True
    store.commit(note(store))
    wait_for(lambda: store.health() != HEALTHY)
    store.stumbles = False
    store.commit(note(store))
    wait_for(lambda: store.health() == HEALTHY)
    store.close()
    assert kinds(store.path) == ["start", "note", "note", "stop"]


def test_a_batch_that_hangs_counts_as_failing(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind another process's lock the store is not healthy, and no commit lies."""
    monkeypatch.setattr(writing, "STALL_NS", 20_000_000)
    monkeypatch.setattr(writing, "COMMIT_WAIT_S", 0.2)
    with Turn(store.path).taken():
        with pytest.raises(RecordStoreError, match="no answer"):
            store.commit(note(store))
        with pytest.raises(RecordStoreError, match="no answer"):
            asyncio.run(store.acommit(note(store)))
        assert store.health().failing_ns > 0
    wait_for(lambda: store.health() == HEALTHY)


def test_the_lock_of_a_batch_is_waited_for_in_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that keeps the lock is an error after a while, not a hang."""
    monkeypatch.setattr(leases, "WAIT_S", 0.05)
    one, two = Turn(tmp_path / "x"), Turn(tmp_path / "x")
    with (
        one.taken(),
        pytest.raises(TimeoutError, match="holds the log"),
        two.taken(),
    ):
        pytest.fail("two at once")
    one.close()
    two.close()


def test_threads_under_pressure_take_turns_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who pauses goes on once the writer caught up, also when the first is gone."""
    monkeypatch.setattr(writing, "BATCH", 8)
    store = SqliteStore(tmp_path / "records.db")

    def work() -> None:
        for count in range(100):
            store.append(note(store, count=count))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    found = [r for r in history.records(store.path) if r["kind"] == "note"]
    assert len(found) == 800

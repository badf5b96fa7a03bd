"""The record log: durable, append-only, in order, and honest when it cannot write."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from openfeature_gov import Effect, RecordStoreError, Status, ToolCall
from openfeature_gov.controls.recording import HEALTHY
from openfeature_gov.evidence.erasure import Subject, erase
from openfeature_gov.evidence.records import Record, note_record, parted_record
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.stores import (
    footing,
    forking,
    history,
    leases,
    queries,
    questions,
    sealed,
    statements,
    write_ahead,
    writing,
)
from openfeature_gov.stores.leases import Turn
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import shown
from openfeature_gov.stores.schema import SETTINGS, connect
from openfeature_gov.stores.sqlite import SqliteStore
from tests.conftest import CONTEXT, Make, contract_yaml
from tests.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "records.db")
    yield made
    made.close()


def note(store: SqliteStore, **facts: Any) -> Record:
    return note_record(store.stamp(), "note", **facts)


def kinds(path: Path) -> list[str]:
    return [record["kind"] for record in history.records(path)]


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


def fill(store: SqliteStore) -> None:
    """Let the database grow no further: SQLite then answers SQLITE_FULL."""
    assert store._connection is not None
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")


BIG = "x" * 200_000


def test_failing_store_lowers_authority(desk: Make) -> None:
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


def test_commit_that_fails_denies_and_nothing_runs(desk: Make) -> None:
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


def test_runs_and_what_belongs_together(desk: Make) -> None:
    """A task's calls are summed by effect, and a record is found with its outcome."""
    one = desk(contract_yaml("pay"))
    one.governor.tool("pay")(one.spy)
    outcome = one.governor.run(ToolCall("pay", {}, CONTEXT))
    one.set(mode="off")
    one.governor.run(ToolCall("pay", {}, CONTEXT))
    one.governor.close()
    with opened(one.records) as log:
        (run,) = questions.runs(log, limit=5)
    assert (run.task, run.calls) == ("task-1", 2)
    assert run.effects == {"allow": 1, "deny": 1}
    found = queries.related(one.records, outcome.record_id)
    assert [r["kind"] for r in found] == ["decision", "outcome"]
    assert [r["kind"] for r in history.records(one.records, task="task-1")] == [
        "decision",
        "outcome",
        "decision",
    ]


def test_the_write_ahead_log_is_begun_anew_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record a batch fills it with many pages: it stays as small as it may be."""
    monkeypatch.setattr(write_ahead, "CHECKPOINT_PAGES", 100)
    store = SqliteStore(tmp_path / "records.db", sealing=None)
    for _ in range(200):
        store.commit(note(store))
    size = (tmp_path / "records.db-wal").stat().st_size
    store.close()
    assert 200_000 < size < 1_000_000


def test_many_short_stores_begin_the_write_ahead_log_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside one that stays open and idle, none of them writes enough for that."""
    monkeypatch.setattr(write_ahead, "CHECKPOINT_PAGES", 100)
    path = tmp_path / "records.db"
    with closing(SqliteStore(path, sealing=None)):
        for _ in range(30):
            SqliteStore(path, sealing=None).close()
        pages = (tmp_path / "records.db-wal").stat().st_size // write_ahead.PAGE
    assert pages < 200


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
    """A checkpoint that fails is a fault of the store, not of the records before it.

    Who waited for one of them hears of it once, and not that it failed after all.
    """
    monkeypatch.setattr(writing, "RETRY_S", 0.02)
    store = Stumbling(tmp_path / "records.db")
    store.stumbles = True
    heard: list[Exception | None] = []
    store._put(note(store), heard.append)
    until(lambda: store.health() != HEALTHY)
    store.stumbles = False
    store.commit(note(store))
    until(lambda: store.health() == HEALTHY)
    store.close()
    assert heard == [None]
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
    until(lambda: store.health() == HEALTHY)


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


def test_a_place_for_checkpoints_that_is_gone_is_told(tmp_path: Path) -> None:
    """Records go on; the store says since when none could be published."""
    vault = tmp_path / "vault"
    vault.mkdir()
    sealing = Sealing(every=1, key=tmp_path / "key", checkpoints=vault / "points")
    store = SqliteStore(tmp_path / "records.db", sealing=sealing)
    try:
        store.commit(note_record(store.stamp(), "mark"))
        assert store.health().unsealed_ns == 0
        vault.rename(tmp_path / "moved")
        deadline = time.monotonic() + 20
        while not store.health().unsealed_ns:
            assert time.monotonic() < deadline
            store.commit(note_record(store.stamp(), "mark"))
        assert store.health().failing_ns == 0
        (tmp_path / "moved").rename(vault)
        while store.health().unsealed_ns:
            assert time.monotonic() < deadline
            store.commit(note_record(store.stamp(), "mark"))
    finally:
        store.close()


def test_forks_under_load_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads append while children are made, who outlive what the parent opened."""
    monkeypatch.setattr(forking, "FORK_WAIT_S", 60)
    sealing = Sealing(every=50, seconds=0.05)
    store = SqliteStore(tmp_path / "records.db", sealing=sealing)
    stop = threading.Event()
    kept: list[str] = []

    def load(name: int) -> None:
        number = 0
        while not stop.is_set():
            record = note_record(store.stamp(), "note", side=f"{name}-{number}")
            store.commit(record)
            kept.append(record.id)
            number += 1

    threads = [threading.Thread(target=load, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    codes, last = [], 0
    closed_read, closed_write = os.pipe()
    for number in range(12):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(closed_write)
                store.commit(note_record(store.stamp(), "note", side="child"))
                if number == 11:
                    os.read(closed_read, 1)  # until the parent has closed its store
                    store.commit(note_record(store.stamp(), "note", side="late"))
                    store.close()
                code = 0
            finally:
                os._exit(code)
        if number == 11:
            last = child
        else:
            codes.append(os.waitpid(child, 0)[1])
    stop.set()
    for thread in threads:
        thread.join()
    store.close()
    os.close(closed_write)
    codes.append(os.waitpid(last, 0)[1])
    os.close(closed_read)
    assert codes == [0] * 12
    with closing(sqlite3.connect(tmp_path / "records.db")) as file:
        found = {one for (one,) in file.execute("SELECT id FROM records")}
        sides = [
            orjson.loads(body).get("side")
            for (body,) in file.execute("SELECT body FROM records")
        ]
    assert found.issuperset(kept)
    assert sides.count("child") == 12
    assert sides.count("late") == 1


def test_an_open_that_fails_leaves_no_descriptor(tmp_path: Path) -> None:
    """Or one that is tried again and again would use them all up."""
    (tmp_path / "records.db.writers").write_text("")  # no lease can be made here
    open_ones: list[int] = []
    for _ in range(4):
        with pytest.raises(RecordStoreError):
            SqliteStore(tmp_path / "records.db")
        open_ones.append(len([*Path("/proc/self/fd").iterdir()]))
    assert len(set(open_ones)) == 1


def test_a_child_that_cannot_open_the_log_tries_again(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    store = SqliteStore(path)
    away = tmp_path / "away"
    (tmp_path / "records.db.writers").rename(away)
    (tmp_path / "records.db.writers").write_text("")  # no lease can be made here
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert store.health() is not HEALTHY
            with pytest.raises(RecordStoreError):
                store.commit(note_record(store.stamp(), "note", side="lost"))
            (tmp_path / "records.db.writers").unlink()
            away.rename(tmp_path / "records.db.writers")
            deadline = time.monotonic() + 30
            while store.health() is not HEALTHY or store.sealer is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            store.commit(note_record(store.stamp(), "note", side="child"))
            store.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    store.close()
    with closing(sqlite3.connect(path)) as file:
        bodies = [
            orjson.loads(body)
            for (body,) in file.execute("SELECT body FROM records WHERE kind='note'")
        ]
    assert [one["side"] for one in bodies] == ["lost", "child"]


def test_a_trigger_that_swallows_records_is_a_failure(tmp_path: Path) -> None:
    """Nothing is acknowledged that is not there; it is written once that is over."""
    path = tmp_path / "records.db"
    store = SqliteStore(path)
    with closing(sqlite3.connect(path)) as file:
        file.execute(
            "CREATE TRIGGER away BEFORE INSERT ON Records WHEN NEW.kind = 'note'"
            " BEGIN SELECT RAISE(IGNORE); END"
        )
    with pytest.raises(RecordStoreError, match="0 of 1 records were inserted"):
        store.commit(note(store))
    assert store.health() is not HEALTHY
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TRIGGER away")
    store.flush()
    store.close()
    assert kinds(path).count("note") == 1


def test_a_trigger_that_swallows_some_of_a_batch_is_a_failure(tmp_path: Path) -> None:
    """However often it is tried, nothing is lost, written twice, or called unfit."""
    path = tmp_path / "records.db"
    store = SqliteStore(path, sealing=None)
    with closing(sqlite3.connect(path)) as file:
        file.execute(
            "CREATE TRIGGER away BEFORE INSERT ON records WHEN NEW.id LIKE '%3'"
            " BEGIN SELECT RAISE(IGNORE); END"
        )
    failures: list[Exception | None] = []
    records = [note(store)._replace(id=f"n-{number}") for number in range(5)]
    store._backlog._items.extend((record, failures.append) for record in records)
    store._backlog.hurry()
    until(lambda: len(failures) == 5)
    assert all("4 of 5 records were inserted" in str(one) for one in failures)
    until(lambda: len(store._kept) == 4)  # found by the next try
    assert store.health() is not HEALTHY
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TRIGGER away")
    store.flush()
    store.close()
    assert kinds(path) == ["start", *["note"] * 5, "mark", "stop"]
    assert not store._kept


def removed(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def folder_gone(path: Path) -> None:
    path.parent.rename(path.parent.with_name("gone"))


@pytest.mark.parametrize(
    ("harm", "suffix"),
    [
        *(
            (one, suffix)
            for one in (removed, moved, replaced)
            for suffix in ("", "-wal")
        ),
        (emptied, ""),
        (folder_gone, ""),
    ],
)
def test_a_record_that_nobody_would_find_is_not_durable(
    tmp_path: Path,
    harm: Callable[[Path], None],
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SQLite would go on writing into a file without a name, and see nothing wrong."""
    monkeypatch.setattr(footing, "EVERY_NS", 0)
    folder = tmp_path / "log"
    path = folder / "records.db"
    store = SqliteStore(path, sealing=None)
    store.commit(note(store))
    harm(Path(f"{path}{suffix}"))
    with pytest.raises(RecordStoreError, match="removed, moved, replaced or emptied"):
        store.commit(note(store))
    assert store.health().failing_ns > 0
    with suppress(RecordStoreError):
        store.close()


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (statements.OPEN_WRITERS, ()),
        (statements.ORPHANS, ("a",)),
        (sealed.TOLD, ()),
        (sealed.UNSEALED, (0,)),
    ],
)
def test_opening_and_closing_read_no_record_that_is_settled(
    tmp_path: Path, query: str, values: tuple[object, ...]
) -> None:
    """A long log opens as fast as a short one: each question goes by an index."""
    path = tmp_path / "records.db"
    SqliteStore(path, sealing=None).close()
    with closing(sqlite3.connect(path)) as file:
        plan = file.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
    assert not [step for *_, step in plan if step.startswith("SCAN")]


def test_a_busy_writer_looks_every_moment(tmp_path: Path) -> None:
    """However often records come, it is not long until it sees that the file went."""
    assert 0 < footing.EVERY_NS <= 100_000_000
    moments = [10**9]
    path = tmp_path / "records.db"
    store = SqliteStore(path, sealing=None, clock=lambda: moments[0])
    store.commit(note(store))
    path.unlink()
    moments[0] += footing.EVERY_NS - 1
    store.commit(note(store))
    moments[0] += 1
    with pytest.raises(RecordStoreError, match="was removed"):
        store.commit(note(store))
    with suppress(RecordStoreError):
        store.close()


def test_what_is_put_back_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written anywhere else meanwhile, nor twice."""
    monkeypatch.setattr(footing, "EVERY_NS", 0)
    monkeypatch.setattr(writing, "RETRY_S", 0.02)
    path, away = tmp_path / "records.db", tmp_path / "away"
    store = SqliteStore(path, sealing=None)
    store.commit(note(store))
    path.rename(away)
    tries, failed = [0], store._failed

    def counted(*given: Any) -> None:
        tries[0] += 1
        failed(*given)

    monkeypatch.setattr(store, "_failed", counted)
    with pytest.raises(RecordStoreError, match="was removed, moved"):
        store.commit(note(store))
    until(lambda: tries[0] > 2)
    assert not path.exists()
    away.rename(path)
    until(lambda: store.health() == HEALTHY)
    store.commit(note(store))
    store.close()
    assert kinds(path) == ["start", "note", "note", "note", "stop"]


def test_what_can_be_written_but_not_read_is_failing(tmp_path: Path) -> None:
    """The writer never looks at what is behind it; what seals the log does."""
    path = tmp_path / "records.db"
    with closing(SqliteStore(path)) as first:
        for number in range(200):
            first.append(note(first, text=f"page {number} " + "x" * 500))
    whole = bytearray(path.read_bytes())
    old = whole.index(b"page 100 ") // write_ahead.PAGE * write_ahead.PAGE
    whole[old : old + write_ahead.PAGE] = b"?" * write_ahead.PAGE
    path.write_bytes(whole)
    store = SqliteStore(path)
    until(lambda: store.health().failing_ns > 0)
    assert store._failing_since is None
    store.commit(note(store))
    assert store.health().failing_ns > 0
    store.close()


def test_the_files_of_a_log_are_their_owners_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the umask; a file that others can reach is told, and left."""
    old = os.umask(0)
    try:
        store = SqliteStore(tmp_path / "records.db", sealing=None)
        store.flush()
        found = {
            one.name: one.stat().st_mode & 0o777
            for one in tmp_path.iterdir()
            if one.is_file()
        }
        store.close()
    finally:
        os.umask(old)
    assert set(found.values()) == {0o600}
    assert {"records.db", "records.db-wal", "records.db-shm"} <= found.keys()
    assert caplog.records == []
    (tmp_path / "records.db").chmod(0o644)
    SqliteStore(tmp_path / "records.db", sealing=None).close()
    assert "mode 0644" in caplog.text


def test_an_erasure_reaches_what_still_waits(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "records.db", sealing=None)
    try:
        part = {"user": "user-9"}
        record = parted_record(store.stamp(), "approval", None, part, salt="5" * 32)
        store.append(record)
        gone = erase(store, Subject("user", "user-9"), actor="dpo", reason="art 17")
    finally:
        store.close()
    assert gone.records == (record.id,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("postgresql://u:S3CRET@h:5433/db", "postgresql://h:5433/db"),
        ("postgresql://u@h/db?password=S3CRET", "postgresql://h:5432/db"),
        ("postgresql:///db?host=/run&password=S3CRET@x", "postgresql://local:5432/db"),
        ("postgresql://u:S3CRET@h:port/db", "the PostgreSQL URL that was given"),
        ("folder/records.db", "folder/records.db"),
    ],
)
def test_no_password_is_in_what_is_said_of_a_log(given: str, said: str) -> None:
    assert shown(given) == said

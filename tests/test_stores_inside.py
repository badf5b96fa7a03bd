"""Forks and SQLite: nobody is inside when a child is made, or it keeps no records."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from openfeature_gov.controls.recording import HEALTHY
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import note_record
from openfeature_gov.stores import forking, history
from openfeature_gov.stores import inside as subject
from openfeature_gov.stores.erasing import erase
from openfeature_gov.stores.inside import inside
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.sqlite import SqliteStore
from tests.interrupting import interrupted
from tests.waiting import until

UNFIT = "this process has no records: it was forked while"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """Provide a record file of this process, for whose rest a fork waits long."""
    monkeypatch.setattr(forking, "FORK_WAIT_S", 60)
    with closing(SqliteStore(tmp_path / "records.db")) as made:
        yield made


def write(store: SqliteStore) -> None:
    store.commit(note_record(store.stamp(), "note", side=str(os.getpid())))


def sides(store: SqliteStore) -> list[str]:
    return [one["side"] for one in history.records(store.path, kind="note")]


def forked(work: Callable[[], None]) -> int:
    """Fork, let the child do *work* and end; return its exit status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def refused(store: SqliteStore) -> None:
    """Hold that this process keeps no records and reads none."""
    assert store.health() is not HEALTHY
    for use in (write, sides):
        with pytest.raises(RecordStoreError, match=UNFIT):
            use(store)
    with pytest.raises(RecordStoreError, match=UNFIT):
        erase(store.path, [])
    with pytest.raises(RecordStoreError, match=UNFIT):
        SqliteStore(store.path)
    with pytest.raises(RecordStoreError, match=UNFIT), opened(store.path):
        pass


@contextmanager
def read_elsewhere(store: SqliteStore) -> Iterator[threading.Event]:
    """Let another thread read for the block, or until the event."""
    begun, over = threading.Event(), threading.Event()

    def read() -> None:
        with history.reading(store.path):
            begun.set()
            over.wait(60)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert begun.wait(60)
        yield over
    finally:
        over.set()
        thread.join()


def test_a_fork_waits_for_who_reads(store: SqliteStore) -> None:
    """Records are written on until he has read; then the child is as any other."""
    with read_elsewhere(store) as over:

        def go_on() -> None:
            until(lambda: inside._forker is not None)
            write(store)
            over.set()

        writer = threading.Thread(target=go_on)
        writer.start()
        assert forked(lambda: write(store)) == 0
        writer.join()
    assert len(sides(store)) == 2


def test_a_reader_waits_for_a_fork(store: SqliteStore) -> None:
    """He gets in once it is over, not before."""
    seen: list[bool] = []

    class Slow:
        def before_fork(self, wait_s: float) -> bool:
            reader.start()
            reader.join(0.05)
            seen.append(reader.is_alive())
            return True

        def after_fork_in_parent(self) -> None:
            seen.append(reader.is_alive())

        def after_fork(self) -> None:
            """Have nothing to do."""

    reader = threading.Thread(target=sides, args=(store,))
    slow = Slow()
    forking.watch(slow)
    assert forked(lambda: write(store)) == 0
    reader.join()
    assert seen == [True, True]


def test_a_child_made_while_one_reads_keeps_no_records(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent goes on, and its next child is as any other."""
    with read_elsewhere(store):
        with monkeypatch.context() as patched:
            patched.setattr(forking, "FORK_WAIT_S", 0.05)
            assert forked(lambda: refused(store)) == 0
        write(store)
    assert forked(lambda: write(store)) == 0
    assert len(sides(store)) == 2


def test_a_child_of_who_reads_keeps_no_records(store: SqliteStore) -> None:
    """Nobody waits for himself; a grandchild is no better."""

    def child() -> None:
        refused(store)
        assert forked(lambda: refused(store)) == 0

    with history.reading(store.path), history.reading(store.path):
        assert forked(child) == 0
        write(store)
    assert forked(lambda: write(store)) == 0


def test_a_child_whose_store_did_not_rest_keeps_no_records(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "FORK_WAIT_S", 0.05)
    taken, over = threading.Event(), threading.Event()

    def hang() -> None:
        with store._turns.taken():
            taken.set()
            over.wait(60)

    thread = threading.Thread(target=hang)
    thread.start()
    assert taken.wait(60)
    assert forked(lambda: refused(store)) == 0
    over.set()
    thread.join()
    write(store)


def test_a_child_in_which_sqlite_hangs_keeps_no_records(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not hold the log while it learns that, nor after."""
    monkeypatch.setattr(subject, "PROOF_S", 0.05)
    monkeypatch.setattr(subject, "_ask", lambda path: threading.Event().wait())
    reads, writes = os.pipe()

    def child() -> None:
        refused(store)
        os.write(writes, b".")
        signal.pause()

    made = os.fork()
    if not made:
        try:
            child()
        finally:
            os._exit(1)
    try:
        os.close(writes)
        assert os.read(reads, 1) == b"."
        write(store)
    finally:
        os.kill(made, signal.SIGKILL)
        os.waitpid(made, 0)
        os.close(reads)


def test_a_log_that_is_gone_is_no_proof_against_sqlite(tmp_path: Path) -> None:
    inside.prove(tmp_path / "gone.db")
    assert not inside.unfit
    assert not [*tmp_path.iterdir()]


def test_threads_fork_at_once(store: SqliteStore) -> None:
    """No fork ends the rest of another; all children write, and the parent does."""
    codes: list[int] = []

    def fork() -> None:
        codes.extend(forked(lambda: write(store)) for _ in range(4))

    threads = [threading.Thread(target=fork) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    write(store)
    assert codes == [0] * 12
    assert len(sides(store)) == 13


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_fork_whose_rest_is_interrupted(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    """Python forks all the same: the child keeps no records, the parent goes on."""
    rest = store.before_fork

    def interrupted(wait_s: float) -> bool:
        if late:
            rest(wait_s)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store, "before_fork", interrupted)
        assert forked(lambda: refused(store)) == 0
    write(store)
    assert forked(lambda: write(store)) == 0
    assert len(sides(store)) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_fork_whose_rest_never_began(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler may raise before anything: that others rested before is no excuse."""
    assert forked(lambda: write(store)) == 0

    class Interrupted:
        def acquire(self, timeout: float) -> bool:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(forking._forks, "_one", Interrupted())
        assert forked(lambda: refused(store)) == 0
    write(store)
    assert forked(lambda: write(store)) == 0
    assert len(sides(store)) == 3


def test_who_cannot_wait_for_another_fork_makes_a_child_without_records(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what the other one brought to rest stays so."""
    forking._forks.rest()
    codes: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(forking, "FORK_WAIT_S", 0.02)
        thread = threading.Thread(
            target=lambda: codes.append(forked(lambda: refused(store)))
        )
        thread.start()
        thread.join()
    assert store._turns._forking
    forking._forks.go_on()
    write(store)
    assert codes == [0]


def test_forks_while_threads_read_and_others_open(store: SqliteStore) -> None:
    """No child hangs, and none is refused: whoever is inside comes out soon."""
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            history.records(store.path)

    def open_and_close() -> None:
        while not over.is_set():
            SqliteStore(store.path.with_name("other.db")).close()

    threads = [threading.Thread(target=work) for work in (read, read, open_and_close)]
    for thread in threads:
        thread.start()
    try:
        codes = [forked(lambda: write(store)) for _ in range(25)]
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert codes == [0] * 25
    assert len(sides(store)) == 25


def test_who_reads_another_database_does_not_stop_the_parent(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that got SQLite in pieces says so, all others write."""
    monkeypatch.setattr(subject, "PROOF_S", 0.3)
    over = threading.Event()

    def work() -> None:
        with closing(sqlite3.connect(":memory:")) as database:
            while not over.is_set():
                database.execute("SELECT zeroblob(1000), randomblob(9)").fetchall()

    def child() -> None:
        if inside.unfit:
            refused(store)
        else:
            write(store)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert forked(child) == 0
            write(store)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert sides(store).count(str(os.getpid())) == 10


def test_an_interrupt_leaves_nobody_inside_and_nobody_waiting() -> None:
    """A handler may raise between any two steps, even of taking a lock."""

    def visit() -> None:
        with inside.held():
            pass

    def another_visits(turn: int) -> None:
        reading = threading.Thread(target=visit, daemon=True)
        reading.start()
        reading.join(30)
        assert not reading.is_alive(), f"nobody reads after {turn} interrupts"

    interrupted(visit, another_visits)
    assert inside.rest(0)
    inside.go_on()

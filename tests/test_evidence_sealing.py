"""The Sealer: everything is sealed in time, and what was altered is found and said."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from inspect import signature
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov import RecordStoreError
from openfeature_gov.evidence import bundles, keys, sealing
from openfeature_gov.evidence.merkle import Frontier, Tree, leaf_hash
from openfeature_gov.evidence.notes import (
    Checkpoint,
    Verifier,
    link,
    open_checkpoint,
    parse_vkey,
    sign,
)
from openfeature_gov.evidence.published import Published, notes
from openfeature_gov.evidence.records import note_record
from openfeature_gov.evidence.sealed import AlteredError
from openfeature_gov.evidence.sealed import resumed as sealed_resumed
from openfeature_gov.evidence.sealing import Sealer, Sealing
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.stores import history, sealed, sqlite
from openfeature_gov.stores.sealed import SqliteLog
from openfeature_gov.stores.sqlite import SqliteStore

NEVER = Sealing(every=1_000_000, seconds=3600)
"""Seals nothing by itself: a test says when."""
BODIES = "SELECT body FROM records ORDER BY seq"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def log(path: Path) -> Path:
    """A log of three sealed runs of ten records each."""
    for _ in range(3):
        with opened(path) as store:
            add(store, 10)
    return path


class opened:  # noqa: N801 - reads as a function
    """Open the store at *path* for a block."""

    def __init__(self, path: Path, how: Sealing | None = NEVER, **options: Any) -> None:
        self.store = SqliteStore(path, sealing=how, **options)

    def __enter__(self) -> SqliteStore:
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


def add(store: SqliteStore, count: int = 1) -> None:
    for number in range(count):
        store.append(note_record(store.stamp(), "note", number=number))
    store.flush()


def seal(store: SqliteStore) -> None:
    assert store.sealer is not None
    store.sealer.seal()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "condition never held"
        time.sleep(0.01)


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def alter(path: Path, *statements: str) -> None:
    """Do to the file what someone with write access can."""
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def size(path: Path) -> int:
    return int(rows(path, "SELECT count(*) FROM records")[0][0])


def sizes(path: Path) -> list[int]:
    """Return what the checkpoints cover, but the first one over nothing."""
    query = "SELECT size FROM checkpoints WHERE size > 0 ORDER BY number"
    return [one for (one,) in rows(path, query)]


def findings(path: Path) -> list[str]:
    return [str(one["finding"]) for one in history.records(path, kind="tamper")]


def public(path: Path) -> Verifier:
    return keys.read_key(sealed.key_file(path)).verifier


def sound(path: Path, pinned: Verifier | None = None) -> list[tuple[str, int]]:
    """Require that every published checkpoint is right; return origins and sizes.

    The first, over nothing, is left out.
    """
    tree = Tree([leaf_hash(one) for (one,) in rows(path, BODIES)])
    held = list(notes(sealed.checkpoint_file(path)))
    made = [open_checkpoint(note, [pinned or public(path)]) for note in held]
    before = ""
    for number, (note, one) in enumerate(zip(held, made, strict=True), 1):
        assert one.root == tree.root(one.size)
        assert (one.number, one.before) == (number, link(before))
        before = note
    return [(one.origin, one.size) for one in made if one.size]


def test_close_seals_everything(path: Path) -> None:
    """The last checkpoint of a clean end covers the stop record too, and is right."""
    with opened(path) as store:
        add(store, 5)
    ((origin, covered),) = sound(path)
    assert covered == size(path)
    assert origin == f"{public(path).name}/{store.writer}"
    assert sizes(path) == [covered]


def test_next_opening_goes_on_with_the_tree(log: Path) -> None:
    """Three runs are one tree under one origin, and nothing was found."""
    found = sound(log)
    assert len(found) == 3
    assert len({origin for origin, _ in found}) == 1
    assert [one for _, one in found] == sorted(sizes(log))
    assert findings(log) == []


def test_checkpoint_comes_after_so_many_records(path: Path) -> None:
    """The count alone makes one due."""
    with opened(path, Sealing(every=20, seconds=3600)) as store:
        add(store, 19)
        wait_for(lambda: sizes(path) != [])
        assert sizes(path)[0] >= 20
    sound(path)


def test_checkpoint_comes_after_so_many_seconds(path: Path) -> None:
    """Time alone makes one due, over everything, also when nothing else happens."""
    with opened(path, Sealing(every=1_000_000, seconds=0.05)) as store:
        wait_for(lambda: sizes(path)[-1:] == [1])
        add(store)
        wait_for(lambda: sizes(path)[-1:] == [3])
    sound(path)


def test_nothing_new_needs_no_checkpoint(path: Path) -> None:
    """Sealing again without a record makes no second one."""
    with opened(path) as store:
        add(store)
        seal(store)
        seal(store)
        assert len(sizes(path)) == 1


def test_unsealed_store_makes_nothing(path: Path) -> None:
    """Without sealing there is neither key nor checkpoint."""
    with closing(SqliteStore(path, sealing=None)) as store:
        add(store)
        assert store.sealer is None
    assert sizes(path) == []
    assert not sealed.key_file(path).exists()
    assert not sealed.checkpoint_file(path).exists()


def test_key_and_checkpoints_go_where_they_are_told(tmp_path: Path) -> None:
    """Other places than beside the file, for an adversary who owns the file."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    how = NEVER._replace(key=place / "key", checkpoints=place / "notes")
    with opened(tmp_path / "records.db", how):
        pass
    first, note = notes(place / "notes")
    assert open_checkpoint(first, [keys.read_key(place / "key").verifier]).size == 0
    open_checkpoint(note, [keys.read_key(place / "key").verifier])
    assert not sealed.key_file(tmp_path / "records.db").exists()


def test_key_of_your_own_signs(path: Path) -> None:
    """A signer that is no file, such as a KMS, is asked for each checkpoint."""
    held = keys.generate("kms.example/log")
    asked: list[bytes] = []

    class Kms:
        vkey = held.vkey

        def sign(self, message: bytes) -> bytes:
            asked.append(message)
            return held.sign(message)

    with opened(path, NEVER._replace(key=Kms)) as store:
        add(store)
    assert sound(path, held.verifier) == [
        (f"kms.example/log/{store.writer}", size(path))
    ]
    assert len(asked) == 2


def test_log_that_is_sealed_elsewhere_gets_no_foreign_key(
    log: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has not its key writes and does not seal; the owner seals that later."""
    key = sealed.key_file(log)
    away = key.rename(tmp_path / "vault.key")
    before = rows(log, "SELECT count(*) FROM checkpoints")
    for how in (Sealing(), Sealing(key=tmp_path / "none" / "gov.key")):
        with opened(log, how) as store:
            add(store)
            assert store.sealer is None
            assert store.health().unsealed_ns > 0
    assert not key.exists()
    assert rows(log, "SELECT count(*) FROM checkpoints") == before
    assert findings(log) == []
    assert [one.levelname for one in caplog.records] == ["WARNING"] * 2
    with opened(log, NEVER._replace(key=away)) as store:
        add(store)
    away.rename(key)
    assert findings(log) == []
    assert sound(log)[-1][1] == size(log)


def test_key_that_others_can_read_refuses_the_opening(log: Path) -> None:
    """The store does not start with a key that proves nothing, and holds nothing."""
    sealed.key_file(log).chmod(0o644)
    with pytest.raises(RecordStoreError, match="chmod 600"):
        SqliteStore(log)
    sealed.key_file(log).chmod(0o600)
    with opened(log):
        pass
    assert findings(log) == []


def edit(path: Path) -> None:
    body = "replace(CAST(body AS TEXT), '\"number\":3', '\"number\":4')"
    alter(path, f"UPDATE records SET body = CAST({body} AS BLOB) WHERE seq = 5")


def swap(path: Path) -> None:
    alter(
        path,
        "UPDATE records SET seq = -1 WHERE seq = 5",
        "UPDATE records SET seq = 5 WHERE seq = 6",
        "UPDATE records SET seq = 6 WHERE seq = -1",
    )


def insert(path: Path) -> None:
    alter(
        path,
        "UPDATE records SET seq = seq + 1000 WHERE seq > 5",
        "INSERT INTO records (seq, id, kind, at_us, writer, executes, body)"
        " VALUES (6, 'x', 'note', 1, 'w', 0, x'7b7d')",
        "UPDATE records SET seq = seq - 999 WHERE seq > 1000",
    )


def wipe(path: Path) -> None:
    alter(path, "DELETE FROM records", "DELETE FROM checkpoints")


def older(path: Path) -> None:
    """Put a copy from before the last run in the place of the file."""
    copy = path.with_name("copy")
    copyfile(path, copy)
    with opened(path) as store:
        add(store, 5)
    alter(path)  # folds the WAL into the file
    copyfile(copy, path)


def unsealed_table(path: Path) -> None:
    alter(path, "DELETE FROM checkpoints")


def typeless(path: Path) -> None:
    """Store what is no blob, as only another schema allows."""
    looser = "replace(replace(sql, 'body BLOB NOT NULL', 'body'), ') STRICT', ')')"
    alter(
        path,
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_schema SET sql = {looser} WHERE name = 'records'",
    )
    alter(
        path,
        "UPDATE records SET body = NULL WHERE seq = 3",
        "UPDATE records SET body = 'text' WHERE seq = 4",
    )


def forged(path: Path) -> keys.FileSigner:
    """Seal an edited log with another key, as one who has only the database can."""
    edit(path)
    key = keys.generate(public(path).name)
    (origin,) = {one for (one,) in rows(path, "SELECT origin FROM checkpoints")}
    count = size(path)
    grown = Frontier()
    for (one,) in rows(path, BODIES):
        grown.append(leaf_hash(one))
    note = sign(Checkpoint(origin, count, grown.root()).text(), key)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO checkpoints VALUES (9, ?, ?, ?, ?, ?, 1)",
            (origin, count + 1, count, grown.to_bytes(), note),
        )
        connection.commit()
    return key


def rotated(path: Path) -> None:
    """Let the foreign key name a successor, as if it had ever been the log's."""
    key = forged(path)
    note = keys.rotation(key, keys.generate(key.verifier.name))
    body = json.dumps({"old": key.vkey, "note": note}).encode()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO records (id, kind, at_us, writer, executes, body)"
            " VALUES ('x', 'key_rotation', 1, 'w', 0, ?)",
            (body,),
        )
        connection.commit()


ALTERATIONS: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "a record edited": (edit, {"edited"}),
    "two records swapped": (swap, {"edited"}),
    "a record inserted": (insert, {"edited"}),
    "a record deleted": (
        lambda path: alter(path, "DELETE FROM records WHERE seq = 5"),
        {"edited", "truncated"},
    ),
    "many records deleted": (
        lambda path: alter(path, "DELETE FROM records WHERE seq BETWEEN 5 AND 30"),
        {"truncated"},
    ),
    "the tail deleted": (
        lambda path: alter(path, "DELETE FROM records WHERE seq > 20"),
        {"truncated"},
    ),
    "the last record deleted": (
        lambda path: alter(
            path, "DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)"
        ),
        {"edited", "truncated"},
    ),
    "all records deleted": (
        lambda path: alter(path, "DELETE FROM records"),
        {"truncated"},
    ),
    "everything deleted": (wipe, {"rolled_back"}),
    "the database gone": (lambda path: path.unlink(), {"rolled_back"}),
    "an older copy": (older, {"rolled_back"}),
    "checkpoints deleted": (unsealed_table, {"rolled_back"}),
    "the last checkpoint deleted": (
        lambda path: alter(path, "DELETE FROM checkpoints WHERE number = 4"),
        {"rolled_back"},
    ),
    "a checkpoint's size edited": (
        lambda path: alter(path, "UPDATE checkpoints SET size = 5 WHERE number = 4"),
        {"checkpoint"},
    ),
    "a checkpoint's reach edited": (
        lambda path: alter(
            path, "UPDATE checkpoints SET last_seq = 2 WHERE number = 4"
        ),
        {"edited"},
    ),
    "a checkpoint's frontier edited": (
        lambda path: alter(
            path, "UPDATE checkpoints SET frontier = zeroblob(8) WHERE number = 4"
        ),
        {"checkpoint"},
    ),
    "a frontier of other hashes": (
        lambda path: alter(
            path,
            "UPDATE checkpoints SET frontier = CAST(substr(frontier, 1, 8)"
            " || zeroblob(length(frontier) - 8) AS BLOB) WHERE number = 4",
        ),
        {"checkpoint"},
    ),
    "a checkpoint's origin edited": (
        lambda path: alter(
            path, "UPDATE checkpoints SET origin = 'x' WHERE number = 4"
        ),
        {"checkpoint"},
    ),
    "a frontier of another size": (
        lambda path: alter(
            path,
            "UPDATE checkpoints SET frontier = CAST(x'000000000000002d'"
            " || substr(frontier, 9) AS BLOB) WHERE number = 4",
        ),
        {"checkpoint"},
    ),
    "a frontier of nonsense": (
        lambda path: alter(
            path, "UPDATE checkpoints SET frontier = x'00' WHERE number = 4"
        ),
        {"checkpoint"},
    ),
    "a note of nonsense": (
        lambda path: alter(
            path,
            "INSERT INTO checkpoints VALUES (9, 'o', 9, 9, x'00', 'nonsense', 1)",
        ),
        {"key"},
    ),
    "a checkpoint of a foreign key": (forged, {"key"}),
    "a foreign key with a rotation of its own": (rotated, {"key"}),
    "bodies that are no bytes": (typeless, {"edited"}),
    "published file gone": (
        lambda path: sealed.checkpoint_file(path).unlink(),
        {"published"},
    ),
    "published file emptied": (
        lambda path: sealed.checkpoint_file(path).write_bytes(b""),
        {"published"},
    ),
    "published file of nonsense": (
        lambda path: sealed.checkpoint_file(path).write_bytes(b"nonsense\n"),
        {"published"},
    ),
    "published by another log": (
        lambda path: sealed.checkpoint_file(path).write_text('{"note": "other"}\n'),
        {"rolled_back"},
    ),
    "key swapped": (
        lambda path: keys.store(
            sealed.key_file(path), keys.generate(public(path).name), replace=True
        ),
        {"key"},
    ),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_alteration_is_found_at_opening(
    log: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is on record, said loudly, and begins a new tree; decisions go on."""
    (before,) = {origin for origin, _ in sound(log)}
    change, expected = ALTERATIONS[name]
    change(log)
    with opened(log) as store:
        add(store)
    assert len(findings(log)) == 1
    assert set(findings(log)) <= expected
    assert [one.levelname for one in caplog.records] == ["CRITICAL"]
    assert f"altered: {findings(log)[0]}" in caplog.text
    (body,) = history.records(log, kind="tamper")
    last = rows(log, "SELECT origin FROM checkpoints ORDER BY number")[-1][0]
    assert body["begins"] == last != before
    assert sizes(log)[-1] == size(log)
    note = Published(sealed.checkpoint_file(log)).last()
    assert note is not None
    assert open_checkpoint(note, [public(log)])[:2] == (last, size(log))
    caplog.clear()
    with opened(log) as store:
        add(store)
    assert len(findings(log)) == 1, "found again, although a new tree began"
    assert caplog.records == []


def test_sealed_records_are_read_again_before_the_next_seal(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for a checkpoint at once gets it behind the finding."""
    monkeypatch.setattr(Sealer, "_check_first", lambda _: None)
    edit(log)
    with opened(log) as store:
        seal(store)
        assert findings(log) == ["edited"]


def test_no_checkpoint_is_published_twice(log: Path) -> None:
    """Behind what a lost database had published comes only the new tree."""
    older(log)
    file = sealed.checkpoint_file(log)
    before = list(notes(file))
    with opened(log) as store:
        add(store)
    after = list(notes(file))
    assert after[:-1] == before
    made = open_checkpoint(after[-1], [public(log)])
    assert made.origin.endswith(f"/{store.writer}")


def test_finding_is_on_record_once_the_store_is_open(log: Path) -> None:
    """Whoever decides next decides behind it."""
    alter(log, "DELETE FROM records WHERE seq > 20")
    with opened(log):
        assert findings(log) == ["truncated"]


def test_long_log_is_read_again_in_the_background(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too long to be read at once is still read, and the edit found."""
    monkeypatch.setattr(sealing, "EAGER", 0)
    edit(log)
    with opened(log):
        wait_for(lambda: findings(log) == ["edited"])


def test_edit_of_the_unsealed_tail_is_a_window_that_is_told(path: Path) -> None:
    """Records that no checkpoint covered when a writer died are counted on record."""
    with opened(path) as store:
        add(store)
        seal(store)
        add(store, 4)
        end_unsealed(store)
    with opened(path):
        pass
    (told,) = history.records(path, kind="unsealed")
    assert (told["records"], told["sealed"]) == (6, 3)
    assert findings(path) == []


def test_crash_between_storing_and_publishing_is_no_finding(path: Path) -> None:
    """The first checkpoint was stored, the file only begun: nothing was altered."""
    with opened(path) as store:
        add(store)
    alter(path, "DELETE FROM checkpoints WHERE number > 1")
    sealed.checkpoint_file(path).write_bytes(b"")
    with opened(path):
        assert len(list(notes(sealed.checkpoint_file(path)))) == 1
    assert findings(path) == []
    assert len(sound(path)) == 1


def test_line_that_a_crash_cut_short_is_published_again(log: Path) -> None:
    """A torn line is taken away, and its checkpoint is published whole."""
    file = sealed.checkpoint_file(log)
    before = list(notes(file))
    file.write_bytes(file.read_bytes()[:-50])
    with opened(log):
        pass
    assert findings(log) == []
    assert list(notes(file))[:4] == before
    assert len(sound(log)) == 4


def test_key_swapped_while_it_runs_is_found(path: Path) -> None:
    """The next checkpoint is not signed with a key that no rotation named."""
    with opened(path) as store:
        add(store)
        seal(store)
        other = keys.generate(public(path).name)
        keys.store(sealed.key_file(path), other, replace=True)
        add(store)
        seal(store)
        assert findings(path) == ["key"]
        origins = {one for (one,) in rows(path, "SELECT origin FROM checkpoints")}
        assert len(origins) == 2


@pytest.mark.parametrize(
    ("statements", "finding"),
    [
        (["DELETE FROM checkpoints"], "rolled_back"),
        (["DELETE FROM records WHERE seq > 3"], "truncated"),
    ],
)
def test_alteration_while_it_runs_is_found(
    log: Path, statements: list[str], finding: str
) -> None:
    """What disappears under a running process is found at its next checkpoint."""
    with opened(log) as store:
        add(store)
        seal(store)
        alter(log, *statements)
        seal(store)
        assert findings(log) == [finding]
        add(store)
        seal(store)
    assert findings(log) == [finding]


def test_finding_that_cannot_be_recorded_is_tried_again(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No new tree is sealed before its reason is on record."""
    edit(log)
    real, down = SqliteStore.commit, [True]

    def commit(self: SqliteStore, record: Any) -> None:
        if record.kind == "tamper" and down:
            raise RecordStoreError("down")
        real(self, record)

    monkeypatch.setattr(SqliteStore, "commit", commit)
    with opened(log) as store:
        before = len(sizes(log))
        with pytest.raises(RecordStoreError, match="down"):
            seal(store)
        assert (findings(log), len(sizes(log))) == ([], before)
        down.clear()
        seal(store)
        assert (findings(log), len(sizes(log))) == (["edited"], before + 1)


def test_key_rotates_by_a_record(log: Path) -> None:
    """The old key names the new one; the tree goes on, and no key is doubted."""
    old = public(log)
    with opened(log) as store:
        assert store.sealer is not None
        vkey = sealed.rotate(store.sealer, sealed.key_file(log))
        note = Published(sealed.checkpoint_file(log)).last()
        assert note is not None
        assert open_checkpoint(note, [parse_vkey(vkey)]).size == size(log)
        add(store)
    new = public(log)
    assert (new.vkey, new.name) == (vkey, old.name)
    (told,) = history.records(log, kind="key_rotation")
    assert keys.predecessor(told["note"], new) == old
    with opened(log):
        pass
    assert findings(log) == []
    held = list(notes(sealed.checkpoint_file(log)))
    assert len({open_checkpoint(note, [old, new]).origin for note in held}) == 1
    open_checkpoint(held[-1], [new])
    open_checkpoint(held[0], [old])


def test_two_rotations_and_an_old_checkpoint_are_one_chain(log: Path) -> None:
    """A head that a key's predecessor signed is trusted through both records."""
    with opened(log) as store:
        assert store.sealer is not None
        sealed.rotate(store.sealer, sealed.key_file(log))
        sealed.rotate(store.sealer, sealed.key_file(log))
    last = sizes(log)[-1]
    alter(log, "DELETE FROM checkpoints WHERE number > 4")
    file = sealed.checkpoint_file(log)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:4]))
    with opened(log):
        pass
    assert findings(log) == []
    assert sizes(log)[-1] > last


def test_nonsense_rotations_are_passed_over(log: Path) -> None:
    """Whoever inserts records cannot make a key trusted, or stop the sealing."""
    bodies = (b"{}", b"[]", b"nonsense", b'{"old": 1, "note": 2}', b'{"old": "a+b+c"}')
    with closing(sqlite3.connect(log)) as connection:
        for number, body in enumerate(bodies):
            connection.execute(
                "INSERT INTO records (id, kind, at_us, writer, executes, body)"
                " VALUES (?, 'key_rotation', 1, 'w', 0, ?)",
                (f"x{number}", body),
            )
        connection.commit()
    with opened(log) as store:
        seal(store)
    assert findings(log) == []
    sound(log)


def test_live_process_follows_a_rotation_of_another(path: Path) -> None:
    """Two stores on one file: one rotates, the other signs with the new key."""
    with opened(path) as one, opened(path) as two:
        add(one)
        seal(one)
        add(two)
        seal(two)
        assert one.sealer is not None
        vkey = sealed.rotate(one.sealer, sealed.key_file(path))
        add(two)
        seal(two)
        last = list(notes(sealed.checkpoint_file(path)))[-1]
        open_checkpoint(last, [parse_vkey(vkey)])
    assert findings(path) == []


def test_several_writers_make_one_tree(path: Path) -> None:
    """Whoever seals goes on where the others ended, by its own count."""
    with opened(path) as one, opened(path) as two, opened(path) as three:
        for store in (one, two, three, two, one):
            add(store, 3)
            seal(store)
    found = sound(path)
    assert len({origin for origin, _ in found}) == 1
    assert len(found) == 8
    assert [covered for _, covered in found] == sorted({one for _, one in found})
    assert findings(path) == []


def test_the_first_checkpoint_is_there_before_the_first_record(path: Path) -> None:
    """It covers nothing, is published, and every start tells of the last one."""
    with opened(path) as store:
        (first,) = notes(sealed.checkpoint_file(path))
        made = open_checkpoint(first, [public(path)])
        assert (made.size, made.number) == (0, 1)
        assert made.origin.endswith(f"/{store.writer}")
    with opened(path):
        pass
    told = [one["lastCheckpoint"] for one in history.records(path, kind="start")]
    held = list(notes(sealed.checkpoint_file(path)))
    assert told == [
        {"number": number, "digest": link(held[number - 1])} for number in (1, 2)
    ]


def test_a_log_that_was_not_sealed_from_the_beginning_begins_now(path: Path) -> None:
    """Its first checkpoint covers records; that is told, and is no finding."""
    with opened(path, None) as store:
        add(store)
    with opened(path):
        pass
    assert findings(path) == []
    assert sizes(path) == [size(path)] == [covered for _, covered in sound(path)]


def test_a_file_that_cannot_be_begun_keeps_no_record_away(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Records go on without a checkpoint, which is made as soon as it can be."""
    sealed.checkpoint_file(path).mkdir()
    store = SqliteStore(path, sealing=NEVER)
    add(store)
    assert "has no checkpoint yet" in caplog.text
    sealed.checkpoint_file(path).rmdir()
    seal(store)
    store.close()
    assert findings(path) == []
    assert sizes(path)


def everything_but_the_records(path: Path) -> None:
    """Delete all checkpoints, stored and published."""
    alter(path, "DELETE FROM checkpoints")
    sealed.checkpoint_file(path).unlink()


def the_newest_everywhere(path: Path) -> None:
    """Delete the newest checkpoint, stored and published."""
    alter(path, "DELETE FROM checkpoints WHERE number > 2")
    file = sealed.checkpoint_file(path)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))


@pytest.mark.parametrize("change", [everything_but_the_records, the_newest_everywhere])
def test_checkpoints_that_are_gone_everywhere_are_missed(
    log: Path, change: Callable[[Path], None]
) -> None:
    """Records tell of them: the next process finds it, and the verifier without it."""
    key = public(log).vkey
    change(log)
    alone = log.with_name("alone.db")
    copyfile(log, alone)
    with opened(log) as store:
        add(store)
    assert findings(log) == ["rolled_back"]
    newest = gov_verify.held_in([sealed.checkpoint_file(log)])[-1:]
    (report,) = gov_verify.verify(gov_verify.files([log]), [key], newest)
    assert {"tamper", "rolled_back"} <= {one.code for one in report.findings}
    # Also where the process that seals it looks away.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed.SqliteLog, "told", lambda _: 0)
        patch.setattr(
            "openfeature_gov.evidence.sealed._last_published", lambda *_: None
        )
        copyfile(sealed.key_file(log), sealed.key_file(alone))
        sealed.key_file(alone).chmod(0o600)
        with opened(alone):
            pass
    assert findings(alone) == []
    newest = gov_verify.held_in([sealed.checkpoint_file(alone)])[-1:]
    for quick in (False, True):
        files = gov_verify.files([alone])
        (report,) = gov_verify.verify(files, [key], newest, quick=quick)
        assert "rolled_back" in {one.code for one in report.findings}
    bundle = log.with_name("bundle.zip")
    with closing(gov_verify.Database(alone)) as evidence:
        bundles.export(evidence, bundles.Span(1, 30), bundle)
    (report,) = gov_verify.verify(gov_verify.files([bundle]), [key], newest)
    assert "rolled_back" in {one.code for one in report.findings}


def test_check_of_a_tree_that_another_process_ended_is_dropped(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finding that is on record already is not made again by a slower process."""
    monkeypatch.setattr(sealing, "EAGER", 0)
    monkeypatch.setattr(sealing, "PAUSE_S", 3600)
    edit(log)
    with opened(log) as slow:
        with opened(log) as fast:
            monkeypatch.setattr(sealing, "EAGER", 10_000)
            seal(fast)
        seal(slow)
    assert findings(log) == ["edited"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "seal", "reopen", "crash", "rotate"]),
            st.integers(0, 1),
        ),
        max_size=12,
    )
)
def test_any_order_of_honest_work_is_one_sound_tree(
    steps: list[tuple[str, int]],
) -> None:
    """Two writers that append, seal, end, die and rotate never look like tampering."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "records.db"
        stores = [SqliteStore(path, sealing=NEVER) for _ in range(2)]
        vkeys = [public(path)]
        for step, number in steps:
            store = stores[number]
            owner = store.sealer
            assert owner is not None
            if step == "add":
                add(store, 3)
            elif step == "seal":
                owner.seal()
            elif step == "rotate":
                sealed.rotate(owner, sealed.key_file(path))
                vkeys.append(public(path))
            else:
                if step == "crash":
                    end_unsealed(store)
                store.close()
                stores[number] = SqliteStore(path, sealing=NEVER)
        for store in stores:
            store.close()
        tree = Tree([leaf_hash(one) for (one,) in rows(path, BODIES)])
        held = list(notes(sealed.checkpoint_file(path)))
        made = [open_checkpoint(note, vkeys) for note in held]
        assert all(one.root == tree.root(one.size) for one in made)
        assert [one.size for one in made] == [0, *sizes(path)]
        assert len({one.origin for one in made}) == 1
        assert made[-1].size == size(path)
        assert findings(path) == []


def end_unsealed(store: SqliteStore) -> None:
    """Take the Sealer away, as a kill before the last seal does."""
    store.sealer, kept = None, store.sealer
    assert kept is not None
    kept.stop()
    kept._log.close()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_byte_of_any_sealed_record_is_found(data: st.DataObject) -> None:
    """Whichever byte of whichever body is another one: it is found at opening."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "records.db"
        with opened(path) as store:
            add(store, 6)
        seq = data.draw(st.integers(1, size(path)))
        ((body,),) = rows(path, f"SELECT body FROM records WHERE seq = {seq}")
        at = data.draw(st.integers(0, len(body) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda one: one != body[at]))
        other = body[:at] + bytes([byte]) + body[at + 1 :]
        alter(path, f"UPDATE records SET body = x'{other.hex()}' WHERE seq = {seq}")
        with opened(path) as store:
            seal(store)
        told = rows(path, "SELECT count(*) FROM records WHERE kind = 'tamper'")
        assert told == [(1,)]


def test_what_another_process_found_is_not_found_twice(log: Path) -> None:
    """A live process follows the new tree that another began."""
    with opened(log) as one:
        add(one)
        seal(one)
        edit(log)
        with opened(log) as two:
            seal(two)
            assert findings(log) == ["edited"]
        add(one)
        seal(one)
    assert findings(log) == ["edited"]
    assert len({one for (one,) in rows(log, "SELECT origin FROM checkpoints")}) == 2


def test_seal_of_another_process_that_is_not_right_is_found(log: Path) -> None:
    """A checkpoint with the right key over other records is not believed."""
    with opened(log) as one:
        add(one)
        seal(one)
        edited = log.with_name("edited.db")
        with closing(sqlite3.connect(log)) as connection:
            connection.execute("VACUUM INTO ?", (str(edited),))
        for beside in (sealed.key_file, sealed.checkpoint_file):
            copyfile(beside(log), beside(edited))
            beside(edited).chmod(0o600)
        with opened(edited) as other:
            add(other, 3)
        ((*head,),) = rows(
            edited, "SELECT * FROM checkpoints ORDER BY number DESC LIMIT 1"
        )
        add(one, 30)
        with closing(sqlite3.connect(log)) as connection:
            marks = ", ".join("?" * len(head))
            connection.execute(f"INSERT INTO checkpoints VALUES ({marks})", head)
            connection.commit()
        seal(one)
    assert findings(log) == ["edited"]


def test_place_that_cannot_be_written_is_said_and_made_up_for(
    log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Records go on; how long the checkpoints are behind is known; then all come."""
    file = sealed.checkpoint_file(log)
    away = file.with_name("away")
    clock = [1_000_000_000]
    often = Sealing(every=1_000_000, seconds=0.02)
    with opened(log, often, clock=lambda: clock[0]) as store:
        owner = store.sealer
        assert owner is not None
        wait_for(lambda: sizes(log)[-1] == size(log))
        file.rename(away)
        file.mkdir()
        add(store)
        wait_for(lambda: owner.behind_ns() > 0)
        clock[0] += 5_000
        assert owner.behind_ns() >= 5_000
        assert any(one.levelno == logging.ERROR for one in caplog.records)
        file.rmdir()
        away.rename(file)
        wait_for(lambda: owner.behind_ns() == 0)
        assert sound(log)[-1][1] == size(log)
    assert findings(log) == []


def test_publisher_that_was_down_gets_the_newest(path: Path) -> None:
    """Each gets every checkpoint over records, and after a failure the last one."""
    up, down = list[str](), list[str]()
    failing = [True]

    def shaky(note: str) -> None:
        if failing:
            raise ConnectionError("no route")
        down.append(note)

    how = NEVER._replace(publish=(shaky, up.append))
    with opened(path, how) as store:
        for _ in range(2):
            add(store)
            with pytest.raises(OSError, match="no route"):
                seal(store)
        failing.clear()
        seal(store)
        seal(store)
        _, *held = notes(sealed.checkpoint_file(path))
        assert up == held
        assert down == held[-1:]


def test_publisher_that_hangs_stops_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file goes on, the store says that it is behind, and closing ends."""
    monkeypatch.setattr(sealing, "PUBLISH_S", 0.2)
    freed, taken, others = threading.Event(), list[str](), list[str]()

    def hanging(note: str) -> None:
        freed.wait(60)
        taken.append(note)

    how = Sealing(every=5, seconds=0.05, publish=(hanging, others.append))
    with opened(path, how) as store:
        owner = store.sealer
        assert owner is not None
        for _ in range(4):
            add(store, 5)
            count = size(path)
            wait_for(lambda count=count: sizes(path)[-1:] >= [count])  # type: ignore[misc] # a loop's value
        wait_for(lambda: store.health().unsealed_ns > 0)
        wait_for(lambda: len(others) >= 4)
        assert taken == []
    held = list(notes(sealed.checkpoint_file(path)))
    assert others[-1] == held[-1]
    freed.set()
    wait_for(lambda: len(taken) == 2)
    assert taken == [others[0], held[-1]]


def test_sealing_that_hangs_is_behind_since_it_was_due(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A signer that never answers is told while it hangs, and left at the end."""
    monkeypatch.setattr(sealing, "CLOSE_S", 0.1)
    monkeypatch.setattr(sealing, "STALL_NS", 1)
    held, freed = keys.generate("kms.example/log"), threading.Event()
    hangs, hung = list[bool](), threading.Event()

    def signer() -> keys.FileSigner:
        if hangs:
            hung.set()
            freed.wait(60)
        return held

    store = SqliteStore(path, sealing=Sealing(every=5, seconds=3600, key=signer))
    hangs.append(True)
    add(store, 5)
    assert hung.wait(20)
    wait_for(lambda: store.health().unsealed_ns > 0)
    owner = store.sealer
    assert owner is not None
    store.close()
    assert "hangs" in caplog.text
    hangs.clear()
    freed.set()
    owner._thread.join(20)
    assert not owner._thread.is_alive()
    owner._log.close()


def test_store_that_cannot_keep_a_checkpoint_keeps_records(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that refuses is an error in the log, not a lost record."""
    with opened(path) as store:
        add(store)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "CREATE TRIGGER no_more BEFORE INSERT ON checkpoints"
                " BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        with pytest.raises(TimeoutError, match="nothing was sealed"):
            seal(store)
        add(store)
    assert "could not be sealed" in caplog.text
    assert len(history.records(path, kind="note")) == 2
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER no_more")
    with opened(path):
        pass
    assert sound(path)[-1][1] == size(path)


def test_first_version_of_the_log_is_sealed_whole(path: Path) -> None:
    """Records from before there were seals are counted on record, then covered."""
    with closing(SqliteStore(path, sealing=None)) as store:
        add(store, 5)
    with opened(path):
        pass
    (told,) = history.records(path, kind="unsealed")
    assert (told["records"], told["sealed"]) == (8, 0)
    assert sound(path)[-1][1] == size(path)


def test_many_records_are_sealed_in_portions(path: Path) -> None:
    """A log of thousands of records has the root of the tree over all of them."""
    with opened(path) as store:
        add(store, 3_000)
    with opened(path) as store:
        add(store, 10)
    assert sound(path)[-1][1] == size(path) > 3_000
    assert findings(path) == []


def test_hostile_names_stay_out_of_the_log_output(
    log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What stands in an altered checkpoint cannot forge lines of our own log."""
    note = "o\n1\nAAAA\n\n\u2014 evil\u202ename AAAAAAAA\n"
    with closing(sqlite3.connect(log)) as connection:
        connection.execute(
            "INSERT INTO checkpoints VALUES (9, ?, 9, 9, x'00', ?, 1)",
            ("or\nigin\u202e", note),
        )
        connection.commit()
    with opened(log):
        pass
    (body,) = history.records(log, kind="tamper")
    for shown in (body["detail"], body["origin"], caplog.records[0].getMessage()):
        assert "\\u202e" in shown
        assert shown.isprintable()
        assert shown.isascii()


def test_default_is_sealed() -> None:
    """A store is sealed every thousand records or ten seconds unless it is told."""
    assert (sqlite.SEALING.every, sqlite.SEALING.seconds) == (1_000, 10.0)
    assert signature(SqliteStore).parameters["sealing"].default is sqlite.SEALING


@pytest.mark.parametrize("times", [1, 2])
def test_closing_again_does_nothing(path: Path, times: int) -> None:
    """Close is idempotent, with and without what sealed."""
    store = SqliteStore(path, sealing=NEVER)
    for _ in range(times):
        store.close()
    assert list(path.with_name("records.db.writers").iterdir()) == []
    assert sizes(path) == [2]


def test_the_first_checkpoint_of_another_process_is_no_roll_back(log: Path) -> None:
    """It may be stored and published between our look at the one and at the other."""

    class Meanwhile(SqliteLog):
        looks = 0

        def head(self) -> Any:
            self.looks += 1
            return super().head() if self.looks > 1 else None

    published = Published(sealed.checkpoint_file(log))
    key = keys.open_key(sealed.key_file(log))
    with closing(Meanwhile(log)) as late, closing(SqliteLog(log)) as known:
        found = sealed_resumed(late, published, lambda: key)
        assert found is not None
        assert found[1] == known.head()
    with sqlite3.connect(log) as connection:
        connection.execute("DROP TRIGGER checkpoints_no_delete")
        connection.execute("DELETE FROM checkpoints")
    connection.close()
    with closing(SqliteLog(log)) as robbed, pytest.raises(AlteredError, match="rolled"):
        sealed_resumed(robbed, published, lambda: key)

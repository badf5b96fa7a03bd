"""The Sealer: everything is sealed in time, published, and kept out of the way."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from contextlib import closing
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov import RecordStoreError
from openfeature_gov.evidence import keys, sealing
from openfeature_gov.evidence.merkle import Tree, leaf_hash
from openfeature_gov.evidence.notes import link, open_checkpoint, parse_vkey
from openfeature_gov.evidence.published import Published, notes
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.stores import history, seals, sqlite
from openfeature_gov.stores.sqlite import SqliteStore
from tests.sealed_logs import (
    BODIES,
    NEVER,
    add,
    alter,
    end_unsealed,
    findings,
    log,
    opened,
    path,
    public,
    rows,
    seal,
    size,
    sizes,
    sound,
)
from tests.waiting import until

__all__ = ["log", "path"]


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
        until(lambda: sizes(path) != [])
        assert sizes(path)[0] >= 20
    sound(path)


def test_checkpoint_comes_after_so_many_seconds(path: Path) -> None:
    """Time alone makes one due, over everything, also when nothing else happens."""
    with opened(path, Sealing(every=1_000_000, seconds=0.05)) as store:
        until(lambda: sizes(path)[-1:] == [1])
        add(store)
        until(lambda: sizes(path)[-1:] == [3])
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
    assert not seals.key_file(path).exists()
    assert not seals.checkpoint_file(path).exists()


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
    assert not seals.key_file(tmp_path / "records.db").exists()


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
    key = seals.key_file(log)
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
    seals.key_file(log).chmod(0o644)
    with pytest.raises(RecordStoreError, match="chmod 600"):
        SqliteStore(log)
    seals.key_file(log).chmod(0o600)
    with opened(log):
        pass
    assert findings(log) == []


def test_crash_between_storing_and_publishing_is_no_finding(path: Path) -> None:
    """The first checkpoint was stored, the file only begun: nothing was altered."""
    with opened(path) as store:
        add(store)
    alter(path, "DELETE FROM checkpoints WHERE number > 1")
    seals.checkpoint_file(path).write_bytes(b"")
    with opened(path):
        assert len(list(notes(seals.checkpoint_file(path)))) == 1
    assert findings(path) == []
    assert len(sound(path)) == 1


def test_line_that_a_crash_cut_short_is_published_again(log: Path) -> None:
    """A torn line is taken away, and its checkpoint is published whole."""
    file = seals.checkpoint_file(log)
    before = list(notes(file))
    file.write_bytes(file.read_bytes()[:-50])
    with opened(log):
        pass
    assert findings(log) == []
    assert list(notes(file))[:4] == before
    assert len(sound(log)) == 4


def test_key_rotates_by_a_record(log: Path) -> None:
    """The old key names the new one; the tree goes on, and no key is doubted."""
    old = public(log)
    with opened(log) as store:
        assert store.sealer is not None
        vkey = seals.rotate(store.sealer, seals.key_file(log))
        note = Published(seals.checkpoint_file(log)).last()
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
    held = list(notes(seals.checkpoint_file(log)))
    assert len({open_checkpoint(note, [old, new]).origin for note in held}) == 1
    open_checkpoint(held[-1], [new])
    open_checkpoint(held[0], [old])


def test_two_rotations_and_an_old_checkpoint_are_one_chain(log: Path) -> None:
    """A head that a key's predecessor signed is trusted through both records."""
    with opened(log) as store:
        assert store.sealer is not None
        seals.rotate(store.sealer, seals.key_file(log))
        seals.rotate(store.sealer, seals.key_file(log))
    last = sizes(log)[-1]
    alter(log, "DELETE FROM checkpoints WHERE number > 4")
    file = seals.checkpoint_file(log)
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
        vkey = seals.rotate(one.sealer, seals.key_file(path))
        add(two)
        seal(two)
        last = list(notes(seals.checkpoint_file(path)))[-1]
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


def test_whoever_is_always_late_is_done_once_others_sealed_it_all(path: Path) -> None:
    """Each time that one asks for its key another process seals, and something new."""
    busy: list[bool] = []
    with opened(path) as other:

        def signer() -> keys.FileSigner:
            if busy:
                add(other)
                seal(other)
            return keys.read_key(seals.key_file(path))

        with opened(path, NEVER._replace(key=signer)) as one:
            add(one)
            mine = size(path)
            busy.append(True)
            seal(one)
            busy.clear()
            assert sizes(path)[-1] > mine
    sound(path)
    assert findings(path) == []


def test_the_first_checkpoint_is_there_before_the_first_record(path: Path) -> None:
    """It covers nothing, is published, and every start tells of the last one."""
    with opened(path) as store:
        (first,) = notes(seals.checkpoint_file(path))
        made = open_checkpoint(first, [public(path)])
        assert (made.size, made.number) == (0, 1)
        assert made.origin.endswith(f"/{store.writer}")
    with opened(path):
        pass
    told = [one["lastCheckpoint"] for one in history.records(path, kind="start")]
    held = list(notes(seals.checkpoint_file(path)))
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
    seals.checkpoint_file(path).mkdir()
    store = SqliteStore(path, sealing=NEVER)
    add(store)
    assert "has no checkpoint yet" in caplog.text
    seals.checkpoint_file(path).rmdir()
    seal(store)
    store.close()
    assert findings(path) == []
    assert sizes(path)


@settings(max_examples=25)
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
                seals.rotate(owner, seals.key_file(path))
                vkeys.append(public(path))
            else:
                if step == "crash":
                    end_unsealed(store)
                store.close()
                stores[number] = SqliteStore(path, sealing=NEVER)
        for store in stores:
            store.close()
        tree = Tree([leaf_hash(one) for (one,) in rows(path, BODIES)])
        held = list(notes(seals.checkpoint_file(path)))
        made = [open_checkpoint(note, vkeys) for note in held]
        assert all(one.root == tree.root(one.size) for one in made)
        assert [one.size for one in made] == [0, *sizes(path)]
        assert len({one.origin for one in made}) == 1
        assert made[-1].size == size(path)
        assert findings(path) == []


def test_place_that_cannot_be_written_is_said_and_made_up_for(
    log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Records go on; how long the checkpoints are behind is known; then all come."""
    file = seals.checkpoint_file(log)
    away = file.with_name("away")
    clock = [1_000_000_000]
    often = Sealing(every=1_000_000, seconds=0.02)
    with opened(log, often, clock=lambda: clock[0]) as store:
        owner = store.sealer
        assert owner is not None
        until(lambda: sizes(log)[-1] == size(log))
        file.rename(away)
        file.mkdir()
        add(store)
        until(lambda: owner.behind_ns() > 0)
        clock[0] += 5_000
        assert owner.behind_ns() >= 5_000
        assert any(one.levelno == logging.ERROR for one in caplog.records)
        file.rmdir()
        away.rename(file)
        until(lambda: owner.behind_ns() == 0)
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
        _, *held = notes(seals.checkpoint_file(path))
        assert up == held
        assert down == held[-1:]


def test_publisher_that_is_slow_gets_the_last_note_though_another_fails(
    path: Path,
) -> None:
    """Closing waits for each of them."""
    slowly = list[str]()

    def failing(_note: str) -> None:
        raise ConnectionError("no route")

    def slow(note: str) -> None:
        time.sleep(0.3)
        slowly.append(note)

    with opened(path, NEVER._replace(publish=(failing, slow))) as store:
        add(store)
    assert slowly == list(notes(seals.checkpoint_file(path)))[-1:]


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
            until(lambda count=count: sizes(path)[-1:] >= [count])  # type: ignore[misc] # a loop's value
        until(lambda: store.health().unsealed_ns > 0)
        until(lambda: len(others) >= 4)
        assert taken == []
    held = list(notes(seals.checkpoint_file(path)))
    assert others[-1] == held[-1]
    freed.set()
    until(lambda: len(taken) == 2)
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
    until(lambda: store.health().unsealed_ns > 0)
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

"""The Sealer: whatever was altered, wiped or forged is found, said and on record."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov import RecordStoreError
from openfeature_gov.evidence import bundles, chain, keys, sealing
from openfeature_gov.evidence.merkle import Frontier, leaf_hash
from openfeature_gov.evidence.notes import Checkpoint, open_checkpoint, sign
from openfeature_gov.evidence.published import Published, notes
from openfeature_gov.evidence.sealed import AlteredError
from openfeature_gov.evidence.sealed import resumed as sealed_resumed
from openfeature_gov.evidence.sealing import Sealer
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.stores import history, sealed, seals
from openfeature_gov.stores.sealed import SqliteLog
from openfeature_gov.stores.sqlite import SqliteStore
from tests.sealed_logs import (
    BODIES,
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
        lambda path: seals.checkpoint_file(path).unlink(),
        {"published"},
    ),
    "published file emptied": (
        lambda path: seals.checkpoint_file(path).write_bytes(b""),
        {"published"},
    ),
    "published file of nonsense": (
        lambda path: seals.checkpoint_file(path).write_bytes(b"nonsense\n"),
        {"published"},
    ),
    "published by another log": (
        lambda path: seals.checkpoint_file(path).write_text('{"note": "other"}\n'),
        {"rolled_back"},
    ),
    "key swapped": (
        lambda path: keys.store(
            seals.key_file(path), keys.generate(public(path).name), replace=True
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
    note = Published(seals.checkpoint_file(log)).last()
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


def test_finding_is_on_record_once_the_store_is_open(log: Path) -> None:
    """Whoever decides next decides behind it."""
    alter(log, "DELETE FROM records WHERE seq > 20")
    with opened(log):
        assert findings(log) == ["truncated"]


def test_long_log_is_read_again_in_the_background(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too long to be read at once is still read, and the edit found."""
    monkeypatch.setattr(chain, "EAGER", 0)
    edit(log)
    with opened(log):
        until(lambda: findings(log) == ["edited"])


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


def test_key_swapped_while_it_runs_is_found(path: Path) -> None:
    """The next checkpoint is not signed with a key that no rotation named."""
    with opened(path) as store:
        add(store)
        seal(store)
        other = keys.generate(public(path).name)
        keys.store(seals.key_file(path), other, replace=True)
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


def everything_but_the_records(path: Path) -> None:
    """Delete all checkpoints, stored and published."""
    alter(path, "DELETE FROM checkpoints")
    seals.checkpoint_file(path).unlink()


def the_newest_everywhere(path: Path) -> None:
    """Delete the newest checkpoint, stored and published."""
    alter(path, "DELETE FROM checkpoints WHERE number > 2")
    file = seals.checkpoint_file(path)
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
    newest = gov_verify.held_in([seals.checkpoint_file(log)])[-1:]
    (report,) = gov_verify.verify(gov_verify.files([log]), [key], newest)
    assert {"tamper", "rolled_back"} <= {one.code for one in report.findings}
    # Also where the process that seals it looks away.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed.SqliteLog, "told", lambda _: 0)
        patch.setattr(
            "openfeature_gov.evidence.sealed._last_published", lambda *_: None
        )
        copyfile(seals.key_file(log), seals.key_file(alone))
        seals.key_file(alone).chmod(0o600)
        with opened(alone):
            pass
    assert findings(alone) == []
    newest = gov_verify.held_in([seals.checkpoint_file(alone)])[-1:]
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
    monkeypatch.setattr(chain, "EAGER", 0)
    monkeypatch.setattr(sealing, "PAUSE_S", 3600)
    edit(log)
    with opened(log) as slow:
        with opened(log) as fast:
            owner = fast.sealer
            assert owner is not None
            while owner._chain._check is not None:
                owner._check_a_little()
            seal(fast)
        seal(slow)
        assert slow.sealer is not None
        while slow.sealer._chain._check is not None:
            slow.sealer._check_a_little()
    assert findings(log) == ["edited"]


@pytest.mark.parametrize("eager", [0, chain.EAGER])
def test_a_log_that_could_not_be_read_for_a_while_is_read_again(
    log: Path, monkeypatch: pytest.MonkeyPatch, eager: int
) -> None:
    """What failed is not done: the edit is found once the disk answers."""
    monkeypatch.setattr(chain, "EAGER", eager)
    monkeypatch.setattr(sealing, "PAUSE_S", 3600)
    edit(log)
    broken, rows_of = threading.Event(), sealed.SqliteLog.rows

    def rows_now(self: sealed.SqliteLog, after: int, limit: int) -> object:
        if broken.is_set() and not after:
            raise sqlite3.OperationalError("disk I/O error")
        return rows_of(self, after, limit)

    monkeypatch.setattr(sealed.SqliteLog, "rows", rows_now)
    broken.set()
    with opened(log) as store:
        assert store.sealer is not None
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError):
                store.sealer._check_a_little()
            with pytest.raises(sqlite3.OperationalError):
                seal(store)
        broken.clear()
        seal(store)
        while store.sealer._chain._check is not None:
            store.sealer._check_a_little()
    assert findings(log) == ["edited"]


@settings(max_examples=40)
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
        for beside in (seals.key_file, seals.checkpoint_file):
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


def test_the_first_checkpoint_of_another_process_is_no_roll_back(log: Path) -> None:
    """It may be stored and published between our look at the one and at the other."""

    class Meanwhile(SqliteLog):
        looks = 0

        def head(self) -> Any:
            self.looks += 1
            return super().head() if self.looks > 1 else None

    published = Published(seals.checkpoint_file(log))
    key = keys.open_key(seals.key_file(log))
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


def test_no_checkpoint_is_published_twice(log: Path) -> None:
    """Behind what a lost database had published comes only the new tree."""
    older(log)
    file = seals.checkpoint_file(log)
    before = list(notes(file))
    with opened(log) as store:
        add(store)
    after = list(notes(file))
    assert after[:-1] == before
    made = open_checkpoint(after[-1], [public(log)])
    assert made.origin.endswith(f"/{store.writer}")

"""Every way to tamper with a record file that we could think of, each of them found.

The records are written by a Governor. The attacker owns the machine, knows the schema
and keeps columns, digests and triggers consistent with the lie. The auditor has one
pinned key and the last checkpoint, and runs the file that stands alone.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pytest

from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.records import note_record
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Report
from openfeature_gov.stores.sqlite import SqliteStore
from tests.foreign_log import Log
from tests.integration.attacker import (
    KEY,
    PUBLISHED,
    RECORDS,
    Attacker,
    bare,
    lie,
    says,
    sql,
)
from tests.worked import worked


class Scene(NamedTuple):
    """Hold a log, its files as they were earlier, and what the auditor has."""

    folder: Path
    older: Path
    key: str
    held: str
    held_before: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Let agents work twice; between the two somebody copies the files."""
    folder, older = tmp_path_factory.mktemp("log"), tmp_path_factory.mktemp("older")
    worked(folder)
    shutil.copytree(folder, older, dirs_exist_ok=True)
    worked(folder)
    held = gov_verify.held_in([folder / PUBLISHED])[-1]
    before = gov_verify.held_in([older / PUBLISHED])[-1]
    return Scene(folder, older, read_key(folder / KEY).vkey, held, before)


def verified(scene: Scene, folder: Path, *held: str) -> Report:
    """Run the auditor's check on the record file in *folder*."""
    files = gov_verify.files([folder / RECORDS])
    (report,) = gov_verify.verify(
        files, [scene.key], held or [scene.held], deep=True, sealed=True
    )
    return report


@pytest.fixture
def attacker(scene: Scene, tmp_path: Path) -> Attacker:
    """Lend somebody who has the files."""
    folder = tmp_path / "log"
    shutil.copytree(scene.folder, folder)
    return Attacker(folder, scene.older)


ON, AFTER, START = "decision", "outcome", "start"
LAST = "(SELECT max(seq) FROM records)"
WEAK = """CREATE TRIGGER records_no_delete BEFORE DELETE ON records
  WHEN 0 BEGIN SELECT RAISE(ABORT, 'records are append-only'); END"""
KINDS: dict[str, tuple[str, Callable[[Attacker], object]]] = {
    # What a record says, with every column and digest made to fit.
    "effect": ("root", says(ON, effect="deny")),
    "reason": ("root", says(ON, reason="x")),
    "mode": ("root", says(ON, mode="off")),
    "tool": ("root", says(ON, tool="find")),
    "target": ("root", says(ON, targetSystem="x")),
    "amount": ("root", says(ON, amount="0.01")),
    "risk class": ("root", says(ON, riskClass="search")),
    "reversibility": ("root", says(ON, reversibility="automatic")),
    "action summary": ("root", says(ON, summary="x")),
    "hard authorization": ("root", says(ON, authorization="x")),
    "approval": ("root", says(ON, approved=True)),
    "reviewer": ("root", says(ON, reviewer="x")),
    "agent": ("root", says(ON, "context", agent="x")),
    "agent version": ("root", says(ON, "context", agentVersion="x")),
    "task": ("root", says(ON, "context", task="x")),
    "trigger": ("root", says(ON, "context", trigger="x")),
    "model": ("root", says(ON, "context", model="x")),
    "confidence": ("root", says(ON, "context", confidence="1")),
    "flag variant": ("root", says(ON, "flags", 0, variant="x")),
    "flag version": ("root", says(ON, "flags", 0, version="9")),
    "flag age": ("root", says(ON, "flagSource", ageMs=1)),
    "a verdict": ("root", says(ON, "verdicts", 0, cap="off")),
    "the rules": ("root", says(ON, "contract", owner="x")),
    "decision latency": ("root", says(ON, latencyUs=1)),
    "time": ("root", says(ON, atUs=1_700_000_000_000_000)),
    "writer": ("root", says(ON, writer="x")),
    "schema": ("root", says(ON, schema="gov.record/1")),
    "outcome": ("root", says(AFTER, status="not_run")),
    "error": ("root", says(AFTER, error="x")),
    "latency": ("root", says(AFTER, latencyUs=1)),
    "cost": ("root", says(AFTER, cost="0")),
    "undo": ("root", says(AFTER, undo="done")),
    "whose outcome": ("root", says(AFTER, ref="x")),
    "settings": ("root", says(START, synchronous="off")),
    "another spelling": ("root", lambda it: it.spell()),
    # What stands beside it.
    "effect in its column": (
        "columns",
        sql("UPDATE records SET effect='x' WHERE seq=3"),
    ),
    "clock in its column": ("columns", sql("UPDATE records SET at_us=1 WHERE seq=3")),
    "clock of everything": (
        "columns",
        sql("UPDATE records SET at_us=at_us-3600000000"),
    ),
    "agent in its column": ("columns", sql("UPDATE records SET agent='x' WHERE seq=3")),
    "amount in its column": ("columns", sql("UPDATE records SET amount=1 WHERE seq=3")),
    "open or not": ("columns", sql("UPDATE records SET executes=1-executes")),
    "columns of another": ("columns", lambda it: it.swap(2, 3, "kind")),
    "personal part": ("personal", lambda it: it.personal(user="x")),
    "and its digest": ("root", lambda it: it.personal(recorded=True, user="x")),
    "no personal part": ("personal", bare("UPDATE records SET personal=NULL")),
    "personal part of another": ("personal", lambda it: it.swap(2, 4, "personal")),
    # Which records there are.
    "deleted": ("sequence", sql("DELETE FROM records WHERE seq=5")),
    "deleted and closed up": ("root", lambda it: it.delete(5)),
    "first deleted": ("sequence", sql("DELETE FROM records WHERE seq=1")),
    "tail dropped": ("truncated", sql(f"DELETE FROM records WHERE seq={LAST}")),
    "truncated": ("truncated", sql("DELETE FROM records WHERE seq>9")),
    "truncated at a seal": ("truncated", lambda it: it.truncate()),
    "wiped": ("empty", sql("DELETE FROM records")),
    "all wiped": ("empty", sql("DELETE FROM records", "DELETE FROM checkpoints")),
    "reordered": ("root", lambda it: it.swap(5, 6)),
    "numbered anew": ("sequence", sql("UPDATE records SET seq=seq+1000")),
    "inserted": ("root", lambda it: it.insert(5)),
    "appended": ("unsealed", lambda it: it.insert(None)),
    "replayed": ("unsealed", lambda it: it.replay()),
    # Which history it is.
    "checkpoints rolled back": (
        "rolled_back",
        sql("DELETE FROM checkpoints WHERE number>1"),
    ),
    "checkpoints wiped": ("rolled_back", sql("DELETE FROM checkpoints")),
    "checkpoint's place": ("loose", sql("UPDATE checkpoints SET last_seq=1")),
    "checkpoint's size": ("loose", sql("UPDATE checkpoints SET size=size+1")),
    "checkpoint's frontier": ("loose", lambda it: it.frontier()),
    "checkpoint's note": ("signature", lambda it: it.note()),
    "no note": ("note", sql("UPDATE checkpoints SET note=number")),
    "sealed anew": ("rolled_back", lie()),
    "sealed anew by another key": ("key", lie(sealed_by="another")),
    "key swapped": ("key", lambda it: it.seal(it.own_key())),
    "origin swapped": ("origin", lambda it: it.seal(it.real_key(), origin="x/y")),
}
"""How the log of one writer is tampered with: what is found, and how it was done."""
FILES: dict[str, tuple[str, Callable[[Attacker], object]]] = {
    "insert or replace": ("root", lambda it: it.replace()),
    "older file": ("rolled_back", lambda it: it.roll_back(RECORDS)),
    "all files older": ("truncated", lambda it: it.roll_back(RECORDS, KEY, PUBLISHED)),
    "fork": ("rolled_back", lambda it: it.fork()),
    "another log": ("origin", lambda it: it.other()),
    "trigger dropped": ("loose", bare("DROP TRIGGER records_no_update")),
    "trigger weakened": ("loose", bare("DROP TRIGGER records_no_delete", WEAK)),
    "trigger added": (
        "loose",
        bare("CREATE TRIGGER x AFTER INSERT ON records BEGIN SELECT 1; END"),
    ),
    "trigger added in other letters": (
        "loose",
        bare(
            "CREATE TRIGGER x BEFORE INSERT ON Records WHEN NEW.agent = 'bot-b'"
            " BEGIN SELECT RAISE(IGNORE); END"
        ),
    ),
    "index that leaves out": ("loose", lambda it: it.index("records_decided")),
    "index gone": ("loose", bare("DROP INDEX records_task")),
    "view added": ("loose", bare("CREATE VIEW more AS SELECT * FROM records")),
    "table weakened": ("loose", lambda it: it.weaken()),
    "column gone": ("schema", sql("ALTER TABLE records RENAME COLUMN effect TO x")),
    "a view instead": ("schema", lambda it: it.view()),
    "table gone": ("schema", bare("DROP TABLE checkpoints")),
    "erased, and sealed nowhere": ("personal", lambda it: it.erase()),
    "cut short": ("unreadable", lambda it: it.bytes(lambda b: b[: len(b) // 2])),
    "overwritten": ("evidence", lambda it: it.bytes(lambda b: bytes(len(b)))),
    "emptied": ("evidence", lambda it: it.bytes(lambda b: b"")),
}
"""How a file of SQLite is tampered with."""


def test_what_nobody_touched_holds(scene: Scene, attacker: Attacker) -> None:
    """The log as it was written, against the last checkpoint and the one before."""
    for held in (scene.held, scene.held_before):
        report = verified(scene, scene.folder, held)
        assert (report.findings, report.unsealed) == ([], 0)
    with attacker.open() as connection:
        kinds = connection.execute(
            "SELECT DISTINCT kind, effect FROM records"
        ).fetchall()
    assert {"allow", "constrain", "deny", "queue_for_approval"} <= {e for _, e in kinds}
    report = verified(scene, attacker.folder)
    assert report.findings == []


@pytest.mark.parametrize("kind", [*KINDS, *FILES])
def test_tampering_is_found(scene: Scene, attacker: Attacker, kind: str) -> None:
    """Whatever was done, the log does not verify, and a finding says what is wrong."""
    code, tamper = {**KINDS, **FILES}[kind]
    tamper(attacker)
    report = verified(scene, attacker.folder)
    assert code in {one.code for one in report.findings}, list(
        map(str, report.findings)
    )
    assert not report.verified
    json.dumps(asdict(report))


def test_the_newest_checkpoint_hides_nothing(scene: Scene, attacker: Attacker) -> None:
    """The log found by itself that it was altered: it does not verify any more."""
    says(ON, effect="deny")(attacker)
    worked(attacker.folder)
    newest = gov_verify.held_in([attacker.folder / PUBLISHED])[-1]
    report = verified(scene, attacker.folder, newest)
    assert "tamper" in {one.code for one in report.findings}


def test_checkpoints_that_are_gone_are_missed_by_the_newest_alone(
    scene: Scene, attacker: Attacker
) -> None:
    """Stored and published ones deleted, and an honest process seals what is there."""
    sql("DELETE FROM checkpoints")(attacker)
    (attacker.folder / PUBLISHED).unlink()
    worked(attacker.folder)
    newest = gov_verify.held_in([attacker.folder / PUBLISHED])[-1]
    report = verified(scene, attacker.folder, newest)
    assert {"tamper", "rolled_back"} <= {one.code for one in report.findings}


def test_an_erasure_cannot_be_made_lawful_by_an_honest_seal(
    scene: Scene, attacker: Attacker
) -> None:
    """A record that was inserted before it was sealed is not signed by the key."""
    attacker.erase_and_seal()
    newest = gov_verify.held_in([attacker.folder / PUBLISHED])[-1]
    for held in (scene.held, newest):
        report = verified(scene, attacker.folder, held)
        assert {"erasure", "personal"} <= {one.code for one in report.findings}


def test_an_edit_is_found_between_two_checkpoints(
    scene: Scene, attacker: Attacker
) -> None:
    """The finding names the records among which it lies, and no earlier one."""
    before, after = (
        gov_verify.parse_checkpoint(gov_verify.parse_note(one)).size
        for one in (scene.held_before, scene.held)
    )
    attacker.swap(after - 1, after)
    found = {one.code: one for one in verified(scene, attacker.folder).findings}["root"]
    assert (found.first_seq, found.last_seq) == (before + 1, after)
    assert verified(scene, attacker.folder, scene.held_before).findings


PUBLISHED_FILE: dict[str, Callable[[Path], object]] = {
    "removed": lambda file: file.unlink(),
    "emptied": lambda file: file.write_bytes(b""),
    "note edited": lambda file: file.write_text(
        file.read_text("utf-8").replace("openfeature-gov/", "openfeature-gov/x", 1)
    ),
    "signature edited": lambda file: file.write_text(
        file.read_text("utf-8").replace("=\\n", "A\\n", 1)
    ),
    "no notes": lambda file: file.write_text("{}\n{}\n"),
    "of another log": lambda file: file.write_text(Log(3).notes[0][2]),
}


@pytest.mark.parametrize("kind", PUBLISHED_FILE)
def test_published_checkpoints_are_not_believed_either(
    scene: Scene, attacker: Attacker, kind: str
) -> None:
    """Who holds the published file and nothing else still has the pinned key."""
    file = attacker.folder / PUBLISHED
    assert run(scene, attacker.folder, file) == gov_verify.VERIFIED
    PUBLISHED_FILE[kind](file)
    assert run(scene, attacker.folder, file) in (
        gov_verify.USAGE,
        gov_verify.UNREADABLE,
        gov_verify.REFUSED,
    )


def run(scene: Scene, folder: Path, held: Path) -> int:
    """Return the exit code of the program."""
    pins = ("--key", scene.key, "--checkpoint", str(held))
    try:
        return gov_verify.main([str(folder / RECORDS), *pins])
    except SystemExit as left:
        return int(left.code or 0)


def test_a_clock_that_was_set_back_is_told(tmp_path: Path) -> None:
    """Records keep the order of the log; a time that runs backwards is noted."""
    clock = [time.time_ns()]
    with closing(SqliteStore(tmp_path / RECORDS, now=lambda: clock[0])) as store:
        store.commit(note_record(store.stamp(), "mark"))
        clock[0] -= 3_600_000_000_000
        store.commit(note_record(store.stamp(), "mark"))
    held = gov_verify.held_in([tmp_path / PUBLISHED])
    key = read_key(tmp_path / KEY).vkey
    files = gov_verify.files([tmp_path / RECORDS])
    (report,) = gov_verify.verify(files, [key], held[-1:])
    assert report.notes == ["record 3: the clock of its writer was set back"]

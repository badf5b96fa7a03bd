"""Bundles and proofs: what an exporter writes is what the lone verifier believes."""

from __future__ import annotations

import json
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from openfeature_gov import RecordStoreError
from openfeature_gov.evidence import bundles
from openfeature_gov.evidence.bundles import Span, export, prove
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Database
from tests.foreign_log import Log, Signer, codes, decision, event, verified


def exported(log: Log, folder: Path, first: int, last: int, *held: str) -> Path:
    """Export records *first* to *last* of *log*."""
    file = folder / "records.db"
    file.unlink(missing_ok=True)
    with closing(Database(log.database(file))) as evidence:
        export(evidence, Span(first, last), folder / "bundle.zip", held=held)
    return folder / "bundle.zip"


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13])
def test_any_range_verifies_against_every_checkpoint(
    tmp_path: Path, count: int
) -> None:
    """A bundle is compared with all that one may hold, older and younger ones."""
    log = Log(count, every=3)
    held = [note for *_, note in log.notes]
    for first in range(1, count + 1):
        for last in {first, (first + count) // 2, count}:
            report = verified(log, exported(log, tmp_path, first, last), held)
            assert (codes(report), report.size) == ([], count)
            assert (report.first_seq, report.last_seq) == (first, last)
            assert report.checkpoints == 2 * len(held)


def test_a_bundle_holds_the_bytes_of_its_range(tmp_path: Path) -> None:
    """Bodies one a line, personal parts beside their ids, and nothing of the others."""
    log = Log(9)
    with zipfile.ZipFile(exported(log, tmp_path, 3, 5)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert parts["records.jsonl"].splitlines() == log.leaves[2:5]
    personal = [json.loads(line) for line in parts["personal.jsonl"].splitlines()]
    assert [one["id"] for one in personal] == ["d-3", "d-4", "d-5"]
    assert b"d-2" not in b"".join(parts.values())
    assert json.loads(parts["manifest.json"]) == {
        "format": "gov.bundle/1",
        "origin": "gov.example/log",
        "size": 9,
        "firstSeq": 3,
        "lastSeq": 5,
        "rotations": [],
    }


def test_one_range_is_one_bundle(tmp_path: Path) -> None:
    """Exported twice it has the same bytes."""
    log = Log(9)
    once = exported(log, tmp_path, 2, 8).read_bytes()
    assert exported(log, tmp_path, 2, 8).read_bytes() == once
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "bundle.zip",
        "records.db",
    ]


def test_what_the_verifier_must_know_stands_beside_the_range(tmp_path: Path) -> None:
    """New keys before and after it, erasures after it, alterations that were found."""
    log = Log(4)
    first = log.signer.vkey
    log.rotate(Signer())
    for number in range(6, 9):
        log.add(*decision(number))
    log.seal()
    log.rows[6] = (log.rows[6][0], None)
    log.erase("d-7")
    log.rotate(Signer())
    log.seal()
    for span in ((1, 3), (6, 8), (7, 7), (10, 10)):
        report = verified(log, exported(log, tmp_path, *span), keys=[first])
        assert (codes(report), report.size) == ([], 10), span


def test_an_older_tree_stays_out(tmp_path: Path) -> None:
    """Where the log began anew, its last tree is exported."""
    log = Log()
    for number in range(1, 4):
        log.add(*decision(number))
    log.seal(origin="gov.example/before")
    log.add(*event(4, "tamper", finding="edited", origin="gov.example/before"))
    log.seal()
    report = verified(log, exported(log, tmp_path, 2, 3))
    assert codes(report) == ["checkpoints", "tamper"]


def test_what_no_checkpoint_covers_is_not_exported(tmp_path: Path) -> None:
    """A range ends at the last checkpoint; beyond it there is none."""
    log = Log(5)
    log.add(*decision(6))
    with closing(Database(log.database(tmp_path / "records.db"))) as evidence:
        target = tmp_path / "bundle.zip"
        assert export(evidence, Span(4, 6), target) == (4, 5)
        for span in (Span(6, 6), Span(4, 3), Span(0, 2)):
            with pytest.raises(RecordStoreError, match="no checkpoint covers"):
                export(evidence, span, target)
    log.notes.clear()
    with pytest.raises(RecordStoreError, match="no checkpoint covers"):
        exported(log, tmp_path, 1, 2)


def test_a_log_with_a_gap_is_not_exported(tmp_path: Path) -> None:
    """Missing records are said, and leave no half of a bundle."""
    log = Log(5)
    del log.rows[1:3]
    with pytest.raises(RecordStoreError, match="ends after 3 of 5"):
        exported(log, tmp_path, 1, 5)
    assert not (tmp_path / "bundle.zip").exists()
    assert not list(tmp_path.glob("*.part"))


def test_many_checkpoints_are_thinned_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the range, some of the others, and the auditor's own remain."""
    monkeypatch.setattr(bundles, "SPACED", 3)
    monkeypatch.setattr(gov_verify, "SPACED", 3)
    log = Log(40, every=1)
    held = log.notes[33][2]
    report = verified(log, exported(log, tmp_path, 10, 12, held), [held])
    assert codes(report) == []
    assert 3 + 2 <= report.checkpoints <= 3 + 2 + 3 + 2
    other = next(
        note
        for *_, note in log.notes[20:30]
        if not verified(log, tmp_path / "bundle.zip", [note]).verified
    )
    found = verified(log, tmp_path / "bundle.zip", [other])
    assert codes(found)[0] == "cover"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 20])
def test_every_record_can_be_proved(tmp_path: Path, count: int) -> None:
    """Below the last checkpoint, or below an older one that the auditor holds."""
    log = Log(count, every=4)
    file = tmp_path / "proof"
    with closing(Database(log.database(tmp_path / "records.db"))) as evidence:
        for number in range(1, count + 1):
            for size, _, note in log.notes:
                if size >= number:
                    file.write_text(prove(evidence, f"d-{number}", [note]), "utf-8")
                    report = verified(log, file, [note])
                    assert (codes(report), report.first_seq) == ([], number)
                    assert report.record == log.leaves[number - 1].decode()
            file.write_text(prove(evidence, f"d-{number}"), "utf-8")
            assert verified(log, file).verified


def test_what_cannot_be_proved_is_said(tmp_path: Path) -> None:
    """An unknown record, and one behind every checkpoint."""
    log = Log(4)
    log.add(*decision(5))
    with closing(Database(log.database(tmp_path / "records.db"))) as evidence:
        with pytest.raises(RecordStoreError, match="no record 'd-9'"):
            prove(evidence, "d-9")
        with pytest.raises(RecordStoreError, match="no checkpoint covers record 5"):
            prove(evidence, "d-5")

"""The verifier that stands alone, against logs that another hand wrote and sealed."""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.stores import history
from tests.foreign_log import (
    ORIGIN,
    Log,
    Signer,
    codes,
    decision,
    event,
    packed,
    path,
    proof,
    verified,
)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 8, 20, 33])
def test_a_log_of_any_length_holds(tmp_path: Path, count: int) -> None:
    """As a file and as any range of a bundle, against each checkpoint."""
    log = Log(count)
    file = log.database(tmp_path / "records.db")
    for _, _, note in log.notes:
        report = verified(log, file, [note], sealed=True)
        assert (codes(report), report.size) == ([], count)
        assert (report.first_seq, report.last_seq) == (1, count)
    for first in range(1, count + 1):
        last = random.Random(first).randint(first, count)
        bundle = packed(tmp_path / "bundle.zip", log.parts(first, last))
        report = verified(log, bundle, [note for *_, note in log.notes])
        assert (codes(report), report.size) == ([], count)
        assert (report.first_seq, report.last_seq) == (first, last)
        assert report.checkpoints == 2 * len(log.notes)


def test_a_proof_shows_its_record(tmp_path: Path) -> None:
    """Every leaf of every size, and no other leaf, index or path."""
    for count in range(1, 20):
        log = Log(count)
        for index in range(count):
            file = tmp_path / "proof"
            file.write_bytes(proof(log, index))
            report = verified(log, file)
            assert (codes(report), report.first_seq) == ([], index + 1)
            assert report.record == log.leaves[index].decode()
            file.write_bytes(proof(log, index, at=index + 1))
            assert not verified(log, file).verified
            file.write_bytes(
                proof(log, index, hashes=[*path(index, log.leaves), b"x" * 32])
            )
            assert codes(verified(log, file)) == ["root"]


def test_a_proof_shows_a_record_in_its_one_spelling(tmp_path: Path) -> None:
    """A record that was sealed in another is no evidence of what it says."""
    log = Log(3, every=9)
    log.rows[1] = (log.rows[1][0].replace(b'"effect":', b'"effect": '), None)
    log.notes.clear()
    log.seal()
    file = tmp_path / "proof"
    file.write_bytes(proof(log, 1))
    assert codes(verified(log, file)) == ["canonical"]


def test_a_proof_needs_the_checkpoint_that_is_held(tmp_path: Path) -> None:
    """A proof below another checkpoint, or by another key, shows nothing."""
    log, other = Log(9), Log(9)
    file = tmp_path / "proof"
    file.write_bytes(proof(log, 3))
    assert codes(verified(log, file, [log.notes[0][2]])) == ["checkpoint"]
    assert codes(verified(other, file, [log.notes[-1][2]])) == ["key"]


def test_what_follows_the_last_checkpoint_is_counted(tmp_path: Path) -> None:
    """The undetectable window is told, and --sealed allows none."""
    log = Log(9)
    log.add(*decision(10))
    log.add(*decision(11))
    file = log.database(tmp_path / "records.db")
    assert verified(log, file).unsealed == 2
    assert codes(verified(log, file, sealed=True)) == ["unsealed"]


def test_an_empty_log_holds_only_where_it_was_anchored(tmp_path: Path) -> None:
    """Size 0 in a checkpoint that one holds, and no other way."""
    log, full = Log(), Log(4)
    log.signer = full.signer
    log.seal()
    file = log.database(tmp_path / "records.db")
    assert codes(verified(log, file)) == []
    assert "empty" in codes(verified(full, file))
    grown = Log()
    grown.seal()
    for number in range(1, 4):
        grown.add(*decision(number))
    grown.seal()
    held = [grown.notes[0][2]]
    assert codes(verified(grown, grown.database(tmp_path / "b.db"), held)) == []


def test_one_change_is_one_finding(tmp_path: Path) -> None:
    """However many checkpoints follow it, and with the first records it may be in."""
    log = Log(20, every=2)
    bundle = log.parts(1, 20)
    bundle["records.jsonl"] = bundle["records.jsonl"].replace(
        b'"refund"', b'"return"', 7
    )
    (found,) = verified(log, packed(tmp_path / "b.zip", bundle)).findings
    assert (found.code, found.first_seq, found.last_seq) == ("root", 1, 2)


SEVERAL = "gov.example/other"


def test_several_logs_are_one_evidence(tmp_path: Path) -> None:
    """Each is verified against what is held of it, and an erasure counts in all."""
    one, two = Log(5), Log(3)
    two.signer = one.signer
    two.notes.clear()
    two.erase("d-2")
    two.seal(origin=SEVERAL)
    one.rows[1] = (one.rows[1][0], None)
    files = [one.database(tmp_path / "1.db"), two.database(tmp_path / "2.db")]
    held = [one.notes[-1][2], two.notes[-1][2]]
    key = [one.signer.vkey]
    reports = gov_verify.verify(gov_verify.files(files), key, held)
    assert [codes(report) for report in reports] == [[], []]
    assert [report.origin for report in reports] == [ORIGIN, SEVERAL]
    alone = gov_verify.verify(gov_verify.files(files[:1]), key, held[:1])
    assert [codes(report) for report in alone] == [["personal"]]
    unheld = gov_verify.verify(gov_verify.files(files), key, held[:1])
    assert [codes(report) for report in unheld] == [["personal"], ["checkpoint"]]


def test_a_log_that_is_gone_is_missed(tmp_path: Path) -> None:
    """Whoever holds a checkpoint of it must be shown it, among all others."""
    logs = [Log(3), Log(3), Log(3)]
    held = []
    for number, log in enumerate(logs):
        log.signer = logs[0].signer
        log.notes.clear()
        held.append(log.seal(origin=f"gov.example/{number}"))
    files = [log.database(tmp_path / f"{n}.db") for n, log in enumerate(logs[:2])]
    reports = gov_verify.verify(gov_verify.files(files), [logs[0].signer.vkey], held)
    assert [codes(report) for report in reports] == [[], [], ["absent"]]
    assert reports[2].origin == "gov.example/2"


def ledger_of(log: Log, *notes: str) -> Log:
    """Return a sealed ledger with *notes*, under the key of *log*."""
    held = Log()
    held.signer = log.signer
    for number, note in enumerate(notes, 1):
        held.add(*event(number, "checkpoint", note=note, ref="w"))
    held.seal(origin=SEVERAL)
    return held


def both(tmp_path: Path, log: Log, ledger: Log) -> list[list[str]]:
    """Verify *log* by the checkpoint of its *ledger*; return the codes of both."""
    files = [tmp_path / "log.db", tmp_path / "ledger.db"]
    for one, file in zip((log, ledger), files, strict=True):
        file.unlink(missing_ok=True)
        one.database(file)
    reports = gov_verify.verify(
        gov_verify.files(files), [ledger.signer.vkey], [ledger.notes[-1][2]], deep=True
    )
    return [codes(report) for report in reports]


def test_every_entry_of_the_ledger_holds(tmp_path: Path) -> None:
    """A log that was cut back is not saved by an old entry that was made again."""
    log = Log(9, every=3)
    first, *_, last = (note for *_, note in log.notes)
    assert both(tmp_path, log, ledger_of(log, first, last)) == [[], []]
    cut = Log(3)
    cut.signer, cut.notes = log.signer, log.notes[:1]
    found = both(tmp_path, cut, ledger_of(log, first, last, first))
    assert found == [["rolled_back", "truncated"], ["ledger"]]
    ledger = ledger_of(log, last)
    ledger.add(*event(2, "checkpoint", note=first, ref="w"))
    assert both(tmp_path, cut, ledger) == [["rolled_back", "truncated"], ["ledger"]]
    unsealed = ledger_of(log)
    unsealed.rows = ledger_of(log, last).rows
    assert both(tmp_path, log, unsealed) == [["checkpoint"], []]


def test_what_a_former_key_signed_is_verified(tmp_path: Path) -> None:
    """A ledger of the new key vouches for logs of the old one, not for forgeries."""
    log, ledger = Log(9), Log()
    ledger.signer = log.signer
    ledger.add(*event(1, "checkpoint", note=log.notes[-1][2], ref="w"))
    ledger.rotate(Signer())
    ledger.seal(origin=SEVERAL)
    assert both(tmp_path, log, ledger) == [[], []]
    forged = Log(3)
    forged.add(*decision(4, amount="0"))
    for number in range(5, 10):
        forged.add(*decision(number))
    top, old = forged.seal(), log.notes[-1][2].rpartition("\n\n")[2]
    lie = top.rpartition("\n\n")[0] + "\n\n" + old
    forged.notes = [(9, ORIGIN, lie)]
    ledger.rows[0] = event(1, "checkpoint", note=lie, ref="w")
    ledger.notes.clear()
    ledger.seal(origin=SEVERAL)
    (found, _) = both(tmp_path, forged, ledger)
    assert "signature" in found


def test_nothing_is_shown_without_key_and_checkpoint(tmp_path: Path) -> None:
    """Both must be given: the evidence cannot vouch for itself."""
    log = Log(3)
    file = log.database(tmp_path / "records.db")
    for keys, held in (([], None), ([log.signer.vkey], [])):
        with pytest.raises(gov_verify.UsageError):
            verified(log, file, held, keys=keys)


def test_what_the_log_says_of_itself_is_told(tmp_path: Path) -> None:
    """Clocks set back, and calls not kept."""
    log = Log(2)
    log.add(*event(3, "gap", lost=3))
    log.add(*event(-70_000_000, "mark"))
    log.seal()
    report = verified(log, log.database(tmp_path / "records.db"))
    assert codes(report) == []
    told = "\n".join(report.notes)
    assert "record 3: 3 denied calls were not kept" in told
    assert "record 4: the clock of its writer was set back" in told


def test_what_the_log_found_stays_a_finding(tmp_path: Path) -> None:
    """A log that began anew is no whole log, by whichever checkpoint."""
    log = Log(2)
    log.seal(origin="gov.example/before")
    log.add(*event(3, "tamper", finding="edited", origin="gov.example/before"))
    log.seal()
    file = log.database(tmp_path / "records.db")
    for quick in (False, True):
        report = verified(log, file, quick=quick)
        assert codes(report) == ["tamper", "origin"]
        assert "it was altered (edited)" in report.findings[0].what


def test_a_log_that_was_sealed_late_says_so(tmp_path: Path) -> None:
    """What stood there before the first checkpoint could have been anything."""
    log = Log(4)
    report = verified(log, log.database(tmp_path / "late.db"))
    assert report.notes == ["4 records stood there before the first checkpoint"]
    anchored = Log()
    anchored.seal()
    anchored.add(*decision(1))
    anchored.seal()
    assert verified(anchored, anchored.database(tmp_path / "a.db")).notes == []


@contextmanager
def _only_read(folder: Path) -> Iterator[None]:
    """Take from this process the right to write *folder* for a block."""
    root = os.geteuid() == 0
    folder.chmod(0o555)
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_file_is_read_where_nothing_can_be_written() -> None:
    """Where something is left beside it, that is not passed over.

    Not in ``tmp_path``, which none but its owner may enter.
    """
    log = Log(7)
    with tempfile.TemporaryDirectory() as name:
        file = log.database(Path(name) / "records.db")
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        file.chmod(0o444)
        assert codes(verified(log, file)) == []
        bodies = history.records(file)
        with _only_read(file.parent):
            assert codes(verified(log, file)) == []
            assert history.records(file) == bodies
        for left in ("-wal", "-journal"):
            beside = file.with_name(f"{file.name}{left}")
            beside.write_bytes(b"x" * 512)
            beside.chmod(0)
            with _only_read(file.parent):
                assert not verified(log, file).verified
                with pytest.raises(RecordStoreError, match=r"unable to open|readonly"):
                    history.records(file)
            beside.unlink()

"""The verifier and checkpoints: written in one way, in order, none taken away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.evidence.standalone import gov_verify
from tests.foreign_log import (
    Log,
    Signer,
    codes,
    decision,
    event,
    linked,
    packed,
    respelled,
    verified,
)


def test_witnesses_may_sign_too(tmp_path: Path) -> None:
    """Signatures of keys that nobody pinned are passed over."""
    log = Log(5)
    size, origin, note = log.notes[-1]
    text = note.split("\n\n")[0] + "\n"
    log.notes[-1] = (size, origin, log.signer.note(text, Signer("witness.example")))
    assert codes(verified(log, log.database(tmp_path / "records.db"))) == []


def test_checkpoints_stand_in_their_order(tmp_path: Path) -> None:
    """A smaller one behind a larger one is a finding, and so is the same again."""
    for order in ([2, 0, 1], [0, 1, 1, 2]):
        log = Log(9, every=3)
        log.notes = [log.notes[place] for place in order]
        held = [max(log.notes)[2]]
        bundle = packed(tmp_path / "b.zip", log.parts(1, 9))
        found = set(codes(verified(log, bundle, held)))
        assert found == {"bundle" if order[0] else "checkpoints"}


NOTES: dict[str, Callable[[str], str]] = {
    "another spelling": respelled,
    "a control character": lambda note: note.replace("\n", "\x07\n", 1),
    "no dash": lambda note: note.replace("\u2014 ", "- "),
    "no name": lambda note: note.replace("\u2014 gov.example ", "\u2014  "),
    "no signature": lambda note: note[: note.index("\u2014")],
    "a short signature": lambda note: note[: note.index("\u2014")] + "\u2014 x AAAA\n",
    "no line break": lambda note: note[:-1],
    "no empty line": lambda note: note.replace("\n\n", "\n"),
    "no root": lambda note: (
        "\n".join(note.split("\n")[:2]) + note[note.index("\n\n") :]
    ),
    "a zero before": lambda note: note.replace("\n9\n", "\n09\n"),
    "a sign before": lambda note: note.replace("\n9\n", "\n+9\n"),
    "other digits": lambda note: note.replace("\n9\n", "\n\u0669\n"),
    "a short root": lambda note: note.replace("=\n\n", "\n\n"),
    "many signatures": lambda note: note + note[note.index("\u2014") :] * 100,
    "a long text": lambda note: note.replace("\n\n", "\n" + "x" * 100_000 + "\n\n"),
}


@pytest.mark.parametrize("kind", NOTES)
def test_a_note_is_written_in_one_way(tmp_path: Path, kind: str) -> None:
    """Whatever else looks like a checkpoint is none."""
    log = Log(9)
    good = log.notes[-1][2]
    assert gov_verify.parse_checkpoint(gov_verify.parse_note(good)).size == 9
    with pytest.raises(gov_verify.Refused):
        gov_verify.parse_checkpoint(gov_verify.parse_note(NOTES[kind](good)))


def test_a_bundle_reaches_the_newest_checkpoint_that_one_holds(tmp_path: Path) -> None:
    """One of a log that was rolled back does not; one that was made before may not."""
    log, short = Log(9, every=3), Log(3)
    short.signer, short.notes = log.signer, log.notes[:1]
    bundle = packed(tmp_path / "b.zip", short.parts(1, 3))
    held = [note for *_, note in log.notes]
    report = verified(log, bundle, held)
    assert codes(report) == ["truncated"]
    assert "bundle ends after 3 records: ask for a new one" in report.findings[0].what
    report = verified(log, bundle, held, partial=True)
    assert codes(report) == []
    (note,) = report.notes
    assert "your checkpoint over 9 records covers more" in note
    # Beyond what it holds of older checkpoints, nothing is accepted.
    assert codes(verified(log, bundle, held[1:], partial=True)) == ["truncated"]


def test_a_checkpoint_that_was_taken_away_is_missed(tmp_path: Path) -> None:
    """Each says which one it is and names the one before it, in a file of them all."""
    for gone in range(3):
        log = Log(12, every=3)
        del log.notes[gone]
        file = log.database(tmp_path / f"{gone}.db")
        report = verified(log, file)
        assert set(codes(report)) == {"checkpoints"}
        bundle = packed(tmp_path / "b.zip", log.parts(1, 12))
        assert set(codes(verified(log, bundle))) == {"checkpoints"}
    log, other = Log(12, every=3), Log(12, every=6)
    other.signer = log.signer
    other.notes = [log.notes[0], other.seal_after(log.notes[0], 6), log.notes[3]]
    for evidence in (
        other.database(tmp_path / "other.db"),
        packed(tmp_path / "b.zip", other.parts(1, 12)),
    ):
        found = codes(verified(log, evidence, [log.notes[0][2]]))
        assert "checkpoints" in found, found


def test_former_checkpoints_need_no_place(tmp_path: Path) -> None:
    """Those of former releases say none; once one says it, all that follow do."""
    log = Log(9, every=3, chained=False)
    assert codes(verified(log, log.database(tmp_path / "former.db"))) == []
    log.chained = True
    log.add(*decision(10))
    log.seal()
    assert codes(verified(log, log.database(tmp_path / "grown.db"))) == []
    log.chained = False
    log.add(*decision(11))
    log.seal()
    report = verified(log, log.database(tmp_path / "mixed.db"))
    assert codes(report) == ["checkpoints"]
    assert "does not say which one it follows" in report.findings[0].what


@pytest.mark.parametrize(
    ("number", "digest", "found"),
    [
        (1, "1", []),
        (2, "2", []),
        (2, "1", ["rolled_back"]),
        (3, "3", ["rolled_back"]),
        (9, "1", ["rolled_back"]),
        (0, "1", ["rolled_back"]),
        ("x", "1", ["rolled_back"]),
        (True, "1", ["rolled_back"]),
        (1, None, ["rolled_back"]),
    ],
)
def test_what_records_tell_of_checkpoints_is_there(
    tmp_path: Path, number: Any, digest: str | None, found: list[str]
) -> None:
    """With that number and content, and before the record that tells of it."""
    log = Log(6, every=3)
    texts = [note.rpartition("\n\n")[0] + "\n" for *_, note in log.notes]
    last = {"number": number, "digest": digest and linked(texts[int(digest) % 3 - 1])}
    log.add(*event(7, "start", lastCheckpoint=last))
    log.seal()
    for quick in (False, True):
        file = log.database(tmp_path / f"{quick}.db")
        assert codes(verified(log, file, quick=quick)) == found


def test_no_checkpoint_is_taken_out_of_a_bundle(tmp_path: Path) -> None:
    """Some in the middle, the first ones, all but the last, or all."""
    log = Log(20, every=2)
    whole, held = log.notes, [note for *_, note in log.notes]
    for kept in (whole[:3] + whole[7:], whole[2:], whole[-1:], []):
        log.notes = kept
        parts = log.parts(5, 14)
        bundle = packed(tmp_path / "b.zip", parts)
        for some in (held, held[-1:]):
            found = codes(verified(log, bundle, some))
            assert {"checkpoints", "bundle"} & {*found}


def test_the_checkpoint_that_one_holds_is_in_a_bundle(tmp_path: Path) -> None:
    """Even where the others say no number: this one was taken out."""
    log = Log(9, every=3, chained=False)
    held = log.notes[1][2]
    del log.notes[1]
    bundle = packed(tmp_path / "b.zip", log.parts(1, 9))
    assert codes(verified(log, bundle)) == []  # nobody can tell
    assert codes(verified(log, bundle, [held, log.notes[-1][2]])) == ["rolled_back"]


def test_a_thinned_bundle_has_what_is_in_its_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside it one in so many; no gap is wider."""
    monkeypatch.setattr(gov_verify, "SPACED", 10)
    for gone, found in (
        ((2, 15), []),
        ((8,), ["checkpoints"]),
        ((2, 3, 4, 5), ["checkpoints"]),
    ):
        log = Log(20, every=1)
        log.notes = [one for one in log.notes if one[0] not in gone]
        parts = log.parts(6, 12)
        report = verified(log, packed(tmp_path / "b.zip", parts))
        assert codes(report) == found, gone


def test_records_tell_of_the_checkpoints_of_a_bundle(tmp_path: Path) -> None:
    """What they tell must be there, or nothing that contradicts it."""
    log = Log(6, every=3)
    texts = [note.rpartition("\n\n")[0] + "\n" for *_, note in log.notes]
    log.add(
        *event(7, "start", lastCheckpoint={"number": 2, "digest": linked(texts[1])})
    )
    log.seal()
    del log.notes[1]
    parts = log.parts(5, 7)
    found = codes(verified(log, packed(tmp_path / "a.zip", parts)))
    assert found == ["checkpoints"]
    anew = Log(6, every=9)
    anew.signer, anew.rows, anew.notes = log.signer, log.rows, []
    anew.seal()
    bundle = packed(tmp_path / "b.zip", anew.parts(5, 7))
    assert codes(verified(log, bundle, [anew.notes[0][2]])) == ["rolled_back"]

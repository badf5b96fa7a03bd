"""The verifier that stands alone, against logs that another hand wrote and sealed."""

from __future__ import annotations

import ast
import json
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import zipfile
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.evidence import records
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.stores import schema
from openfeature_gov.stores.migrating import upgrade
from openfeature_gov.stores.sqlite import SqliteStore
from tests.foreign_log import (
    ORIGIN,
    Log,
    Signer,
    canonical,
    codes,
    decision,
    event,
    linked,
    packed,
    path,
    proof,
    verified,
)

FILE = Path(gov_verify.__file__)
# ---- What holds


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


def test_witnesses_may_sign_too(tmp_path: Path) -> None:
    """Signatures of keys that nobody pinned are passed over."""
    log = Log(5)
    size, origin, note = log.notes[-1]
    text = note.split("\n\n")[0] + "\n"
    log.notes[-1] = (size, origin, log.signer.note(text, Signer("witness.example")))
    assert codes(verified(log, log.database(tmp_path / "records.db"))) == []


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


def test_a_bundle_ends_at_its_last_checkpoint(tmp_path: Path) -> None:
    """Records that nothing protects may not be slipped in behind it."""
    log = Log(9)
    parts = log.parts(1, 9)
    parts["records.jsonl"] += decision(10)[0] + b"\n"
    more = canonical({"id": "d-10", "personal": decision(10)[1].decode()})
    parts["personal.jsonl"] += more + b"\n"
    report = verified(log, packed(tmp_path / "b.zip", parts))
    assert (codes(report), report.unsealed) == (["unsealed"], 1)


def test_checkpoints_stand_in_their_order(tmp_path: Path) -> None:
    """A smaller one behind a larger one is a finding, and so is the same again."""
    for order in ([2, 0, 1], [0, 1, 1, 2]):
        log = Log(9, every=3)
        log.notes = [log.notes[place] for place in order]
        held = [max(log.notes)[2]]
        bundle = packed(tmp_path / "b.zip", log.parts(1, 9))
        found = set(codes(verified(log, bundle, held)))
        assert found == {"bundle" if order[0] else "checkpoints"}


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


# ---- Keys


def test_rotation_is_followed_from_the_old_key(tmp_path: Path) -> None:
    """Whoever pinned the first key need not pin the next."""
    log = Log(5)
    first = log.signer.vkey
    held = [log.notes[-1][2]]
    log.rotate(Signer())
    log.seal()
    log.add(*decision(7))
    log.rotate(Signer())
    log.seal()
    file = log.database(tmp_path / "records.db")
    report = verified(log, file, held, keys=[first])
    assert (codes(report), report.size) == ([], 8)
    assert codes(verified(log, file, [log.notes[-1][2]], keys=[first])) == []
    assert codes(verified(log, file, quick=True, keys=[first])) == []
    bundle = packed(tmp_path / "bundle.zip", log.parts(1, 8))
    assert codes(verified(log, bundle, held, keys=[first])) == []


def test_rotation_is_seen_beside_a_bundle(tmp_path: Path) -> None:
    """A record of the cover that is no part of the range may name the next key."""
    log = Log(4)
    first = log.signer.vkey
    log.rotate(Signer())
    log.seal()
    log.add(*decision(6))
    log.seal()
    parts = log.parts(6, 6)
    assert "key" in codes(verified(log, packed(tmp_path / "a", parts), keys=[first]))
    cover = json.loads(parts["cover.json"])
    assert cover["left"][-1][0] == 0
    cover["left"][-1] = ["record", log.leaves[4].decode()]
    parts["cover.json"] = canonical(cover)
    report = verified(log, packed(tmp_path / "b", parts), keys=[first])
    assert (codes(report), report.first_seq) == ([], 6)


def test_whoever_pinned_the_new_key_needs_no_old_one(tmp_path: Path) -> None:
    """Checkpoints of the key before count for nothing, and do not spoil the log."""
    log = Log(5)
    old = log.notes[-1][2]
    log.rotate(Signer())
    log.seal()
    file = log.database(tmp_path / "records.db")
    assert codes(verified(log, file)) == []
    assert codes(verified(log, file, [old, log.notes[-1][2]])) == ["key"]


def test_a_revoked_key_signs_no_more(tmp_path: Path) -> None:
    """Once the new key signed, the old one is a stranger."""
    log = Log(5)
    old = log.signer
    log.rotate(Signer())
    log.seal()
    log.add(*decision(7))
    log.signer = old
    log.seal()
    file = log.database(tmp_path / "records.db")
    held = [log.notes[0][2]]
    report = verified(log, file, held, keys=[old.vkey])
    assert codes(report) == ["key"]
    assert report.unsealed == 1


def test_nobody_else_may_name_the_next_key(tmp_path: Path) -> None:
    """A rotation that the old key did not sign is a finding; so is half a one."""
    thief = Signer()
    log = Log(5)
    good, held = log.signer, [log.notes[-1][2]]
    text = f"{thief.name}\ngov-key-rotation/2\n{good.vkey}\n{thief.vkey}\n"
    for note in (thief.note(text), good.note(text), good.note(text + "more\n", thief)):
        forged = Log()
        forged.rows, forged.notes = [*log.rows], [*log.notes]
        forged.add(*event(6, "key_rotation", note=note, old=good.vkey))
        forged.signer = thief
        forged.seal()
        file = forged.database(tmp_path / f"{len(note)}.db")
        found = codes(verified(log, file, held))
        assert found == ["rotation", "key"], found
        file.unlink()


def test_each_key_verifies_what_was_rotated_twice(tmp_path: Path) -> None:
    """From the pinned key the log is followed forward and back."""
    log, pinned = Log(5), []
    for number in (6, 8, 10):
        pinned.append(log.signer.vkey)
        log.add(*decision(number))
        log.seal()
        log.rotate(Signer())
    log.seal()
    pinned.append(log.signer.vkey)
    file = log.database(tmp_path / "records.db")
    for key in pinned:
        assert codes(verified(log, file, sealed=True, keys=[key])) == []
        assert codes(verified(log, file, quick=True, keys=[key])) == []
    size, origin, note = log.notes[1]
    log.notes[1] = (size, origin, respelled(note, at=-20))
    other = log.database(tmp_path / "forged.db")
    found = verified(log, other, keys=pinned[-1:])
    assert codes(found) == ["signature"]


def test_a_rotation_that_was_begun_twice_holds(tmp_path: Path) -> None:
    """Whoever crashed before the new key was in place takes another one."""
    log = Log(5)
    first = log.signer
    log.rotate(Signer())
    log.signer = first
    log.seal()
    log.rotate(Signer())
    log.seal()
    file = log.database(tmp_path / "records.db")
    for key in (first, log.signer):
        assert codes(verified(log, file, sealed=True, keys=[key.vkey])) == []


@pytest.mark.parametrize("version", [1, 2])
def test_nobody_takes_the_place_of_the_former_key(tmp_path: Path, version: int) -> None:
    """Where the genuine rotation is left out, another key cannot claim to be it."""
    log, thief = Log(5), Signer()
    log.rotate(Signer(), version)
    log.seal()
    body = json.loads(log.leaves[-1])
    text = body["note"].partition("\n\n")[0] + "\n"
    new, lines = body["note"].splitlines()[-1], body["note"].splitlines()
    forged = text + "\n" + thief.line(text) + new + "\n"
    assert new == lines[-1]
    told = event(7, "key_rotation", note=forged, old=thief.vkey)[0]
    lie = Log(5)
    lie.signer, lie.notes = thief, []
    lie.seal()
    parts = log.parts(7, 6)
    parts["checkpoints.txt"] = (lie.notes[0][2] + log.notes[-1][2]).encode()
    said = json.loads(parts["manifest.json"])
    parts["manifest.json"] = canonical({**said, "rotations": [told.decode()]})
    report = verified(log, packed(tmp_path / "bundle.zip", parts))
    assert {"key", "rotation"} & {*codes(report)}
    log.add(told)
    log.seal()
    found = codes(verified(log, log.database(tmp_path / "records.db")))
    assert "rotation" in found


def test_a_rotation_of_format_1_leads_forward_only(tmp_path: Path) -> None:
    """Whoever pinned the old key goes on; from the new one it says which to pin."""
    log = Log(5)
    old = log.signer.vkey
    log.rotate(Signer(), 1)
    log.seal()
    file = log.database(tmp_path / "records.db")
    assert codes(verified(log, file, keys=[old])) == []
    report = verified(log, file)
    assert codes(report) == ["rotation", "key"]
    assert "pin gov.example+" in report.findings[0].what


def test_a_rotation_names_the_key_that_it_says_it_follows(tmp_path: Path) -> None:
    """The record beside the signed text may not tell of another one."""
    log = Log(5)
    log.rotate(Signer())
    body = json.loads(log.rows[-1][0])
    log.rows[-1] = event(6, "key_rotation", note=body["note"], old=Signer().vkey)
    log.seal()
    found = codes(verified(log, log.database(tmp_path / "records.db")))
    assert found == ["rotation", "key"]


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


@pytest.mark.parametrize(
    "key",
    [
        "",
        "name",
        "name+00+",
        "a b+00000000+AA==",
        "gov.example+00000000+" + b64encode(b"\1" + bytes(32)).decode(),
        "gov.example+00000000+" + b64encode(b"\2" + bytes(32)).decode(),
    ],
)
def test_a_key_that_is_none_is_wrong_usage(tmp_path: Path, key: str) -> None:
    """A malformed pin verifies nothing."""
    log = Log(3)
    file = log.database(tmp_path / "records.db")
    with pytest.raises(gov_verify.UsageError):
        verified(log, file, keys=[key])


def test_an_ed25519_key_alone_is_a_key(tmp_path: Path) -> None:
    """A key of another type or length is refused, though its hash is right."""
    for raw in (b"\2" + bytes(32), b"\1" + bytes(31), b"\1" + bytes(33), b""):
        hashed = sha256(b"name\n" + raw).digest()[:4].hex()
        with pytest.raises(gov_verify.Refused, match="not an Ed25519 key"):
            gov_verify.parse_key(f"name+{hashed}+{b64encode(raw).decode()}")


def respelled(note: str, at: int = 0) -> str:
    """Return *note* with a signature that means the same in other letters.

    With *at*, how far from its end another letter stands, it means something else.
    """
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    place = at or note.rindex("=") - 1
    head, last, tail = note[:place], note[place], note[place:][1:]
    return head + letters[letters.index(last) ^ 1] + tail


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


def test_nothing_is_shown_without_key_and_checkpoint(tmp_path: Path) -> None:
    """Both must be given: the evidence cannot vouch for itself."""
    log = Log(3)
    file = log.database(tmp_path / "records.db")
    for keys, held in (([], None), ([log.signer.vkey], [])):
        with pytest.raises(gov_verify.UsageError):
            verified(log, file, held, keys=keys)


# ---- What records say


def change(log: Log, seq: int, **facts: Any) -> None:
    """Write record *seq* as if its writer had said *facts*, before it was sealed."""
    body, personal = log.rows[seq - 1]
    log.rows[seq - 1] = (canonical({**json.loads(body), **facts}), personal)


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "a space": lambda body: body.replace(b'"effect":', b'"effect": '),
    "another order": lambda body: json.dumps(
        dict(reversed(json.loads(body).items())), separators=(",", ":")
    ).encode(),
    "a name twice": lambda body: body[:-1] + b',"writer":"w"}',
    "an escape": lambda body: body.replace(b"refund", b"\\u0072efund"),
    "a float": lambda body: body[:-1] + b',"z":1.5}',
    "an exponent": lambda body: body[:-1] + b',"z":1e5}',
    "not a number": lambda body: body[:-1] + b',"z":NaN}',
    "infinity": lambda body: body[:-1] + b',"z":-Infinity}',
    "half a surrogate": lambda body: body[:-1] + b',"z":"\\ud800"}',
    "a huge number": lambda body: body[:-1] + b',"z":' + b"9" * 5000 + b"}",
    "deep": lambda body: body[:-1] + b',"z":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no object": lambda body: b"[" + body + b"]",
    "no JSON": lambda body: b"\xff\xfe",
    "no UTF-8": lambda body: body[:-1] + b',"z":"\xff"}',
    "nothing": lambda body: b" ",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_record_in_another_spelling_is_found(tmp_path: Path, spelling: str) -> None:
    """Even where it was sealed so: canonical bytes are the only ones."""
    log = Log(4, every=9)
    body, personal = log.rows[1]
    log.rows[1] = (SPELLINGS[spelling](body), personal)
    log.notes.clear()
    log.seal()
    bundle = packed(tmp_path / "bundle.zip", log.parts(1, 1))
    parts = log.parts(1, 1)
    parts["records.jsonl"] = b"".join(body + b"\n" for body in log.leaves)
    parts["cover.json"] = canonical({"left": [], "right": []})
    true = Log(4).parts(1, 4)
    parts |= {name: true[name] for name in ("personal.jsonl", "manifest.json")}
    report = verified(log, packed(bundle, parts))
    assert codes(report)[0] in ("canonical", "body")
    assert report.findings[0].first_seq == 2


def test_personal_parts_are_those_recorded(tmp_path: Path) -> None:
    """One that is missing, foreign or made up is a finding; an erased one is not."""
    for part, found in ((None, "personal"), (b"{}", "personal")):
        log = Log(5)
        log.rows[2] = (log.rows[2][0], part)
        report = verified(log, log.database(tmp_path / f"{part!r}.db"))
        assert codes(report) == [found]
        assert report.findings[0].first_seq == 3
        bundle = packed(tmp_path / "bundle.zip", log.parts(2, 4))
        assert "personal" in codes(verified(log, bundle))
    log = Log(5)
    log.rows[2] = (log.rows[2][0], None)
    log.erase("d-3")
    (early,) = verified(log, log.database(tmp_path / "unsealed.db")).findings
    assert "not sealed yet" in early.what
    log.seal()
    assert codes(verified(log, log.database(tmp_path / "erased.db"))) == []
    assert codes(verified(log, packed(tmp_path / "a.zip", log.parts(2, 6)))) == []
    log = Log(4)
    parts = log.parts(1, 4)
    parts["personal.jsonl"] += parts["personal.jsonl"].splitlines(keepends=True)[0]
    assert codes(verified(log, packed(tmp_path / "b.zip", parts))) == ["loose"]
    log = Log(2)
    log.add(event(3, "mark")[0], b"{}")
    log.seal()
    assert codes(verified(log, log.database(tmp_path / "more.db"))) == ["personal"]


def forged_erasures(log: Log) -> dict[str, tuple[bytes, None]]:
    """Return records that tell of an erasure of d-3, and no key of the log signed."""
    plain = event(6, "erasure", records=["d-3"], by="user", reason="asked")
    other = Log(5)
    other.signer = log.signer
    other.erase("d-2")
    signed = json.loads(other.leaves[-1])
    stranger = Log(5)
    stranger.signer = Signer()
    stranger.erase("d-3")
    wider = {**signed, "records": ["d-2", "d-3"]}
    moved = {**json.loads(plain[0]), "note": signed["note"]}
    return {
        "unsigned": plain,
        "by a stranger": (stranger.leaves[-1], None),
        "of other records": (canonical(wider), None),
        "with another's note": (canonical(moved), None),
        "no note": (canonical({**signed, "note": "x"}), None),
    }


@pytest.mark.parametrize("kind", forged_erasures(Log()))
def test_an_erasure_that_no_key_signed_counts_for_nothing(
    tmp_path: Path, kind: str
) -> None:
    """Whoever can insert a record before it is sealed cannot forget in secret."""
    log = Log(5)
    log.add(*forged_erasures(log)[kind])
    log.seal()
    found = codes(verified(log, log.database(tmp_path / "kept.db")))
    assert found in (["erasure"], ["note"])
    log.rows[2] = (log.rows[2][0], None)
    found = codes(verified(log, log.database(tmp_path / "gone.db")))
    assert found in (["erasure", "personal"], ["note", "personal"])
    bundle = packed(tmp_path / "bundle.zip", log.parts(2, 6))
    assert "personal" in codes(verified(log, bundle))


def test_an_erasure_is_signed_by_the_key_of_its_time(tmp_path: Path) -> None:
    """That of a former key counts from the new one; a revoked key erases no more."""
    log, first = Log(5), None
    log.rows[2] = (log.rows[2][0], None)
    log.erase("d-3")
    first = log.signer
    log.rotate(Signer())
    log.seal()
    file = log.database(tmp_path / "records.db")
    for key in (first, log.signer):
        assert codes(verified(log, file, keys=[key.vkey])) == []
    log.rows[3] = (log.rows[3][0], None)
    log.erase("d-4", by=first)
    log.seal()
    for key in (first, log.signer):
        late = tmp_path / f"{key.id.hex()}.db"
        found = codes(verified(log, log.database(late), keys=[key.vkey]))
        assert found == ["erasure", "personal"]


@pytest.mark.parametrize(
    ("again", "sealed", "found"),
    [
        (["d-4"], True, []),
        (["d-3", "d-4"], True, ["erasure"]),
        (["d-4"], False, ["erasure", "personal"]),
        (["d-3"], True, ["erasure", "personal"]),
        ([], True, ["erasure", "personal"]),
    ],
)
def test_an_erasure_that_was_recorded_again_counts(
    tmp_path: Path, again: list[str], found: list[str], *, sealed: bool
) -> None:
    """Where a revoked key signed one, a valid one behind it must say the same."""
    log = Log(5)
    first = log.signer
    log.rotate(Signer())
    log.seal()
    log.rows[3] = (log.rows[3][0], None)
    log.erase("d-4", by=first)
    log.seal()
    log.erase(*again)
    if sealed:
        log.seal()
    for key in (first, log.signer):
        file = log.database(tmp_path / f"{key.id.hex()}.db")
        for quick in (False, True):
            report = verified(log, file, quick=quick, keys=[key.vkey])
            assert codes(report) == (found[:1] if quick else found)
            assert [one for one in report.notes if "record 8 says the same" in one] == (
                ["record 7: an erasure; its key was replaced; record 8 says the same"]
                if not found
                else []
            )


def test_a_revoked_key_repeats_no_erasure(tmp_path: Path) -> None:
    """What it signs later is excused by none before, nor by one that says another."""
    log = Log(5)
    first = log.signer
    log.rows[2] = (log.rows[2][0], None)
    log.erase("d-3")
    log.seal()
    log.rotate(Signer())
    log.seal()
    log.erase("d-3", by=first)
    log.seal()
    report = verified(log, log.database(tmp_path / "a.db"), keys=[first.vkey])
    assert [(one.code, one.first_seq) for one in report.findings] == [("erasure", 8)]
    log.erase("d-3", reason="cover-up")
    log.seal()
    report = verified(log, log.database(tmp_path / "b.db"), keys=[first.vkey])
    assert [(one.code, one.first_seq) for one in report.findings] == [("erasure", 8)]
    log.erase("d-3")
    log.seal()
    report = verified(log, log.database(tmp_path / "c.db"), keys=[first.vkey])
    assert report.findings == []


def test_every_column_is_derived_again(tmp_path: Path) -> None:
    """Each one that says something else than its record is found, and named."""
    log = Log(3)
    for name in (*records.COLUMNS,):
        file = log.database(tmp_path / f"{name}.db")
        with closing(sqlite3.connect(file)) as db:
            db.execute("DROP TRIGGER records_no_update")
            new = "zz" if name not in ("at_us", "executes", "amount") else 7
            db.execute(f"UPDATE records SET {name} = ? WHERE seq = 2", (new,))
            db.execute(made("records_no_update"))
            db.commit()
        (found,) = verified(log, file).findings
        assert (found.code, found.first_seq) == ("columns", 2)
        assert found.what.startswith(f"{name} is ")


def test_a_record_of_the_first_schema_has_all_columns(tmp_path: Path) -> None:
    """The migration filled them: one that is empty was emptied."""
    log = Log(1, every=9)
    log.add(*decision(2, schema="gov.record/1"))
    log.notes.clear()
    log.seal()
    file = log.database(tmp_path / "records.db")
    assert codes(verified(log, file)) == []
    with closing(sqlite3.connect(file)) as db:
        db.execute("DROP TRIGGER records_no_update")
        db.execute("UPDATE records SET target = NULL WHERE seq = 2")
        db.execute(made("records_no_update"))
        db.commit()
    assert codes(verified(log, file)) == ["columns"]


ROWS = {
    "number": "number = number + 1",
    "origin": "origin = 'x'",
    "size": "size = size + 1",
    "last record": "last_seq = last_seq + 1",
    "frontier of another size": "frontier = CAST("
    "x'000000000000000A' || substr(frontier, 9) AS BLOB)",
    "frontier of another tree": "frontier = CAST("
    "substr(frontier, 1, 8) || zeroblob(64) AS BLOB)",
    "frontier cut short": "frontier = substr(frontier, 1, 40)",
    "frontier too long": "frontier = CAST(frontier || zeroblob(32) AS BLOB)",
    "no frontier": "frontier = x''",
}


@pytest.mark.parametrize("row", ROWS)
def test_the_row_of_a_checkpoint_says_what_its_note_says(
    tmp_path: Path, row: str
) -> None:
    """The store goes on from these rows: an edited one is a finding."""
    log = Log(9, every=9)
    file = log.database(tmp_path / "records.db")
    assert codes(verified(log, file)) == []
    with closing(sqlite3.connect(file)) as db:
        db.execute("DROP TRIGGER checkpoints_no_update")
        db.execute(f"UPDATE checkpoints SET {ROWS[row]}")
        db.execute(made("checkpoints_no_update"))
        db.commit()
    assert codes(verified(log, file)) == ["loose"]


def test_columns_are_derived_as_the_store_derives_them() -> None:
    """For records of every kind, also old and broken ones."""
    bodies = [
        json.loads(body)
        for body, _ in (
            decision(1),
            decision(2, amount=None, flags=[], context=None, executes=False),
            decision(3, flags=[{"kind": "mode", "variant": None}], reviewer="r"),
            event(4, "outcome", ref="d-1", status="executed"),
            event(5, "start", sqlite="3"),
            event(6, "stop", ref="w", reason="not this one"),
            decision(7, targetSystem="", reviewer="", amount="-1E+3"),
            event(8, "note", tool="t", flags=[{"kind": "mode", "variant": "v"}]),
        )
    ]
    for body in bodies:
        derived = gov_verify.derived(body)
        assert tuple(derived[name] for name in records.COLUMNS) == records.derived(body)
    assert gov_verify.COLUMNS == records.COLUMNS


def made(name: str) -> str:
    """Return the store's statement that makes the trigger *name*."""
    (text,) = (one for one in schema.TRIGGERS if f" {name} " in one)
    return text


def test_the_schema_is_that_of_the_store(tmp_path: Path) -> None:
    """The verifier's copy is the store's text, whoever made the tables."""
    schema.connect(tmp_path / "made.db").close()
    upgrade(tmp_path / "migrated.db")
    for name in ("made", "migrated"):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as db:
            db.execute("ANALYZE")
            held = db.execute(
                "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
            ).fetchall()
        found = {one: gov_verify.described(text) for one, text in held}
        assert {**gov_verify.ELSEWHERE, **found} == {
            **gov_verify.ELSEWHERE,
            **gov_verify.SCHEMA,
        }


@pytest.mark.parametrize("how", ["by the store", "by alembic"])
def test_a_log_of_version_1_verifies_once_it_was_migrated(
    tmp_path: Path, how: str
) -> None:
    """Its tables were altered, and its records have the columns that it lacked."""
    path = tmp_path / "records.db"
    shutil.copy(Path(__file__).parent / "data" / "records-1.sqlite", path)
    if how == "by alembic":
        upgrade(path)
    SqliteStore(path).close()
    held = gov_verify.held_in([tmp_path / "records.db.checkpoints"])
    key = read_key(tmp_path / "records.db.key").vkey
    (report,) = gov_verify.verify(gov_verify.files([path]), [key], held, deep=True)
    assert codes(report) == []


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


# ---- Hostile input


def flips(data: bytes, seed: int) -> bytes:
    """Return *data* with a few bytes changed, cut, doubled or taken out."""
    dice = random.Random(seed)
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(changed))
        match dice.randrange(5):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = changed[at : at + dice.randrange(1, 100)]
            case 3:
                changed[at : at + 4] = dice.choice([b"\xff" * 4, bytes(4), b"PK\5\6"])
            case _:
                del changed[at : at + dice.randrange(1, 100)]
        changed = changed or bytearray(b"P")
    return bytes(changed)


@pytest.mark.parametrize("kind", ["bundle", "database", "proof"])
def test_hostile_bytes_never_crash_it(tmp_path: Path, kind: str) -> None:
    """Whatever was done to the file, the answer is a report; true ones alone hold."""
    log = Log(12)
    target = tmp_path / "evidence"
    if kind == "bundle":
        packed(target, log.parts(3, 9))
    elif kind == "database":
        log.database(target)
    else:
        target.write_bytes(proof(log, 4))
    whole = target.read_bytes()
    assert verified(log, target).verified
    for seed in range(400):
        target.write_bytes(flips(whole, seed))
        try:
            report = verified(log, target)
        except OSError:
            continue
        assert report.verified == (not report.findings)
        json.dumps(asdict(report))
        assert gov_verify.told(report).isascii()


def test_hostile_parts_never_crash_it(tmp_path: Path) -> None:
    """Each file of a bundle may hold anything; nothing but the true one verifies."""
    log = Log(6)
    good = log.parts(2, 5)
    deep = b"[" * 200_000
    hostile = [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        deep,
        b"\n",
        b"{}\n" * 9,
        b"NaN",
        b'"x"',
    ]
    hostile += [
        b'{"left":1}',
        b'{"left":[[0]]}',
        b'{"left":[[64,""]]}',
        b'{"left":[[0,"AA=="]]}',
    ]
    hostile += [b'{"left":[["record",1]]}', b'{"left":{"a":1}}', b'{"right":[1]}']
    hostile += [canonical({"left": [[2, b64encode(bytes(32)).decode()]], "right": []})]
    hostile += [b'{"id":1}\n', b'{"id":"d-2","personal":"\\ud800"}\n', b"x" * 2_000_000]
    for name in good:
        for data in hostile:
            bundle = packed(tmp_path / "bundle.zip", {**good, name: data})
            report = verified(log, bundle)
            assert not report.verified, (name, data[:40])


def test_bombs_are_refused(tmp_path: Path) -> None:
    """Archives that would not end, in files, in size or in names."""
    log = Log(3)
    parts = log.parts(1, 3)
    bomb = packed(tmp_path / "a.zip", {**parts, "records.jsonl": b" " * 50_000_000})
    assert codes(verified(log, bomb)) == ["bundle"]
    many = packed(tmp_path / "g.zip", {**parts, "records.jsonl": b"{}\n" * 3_000_000})
    (found,) = verified(log, many).findings
    assert "expand" in found.what
    more = packed(tmp_path / "b.zip", {**parts, "more.txt": b""})
    assert codes(verified(log, more)) == ["bundle"]
    fewer = packed(tmp_path / "c.zip", dict(list(parts.items())[1:]))
    assert codes(verified(log, fewer)) == ["bundle"]
    parted = dict(list(parts.items())[1:])
    double = packed(tmp_path / "d.zip", {**parted, "Records.jsonl": b""}).read_bytes()
    (tmp_path / "d.zip").write_bytes(double.replace(b"Records", b"records"))
    assert codes(verified(log, tmp_path / "d.zip")) == ["bundle"]
    long = packed(tmp_path / "e.zip", {**parts, "manifest.json": b" " * 70_000})
    assert codes(verified(log, long)) == ["bundle"]
    tail = packed(tmp_path / "f.zip", parts).read_bytes() + b"x" * 50
    (tmp_path / "f.zip").write_bytes(tail)
    assert codes(verified(log, tmp_path / "f.zip")) == ["bundle"]


def test_a_bundle_of_a_first_release_holds_no_rotations(tmp_path: Path) -> None:
    """It verifies as one that says that there are none."""
    log = Log(6)
    parts = log.parts(2, 5)
    assert "rotations" not in json.loads(parts["manifest.json"])
    assert codes(verified(log, packed(tmp_path / "a.zip", parts))) == []
    said = {**json.loads(parts["manifest.json"]), "rotations": []}
    parts["manifest.json"] = canonical(said)
    assert codes(verified(log, packed(tmp_path / "b.zip", parts))) == []


UNSIGNED = event(7, "key_rotation", note="x", old="y")[0].decode()
NEW_KEY = b',"rotations":' + canonical([UNSIGNED]) + b',"size"'
INVENTED = {
    "another log": ("manifest.json", b'"gov.example/log"', b'"gov.example/other"'),
    "another first": ("manifest.json", b'"firstSeq":2', b'"firstSeq":9000'),
    "true for one": ("manifest.json", b'"firstSeq":1', b'"firstSeq":true'),
    "another last": ("manifest.json", b'"lastSeq":5', b'"lastSeq":-1'),
    "another size": ("manifest.json", b'"size":6', b'"size":7'),
    "a size that is no integer": ("manifest.json", b'"size":6', b'"size":6.0'),
    "a sentence": ("manifest.json", b'{"', b'{"a":"none was denied","'),
    "the size twice": ("manifest.json", b'"size"', b'"size":9,"size"'),
    "a space": ("manifest.json", b'{"', b'{ "'),
    "a new key": ("manifest.json", b',"size"', NEW_KEY),
    "a text for a new key": ("manifest.json", b',"size"', b',"rotations":["a"],"size"'),
    "a word for new keys": ("manifest.json", b',"size"', b',"rotations":"a","size"'),
    "a name in the cover": ("cover.json", b'{"', b'{"a":"none was denied","'),
    "the cover twice": ("cover.json", b'{"', b'{"left":[["record","x"]],"'),
    "a cover that ends with a line": ("cover.json", b"]}", b"]}\n"),
    "a level that is true": ("cover.json", b"[0,", b"[false,"),
    "a part twice": ("personal.jsonl", b'"personal"', b'"personal":"x","personal"'),
    "a part with more": ("personal.jsonl", b'"}\n', b'","user":"framed"}\n'),
    "a part with a space": ("personal.jsonl", b'"}\n', b'"} \n'),
    "a part in escapes": ("personal.jsonl", b'"id":"d', b'"id":"\\u0064'),
}


@pytest.mark.parametrize("case", INVENTED)
def test_nobody_reads_in_a_bundle_what_nothing_vouches_for(
    tmp_path: Path, case: str
) -> None:
    """Each file is what an exporter writes for these records, byte for byte."""
    name, said, instead = INVENTED[case]
    log = Log(6)
    first = 1 if case == "true for one" else 2
    parts = log.parts(first, 5)
    true = parts[name]
    parts[name] = true.replace(said, instead, 1)
    assert parts[name] != true
    assert codes(verified(log, packed(tmp_path / "b.zip", parts)))


def reshaped(data: bytes, how: str) -> bytes:
    """Return the archive *data* with something beside its five files."""
    inside = data.index(b"PK\3\4", 1)
    directory = data.index(b"PK\1\2")
    forged = {
        "before": data + data,
        "between": data[:inside] + b"forged" + data[inside:],
        "behind the files": data[:directory] + b"forged" + data[directory:],
        "behind": data + b"forged",
        "comment": data[:-2] + b"\6\0forged",
        "local name": data.replace(b"records.jsonl", b"Records.jsonl", 1),
        "local size": data[:22] + b"\0\0\0\0" + data[26:],
        "local checksum": data[:14] + b"\0\0\0\0" + data[18:],
        "local flags": data[:6] + b"\0\10" + data[8:],
    }[how]
    if how in ("between", "behind the files"):  # with offsets that fit
        grown, end = bytearray(forged), len(forged) - 22
        at = directory + 6
        struct.pack_into("<L", grown, end + 16, at)
        while how == "between" and (at := grown.find(b"PK\1\2", at + 1)) > 0:
            (offset,) = struct.unpack_from("<L", grown, at + 42)
            struct.pack_into("<L", grown, at + 42, offset + 6)
        forged = bytes(grown)
    return forged


@pytest.mark.parametrize(
    "how",
    [
        *("before", "between", "behind the files", "behind", "comment"),
        *("local name", "local size", "local checksum", "local flags"),
    ],
)
def test_an_archive_holds_its_five_files_and_nothing_else(
    tmp_path: Path, how: str
) -> None:
    """Whoever reads it from its beginning reads what was verified."""
    log = Log(6)
    bundle = packed(tmp_path / "b.zip", log.parts(2, 5))
    bundle.write_bytes(reshaped(bundle.read_bytes(), how))
    with zipfile.ZipFile(bundle) as archive:
        if how not in ("local name", "local flags"):
            assert archive.read("manifest.json")  # to many, it is an archive
    assert codes(verified(log, bundle)) == ["bundle"]


def test_nothing_follows_the_end_of_a_packed_file(tmp_path: Path) -> None:
    """Its stream ends where the next file begins."""
    log, bundle = Log(6), tmp_path / "b.zip"
    packed(bundle, log.parts(2, 5))
    data = bytearray(bundle.read_bytes())
    inside, directory = data.index(b"PK\3\4", 1), data.index(b"PK\1\2")
    for at in (18, directory + 20):
        (size,) = struct.unpack_from("<L", data, at)
        struct.pack_into("<L", data, at, size + 6)
    at = directory
    while (at := data.find(b"PK\1\2", at + 1)) > 0:
        (offset,) = struct.unpack_from("<L", data, at + 42)
        struct.pack_into("<L", data, at + 42, offset + 6)
    struct.pack_into("<L", data, len(data) - 6, directory + 6)
    bundle.write_bytes(data[:inside] + b"forged" + data[inside:])
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
    (found,) = verified(log, bundle).findings
    assert "not as long as the directory says" in found.what


def test_the_files_of_a_bundle_stand_in_their_order(tmp_path: Path) -> None:
    """In another one, or not packed, they are no exporter's."""
    log = Log(6)
    parts = log.parts(2, 5)
    turned = packed(tmp_path / "a.zip", dict(reversed(parts.items())))
    assert codes(verified(log, turned)) == ["bundle"]
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    assert codes(verified(log, tmp_path / "b.zip")) == ["bundle"]


TABLES = {
    "a view": "CREATE VIEW records AS SELECT 1 AS seq, x'00' AS body",
    "computed": "CREATE TABLE records (seq INTEGER PRIMARY KEY, body BLOB AS "
    "(zeroblob(9)))",
    "virtual": "CREATE VIRTUAL TABLE records USING fts5(seq, body)",
    "no columns": "CREATE TABLE records (seq INTEGER PRIMARY KEY)",
    "no body": "CREATE TABLE records (seq INTEGER PRIMARY KEY, id, kind, at_us)",
    "none": "CREATE TABLE other (x)",
}


@pytest.mark.parametrize("table", TABLES)
def test_hostile_tables_are_refused(tmp_path: Path, table: str) -> None:
    """What only looks like the table of records is no evidence."""
    log = Log(3)
    file = tmp_path / "records.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute(TABLES[table])
        db.execute(schema.TABLES[1])
        db.commit()
    assert not verified(log, file).verified


def test_a_record_too_long_is_refused(tmp_path: Path) -> None:
    """A body of megabytes is no record."""
    log = Log(2)
    file = log.database(tmp_path / "records.db")
    with closing(sqlite3.connect(file)) as db:
        db.execute("DROP TRIGGER records_no_update")
        db.execute("UPDATE records SET body = zeroblob(9000000) WHERE seq = 2")
        db.commit()
    assert codes(verified(log, file)) == ["unreadable"]


def test_what_is_printed_is_plain(tmp_path: Path) -> None:
    """Nothing from the evidence reaches a terminal as it is."""
    log = Log(2)
    log.add(*event(3, "gap", lost="\x1b[2J\u202e\u200b"))
    log.seal(origin="gov.example/\u202e")
    log.add(*event(4, "gap", lost="x" * 9_999))
    log.seal()
    report = verified(log, log.database(tmp_path / "records.db"))
    text = gov_verify.told(report)
    assert text.isascii()
    assert max(map(len, text.splitlines())) < 300
    assert set(text) & set(map(chr, range(32))) <= {"\n"}


# ---- The program


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the file as an auditor does: alone."""
    return subprocess.run(
        [sys.executable, "-I", str(FILE), *map(str, arguments)],
        capture_output=True,
        check=False,
        cwd=cwd,
        encoding="utf-8",
        timeout=60,
    )


@pytest.fixture
def desk(tmp_path: Path) -> tuple[Log, Path, Path]:
    """Lend a log, its file, and the file with the checkpoint that one holds."""
    log = Log(9)
    held = tmp_path / "held"
    held.write_text(log.notes[-1][2], "utf-8")
    return log, log.database(tmp_path / "records.db"), held


def test_exit_codes(desk: tuple[Log, Path, Path], tmp_path: Path) -> None:
    """0 verified, 2 wrong usage, 3 unreadable, 4 not verified."""
    log, file, held = desk
    pins = ("--key", log.signer.vkey, "--checkpoint", held)
    done = run(file, *pins, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("VERIFIED ")
    assert "records       1 to 9, 2023-11-14" in done.stdout
    for missing in (("--key", log.signer.vkey), ("--checkpoint", held), ()):
        assert run(file, *missing, cwd=tmp_path).returncode == 2
    assert run(file, "--key", "x", "--checkpoint", held, cwd=tmp_path).returncode == 2
    assert run(file, *pins[:3], file, cwd=tmp_path).returncode == 2
    assert run(tmp_path / "none", *pins, cwd=tmp_path).returncode == 3
    assert run(tmp_path, *pins, cwd=tmp_path).returncode == 3
    assert run(file, *pins[:3], tmp_path / "none", cwd=tmp_path).returncode == 3
    other = run(file, "--key", Signer().vkey, *pins[2:], "--json", cwd=tmp_path)
    assert (other.returncode, other.stderr) == (4, "")
    told = json.loads(other.stdout)
    assert not told["verified"]
    assert told["logs"][0]["findings"][0]["code"] == "key"


def test_published_checkpoints_may_be_held(desk: tuple[Log, Path, Path]) -> None:
    """Notes one after the other, or one a line as JSON; a torn last line is none."""
    log, file, held = desk
    notes = [note for *_, note in log.notes]
    lines = "".join(json.dumps({"atUs": 1, "note": note}) + "\n" for note in notes)
    for text in ("".join(notes), lines, lines + '{"atUs":1,"no'):
        held.write_text(text, "utf-8")
        assert gov_verify.held_in([held]) == notes
        assert verified(log, file, gov_verify.held_in([held])).verified
    for text in ("", "x", notes[0] + "x\n", '{"note":1}\n', "[]", "{" * 99_999 + "\n"):
        held.write_text(text, "utf-8")
        with pytest.raises(gov_verify.UsageError):
            gov_verify.held_in([held])


def test_a_file_of_checkpoints_is_read_to_its_end(
    desk: tuple[Log, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too long is refused: the newest stand at its end."""
    _, _, held = desk
    monkeypatch.setattr(gov_verify, "MAX_NOTES", held.stat().st_size)
    assert gov_verify.held_in([held])
    held.write_text(held.read_text("utf-8") * 2, "utf-8")
    with pytest.raises(gov_verify.UsageError, match="in parts"):
        gov_verify.held_in([held])


def test_a_quick_look_says_so(desk: tuple[Log, Path, Path]) -> None:
    """Nobody takes it for a whole verification."""
    log, file, _ = desk
    for quick in (False, True):
        report = verified(log, file, quick=quick)
        assert (report.verified, report.quick) == (True, quick)
        assert ("VERIFIED (quick: " in gov_verify.told(report)) == quick


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


def test_it_needs_nothing_but_cryptography() -> None:
    """The file imports the standard library and one package."""
    names = set()
    for node in ast.walk(ast.parse(FILE.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(str(node.module).split(".")[0])
    assert names - sys.stdlib_module_names == {"cryptography"}

"""The verifier and the keys of a log: pinned, rotated, revoked, claimed by others."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from openfeature_gov.evidence.standalone import gov_verify
from tests.foreign_log import (
    Log,
    Signer,
    canonical,
    codes,
    decision,
    event,
    packed,
    respelled,
    verified,
)


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

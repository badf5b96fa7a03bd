"""The verifier and records: in one spelling, with their personal parts, or erased."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.foreign_log import Log, Signer, canonical, codes, event, packed, verified

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

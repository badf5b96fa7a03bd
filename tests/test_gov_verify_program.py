"""The verifier as a program: what it takes, prints and needs, and no crash."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from openfeature_gov.evidence.standalone import gov_verify
from tests.foreign_log import Log, Signer, event, packed, proof, verified

FILE = Path(gov_verify.__file__)


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


@pytest.mark.parametrize("evidence", ["another log", "no log"])
def test_a_log_that_nothing_names_is_said_to_be_unknown(
    desk: tuple[Log, Path, Path], tmp_path: Path, evidence: str
) -> None:
    """Nothing that was read of it is below a checkpoint that is held."""
    log, _, held = desk
    file = tmp_path / "evidence"
    if evidence == "another log":
        other = Log(3)
        other.database(file)
        file.write_bytes(proof(other, 2))
    else:
        file.write_bytes(b"nothing of the kind")
    pins = ("--key", log.signer.vkey, "--checkpoint", held)
    done = run(file, *pins, cwd=tmp_path)
    assert done.returncode == 4
    assert "None" not in done.stdout
    unknown = "unknown: no checkpoint that you hold could be matched to it"
    assert f"log           {unknown}\n" in done.stdout
    as_json = json.loads(run(file, *pins, "--json", cwd=tmp_path).stdout)
    assert as_json["logs"][0]["origin"] is None


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

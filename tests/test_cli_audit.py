"""`gov audit`: seal a log, hand it over, and verify what was handed over."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands import audit, told
from tests.foreign_log import Log, Signer, decision
from tests.worked import worked


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    """Return a log of nine records in records.db, and its last checkpoint in held."""
    monkeypatch.chdir(tmp_path)
    made = Log(9)
    made.database(tmp_path / "records.db")
    (tmp_path / "held").write_text(made.notes[-1][2], "utf-8")
    return made


def test_a_record_file_is_verified(log: Log) -> None:
    """Against key and checkpoint; exit 4 for another key."""
    result = audit("verify", "--key", log.signer.vkey, "--checkpoint", "held", "--deep")
    assert told(result)["verified"] is True
    other = audit("verify", "--key", Signer().vkey, "--checkpoint", "held")
    assert told(other, 4)["verified"] is False
    text = audit("verify", "--key", Signer().vkey, "--checkpoint", "held", "--no-json")
    assert text.stdout.startswith(
        "NOT VERIFIED records.db\n  key: your checkpoint over 9 records"
    )


def test_pins_may_stand_in_the_environment(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GOV_AUDIT_KEY and GOV_AUDIT_CHECKPOINT are as good as the options."""
    monkeypatch.setenv("GOV_AUDIT_KEY", log.signer.vkey)
    monkeypatch.setenv("GOV_AUDIT_CHECKPOINT", "held")
    assert audit("verify").exit_code == 0


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--key", "x"),
        ("--checkpoint", "held"),
        ("--key", "x", "--checkpoint", "held"),
        ("--key", "x", "--checkpoint", "records.db"),
    ],
)
def test_without_pins_nothing_is_verified(log: Log, given: tuple[str, ...]) -> None:
    """A missing or malformed key or checkpoint is wrong usage."""
    assert audit("verify", *given).exit_code == 2


def test_files_that_are_not_there(log: Log) -> None:
    """Exit 3, and the file's name."""
    pins = ("--key", log.signer.vkey, "--checkpoint")
    for arguments in (
        ("verify", "none", *pins, "held"),
        ("verify", "records.db", *pins, "none"),
        ("export", "--records", "none", "--bundle", "b.zip"),
        ("prove", "d-1", "--records", "none"),
        ("export", "--records", "held", "--bundle", "b.zip"),
    ):
        result = audit(*arguments)
        assert result.exit_code == 3, (arguments, result.output)
        assert "none" in result.stderr or "held" in result.stderr


def test_a_time_is_exported_and_verified(log: Log) -> None:
    """From and to are times; what lies between them is in the bundle."""
    result = audit("export", "--bundle", "b.zip", "--checkpoint", "held")
    assert told(result)["bundles"] == [
        {"bundle": "b.zip", "records": 9, "firstSeq": 1, "lastSeq": 9, "unsealed": 0}
    ]
    pins = ("--key", log.signer.vkey, "--checkpoint", "held")
    assert told(audit("verify", "b.zip", *pins))["logs"][0]["last_seq"] == 9
    start, end = "2023-11-14T22:13:20.000003Z", "2023-11-14T22:13:20.000006Z"
    part = audit("export", "--bundle", "c.zip", "--from", start, "--to", end)
    (facts,) = told(part)["bundles"]
    assert (facts["firstSeq"], facts["lastSeq"]) == (3, 5)
    (report,) = told(audit("verify", "c.zip", *pins))["logs"]
    assert (report["verified"], report["first_seq"], report["last_seq"]) == (True, 3, 5)
    line = audit("export", "--bundle", "c.zip", "--from", start, "--no-json")
    assert line.stdout == "c.zip: 7 records\n"
    nothing = audit("export", "--bundle", "d.zip", "--from", "2024-01-01")
    assert nothing.exit_code == 3
    assert "no record of that time" in nothing.stderr
    assert audit("export", "--bundle", "d.zip", "--from", "soon").exit_code == 2
    assert not Path("d.zip").exists()


def test_what_is_not_sealed_is_told(tmp_path: Path, log: Log) -> None:
    """A bundle ends at the last checkpoint, and the command says what it leaves out."""
    log.add(*decision(10))
    log.database(tmp_path / "more.db")
    result = audit("export", "--records", "more.db", "--bundle", "b.zip", "--json")
    assert told(result)["bundles"][0]["unsealed"] == 1
    assert "records 10 to 10 are not in it" in result.stderr


def test_one_record_is_proved(log: Log) -> None:
    """The proof alone shows the record to whoever holds the checkpoint."""
    assert audit("prove", "d-4", "--proof", "d-4.tlog-proof").exit_code == 0
    pins = ("--key", log.signer.vkey, "--checkpoint", "held")
    (report,) = told(audit("verify", "d-4.tlog-proof", *pins))["logs"]
    assert (report["verified"], report["first_seq"]) == (True, 4)
    assert json.loads(report["record"])["id"] == "d-4"
    printed = audit("prove", "d-4", "--checkpoint", "held").stdout
    assert printed == Path("d-4.tlog-proof").read_text("utf-8")
    assert audit("prove", "d-99").exit_code == 3
    assert audit("prove", "d-4", "--checkpoint", "records.db").exit_code == 2


def test_a_broken_log_is_not_exported(tmp_path: Path, log: Log) -> None:
    """An error, not half a bundle."""
    with closing(sqlite3.connect(tmp_path / "records.db")) as db:
        db.execute("DROP TRIGGER records_no_delete")
        db.execute("DELETE FROM records WHERE seq = 5")
        db.commit()
    result = audit("export", "--bundle", "b.zip")
    assert result.exit_code == 3
    assert "record 5 is missing" in result.stderr
    assert not Path("b.zip").exists()


@pytest.fixture
def used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which agents worked."""
    monkeypatch.chdir(tmp_path)
    worked(tmp_path)
    return tmp_path


def test_a_log_is_sealed_on_demand(used: Path) -> None:
    """The checkpoint that it prints is what an auditor holds from now on."""
    key = told(audit("key", "show"))["key"]
    sealed = told(audit("seal"))
    Path("held").write_text(sealed["checkpoint"], "utf-8")
    pins = ("--key", key, "--checkpoint", "held")
    (report,) = told(audit("verify", *pins, "--sealed"))["logs"]
    assert (report["verified"], report["size"]) == (True, sealed["size"])
    again = audit("seal", "--no-json")
    assert again.stdout.splitlines()[0] == sealed["origin"]
    assert int(again.stdout.splitlines()[1]) > sealed["size"]
    (more,) = told(audit("verify", *pins))["logs"]
    assert more["size"] > sealed["size"]


def test_a_key_is_rotated(used: Path) -> None:
    """Whoever pinned the old key goes on; the new one can be pinned too."""
    Path("held").write_text(told(audit("seal"))["checkpoint"], "utf-8")
    old = told(audit("key", "show"))["key"]
    new = told(audit("key", "rotate"))["key"]
    assert old != new == told(audit("key", "show"))["key"]
    assert audit("key", "show", "--no-json").stdout == f"{new}\n"
    Path("later").write_text(told(audit("seal"))["checkpoint"], "utf-8")
    for key, held, code in (
        (old, "held", 0),
        (old, "later", 0),
        (new, "later", 0),
        (new, "held", 4),
    ):
        result = audit(
            "verify", "--key", key, "--checkpoint", held, "--deep", "--sealed"
        )
        assert result.exit_code == code, result.output
    assert audit("export", "--bundle", "b.zip", "--from", "1h").exit_code == 0
    pins = ("--key", old, "--checkpoint", "held")
    assert audit("verify", "b.zip", *pins, "--deep").exit_code == 0


def test_key_and_checkpoints_may_lie_elsewhere(used: Path) -> None:
    """On another volume, where whoever runs the store cannot write."""
    Path("vault").mkdir()
    files = ("--key-file", "vault/key", "--checkpoint-file", "vault/published")
    Path("records.db.key").rename("vault/key")
    Path("records.db.checkpoints").rename("vault/published")
    assert audit("seal", *files).exit_code == 0
    key = told(audit("key", "show", "--key-file", "vault/key"))["key"]
    pins = ("--key", key, "--checkpoint", "vault/published")
    assert told(audit("verify", *pins))["verified"]
    assert not Path("records.db.key").exists()


def test_a_key_that_others_may_read_seals_nothing(used: Path) -> None:
    """It is named, and what to do; so is one that is missing."""
    Path("records.db.key").chmod(0o644)
    for command in (("seal",), ("key", "show"), ("key", "rotate")):
        result = audit(*command)
        assert result.exit_code == 3, command
        assert "chmod 600" in result.stderr
    missing = audit("key", "show", "--key-file", "none")
    assert (missing.exit_code, "none" in missing.stderr) == (3, True)
    assert audit("seal", "--records", "none").exit_code == 3

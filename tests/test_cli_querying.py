"""`gov audit query`, `tail` and `lookup`, as an auditor uses them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from openfeature_gov.evidence.queries import NAMES
from openfeature_gov.evidence.records import Stamp, note_record
from openfeature_gov.stores import history
from openfeature_gov.stores.sqlite import SqliteStore
from tests.commands import audit, told
from tests.tree import PATH
from tests.worked import worked

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e\u200b\r\n"
RAW = {one for one in HOSTILE if not one.isprintable()} - {"\n", "\r"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log in which two agents met every effect."""
    return worked(tmp_path_factory.mktemp("worked"))


@pytest.fixture
def log(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that log in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / made.name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--agent", "bot-a", "--tool", "refund", "--effect", "allow"], 2),
        (["--agent", "bot-a", "--agent", "bot-b", "--tool", "refund"], 6),
        (["--target", "ledger", "--variant", "draft_write"], 1),
        (["--variant", "gov.mode=draft_write", "--tool", "refund"], 1),
        (["--reason", "failed"], 5),
        (["--reason", "tool_unknown", "--task", "task-1"], 1),
        (["--amount-from", "99.99", "--amount-to", "100"], 3),
        (["--kind", "start"], 1),
        (["--tool", "refund", "--from", "1h"], 6),
        (["--tool", "refund", "--to", "1h"], 0),
        (["--tool", "refund", "--from", "2020-01-01", "--to", "2020-01-02T00:00Z"], 0),
        (["--reviewer", "nobody"], 0),
    ],
)
def test_filters_find(log: Path, given: list[str], expected: int) -> None:
    """Each option narrows; several values of one are alternatives."""
    data = told(audit("query", *given))
    assert len(data["records"]) == expected
    assert data["cursor"] is None


def test_pages_follow_the_cursor(log: Path) -> None:
    """Forwards and backwards; 0 is everything."""
    every = told(audit("query", "--limit", "0"))["records"]
    first = told(audit("query", "--limit", "3"))
    assert first["records"] == every[:3]
    then = told(audit("query", "--limit", "3", "--after", str(first["cursor"])))
    assert then["records"] == every[3:6]
    back = told(audit("query", "--newest", "--limit", "2"))
    assert back["records"] == every[:-3:-1]
    assert f"more: --after {first['cursor']}" in (
        audit("query", "--limit", "3", "--no-json").stdout
    )


def test_people_get_a_table(log: Path) -> None:
    """Time, tool, effect, reason, and for whom."""
    text = audit("query", "--tool", "refund", "--no-json").stdout
    for word in ("TIME (UTC)", "refund", "allow", "user-of-bot-a", "250.5"):
        assert word in text


@pytest.mark.parametrize("limit", ["0", "7"])
def test_flat_forms_have_every_column(log: Path, limit: str) -> None:
    """One row a record, ready for Parquet, in both forms."""
    table = audit("query", "--format", "csv", "--limit", limit)
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    lines = audit("query", "--format", "jsonl", "--limit", limit).stdout.splitlines()
    flat = [json.loads(one) for one in lines]
    total = len(history.records(log))
    assert len(rows) == len(flat) == (int(limit) or total)
    assert tuple(rows[0]) == tuple(flat[0]) == NAMES
    assert [row["id"] for row in rows] == [row["id"] for row in flat]


@pytest.mark.parametrize(
    "given",
    [
        ["--from", "soon"],
        ["--to", "2026-13-01"],
        ["--from", "999999d"],
        ["--amount-from", "ten"],
        ["--amount-to", "NaN"],
        ["--limit", "-1"],
        ["--format", "xml"],
    ],
)
def test_wrong_usage_is_2(log: Path, given: list[str]) -> None:
    """And names the option."""
    result = audit("query", *given)
    assert result.exit_code == 2
    assert given[0] in result.output
    assert "Traceback" not in result.output


def test_tail_shows_the_latest(log: Path) -> None:
    """The last records in the order of the log; one JSON object a line."""
    lines = audit("tail", "-n", "3").stdout.splitlines()
    last = history.records(log)[-3:]
    assert [json.loads(one)["id"] for one in lines] == [one["id"] for one in last]
    text = audit("tail", "--no-json", "--effect", "deny").stdout
    assert "tool_unknown" in text
    assert "executed" not in text


def test_tail_follows(log: Path) -> None:
    """What another process appends appears, without what was shown before."""
    command = [sys.executable, "-m", "openfeature_gov.cli", "audit", "tail", "-f"]
    environment = {**os.environ, "PYTHONPATH": PATH}
    with subprocess.Popen(
        [*command, "-n", "1"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            shown = (json.loads(one) for one in process.stdout)
            known = next(shown)
            assert known["id"] == history.records(log)[-1]["id"]
            with closing(SqliteStore(log)):
                new = next(shown)
                assert (new["kind"], new["seq"]) == ("start", known["seq"] + 1)
            assert any(one["kind"] == "stop" for one in shown)
        finally:
            process.terminate()


def test_lookup_shows_a_record_with_its_relatives(log: Path) -> None:
    """By the id of either; 4 for an id that is not there."""
    outcome = told(audit("query", "--kind", "outcome", "--limit", "1"))["records"][0]
    found = told(audit("lookup", outcome["id"]))["records"]
    assert [one["kind"] for one in found] == ["decision", "outcome"]
    text = audit("lookup", outcome["ref"], "--no-json").stdout
    assert "actionDigest" in text
    assert audit("lookup", "nobody").exit_code == 4


@pytest.mark.parametrize("command", [["query"], ["tail"], ["lookup", "x"]])
def test_what_is_no_log_is_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """A missing and a foreign file, each in one line, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign.db").write_text("no database")
    for name in ("none.db", "foreign.db"):
        result = audit(*command, "--records", name)
        assert result.exit_code == 3
        assert name in result.stderr
        assert "Traceback" not in result.output
    assert not (tmp_path / "none.db").exists()


def test_hostile_records_cannot_write_to_the_terminal(log: Path) -> None:
    """In no form, and not by a name either."""
    with closing(SqliteStore(log)) as store:
        stamp = Stamp(f"r{HOSTILE}", 1, store.writer)
        record = note_record(
            stamp, f"k{HOSTILE}", tool=HOSTILE, reviewer=HOSTILE, effect=HOSTILE
        )
        store.commit(record)
    commands = (
        ["query", "--limit", "0", "--no-json"],
        ["query", "--limit", "0", "--format", "csv"],
        ["query", "--limit", "0", "--format", "jsonl"],
        ["query", "--limit", "0"],
        ["tail", "--no-json"],
        ["tail"],
        ["lookup", f"r{HOSTILE}", "--no-json"],
        ["lookup", f"none{HOSTILE}"],
    )
    for command in commands:
        result = audit(*command)
        assert result.exit_code in (0, 4), result.output
        assert not RAW & set(result.output)

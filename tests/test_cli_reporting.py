"""`gov audit report`: the five questions on the command line, in every form."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from openfeature_gov.canonical import encode
from openfeature_gov.cli import app
from openfeature_gov.cli.reporting import Name
from openfeature_gov.evidence.records import Encoded, Record
from openfeature_gov.evidence.reports import QUESTIONS, ROWS
from openfeature_gov.stores.sqlite import SqliteStore
from tests.worked import worked

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e\u200b\r\n"
RAW = {one for one in HOSTILE if not one.isprintable()} - {"\n", "\r"}


def report(*arguments: str) -> Result:
    """Run `gov audit report`."""
    return CliRunner().invoke(app, ["audit", "report", *arguments])


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a log in the working folder."""
    monkeypatch.chdir(tmp_path)
    return worked(tmp_path)


def test_every_question_is_answered_in_every_form(log: Path) -> None:
    """For programs, for people, and flat."""
    assert [one.value for one in Name] == list(QUESTIONS)
    for name, question in QUESTIONS.items():
        scope = (name, "--agent", "bot-a", "--from", "1h", "--limit", "4")
        whole = json.loads(report(*scope).stdout)
        assert (whole["name"], whole["question"]) == (name, question)
        assert whole["rows"]
        assert len(whole["items"]) == 4
        lines = report(*scope, "--format", "jsonl").stdout.splitlines()
        assert [json.loads(one) for one in lines] == whole["rows"]
        table = report(*scope, "--format", "csv").stdout
        rows = list(csv.DictReader(io.StringIO(table)))
        assert len(rows) == len(lines)
        assert tuple(rows[0]) == ROWS[name]
        text = report(*scope, "--no-json").stdout
        assert question in text
        assert "bot-a" in text


def test_a_scope_without_decisions_is_an_empty_answer(log: Path) -> None:
    """Not an error; the header stays."""
    for name in QUESTIONS:
        nobody = (name, "--agent", "nobody")
        assert json.loads(report(*nobody).stdout)["rows"] == []
        header = report(*nobody, "--format", "csv").stdout
        assert header.splitlines() == [",".join(ROWS[name])]
        assert QUESTIONS[name] in report(*nobody, "--no-json").stdout


def test_the_envelope_is_named_on_the_command_line(log: Path) -> None:
    """And what went over it is listed."""
    within = ("cost", "--per-task", "0.45", "--per-day", "9")
    totals = json.loads(report(*within).stdout)["totals"]
    assert totals["within"] is False
    assert [one["which"] for one in totals["over"]] == ["task-5"]
    assert "task-5" in report(*within, "--no-json").stdout
    assert json.loads(report("cost", "--per-hour", "9").stdout)["totals"]["within"]


@pytest.mark.parametrize(
    "given",
    [["gossip"], ["cost", "--per-task", "all"], ["data", "--from", "never"]],
)
def test_wrong_usage_is_2(log: Path, given: list[str]) -> None:
    """An unknown question, an amount or a time that is none."""
    assert report(*given).exit_code == 2


def test_what_is_no_log_is_3(log: Path) -> None:
    """A missing and a foreign file."""
    for name in ("none.db", "flags.json"):
        result = report("actions", "--records", name)
        assert result.exit_code == 3
        assert name in result.stderr


def test_hostile_records_cannot_write_to_the_terminal(log: Path) -> None:
    """In no report and in no form."""
    body = {
        "schema": "gov.record/2",
        "kind": "decision",
        "id": f"d{HOSTILE}",
        "atUs": 1,
        "tool": HOSTILE,
        "effect": "deny",
        "reason": HOSTILE,
        "riskClass": HOSTILE,
        "targetSystem": HOSTILE,
        "summary": HOSTILE,
        "context": {"agent": HOSTILE, "task": HOSTILE, "service": HOSTILE},
        "contract": {"owner": HOSTILE, "workflow": HOSTILE},
        "flags": [{"key": HOSTILE, "variant": HOSTILE, "kind": "mode"}],
        "verdicts": [{"control": HOSTILE, "cap": HOSTILE, "reason": HOSTILE}],
        "fields": {HOSTILE: 1},
        "executes": True,
    }
    record = Record(
        f"d{HOSTILE}",
        "decision",
        1,
        partial(Encoded, encode(body)),
        tool=HOSTILE,
        agent=HOSTILE,
        task=HOSTILE,
        effect="deny",
        reason=HOSTILE,
        target=HOSTILE,
        executes=True,
    )
    with closing(SqliteStore(log)) as store:
        store.commit(record)
    for name in QUESTIONS:
        for form in ("json", "table", "csv", "jsonl"):
            result = report(name, "--agent", HOSTILE, "--format", form)
            assert result.exit_code == 0, result.output
            assert "owned" in result.output
            assert not RAW & set(result.output)

"""`gov runs`: the log as a person reads it, whatever stands in it."""

from functools import partial
from pathlib import Path

import pytest

from openfeature_gov import Actor, CallContext, Governor, ToolCall
from openfeature_gov.canonical import encode
from openfeature_gov.evidence.records import Encoded, Record
from openfeature_gov.stores.history import records
from openfeature_gov.stores.sqlite import SqliteStore
from tests.commands import gov, told

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e\u200b\r\n"
RAW = {one for one in HOSTILE if not one.isprintable()} - {"\n"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder in which an agent worked on two tasks."""
    monkeypatch.chdir(tmp_path)
    gov("init", "find:search", "send", "--workflow", "w", "--owner", "o")
    release = ["flags", "set", "find.mode", "search_only", "--reason", "r"]
    assert gov(*release).exit_code == 0
    with Governor.open("governance.yaml", "flags.json", "records.db") as governor:
        governor.tool("find")(_find)
        governor.tool("send")(_send)
        for task in ("t-1", "t-2"):
            context = CallContext(actor=Actor(agent="bot"), task=task)
            governor.run(ToolCall("find", {"query": "x"}, context))
            governor.run(ToolCall("send", {}, context))
        with pytest.raises(KeyError):
            governor.run(ToolCall("find", {"query": ""}, context))
        governor.run(ToolCall("nope", {}, context))
    return tmp_path


def _find(query: str) -> str:
    return {"x": "found"}[query]


def _send() -> str:
    return "sent"


def test_the_latest_tasks_come_first(project: Path) -> None:
    """Each with its agent, its time, its calls and what became of them."""
    first, second = told(gov("runs", "list"))["runs"]
    assert (first["task"], first["calls"]) == ("t-2", 4)
    assert first["effects"] == {"allow": 2, "constrain": 1, "deny": 1}
    assert (second["task"], second["agent"]) == ("t-1", "bot")
    assert first["first"] <= first["last"]
    assert len(told(gov("runs", "list", "--limit", "1"))["runs"]) == 1
    text = gov("runs", "list", "--no-json").stdout
    assert "t-1" in text
    assert "allow 2" in text


def test_a_run_is_shown_step_by_step(project: Path) -> None:
    """Effect, mode, reason, flags and outcome of every call, in order."""
    run = told(gov("runs", "show", "t-2"))
    steps = run["steps"]
    assert [one["tool"] for one in steps] == ["find", "send", "find", "nope"]
    assert [one["effect"] for one in steps] == ["allow", "constrain", "allow", "deny"]
    assert [one["outcome"] for one in steps] == ["executed", None, "failed", None]
    assert [one["error"] for one in steps] == [None, None, "KeyError", None]
    assert steps[0]["riskClass"] == "search"
    assert steps[0]["flags"]["mode"] == "search_only"
    assert steps[0]["ran"] == "tool"
    assert isinstance(steps[0]["latencyUs"], int)
    text = gov("runs", "show", "t-2", "--no-json").stdout
    for word in ("KeyError", "executed", "failed", "mode=observe", "tool_unknown"):
        assert word in text


def test_a_call_that_did_not_fit_says_what_did_not(project: Path) -> None:
    """The argument that was missing, and the one that nobody knows."""
    with Governor.open("governance.yaml", "flags.json", "records.db") as governor:
        governor.tool("find")(_find)
        context = CallContext(actor=Actor(agent="bot"), task="t-3")
        governor.run(ToolCall("find", {"qery": "x"}, context))
    (step,) = told(gov("runs", "show", "t-3"))["steps"]
    assert step["reason"] == "arguments_mismatch"
    assert step["detail"] == "missing: query; unexpected: qery"
    text = gov("runs", "show", "t-3", "--no-json").stdout
    assert "arguments_mismatch · missing: query; unexpected: qery" in " ".join(
        text.split()
    )


def test_a_run_is_a_history(project: Path) -> None:
    """What started it, what it knew, what came out, who approves, what is left."""
    run = told(gov("runs", "show", "t-2"))
    assert list(run) == [
        *("task", "trigger", "context", "steps", "output", "approval", "review"),
        "followUp",
    ]
    assert run["context"]["workflow"] == ["w"]
    assert run["output"]["outcomes"] == {"executed": 1, "failed": 1}
    assert [one["error"] for one in run["followUp"]] == ["KeyError"]
    text = gov("runs", "show", "t-2", "--no-json").stdout
    for title in ("Trigger", "Context", "Output", "Approval", "Follow-up"):
        assert title in text


def test_a_record_is_shown_whole(project: Path) -> None:
    """By its id, with what refers to it; every value of it is on the screen."""
    step = told(gov("runs", "show", "t-1"))["steps"][0]
    found = told(gov("runs", "show", step["record"]))["records"]
    assert [one["kind"] for one in found] == ["decision", "outcome"]
    assert found[0]["actionDigest"]
    text = gov("runs", "show", step["record"], "--no-json").stdout
    joined = "".join(part.strip("│├└─ ") for part in text.splitlines())
    for value in (found[0]["actionDigest"], "search_only", "w.denylist", "mode"):
        assert value in joined


def test_calls_without_a_task_are_a_run_too(project: Path) -> None:
    """An empty task is listed and can be shown."""
    gov("decide", "find", "--records", "records.db")
    assert told(gov("runs", "list"))["runs"][0]["task"] == ""
    assert len(told(gov("runs", "show", ""))["steps"]) == 1
    assert "(no task)" in gov("runs", "show", "", "--no-json").stdout


def test_what_is_not_there_is_said(project: Path) -> None:
    """An unknown name is 4, a missing or foreign file 3; nothing is created."""
    assert gov("runs", "show", "zzz").exit_code == 4
    missing = gov("runs", "list", "--records", "none.db")
    assert missing.exit_code == 3
    assert "none.db: No such file" in missing.stderr
    assert not (project / "none.db").exists()
    for command in (["list"], ["show", "t-1"]):
        foreign = gov("runs", *command, "--records", "flags.json")
        assert foreign.exit_code == 3
        assert "Traceback" not in foreign.output


def test_hostile_records_cannot_write_to_the_terminal(project: Path) -> None:
    """Escape, bidi and zero-width characters are escaped wherever they stand."""
    body = {
        "kind": "decision",
        "id": f"r{HOSTILE}",
        "atUs": 1,
        "tool": HOSTILE,
        "effect": HOSTILE,
        "mode": HOSTILE,
        "reason": HOSTILE,
        "riskClass": HOSTILE,
        "context": {"agent": HOSTILE, HOSTILE: HOSTILE},
        "flags": [{"kind": HOSTILE, "variant": HOSTILE, "key": [HOSTILE]}],
        "list": [HOSTILE, {HOSTILE: {HOSTILE: HOSTILE}}],
    }
    write(project, f"r{HOSTILE}", body, task=f"t{HOSTILE}")
    for arguments in (["list"], ["show", f"t{HOSTILE}"], ["show", f"r{HOSTILE}"]):
        for form in ("--json", "--no-json"):
            result = gov("runs", *arguments, form)
            assert result.exit_code == 0, result.output
            assert not RAW & set(result.output)


def write(folder: Path, identity: str, body: object, task: str) -> None:
    """Append a record of any content to the log."""
    store = SqliteStore(folder / "records.db")
    store.commit(
        Record(
            identity,
            "decision",
            1,
            partial(Encoded, encode(body)),
            tool=HOSTILE,
            agent=HOSTILE,
            task=task,
            effect=HOSTILE,
        )
    )
    store.close()


@pytest.mark.parametrize("body", [[1], 7, None, "text"])
def test_a_record_that_is_none_is_an_error_of_the_file(
    project: Path, body: object
) -> None:
    """A body that is no object is reported, not a traceback."""
    write(project, "odd", body, task="t-odd")
    for what in ("odd", "t-odd"):
        result = gov("runs", "show", what)
        assert result.exit_code == 3
        assert "cannot be read" in result.stderr
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "facts", [{}, {"atUs": 1, "flags": [1]}, {"atUs": 1, "context": "x"}]
)
def test_a_run_that_no_release_wrote_is_an_error_of_the_file(
    project: Path, facts: dict[str, object]
) -> None:
    """What a step must have and has not is reported, not a traceback."""
    write(project, "odd", {"kind": "decision", "id": "odd", **facts}, task="t-odd")
    result = gov("runs", "show", "t-odd")
    assert result.exit_code == 3
    assert "cannot be read" in result.stderr


def test_policy_changes_are_in_the_same_log(project: Path) -> None:
    """A kill can be shown by its record id."""
    result = gov("flags", "kill", "send", "--reason", "test")
    identity = told(result)["record"]
    assert records(project / "records.db", kind="policy_change")
    text = gov("runs", "show", identity, "--no-json").stdout
    assert "policy_change" in text
    assert "test" in text

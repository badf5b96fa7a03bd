"""A run's history answers the six points of article 004."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.evidence.actions import Action, joined
from openfeature_gov.evidence.histories import history
from openfeature_gov.stores import questions
from openfeature_gov.stores.logs import opened
from tests.worked import worked


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log in which two agents met every effect."""
    return worked(tmp_path_factory.mktemp("worked"))


def told(path: Path, task: str) -> dict[str, Any]:
    """Return the history of *task*."""
    with opened(path) as log:
        return history(task, questions.acted(log, task))


def test_a_history_says_what_started_it_and_what_it_knew(path: Path) -> None:
    """Trigger and input context: every value that a step was decided under."""
    run = told(path, "task-1")
    assert run["trigger"] == {
        "trigger": ["ticket-7"],
        "request": ["request-task-1"],
        "parentTask": ["plan-1"],
        "user": ["user-of-bot-a"],
        "service": ["svc"],
        "session": ["s-1"],
    }
    known = run["context"]
    assert known["agent"] == ["bot-a"]
    assert known["model"] == ["m-1"]
    assert known["sources"] == ["doc:1 > doc:2"]
    assert known["owner"] == ["team"]
    assert len(known["revision"]) == 5


def test_a_history_shows_every_step_and_what_came_out(path: Path) -> None:
    """In the order of the log; the output is a reference, never the content."""
    run = told(path, "task-1")
    tools = [one["tool"] for one in run["steps"]]
    names = "find read note refund erase find unheard-of note"
    assert tools == names.split()
    assert run["output"] == {
        "effects": {"allow": 6, "deny": 1, "queue_for_approval": 1},
        "outcomes": {"executed": 5, "failed": 1},
        "results": ["sha256:" + "cd" * 32],
        "cost": "0.10",
    }


def test_a_history_says_who_approves_and_what_is_left(path: Path) -> None:
    """What waits, what failed, what was undone and handed over."""
    run = told(path, "task-5")
    assert [(one["tool"], one["status"]) for one in run["approval"]] == [
        ("refund", "unanswered"),
        ("erase", "unanswered"),
    ]
    assert run["approval"][0]["ifUnanswered"] == "off"
    failed, handed = run["followUp"]
    assert (failed["tool"], failed["status"], failed["error"]) == (
        "find",
        "failed",
        "KeyError",
    )
    assert (handed["undo"], handed["handOver"], handed["incident"]) == (
        "undone",
        "desk-1",
        "INC-1",
    )
    assert failed["owner"] == "team"


def test_answers_of_people_are_its_approvals() -> None:
    """All of them, in order; then nothing waits."""
    decision = {"id": "d", "kind": "decision", "atUs": 1, "tool": "t"}
    asked = {**decision, "effect": "queue_for_approval", "executes": False}
    steps = [
        {"kind": "approval", "ref": "d", "reviewer": name, "state": word, "atUs": at}
        for name, word, at in (("ana", "pending", 2), ("bo", "approved", 3))
    ]
    run = history("t", [joined(asked, {"d": steps})])
    given = [(one["reviewer"], one["status"]) for one in run["approval"]]
    assert given == [("ana", "pending"), ("bo", "approved")]
    assert run["followUp"] == []


def test_an_open_step_is_followed_up() -> None:
    """What was about to run and was never heard of again."""
    decision = {"id": "d", "atUs": 1, "tool": "t", "executes": True}
    (left,) = history("t", [Action(decision)])["followUp"]
    assert (left["record"], left["status"]) == ("d", "open")
    settled = ({"kind": "outcome", "status": "unknown"},)
    (left,) = history("t", [Action(decision, settled)])["followUp"]
    assert left["status"] == "unknown"


def test_a_run_without_steps_is_empty() -> None:
    """Nothing is made up."""
    run = history("t", [])
    assert run["steps"] == run["approval"] == run["followUp"] == []
    assert run["output"]["cost"] is None

"""`gov approvals ask`, `answer`, `reassign`, `break-glass`: by who the OS says."""

from __future__ import annotations

from pathlib import Path

from openfeature_gov.approvals.states import State
from openfeature_gov.cli.answering import os_user
from tests.commands import told
from tests.test_cli_approvals import (
    FINGERPRINT,
    MINUTE,
    denied,
    gov,
    held,
    here,
    log,
    made,
    now,
    put,
    shown,
)

__all__ = ["here"]


def am(subject: str, groups: str = "support") -> None:
    """Let whoever runs this test be *subject*, beside others."""
    others = {"bob": "support", "cy": "support", "di": "duty", "ed": "duty"}
    lines = [f"  - {{subject: {subject}, groups: [{groups}], osUser: {os_user()}}}"]
    lines += [
        f"  - {{subject: {one}, groups: [{group}]}}"
        for one, group in others.items()
        if one != subject
    ]
    Path("reviewers.yaml").write_text("reviewers:\n" + "\n".join(lines) + "\n")
    Path("reviewers.yaml").chmod(0o644)


def test_a_question_goes_round() -> None:
    """From the reviewer to the user of the agent and back, on the card."""
    told(gov("ask", "r", "--text", "which\x1b[2J order?"))
    denied(gov("answer", "r", "--text", "o-1"), "not_the_requester")
    am("user-1", "")
    denied(gov("ask", "r", "--text", "why?"), "self_approval")
    denied(gov("answer", "r", "--text", "o-1", "--number", "2"), "question_unknown")
    told(gov("answer", "r", "--text", "o-1"))
    denied(gov("answer", "r", "--text", "o-2"), "question_answered")
    am("bob")
    card = shown()
    assert "1 asked" in card
    assert "user-1: o-1" in card
    assert "\x1b" not in card
    assert held().questions[0].answer == "o-1"


def test_an_agent_that_is_no_reviewer_answers_as_its_os_user() -> None:
    """The operating system says who it is; the reviewers file need not."""
    put(made(id="mine", requesters=(os_user(),)))
    am("bob")
    file = Path("reviewers.yaml")
    file.write_text(file.read_text().replace(f", osUser: {os_user()}", ""))
    denied(gov("answer", "mine", "--text", "x"), "question_unknown")
    denied(gov("ask", "mine", "--text", "x"), "reviewer_unauthenticated")


def test_a_request_is_passed_on() -> None:
    """Recorded with who, to whom and why."""
    denied(
        gov("reassign", "r", "--to", "interns", "--reason", "x"), "reassign_not_allowed"
    )
    denied(gov("reassign", "r", "--to", "user-1", "--reason", "x"), "self_approval")
    assert told(gov("reassign", "r", "--to", "lead", "--reason", "hers"))["holder"] == (
        "lead"
    )
    assert "lead, whose turn it is" in shown()
    last = log()[-1]
    assert (last["event"], last["reviewer"], last["holder"]) == (
        "reassign",
        "bob",
        "lead",
    )


def test_two_people_break_the_glass() -> None:
    """Exit 5 until the second; nobody twice, and only those of the group."""
    put(made(id="g", break_glass="duty", created_us=now() - 6 * MINUTE))
    alarm = ("break-glass", "g", "--seen", FINGERPRINT, "--reason", "nobody there")
    denied(gov(*alarm), "reviewer_not_asked")
    am("di", "duty")
    assert told(gov(*alarm), 5)["state"] == "pending"
    denied(gov(*alarm), "already_called")
    other = (*alarm[:3], "0" * 12, *alarm[4:])
    am("ed", "duty")
    denied(gov(*other), "shown_something_else")
    assert told(gov(*alarm))["state"] == "approved"
    assert held("g").state is State.APPROVED
    assert "broke glass" in shown("g")
    health = gov("health", "--no-json")
    assert health.exit_code == 4
    assert "glass_broken" in health.stdout
    denied(gov("break-glass", "r", *alarm[2:]), "break_glass_not_allowed")

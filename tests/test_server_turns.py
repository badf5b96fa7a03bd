"""Asking, answering, passing on and broken glass: by the API and from the inbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.approvals.states import State
from tests.serving import BINDING, MINUTE_US, Office, served
from tests.test_server_api import refused
from tests.test_server_inbox import Visitor

LONG_AGO_US = 10 * MINUTE_US


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Provide a served office with nothing that waits."""
    with served(tmp_path) as one:
        yield one


def posted(office: Office, subject: str, path: str, **body: Any) -> dict[str, Any]:
    with office.caller(subject) as client:
        answer = client.post(f"/approvals/{path}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def problem(office: Office, subject: str, path: str, **body: Any) -> tuple[int, str]:
    with office.caller(subject) as client:
        return refused(client.post(f"/approvals/{path}", json=body))


def test_a_question_goes_round(office: Office) -> None:
    """The token says who asks and who answers; no body does."""
    one = office.put()
    posted(office, "bob", f"{one.id}/ask", text="which order?")
    forged = {"number": 1, "text": "any", "answeredBy": "user-1"}
    told = problem(office, "bob", f"{one.id}/answer", **forged)
    assert told == (422, "invalid_request")
    told = problem(office, "cy", f"{one.id}/answer", number=1, text="any")
    assert told == (403, "not_the_requester")
    told = problem(office, "user-1", f"{one.id}/answer", number=2, text="any")
    assert told == (409, "question_unknown")
    whole = posted(office, "user-1", f"{one.id}/answer", number=1, text="o-17")
    (question,) = whole["questions"]
    assert (question["by"], question["answered_by"]) == ("bob", "user-1")
    assert (question["text"], question["answer"]) == ("which order?", "o-17")
    assert whole["deadlineUs"] == one.deadline_us
    assert problem(office, "user-1", f"{one.id}/ask", text="?")[1] == "self_approval"


def test_a_request_is_passed_on(office: Office) -> None:
    """Within the contract, never to who stands behind it; then that group answers."""
    one = office.put()
    with office.caller("dan") as dan:
        assert dan.get(f"/approvals/{one.id}").json()["objection"]
    for to, why in (
        ("user-1", "self_approval"),
        ("interns", "reassign_not_allowed"),
        ("support", "already_theirs"),
    ):
        found = problem(office, "bob", f"{one.id}/reassign", to=to, reason="x")
        assert found[1] == why
    whole = posted(office, "bob", f"{one.id}/reassign", to="sales", reason="theirs")
    assert whole["holder"] == "sales"
    whole = posted(office, "dan", f"{one.id}/approve", seen=BINDING)
    assert (whole["state"], whole["reviewer"]) == ("approved", "dan")


def test_two_break_the_glass(office: Office) -> None:
    """Not too early, not one alone, not with something else seen."""
    one = office.put(created_us=office.now(), deadline_us=office.now() + 60 * MINUTE_US)
    alarm = {"seen": BINDING, "reason": "nobody picks up"}
    path = f"{one.id}/break-glass"
    assert problem(office, "di", path, **alarm) == (409, "break_glass_too_early")
    office.passed_us = LONG_AGO_US
    assert problem(office, "bob", path, **alarm) == (403, "reviewer_not_asked")
    blind = {**alarm, "seen": "x"}
    assert problem(office, "di", path, **blind) == (409, "shown_something_else")
    first = posted(office, "di", path, **alarm)
    assert (first["state"], first["glassBroken"]) == ("pending", False)
    assert problem(office, "di", path, **alarm) == (409, "already_called")
    second = posted(office, "ed", path, **alarm)
    assert (second["state"], second["glassBroken"]) == ("approved", True)
    assert set(second["calledBy"]) == {"di", "ed"}
    none = office.put(break_glass="", created_us=0)
    seen = {**alarm, "seen": none.binding}
    found = problem(office, "di", f"{none.id}/break-glass", **seen)
    assert found == (403, "break_glass_not_allowed")


def test_the_inbox_asks_and_answers(office: Office) -> None:
    """What was said stands on the card, as text, for both."""
    one = office.put()
    bob, user = Visitor(office, "bob"), Visitor(office, "user-1")
    assert f"/inbox/{one.id}/answer" not in user.get(f"/inbox/{one.id}").forms
    asked = bob.send(one, "ask", reason="why\u202e <b>so</b>?")
    assert "Asked" in asked.text
    page = user.get(f"/inbox/{one.id}")
    assert "b" not in page.elements
    assert "<b>so</b>?" in page.text
    assert f"/inbox/{one.id}/approve" not in page.forms
    assert f"/inbox/{one.id}/answer" not in bob.get(f"/inbox/{one.id}").forms
    assert "Answered" in user.send(one, "answer", reason="because").text
    page = bob.get(f"/inbox/{one.id}")
    assert "1. user-1 says" in page.text
    assert "because" in page.text
    assert f"/inbox/{one.id}/approve" in page.forms
    assert bob.send(one, "ask", reason=" ").status_code == 409


def test_the_inbox_passes_on(office: Office) -> None:
    """And says what was wrong with a name."""
    one = office.put()
    bob = Visitor(office, "bob")
    nobody = bob.send(one, "reassign", to="interns", reason="x")
    assert (nobody.status_code, "nobody of that name" in nobody.text) == (409, True)
    assert "Passed on" in bob.send(one, "reassign", to="sales", reason="theirs").text
    assert office.request(one).holder == "sales"
    assert "Now: sales" in Visitor(office, "dan").get(f"/inbox/{one.id}").text


def test_the_inbox_breaks_the_glass(office: Office) -> None:
    """For those who may, when they may; the second releases."""
    one = office.put(deadline_us=office.now() + 60 * MINUTE_US)
    di, ed = Visitor(office, "di"), Visitor(office, "ed")
    path = f"/inbox/{one.id}/break-glass"
    assert path not in di.get(f"/inbox/{one.id}").forms
    office.passed_us = LONG_AGO_US
    assert path not in Visitor(office, "bob").get(f"/inbox/{one.id}").forms
    assert "waits for a second person" in di.send(one, "break-glass", reason="x").text
    assert path not in di.get(f"/inbox/{one.id}").forms
    assert "One said so already" in ed.get(f"/inbox/{one.id}").text
    assert "It may run once" in ed.send(one, "break-glass", reason="y").text
    assert office.request(one).glass_broken
    assert office.request(one).state is State.APPROVED


@pytest.mark.parametrize("verb", ["ask", "answer", "reassign", "break-glass"])
def test_no_form_of_elsewhere_counts(office: Office, verb: str) -> None:
    """Neither from another site nor without the session's token."""
    one = office.put()
    bob = Visitor(office, "bob")
    fields = {"reason": "x", "to": "sales", "number": "1", "seen": BINDING}
    for headers in ({"Origin": "https://evil.example"}, {}):
        answer = bob.client.post(
            f"/inbox/{one.id}/{verb}", data=fields, headers=headers
        )
        assert answer.status_code == 403
    assert office.request(one) == one

"""Reviews over HTTP: the API and the pages, as a reviewer uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from openfeature_gov.canonical import encode
from openfeature_gov.reviews.review import Review
from openfeature_gov.reviews.states import State
from openfeature_gov.stores.logs import opened
from tests.serving import FACTS, MINUTE_US, Office, served
from tests.test_server_inbox import ATTACK, ELEMENTS, Reader, Visitor


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Provide a served office with nothing to look at."""
    with served(tmp_path) as one:
        yield one


@pytest.fixture
def bob(office: Office) -> Visitor:
    """Provide bob, logged in."""
    return Visitor(office, "bob")


def state(office: Office, one: Review) -> State:
    found = office.shelf.review(one.id)
    assert found is not None
    return found.review.state


def reason(answer: httpx.Response, status: int) -> str:
    """Return the reason code of a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["reason"])


def test_the_api_lists_shows_and_accepts(office: Office) -> None:
    """The list tells no argument; what was accepted is not open any more."""
    one = office.look()
    with office.caller() as api:
        (listed,) = api.get("/reviews").json()["reviews"]
        assert (listed["id"], listed["state"]) == (one.id, "open")
        assert "order-17" not in str(listed)
        whole = api.get(f"/reviews/{one.id}").json()
        assert whole["arguments"] == '{"amount":129,"order":"order-17"}'
        assert (whole["objection"], whole["onExpiry"]) == (None, "undo")
        said = {"seen": whole["binding"], "reason": "fine"}
        done = api.post(f"/reviews/{one.id}/accept", json=said)
        assert (done.status_code, done.json()["state"]) == (200, "accepted")
        assert done.json()["arguments"] == ""
        again = api.post(f"/reviews/{one.id}/refuse", json=said)
        assert reason(again, 409) == "already_accepted"
        assert api.get("/reviews").json() == {"reviews": []}


DENIED: dict[str, tuple[str | None, dict[str, Any], dict[str, Any], int, str]] = {
    "nobody": (None, {}, {}, 401, "reviewer_unauthenticated"),
    "behind it": ("user-1", {}, {}, 403, "self_approval"),
    "not asked": ("dan", {}, {}, 403, "reviewer_not_asked"),
    "another": ("bob", {}, {"seen": "x"}, 409, "shown_something_else"),
    "late": ("bob", {"deadline_us": 1}, {}, 409, "deadline_passed"),
    "running": ("bob", {"state": State.RUNNING}, {}, 409, "not_open"),
    "undone": ("bob", {"state": State.UNDONE}, {}, 409, "already_undone"),
    "a name": ("bob", {}, {"reviewer": "cy"}, 422, "invalid_request"),
}


@pytest.mark.parametrize("verb", ["accept", "refuse"])
@pytest.mark.parametrize("case", DENIED)
def test_who_may_not_is_told_why(office: Office, case: str, verb: str) -> None:
    """By its own code, and nothing changes."""
    who, changes, body, status, code = DENIED[case]
    one = office.look(**changes)
    with office.caller(who) as api:
        said = {"seen": one.binding, "reason": "no", **body}
        answer = api.post(f"/reviews/{one.id}/{verb}", json=said)
        assert reason(answer, status) == code
        unknown = api.post(f"/reviews/none/{verb}", json=said)
        if status not in (401, 422):
            assert reason(unknown, 404) == "review_unknown"
    assert state(office, one) is one.state
    with opened(office.records) as log:
        recorded = [one["denied"] for one in log.recorded("kind = 'review'")]
    assert recorded == ([] if status in (401, 422) else [code])


def test_the_deadline_moves_by_a_day_in_all(office: Office, bob: Visitor) -> None:
    """By the API and the page alike, for who was asked; the clock goes by the new."""
    one = office.look()
    with office.caller() as api:
        path = f"/reviews/{one.id}/extend"
        longer = api.post(path, json={"minutes": 60})
        assert longer.json()["deadlineUs"] == one.deadline_us + 60 * MINUTE_US
        assert reason(api.post(path, json={"minutes": 1440}), 409) == "deadline_invalid"
        assert reason(api.post(path, json={"minutes": 0}), 422) == "invalid_request"
        unknown = api.post("/reviews/none/extend", json={"minutes": 1})
        assert reason(unknown, 404) == "review_unknown"
    with office.caller("dan") as api:
        other = api.post(path, json={"minutes": 1})
        assert reason(other, 403) == "reviewer_not_asked"
    assert "Extended" in send(bob, one, "extend", minutes="20").text
    assert send(bob, one, "extend", minutes="1441").status_code == 422
    assert "by a day at most" in send(bob, one, "extend", minutes="1440").text
    office.passed_us += 31 * MINUTE_US
    assert "Let it stand" in bob.get(f"/inbox/reviews/{one.id}").text


def send(visitor: Visitor, one: Review, verb: str, **fields: str) -> httpx.Response:
    """Load the card, fill in the form for *verb*, and send it."""
    action = f"/inbox/reviews/{one.id}/{verb}"
    form = visitor.get(f"/inbox/reviews/{one.id}?full=1").forms.get(action)
    assert form is not None, f"no form for {verb}"
    return visitor.client.post(action, data={**form, **fields})


def test_the_pages_list_show_and_answer(office: Office, bob: Visitor) -> None:
    """Without JavaScript; a refusal needs its words."""
    first, second = office.look(), office.look(undoable=False)
    listed = bob.get("/inbox/reviews")
    assert "2 to look at" in listed.text
    assert FACTS["consequence"] in listed.text
    card = bob.get(f"/inbox/reviews/{first.id}")
    for part in ("It ran at once", "What ran", '"order-17"', "If nobody looks"):
        assert part in card.text
    assert "The tool's own undo takes it back." in card.text
    done = send(bob, first, "refuse", reason="wrong order")
    assert "A process with this tool undoes it now." in done.text
    assert state(office, first) is State.REFUSED
    handed = send(bob, second, "refuse", reason="wrong order")
    assert "team-billing sees to it" in handed.text
    third = office.look()
    assert "It stands." in send(bob, third, "accept").text
    assert bob.get(f"/inbox/reviews/{third.id}").forms.keys() == {"/logout"}
    late = bob.client.post(
        f"/inbox/reviews/{third.id}/refuse",
        data={
            **bob.get(f"/inbox/reviews/{office.look().id}").forms["/logout"],
            "seen": third.binding,
            "reason": "no",
        },
    )
    assert late.status_code == 409
    assert "it is accepted already" in late.text
    assert "There is no such review" in bob.client.get("/inbox/reviews/none").text


def test_a_form_of_somebody_else_is_refused(office: Office, bob: Visitor) -> None:
    """Without the token of the session, or from another site."""
    one = office.look()
    where = f"/inbox/reviews/{one.id}/accept"
    fields = {"seen": one.binding, "reason": ""}
    assert bob.client.post(where, data=fields).status_code == 403
    form = bob.get(f"/inbox/reviews/{one.id}").forms[where]
    cross = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = bob.client.post(where, data=form, headers=cross)
    assert answer.status_code == 403
    assert state(office, one) is State.OPEN


def test_a_stolen_link_shows_the_login(office: Office) -> None:
    """And leads back there afterwards."""
    one = office.look()
    stranger = Visitor(office)
    page = stranger.client.get(f"/inbox/reviews/{one.id}")
    assert page.status_code == 401
    assert "order-17" not in page.text
    form = next(iter(Reader(page.text).forms.values()))
    assert form["next"] == f"/inbox/reviews/{one.id}"


def test_no_field_breaks_out_or_hides(office: Office, bob: Visitor) -> None:
    """Whatever an agent wrote, and wherever."""
    facts = {key: ATTACK for key, value in FACTS.items() if isinstance(value, str)}
    one = office.look(
        tool=ATTACK,
        agent=ATTACK,
        task=ATTACK,
        facts={**FACTS, **facts},
        arguments=encode({ATTACK: ATTACK}),
        requesters=(ATTACK,),
    )
    for path in ("/inbox/reviews", f"/inbox/reviews/{one.id}?full=1"):
        page = bob.get(path)
        assert page.elements <= ELEMENTS
        assert page.scripts == 0
        assert not set("\u202e\u200b\x00\u2066") & set(page.text)
    assert "\\u202e" in page.text


def test_what_hides_bytes_cannot_be_answered(office: Office, bob: Visitor) -> None:
    """Not before all was shown."""
    one = office.look(arguments=encode({"text": "x" * 5_000}))
    assert bob.get(f"/inbox/reviews/{one.id}").forms.keys() == {"/logout"}
    whole = bob.get(f"/inbox/reviews/{one.id}?full=1")
    assert f"/inbox/reviews/{one.id}/accept" in whole.forms


def test_time_passes_for_reviews_too(office: Office, bob: Visitor) -> None:
    """The page says so before the clock has gone round."""
    one = office.look()
    office.passed_us += 31 * MINUTE_US
    page = bob.get(f"/inbox/reviews/{one.id}")
    assert "deadline_passed" in page.text
    assert page.forms.keys() == {"/logout"}

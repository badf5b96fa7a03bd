"""The API: only whom a token names answers, what waits, as it is; nothing breaks it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.server.buckets import MOST, Buckets
from openfeature_gov.server.desk import Limits, Rate
from openfeature_gov.server.guards import LARGEST
from tests.serving import BINDING, MINUTE_US, Office, served, token


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Provide a served office with nothing that waits."""
    with served(tmp_path) as one:
        yield one


@pytest.fixture
def bob(office: Office) -> Iterator[httpx.Client]:
    """Provide a client that bears bob's token."""
    with office.caller() as one:
        yield one


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Return status and reason of a problem; each is one."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert set(body) == {"title", "status", "reason", "detail"}
    return answer.status_code, body["reason"]


def approval(**changes: Any) -> dict[str, Any]:
    return {"seen": BINDING, **changes}


def test_what_waits_is_listed_page_by_page(office: Office, bob: httpx.Client) -> None:
    """Each once, the oldest first, whatever comes in between; answered ones not."""
    made = [office.put().id for _ in range(7)]
    office.put(state=State.REFUSED)
    found, query = list[str](), dict[str, Any](limit=3)
    while True:
        page = bob.get("/approvals", params=query).json()
        found += [one["id"] for one in page["approvals"]]
        if page["after"] is None:
            break
        query["after"] = page["after"]
        made.append(office.put().id) if len(made) < 9 else None
    assert found == made
    assert len(set(found)) == 9


def test_a_request_is_shown_whole(office: Office, bob: httpx.Client) -> None:
    """With the very bytes that run, and whether one may answer."""
    one = office.put(values={"n": 10**18, "text": "\u202e\x00ä"})
    body = bob.get(f"/approvals/{one.id}").json()
    assert body["arguments"].encode() == one.arguments
    assert body["binding"] == one.binding
    assert body["facts"]["consequence"] == one.facts["consequence"]
    assert body["facts"]["flags"] == one.facts["flags"]
    assert body["objection"] is None
    with office.caller("user-1") as user:
        shown = user.get(f"/approvals/{one.id}").json()
        assert shown["objection"] == "self_approval"


def test_an_approval_names_its_bearer(office: Office, bob: httpx.Client) -> None:
    """And only tightens."""
    one = office.put()
    limits = [{"kind": "rows", "limit": 3}, {"kind": "region", "among": ["eu"]}]
    answer = bob.post(
        f"/approvals/{one.id}/approve", json=approval(reason="ok", constraints=limits)
    )
    assert answer.status_code == 200
    after = office.request(one)
    assert (after.state, after.reviewer, after.reason) == (
        State.APPROVED,
        "bob",
        "ok",
    )
    assert {c.kind: (c.limit, c.among) for c in after.constraints} == {
        "rows": (3, None),
        "region": (None, frozenset({"eu"})),
    }


def test_a_denial_and_an_extension(office: Office, bob: httpx.Client) -> None:
    """Both are taken from the bearer."""
    one = office.put()
    path = f"/approvals/{one.id}"
    longer = bob.post(f"{path}/extend", json={"minutes": 10})
    assert longer.json()["deadlineUs"] == one.deadline_us + 10 * MINUTE_US
    assert bob.post(f"{path}/deny", json={"reason": "no"}).json()["state"] == "refused"
    assert office.request(one).reason == "no"


def test_nobody_is_nobody(office: Office) -> None:
    """Whatever they ask for, there or not."""
    office.put()
    asked = [
        ("GET", "/approvals"),
        ("GET", "/approvals/r00001"),
        ("GET", "/approvals/nobody"),
        ("POST", "/approvals/r00001/approve"),
        ("POST", "/approvals/r00001/deny"),
        ("POST", "/approvals/r00001/extend"),
    ]
    held = [
        {},
        {"Authorization": "Bearer nobody's"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic dG9rZW4tb2YtYm9i"},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Cookie": "gov=token-of-bob"},
    ]
    body = approval(reason="no", minutes=1)
    for headers in held:
        with office.caller(None, headers=headers) as client:
            for method, path in asked:
                sent = body if method == "POST" else None
                answer = client.request(method, path, json=sent)
                assert refused(answer) == (401, "reviewer_unauthenticated")
                assert answer.headers["www-authenticate"] == "Bearer"
            answer = client.post("/approvals/r00001/deny", content=b"{")
            assert refused(answer) == (401, "reviewer_unauthenticated")


def test_a_body_names_nobody(office: Office, bob: httpx.Client) -> None:
    """Who answers is no field, and nothing that is none is passed over."""
    one = office.put()
    for name in ("reviewer", "subject", "approver", "by"):
        answer = bob.post(
            f"/approvals/{one.id}/approve", json=approval(**{name: "zoe"})
        )
        assert refused(answer) == (422, "invalid_request")
        assert "zoe" not in answer.text
    assert office.request(one).state is State.PENDING


DENIED: list[tuple[str, dict[str, Any], str, dict[str, Any], int, str]] = [
    ("dan", {}, "approve", approval(), 403, "reviewer_not_asked"),
    ("dan", {}, "deny", {"reason": "no"}, 403, "reviewer_not_asked"),
    ("user-1", {}, "approve", approval(), 403, "self_approval"),
    ("bob", {}, "approve", {"seen": "0" * 64}, 409, "shown_something_else"),
    ("bob", {"state": State.APPROVED}, "approve", approval(), 409, "already_approved"),
    ("bob", {"state": State.REFUSED}, "approve", approval(), 409, "already_refused"),
    (
        "bob",
        {"state": State.WITHDRAWN},
        "deny",
        {"reason": "no"},
        409,
        "already_withdrawn",
    ),
    ("bob", {"deadline_us": 1}, "approve", approval(), 409, "deadline_passed"),
    ("bob", {}, "extend", {"minutes": 1440}, 409, "deadline_invalid"),
    ("bob", {}, "deny", {"reason": " \n"}, 409, "reason_missing"),
]


@pytest.mark.parametrize(
    ("who", "changes", "verb", "body", "status", "reason"),
    DENIED,
    ids=[f"{one[0]}-{one[2]}-{one[5]}" for one in DENIED],
)
def test_a_denied_answer_says_why_and_is_recorded(
    office: Office,
    who: str,
    changes: dict[str, Any],
    verb: str,
    body: dict[str, Any],
    status: int,
    reason: str,
) -> None:
    """And changes nothing."""
    one = office.put(**changes)
    with office.caller(who) as client:
        answer = client.post(f"/approvals/{one.id}/{verb}", json=body)
    assert refused(answer) == (status, reason)
    assert office.request(one) == one
    assert office.denials() == [reason]


def test_an_approval_is_not_replayed(office: Office, bob: httpx.Client) -> None:
    """The second is told what became of the first."""
    one = office.put(quorum=2)
    path = f"/approvals/{one.id}/approve"
    assert bob.post(path, json=approval()).json()["votes"] == 1
    assert refused(bob.post(path, json=approval())) == (409, "already_voted")
    assert office.request(one).state is State.PENDING


def test_an_unknown_request_tells_nothing(office: Office, bob: httpx.Client) -> None:
    """However one asks for it."""
    for path, body in (
        ("", None),
        ("/approve", approval()),
        ("/deny", {"reason": "no"}),
        ("/extend", {"minutes": 5}),
    ):
        where = f"/approvals/nobody{path}"
        answer = bob.post(where, json=body) if body else bob.get(where)
        assert refused(answer) == (404, "approval_unknown")
        assert "nobody" not in answer.text


def test_who_is_taken_out_is_out_at_once(office: Office, bob: httpx.Client) -> None:
    """Also in the middle of a connection."""
    one = office.put()
    assert bob.get(f"/approvals/{one.id}").status_code == 200
    office.employ("cy")
    answer = bob.post(f"/approvals/{one.id}/approve", json=approval())
    assert refused(answer) == (401, "reviewer_unauthenticated")
    assert office.request(one).state is State.PENDING


def test_of_two_answers_at_once_one_is_taken(office: Office) -> None:
    """The others hear which."""
    one = office.put()

    def answer(number: int) -> int:
        with office.caller("bob" if number % 2 else "cy") as client:
            return client.post(
                f"/approvals/{one.id}/approve", json=approval()
            ).status_code

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(answer, range(8)))
    assert found == [200] + [409] * 7
    assert set(office.denials()) <= {"already_approved", "already_voted"}
    assert len(office.denials()) == 7


ODD: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("no json", b"{"),
    ("not utf-8", b'{"reason": "\xff"}'),
    ("deep", b"[" * 20_000),
    ("deep in a field", b'{"reason": ' + b'{"a":' * 9_000),
    ("long number", b'{"minutes": ' + b"9" * 20_000 + b"}"),
    ("nan", b'{"minutes": NaN}'),
    ("infinity", b'{"minutes": 1e999}'),
    ("half surrogate", b'{"reason": "\\ud800", "seen": "\\ud800", "minutes": 1}'),
    ("surrogate key", b'{"\\ud800": 1}'),
    ("null byte", b'{"seen": "\\u0000"}'),
    ("list", b"[]"),
    ("string", b'"x"'),
    ("float", b'{"minutes": 5.5}'),
    ("bool", b'{"minutes": true}'),
    ("big", b'{"minutes": 99999999999999999999}'),
    ("negative", b'{"minutes": -1}'),
    ("long reason", b'{"reason": "' + b"x" * 1_001 + b'"}'),
    (
        "surrogate kind",
        b'{"seen": "b", "constraints": [{"kind": "\\udfff", "among": ["\\ud800"]}]}',
    ),
]


@pytest.mark.parametrize(
    "verb",
    ["approve", "deny", "extend", "ask", "answer", "reassign", "break-glass"],
)
def test_no_body_breaks_it(office: Office, bob: httpx.Client, verb: str) -> None:
    """It is refused, and not repeated."""
    one = office.put()
    kinds = ("application/json", "text/plain")
    for kind, (name, body) in product(kinds, ODD):
        answer = bob.post(
            f"/approvals/{one.id}/{verb}",
            content=body,
            headers={"Content-Type": kind},
        )
        status, _ = refused(answer)
        assert status in (400, 409, 422), (name, kind)
    assert office.request(one) == one


def test_a_reason_may_hold_anything_that_is_text(
    office: Office, bob: httpx.Client
) -> None:
    """It comes back as it was."""
    one, reason = office.put(), "\x00\u202e</script>😀\n"
    bob.post(f"/approvals/{one.id}/deny", json={"reason": reason})
    assert office.request(one).reason == reason
    assert bob.get(f"/approvals/{one.id}").json()["reason"] == reason


def test_bodies_are_bounded(office: Office, bob: httpx.Client) -> None:
    """Those that say their length and those that do not."""
    large = b"x" * (LARGEST + 1)
    for content in (large, iter([large[:1000]] * 70)):
        answer = bob.post("/approvals/x/deny", content=content)
        assert refused(answer) == (413, "body_too_large")


def test_a_caller_that_goes_away_has_said_nothing(office: Office) -> None:
    """Half a form is no answer."""
    one = office.put()
    body = json.dumps({"reason": "no"}).encode()
    head = (
        f"POST /approvals/{one.id}/deny HTTP/1.1\r\nHost: x\r\n"
        "Authorization: Bearer token-of-bob\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body) + 5}\r\n\r\n"
    )
    address = ("127.0.0.1", int(office.url.rpartition(":")[2]))
    with socket.create_connection(address) as line:
        line.sendall(head.encode() + body)
    with office.caller() as client:
        assert client.get("/approvals").status_code == 200
    assert office.request(one).state is State.PENDING


@pytest.mark.parametrize(
    "query",
    ["after=x", "after=1.", "after=" + "9" * 19 + ".a", "limit=0", "limit=1001"],
)
def test_an_odd_question_is_refused(bob: httpx.Client, query: str) -> None:
    """And no database sees it."""
    assert refused(bob.get(f"/approvals?{query}"))[0] == 422


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/static/..%2fapi.py", "/approvals/%00", "/docs", "/approvals/x/y"],
)
def test_what_is_not_there_is_a_problem(bob: httpx.Client, path: str) -> None:
    """Of the same form as any other."""
    assert refused(bob.get(path))[0] in (404, 422)
    assert refused(bob.delete("/approvals"))[0] == 405


def test_every_answer_is_guarded(office: Office, bob: httpx.Client) -> None:
    """By headers that let nothing else load, frame or keep it."""
    for path in ("/approvals", "/nowhere", "/inbox", "/static/inbox.js"):
        headers = bob.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers or "uvicorn" not in headers["server"]


def test_askers_are_held_up(tmp_path: Path) -> None:
    """Each by its own count, and guesses of tokens sooner."""
    limits = Limits(client=Rate(0, 40), token=Rate(0, 5), login=Rate(0, 3))
    with served(tmp_path, limits) as office:
        with office.caller("bob") as bob, office.caller("cy") as cy:
            found = [bob.get("/approvals").status_code for _ in range(7)]
            assert found == [200] * 5 + [429] * 2
            assert refused(bob.get("/approvals")) == (429, "too_many_requests")
            assert cy.get("/approvals").status_code == 200
        with office.caller(None) as guess:
            found = [guess.get("/approvals").status_code for _ in range(5)]
            assert found == [401] * 3 + [429] * 2
        with office.caller("cy") as cy:
            assert cy.get("/approvals").status_code == 200
            found = [cy.get("/static/inbox.css").status_code for _ in range(40)]
            assert found[-1] == 429
            assert "retry-after" in cy.get("/").headers


def test_a_bucket_fills_again_and_memory_is_bounded() -> None:
    """At its rate, up to its burst."""
    now = 0.0
    bucket = Buckets(2, 3, lambda: now)
    assert [bucket.take("a") for _ in range(4)] == [True] * 3 + [False]
    now = 0.5
    assert [bucket.take("a") for _ in range(2)] == [True, False]
    now = 100
    assert [bucket.take("a") for _ in range(4)] == [True] * 3 + [False]
    for number in range(MOST + 5):
        bucket.take(str(number))
    assert len(bucket._held) == MOST


def test_records_that_fail_change_nothing(office: Office, bob: httpx.Client) -> None:
    """The caller is told to try again."""
    one = office.put()
    office.store.close()
    answer = bob.post(f"/approvals/{one.id}/approve", json=approval())
    assert refused(answer) == (503, "records_unavailable")
    assert office.request(one) == Request.at(one, State.PENDING)


def test_the_api_describes_itself(bob: httpx.Client) -> None:
    """Each answer, errors too; the pages for people are no part of it."""
    found = bob.get("/openapi.json").json()
    assert set(found["paths"]) == {
        "/approvals",
        "/approvals/{request_id}",
        "/approvals/{request_id}/approve",
        "/approvals/{request_id}/deny",
        "/approvals/{request_id}/extend",
        "/approvals/{request_id}/ask",
        "/approvals/{request_id}/answer",
        "/approvals/{request_id}/reassign",
        "/approvals/{request_id}/break-glass",
        "/reviews",
        "/reviews/{review_id}",
        "/reviews/{review_id}/accept",
        "/reviews/{review_id}/extend",
        "/reviews/{review_id}/refuse",
    }
    for path in found["paths"].values():
        for verb in path.values():
            assert verb["security"]
            assert "application/problem+json" in verb["responses"]["401"]["content"]


def test_who_could_never_be_asked_reads_nothing(office: Office) -> None:
    """Neither the arguments nor what happens to whom, in the list or by a link."""
    mine, passed = office.put(reassign_to=(), break_glass=""), office.put()
    looked = office.look()
    for subject, sees in (("bob", True), ("user-1", True), ("dan", False)):
        with office.caller(subject) as api:
            listed = [one["id"] for one in api.get("/approvals").json()["approvals"]]
            assert listed == ([mine.id, passed.id] if sees else [passed.id])
            shown = api.get(f"/approvals/{mine.id}")
            assert shown.status_code == (200 if sees else 403)
            assert ("order-17" in shown.text) == sees
            assert len(api.get("/reviews").json()["reviews"]) == sees
            assert ("order-17" in api.get(f"/reviews/{looked.id}").text) == sees
            assert api.get(f"/approvals/{passed.id}").status_code == 200
        with httpx.Client(base_url=office.url, follow_redirects=True) as page:
            page.post("/login", data={"token": token(subject)})
            for path in (f"/inbox/{mine.id}", f"/inbox/reviews/{looked.id}"):
                found = page.get(path, headers={"accept": "text/html"})
                assert found.status_code == (200 if sees else 403)
                assert ("order-17" in found.text) == sees
            assert (mine.id in page.get("/inbox").text) == sees
            assert (looked.id in page.get("/inbox/reviews").text) == sees
            assert passed.id in page.get("/inbox").text

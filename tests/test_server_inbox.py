"""The inbox without JavaScript: what it shows is exact, and only its forms answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from openfeature_gov.approvals.requests import Question, Request
from openfeature_gov.approvals.states import State
from openfeature_gov.decisions import Constraint
from openfeature_gov.server import sessions
from openfeature_gov.server.desk import Limits, Rate
from openfeature_gov.server.pages import marked
from tests.serving import BINDING, FREE, MINUTE_US, Office, served, token

ATTACK = "\u202e</bdi><script>alert(1)</script>\"'&{{7777*7777}}\u200b\x00\u2066ж"
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "script", "body", "a", "header"),
    *("span", "form", "input", "button", "main", "div", "p", "article", "h1", "h2"),
    *("h3", "bdi", "strong", "dl", "dt", "dd", "time", "section", "label", "ol"),
    *("textarea", "small", "mark", "footer", "code", "li", "noscript"),
    *("details", "summary", "datalist", "option"),
}


class Reader(HTMLParser):
    """Read a page as a browser does: its text, its elements, its forms."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.scripts = "", 0
        self.elements = set[str]()
        self.attributes = set[str]()
        self.forms: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.elements.add(tag)
        self.attributes |= set(held)
        self.scripts += tag == "script"
        if tag == "form":
            self._form = self.forms[held["action"]] = {}
        elif tag in ("input", "textarea"):
            self._form[held["name"]] = held.get("value", "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Provide a served office with nothing that waits."""
    with served(tmp_path) as one:
        yield one


class Visitor:
    """A browser without JavaScript. Lives for one test."""

    def __init__(self, office: Office, subject: str = "", **headers: str) -> None:
        self.client = httpx.Client(
            base_url=office.url, headers=headers, timeout=30, follow_redirects=True
        )
        office.clients.append(self.client)
        if subject:
            self.client.post("/login", data={"token": token(subject)})

    def get(self, path: str) -> Reader:
        return Reader(self.client.get(path).text)

    def send(self, one: Request, verb: str, **fields: str) -> httpx.Response:
        """Load the card, fill in the form for *verb*, and send it."""
        action = f"/inbox/{one.id}/{verb}"
        form = self.get(f"/inbox/{one.id}?full=1").forms.get(action)
        assert form is not None, f"no form for {verb}"
        return self.client.post(action, data={**form, **fields})


@pytest.fixture
def bob(office: Office) -> Visitor:
    """Provide bob, logged in."""
    return Visitor(office, "bob")


def test_a_token_opens_the_inbox(office: Office) -> None:
    """Its cookie is out of reach of scripts and other sites; logging out ends it."""
    with httpx.Client(base_url=office.url) as client:
        assert client.get("/inbox").status_code == 401
        wrong = client.post("/login", data={"token": "nobody's"})
        assert wrong.status_code == 401
        assert "nobody's" in Reader(wrong.text).text
        assert "set-cookie" not in wrong.headers
        answer = client.post("/login", data={"token": token("bob")})
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert token("bob") not in cookie
        listed = client.get("/inbox")
        assert listed.status_code == 200
        held = client.cookies["gov"]
        form = Reader(listed.text).forms["/logout"]
        assert client.post("/logout", data=form).status_code == 303
        client.cookies.set("gov", held)
        assert client.get("/inbox").status_code == 401


def test_behind_https_the_cookie_is_for_https_alone(tmp_path: Path) -> None:
    """Under a name that browsers take from nobody else."""
    with served(tmp_path, secure=True) as office, office.caller(None) as client:
        answer = client.post("/login", data={"token": token("bob")})
        assert answer.headers["set-cookie"].startswith("__Host-gov=")
        assert "Secure" in answer.headers["set-cookie"]
        assert "strict-transport-security" in answer.headers


def test_a_login_leads_only_to_our_pages(office: Office) -> None:
    """Wherever a link says."""
    with httpx.Client(base_url=office.url) as client:
        for where in ("//evil", "https://evil", "/inbox/../x", "/inbox\r\nx: y", "/x"):
            data = {"token": token("bob"), "next": where}
            answer = client.post("/login", data=data)
            assert answer.headers["location"] == "/inbox"
        data = {"token": token("bob"), "next": "/inbox/r00001"}
        assert client.post("/login", data=data).headers["location"] == data["next"]


def test_a_session_ends(office: Office, bob: Visitor) -> None:
    """After an hour without a person, whatever its page asks by itself."""
    hour_us = int(sessions.IDLE_S * 1e6)
    office.passed_us += hour_us - 60_000_000
    assert bob.client.get("/revision").status_code == 200
    office.passed_us += 120_000_000
    assert bob.client.get("/inbox").status_code == 401
    again = Visitor(office, "bob")
    for _ in range(9):
        office.passed_us += hour_us - 60_000_000
        last = again.client.get("/inbox").status_code
    assert last == 401


def test_a_session_is_no_more_than_its_token(office: Office, bob: Visitor) -> None:
    """Whoever is taken out is out at once."""
    assert bob.client.get("/inbox").status_code == 200
    office.employ("cy")
    assert bob.client.get("/inbox").status_code == 401
    office.employ("bob")
    assert bob.client.get("/inbox").status_code == 401


def test_a_stolen_link_shows_the_login(office: Office) -> None:
    """And nothing of the request."""
    one = office.put()
    visitor = Visitor(office)
    answer = visitor.client.get(f"/inbox/{one.id}")
    assert answer.status_code == 401
    page = Reader(answer.text)
    assert page.forms == {"/login": {"next": f"/inbox/{one.id}", "token": ""}}
    for secret in ("Ann Muster", "refund", "129", "agent-1", one.fingerprint):
        assert secret not in answer.text
    after = visitor.client.post(
        "/login", data={**page.forms["/login"], "token": token("bob")}
    )
    assert "Ann Muster" in after.text


def test_a_link_from_a_message_finds_the_session(office: Office) -> None:
    """A strict cookie is not sent from another site: the page asks again by itself."""
    one = office.put()
    visitor = Visitor(office, **{"Sec-Fetch-Site": "cross-site"})
    answer = visitor.client.get(f"/inbox/{one.id}")
    assert f'content="0; url=/inbox/{one.id}"' in answer.text
    assert "Ann Muster" not in answer.text


def test_the_list_shows_what_waits(office: Office, bob: Visitor) -> None:
    """Consequence first, then risk, amount, for whom and until when."""
    first, second = office.put(), office.put(tool="close_account", quorum=2)
    office.put(state=State.REFUSED, tool="never")
    page = bob.get("/inbox")
    text = page.text
    assert "2 waiting" in text
    assert text.index("Ann Muster") < text.index("refund") < text.index("close_acc")
    for said in ("external effect", "129.90 EUR", "agent-1", "support", "in 29 min"):
        assert said in text
    assert "0 of 2 votes" in text
    assert first.fingerprint in text
    assert "never" not in text
    assert bob.get(f"/inbox/{second.id}").text


def test_a_long_list_has_pages(
    office: Office, bob: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each leads to the next."""
    monkeypatch.setattr("openfeature_gov.server.inbox.SHOWN", 2)
    for _ in range(3):
        office.put()
    page = bob.client.get("/inbox").text
    assert "2+ waiting" in page
    (more,) = re.findall(r'href="(/inbox\?after=[^"]+)"', page)
    assert "r00003" in bob.client.get(more).text


def test_the_card_says_everything(office: Office, bob: Visitor) -> None:
    """What a reviewer needs to decide, and what happens either way."""
    one = office.put(
        values={"to": {"name": "Ann", "cards": [1.50, 10**17]}, "dry": False},
        votes={"cy": "looks right"},
        quorum=2,
    )
    text = bob.get(f"/inbox/{one.id}").text
    for said in (
        *("Ann Muster gets 129.90 EUR", "external effect", "129.90 EUR"),
        *("If approved", "can be undone by hand. Ask team-billing", "If refused"),
        *("If nobody answers", "lead is asked", "UTC", "in 29 min"),
        *("to.name", '"Ann"', "to.cards[0]", "1.5", "to.cards[1]"),
        *("100000000000000000", "dry", "false", "rows", "at most 10"),
        *("agent-1", "acct-9", "order-17", "ticket-4711", "voucher", "0.82"),
        *("approval_required: mode_flag", "approval_required: flag_on"),
        *("refund.mode = approval_required, version 17", "support, then lead"),
        *("Votes: 1 of 2", "cy", "looks right", one.fingerprint),
    ):
        assert said in text, said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"level": 1}, "it expires: the call may make a draft, no more"),
        ({"state": State.APPROVED}, "the release expires; nothing runs"),
        ({"facts": {"timeout": "off"}, "escalation": ()}, "it expires: nothing runs"),
        ({"facts": {"consequence": ""}}, "does not say what happens"),
        ({"facts": {"reversibility": "none"}}, "It cannot be undone."),
        ({"facts": {"reversibility": "?"}}, "Nobody knows how to undo it."),
        ({"deadline_us": 2**61}, "at no time"),
        ({"arguments": b"{}"}, "2 bytes"),
    ],
)
def test_the_card_of_other_requests(
    office: Office, bob: Visitor, changes: dict[str, Any], said: str
) -> None:
    """Says what they are."""
    assert said in bob.get(f"/inbox/{office.put(**changes).id}").text


def test_the_loudest_badge_is_for_what_stays(office: Office, bob: Visitor) -> None:
    """What cannot be undone, and what nobody classified, is no middle risk."""
    for facts, harm in (
        ({"riskClass": "irreversible"}, "high"),
        ({"riskClass": "external_effect", "reversibility": "none"}, "high"),
        ({"riskClass": "new"}, "high"),
        ({"riskClass": "reversible_write"}, "medium"),
        ({"riskClass": "search", "reversibility": "none"}, "low"),
    ):
        page = bob.client.get(f"/inbox/{office.put(facts=facts).id}").text
        assert f'<article class="card {harm}">' in page


def test_no_field_breaks_out_or_hides(office: Office, bob: Visitor) -> None:
    """Script, bidi, zero-width and control characters are text that one sees."""
    names = (
        *("consequence", "intent", "targetSystem", "targetRecord", "riskClass"),
        *("reversibility", "amount", "currency", "account", "user", "environment"),
        *("stage", "reason", "contract", "timeout", "rollbackOwner"),
    )
    facts = dict.fromkeys(names, ATTACK)
    many = {
        "sources": [ATTACK],
        "alternatives": [ATTACK],
        "verdicts": [dict.fromkeys(("control", "cap", "reason"), ATTACK)],
        "flags": [
            {**dict.fromkeys(("kind", "key", "variant", "version"), ATTACK)}
            | {"fault": None}
        ],
    }
    one = office.put(
        values={ATTACK: ATTACK, "list": [ATTACK, {"x": ATTACK}]},
        facts={**facts, **many},
        **dict.fromkeys(("tool", "workflow", "task", "agent", "group"), ATTACK),
        requesters=(ATTACK,),
        votes={ATTACK: ATTACK},
        callers={ATTACK: ATTACK},
        questions=(
            Question(
                by=ATTACK, text=ATTACK, asked_us=1, answer=ATTACK, answered_by=ATTACK
            ),
        ),
        reassign_to=(ATTACK,),
        turn=ATTACK,
        quorum=2,
        level=1,
        escalation=("support", ATTACK),
        constraints=(Constraint(ATTACK, 5, frozenset({ATTACK})),),
        reviewer=ATTACK,
        reason=ATTACK,
        answered_us=1,
    )
    answers = [bob.client.get(path) for path in ("/inbox", f"/inbox/{one.id}?full=1")]
    answers.append(bob.send(one, "deny", reason=ATTACK))
    answers.append(bob.client.get(f"/inbox/{one.id}"))
    for answer in answers:
        assert answer.status_code == 200
        page = Reader(answer.text)
        assert page.elements <= ELEMENTS
        assert not any(name.startswith("on") for name in page.attributes)
        assert page.scripts <= 1
        assert "<script>" in page.text
        assert "60481729" not in page.text
        for hidden in "\u202e\u200b\x00\u2066":
            assert hidden not in answer.text
        assert r"\u202e" in page.text
        assert "<mark>\\u202e</mark>" in answer.text
        assert "<mark>\\\\</mark>u202e" not in answer.text


def test_an_escape_that_somebody_wrote_looks_like_none() -> None:
    """Only a character that was there is marked as one."""
    assert "<mark>" not in marked("u202e")
    assert marked(r"\\u202e") == r"<mark>\\</mark>u202e"
    assert marked("\\u202e<") == r"<mark>\u202e</mark>&lt;"


def test_look_alikes_are_named(office: Office, bob: Visitor) -> None:
    """By their number and name."""
    one = office.put(values={"to": "аnn"})  # noqa: RUF001 - that is the point
    text = bob.get(f"/inbox/{one.id}").text
    assert "U+0430 CYRILLIC SMALL LETTER A" in text


def test_what_hides_bytes_cannot_be_approved(office: Office, bob: Visitor) -> None:
    """The page says how many, and shows them all on demand."""
    values = {"a": "x" * 5_000 + "END", "b": list(range(300))}
    one = office.put(values=values)
    page = bob.get(f"/inbox/{one.id}")
    assert "4,003 bytes of this value hidden, show all" in page.text
    assert "in more values hidden, show all" in page.text
    assert "END" not in page.text
    assert f"/inbox/{one.id}/approve" not in page.forms
    assert f"/inbox/{one.id}/deny" in page.forms
    whole = bob.get(f"/inbox/{one.id}?full=1")
    assert "END" in whole.text
    assert "b[299]" in whole.text
    assert "hidden" not in whole.text
    assert bob.send(one, "approve").status_code == 200


def test_an_approval(office: Office, bob: Visitor) -> None:
    """Is the reviewer's who is logged in, of what was shown, and tightens."""
    one = office.put()
    answer = bob.send(one, "approve", reason="checked\r\ntwice", **{"limit.rows": "3"})
    assert "It may run once" in answer.text
    after = office.request(one)
    assert (after.state, after.reviewer) == (State.APPROVED, "bob")
    assert after.reason == "checked\ntwice"
    assert after.constraints == (Constraint("rows", 3),)


def test_a_refusal_needs_a_reason(office: Office, bob: Visitor) -> None:
    """The agent gets it."""
    one = office.put()
    assert bob.send(one, "deny").status_code == 409
    assert office.request(one).state is State.PENDING
    assert "It will not run" in bob.send(one, "deny", reason="wrong order").text
    assert office.request(one).reason == "wrong order"


def test_a_release_can_be_taken_back(office: Office, bob: Visitor) -> None:
    """Until it is used."""
    one = office.put(state=State.APPROVED)
    bob.send(one, "deny", reason="no longer")
    assert office.request(one).state is State.REFUSED


def test_an_extension(office: Office, bob: Visitor) -> None:
    """Moves the deadline; what is no number of minutes does not."""
    one = office.put()
    assert "Extended" in bob.send(one, "extend", minutes="20").text
    assert office.request(one).deadline_us == one.deadline_us + 20 * MINUTE_US
    for minutes in ("", "-1", "0", "1e3", "\u0661", "9" * 30, "1441"):
        assert bob.send(one, "extend", minutes=minutes).status_code == 422


def test_a_vote_is_counted(office: Office, bob: Visitor) -> None:
    """And once a person."""
    one = office.put(quorum=2)
    assert "1 of 2" in bob.send(one, "approve").text
    cy = Visitor(office, "cy")
    again = bob.get(f"/inbox/{one.id}")
    assert "already" in again.text
    assert f"/inbox/{one.id}/approve" not in again.forms
    assert "It may run once" in cy.send(one, "approve").text


def test_whoever_may_not_answer_gets_no_form(office: Office) -> None:
    """The page says why."""
    one, late = office.put(), office.put(deadline_us=1)
    for subject, request, reason in (
        ("user-1", one, "self_approval"),
        ("dan", one, "reviewer_not_asked"),
        ("bob", late, "deadline_passed"),
        ("bob", office.put(state=State.EXPIRED), "already_expired"),
    ):
        page = Visitor(office, subject).get(f"/inbox/{request.id}")
        assert reason in page.text
        assert set(page.forms) == {"/logout"}


def test_a_forged_form_of_ones_own_is_denied(office: Office) -> None:
    """Whoever may not answer may not by hand either; it is recorded."""
    one = office.put()
    for subject, reason in (("user-1", "self_approval"), ("dan", "reviewer_not_asked")):
        visitor = Visitor(office, subject)
        csrf = visitor.get("/inbox").forms["/logout"]["csrf"]
        answer = visitor.client.post(
            f"/inbox/{one.id}/approve", data={"csrf": csrf, "seen": BINDING}
        )
        assert answer.status_code == 403
        assert office.denials()[-1] == reason
    assert office.request(one) == one


def test_a_form_counts_once(office: Office, bob: Visitor) -> None:
    """Sent again it says that somebody was faster."""
    one = office.put()
    path = f"/inbox/{one.id}/deny"
    form = {**bob.get(f"/inbox/{one.id}").forms[path], "reason": "no"}
    assert bob.client.post(path, data=form).status_code == 200
    again = bob.client.post(path, data=form)
    assert again.status_code == 409
    assert "Somebody was faster" in again.text
    assert "refused by bob" in again.text


def test_of_two_reviewers_at_once_one_is_told_so(office: Office) -> None:
    """With what the other said."""
    one = office.put()
    visitors = [Visitor(office, name) for name in ("bob", "cy")]
    action = f"/inbox/{one.id}/approve"
    forms = [visitor.get(f"/inbox/{one.id}").forms[action] for visitor in visitors]
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(lambda v, f: v.client.post(action, data=f), visitors, forms)
        )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (lost,) = [answer for answer in answers if answer.status_code == 409]
    assert "Somebody was faster" in lost.text
    assert f"approved by {office.request(one).reviewer}" in lost.text


def test_what_changed_meanwhile_is_not_approved(office: Office, bob: Visitor) -> None:
    """The form holds what was shown."""
    one = office.put()
    answer = bob.send(one, "approve", seen="0" * 64)
    assert answer.status_code == 409
    assert "Look again" in answer.text


FORGED: list[tuple[str, dict[str, str], dict[str, str], int]] = [
    ("no token", {}, {"csrf": ""}, 403),
    ("another token", {}, {"csrf": "x" * 43}, 403),
    ("odd token", {}, {"csrf": "é\udcff"[:1]}, 403),
    ("another origin", {"Origin": "https://evil.example"}, {}, 403),
    ("no origin", {"Origin": "null"}, {}, 403),
    ("a part of the origin", {"Origin": "http://127.0.0.1.evil.example"}, {}, 403),
    ("another site", {"Sec-Fetch-Site": "cross-site"}, {}, 403),
    ("a sister site", {"Sec-Fetch-Site": "same-site"}, {}, 403),
    ("by hand", {"Sec-Fetch-Site": "none"}, {}, 403),
    ("plain text", {"Content-Type": "text/plain"}, {}, 415),
    ("json", {"Content-Type": "application/json"}, {}, 415),
]


@pytest.mark.parametrize(
    ("headers", "fields", "status"),
    [one[1:] for one in FORGED],
    ids=[one[0] for one in FORGED],
)
def test_a_form_of_somebody_else_is_refused(
    office: Office,
    bob: Visitor,
    headers: dict[str, str],
    fields: dict[str, str],
    status: int,
) -> None:
    """For each answer, and for the way in and out."""
    one = office.put()
    forms = bob.get(f"/inbox/{one.id}").forms
    assert len(forms) == 6
    for action, form in forms.items():
        data = {**form, "reason": "no", "minutes": "5", **fields}
        answer = bob.client.post(action, data=data, headers=headers)
        assert answer.status_code == status, action
    if "csrf" not in fields:
        data = {"token": token("bob")}
        answer = Visitor(office).client.post("/login", data=data, headers=headers)
        assert answer.status_code == status
    assert office.request(one) == one
    assert bob.client.get("/inbox").status_code == 200


def test_the_token_of_another_session_is_none(office: Office, bob: Visitor) -> None:
    """Whoever is logged in somewhere has a token, but not this one."""
    one = office.put()
    csrf = Visitor(office, "bob").get("/inbox").forms["/logout"]["csrf"]
    answer = bob.client.post(
        f"/inbox/{one.id}/deny", data={"csrf": csrf, "reason": "no"}
    )
    assert answer.status_code == 403
    assert office.request(one) == one


def test_forms_of_our_own_origin_are_taken(office: Office, bob: Visitor) -> None:
    """As a browser sends them."""
    bob.client.headers.update({"Origin": office.url, "Sec-Fetch-Site": "same-origin"})
    assert bob.send(office.put(), "approve").status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"%ff", b"a" * 60_000, b"&" * 60_000, b"a=1&" * 1_000, b"\xff", b"=", b"%"],
    ids=["not utf-8", "long", "ampersands", "many", "raw", "equals", "percent"],
)
def test_an_odd_form_is_refused(office: Office, bob: Visitor, body: bytes) -> None:
    """By a page for people."""
    one = office.put()
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    for verb in ("approve", "deny", "extend"):
        answer = bob.client.post(f"/inbox/{one.id}/{verb}", content=body, headers=kind)
        assert answer.status_code in (400, 403)
        assert answer.headers["content-type"].startswith("text/html")
    assert office.request(one) == one


@pytest.mark.parametrize(
    ("verb", "fields", "status"),
    [
        ("deny", {"reason": "x" * 1_001}, 422),
        ("approve", {"limit.rows": "-1"}, 422),
        ("approve", {"limit.rows": "1.5"}, 422),
        ("approve", {"limit.ro ws": "1"}, 422),
        ("approve", {"limit.rows": "9" * 40}, 422),
        ("approve", {"limit.rows": " "}, 200),
        ("approve", {"seen": "x" * 5_000}, 409),
        ("deny", {"reason": "\x00\u202e😀"}, 200),
    ],
)
def test_odd_fields(
    office: Office, bob: Visitor, verb: str, fields: dict[str, str], status: int
) -> None:
    """Are refused or kept as they are."""
    one = office.put()
    assert bob.send(one, verb, **fields).status_code == status
    if status != 200:
        assert office.request(one) == one


def test_an_unknown_request_is_a_page(office: Office, bob: Visitor) -> None:
    """That says nothing more."""
    answer = bob.client.get("/inbox/nobody")
    assert answer.status_code == 404
    assert "There is no such request" in answer.text
    csrf = bob.get("/inbox").forms["/logout"]["csrf"]
    for verb, fields in (("deny", {"reason": "no"}), ("extend", {"minutes": "5"})):
        where = f"/inbox/nobody/{verb}"
        gone = bob.client.post(where, data={"csrf": csrf, **fields})
        assert gone.status_code == 404


def test_the_page_learns_of_news(office: Office, bob: Visitor) -> None:
    """The revision changes with the list, and with the one request."""
    one = office.put()

    def seen(of: str = "") -> str:
        found: str = bob.client.get("/revision", params={"of": of}).json()["revision"]
        return found

    whole, single = seen(), seen(one.id)
    assert (whole, single) == (seen(), seen(one.id))
    office.put()
    assert seen() != whole
    assert seen(one.id) == single
    office.queue.extend(
        one.id,
        office.people.by_token(token("bob")) or pytest.fail("no bob"),
        until_us=one.deadline_us + MINUTE_US,
    )
    assert seen(one.id) != single
    assert Visitor(office).client.get("/revision").status_code == 401


def test_tries_to_log_in_are_few(tmp_path: Path) -> None:
    """The page says so."""
    limits = Limits(FREE.client, FREE.token, Rate(0, 3))
    with served(tmp_path, limits) as office, office.caller(None) as client:
        for _ in range(3):
            assert client.post("/login", data={"token": "x"}).status_code == 401
        answer = client.post("/login", data={"token": "x"})
        assert answer.status_code == 429
        assert "Too many tries" in answer.text
        assert client.post("/login", data={"token": token("bob")}).status_code == 303


def test_sessions_are_bounded(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was away longest ends."""
    monkeypatch.setattr(sessions, "MOST", 2)
    held = sessions.Sessions(lambda: 0.0)
    one, two = held.begin("a"), held.begin("b")
    assert held.get(one)
    three = held.begin("c")
    assert [held.get(cookie) is not None for cookie in (one, two, three)] == [
        True,
        False,
        True,
    ]
    session = held.get(one)
    assert session is not None
    assert session.csrf not in repr(session)
    assert held.get("nobody's") is None

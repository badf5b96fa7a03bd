"""Notices: which step somebody hears of, who, and that nothing else gets out."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest

from openfeature_gov.approvals.notices import (
    ASKS,
    LOUD,
    NEWS_US,
    SOON_US,
    STEPS,
    TITLES,
    TURN,
    News,
    Notice,
    current,
    expiring,
    news,
    notice,
    payload,
    text,
    title,
)
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import change
from openfeature_gov.approvals.states import TABLE, Event, State
from openfeature_gov.decisions import Constraint
from openfeature_gov.evidence.records import note_record
from tests.properties.test_approvals import People, reviewer
from tests.properties.test_approvals import request as asked
from tests.shelves import MemoryShelf

DEADLINE = 1_790_000_000_000_000
LINK = "https://gov.example.com/inbox"
CANARY = "canary"


def canaries() -> Request:
    """Return a request of which every word that could be personal is a canary."""
    words = {
        one: f"{CANARY}-{one}"
        for one in ("consequence", "amount", "currency", "user", "account", "reason")
    }
    return asked(
        id="0" * 32,
        binding="5eed" * 16,
        deadline_us=DEADLINE,
        digest=f"{CANARY}-digest",
        workflow=f"{CANARY}-workflow",
        task=f"{CANARY}-task",
        agent=f"{CANARY}-agent",
        group="support",
        call_id=f"{CANARY}-call",
        record_id=f"{CANARY}-record",
        requesters=(f"{CANARY}-user",),
        escalation=("lead", "ceo"),
        arguments=json.dumps({CANARY: CANARY}).encode(),
        facts={
            **words,
            "riskClass": "external_effect",
            "reversibility": "none",
            "targetRecord": CANARY,
            "sources": [CANARY],
            "verdicts": [{"control": CANARY}],
        },
        votes={CANARY: CANARY},
        constraints=(Constraint(CANARY, limit=1),),
        reviewer=CANARY,
        reason=CANARY,
        consumed_by=CANARY,
    )


def put(shelf: MemoryShelf, one: Request) -> None:
    """Store *one* as a Governor does."""
    record = note_record(shelf.stamp(), "decision")
    shelf.commit(record._replace(change=change(one, 0)))


def test_every_step_of_the_table_is_told_or_is_not() -> None:
    """By what the queue records of each."""
    found = {
        (event, state): news("approval", {"event": event, "state": state, "denied": ""})
        for event, state in product(Event, State)
    }
    told = {key: what for key, what in found.items() if what is not None}
    assert told == {
        (Event.EXPIRE, State.PENDING): News.ESCALATED,
        (Event.REASSIGN, State.PENDING): News.REASSIGNED,
        (Event.ASK, State.PENDING): News.QUESTION,
        (Event.ANSWER, State.PENDING): News.ANSWER,
        (Event.BREAK_GLASS, State.PENDING): News.CALLED_OUT,
        (Event.BREAK_GLASS, State.APPROVED): News.GLASS_BROKEN,
        (Event.APPROVE, State.APPROVED): News.APPROVED,
        (Event.REFUSE, State.REFUSED): News.REFUSED,
        (Event.EXPIRE, State.EXPIRED): News.EXPIRED,
        (Event.SUPERSEDE, State.SUPERSEDED): News.SUPERSEDED,
    }
    assert len(STEPS) == len(told)
    reached = {(event, state) for (_, event), state in TABLE.items()}
    # As votes are, both are recorded as what they would be with enough of them.
    early = {(Event.EXPIRE, State.PENDING), (Event.BREAK_GLASS, State.PENDING)}
    assert set(told) - early <= reached


def test_what_the_queue_records_is_understood() -> None:
    """Of real steps: escalated, a vote, approved, refused, extended, expired."""
    shelf, now = MemoryShelf(), [0]
    queue = ApprovalQueue(shelf, People(), lambda: now[0])
    put(shelf, asked(id="two", quorum=2))
    queue.approve("two", reviewer("bob"), seen="b")
    queue.approve("two", reviewer("cy"), seen="b")
    put(shelf, asked(id="no"))
    queue.refuse("no", reviewer("user-1"), reason="mine")
    queue.extend("no", reviewer("bob"), until_us=asked().deadline_us + 1)
    queue.refuse("no", reviewer("bob"), reason="no")
    put(shelf, asked(id="late"))
    queue.supersede("two", "changed")
    now[0] = asked().deadline_us
    list(queue.tick())
    now[0] *= 10
    list(queue.tick())
    bodies = [json.loads(one) for one in shelf.records]
    steps = [one for one in bodies if one["kind"] == "approval"]
    assert [news("approval", one) for one in steps] == [
        None,
        News.APPROVED,
        None,
        None,
        News.REFUSED,
        News.SUPERSEDED,
        News.ESCALATED,
        News.EXPIRED,
    ]


@pytest.mark.parametrize(
    ("kind", "body", "what"),
    [
        ("decision", {"effect": "queue_for_approval"}, News.REQUESTED),
        ("decision", {"effect": "allow"}, None),
        ("decision", {}, None),
        ("approval", {}, None),
        ("approval", {"event": [], "state": {}}, None),
        ("approval", {"event": "expire", "state": "expired", "denied": "x"}, None),
        ("outcome", {"effect": "queue_for_approval"}, None),
    ],
)
def test_other_records_tell_nothing(kind: str, body: Any, what: News | None) -> None:
    """Nor does a step that was denied."""
    assert news(kind, body) is what


@pytest.mark.parametrize("what", News)
def test_nothing_personal_gets_out(what: News) -> None:
    """Neither in the title, nor in the text, nor in the webhook."""
    one = notice(what, canaries(), "record-1", level=1)
    shown = [title(one), text(one, LINK), text(one), *payload(one, LINK).values()]
    assert CANARY not in repr(shown) + repr(one)
    for word in ("refund", "external_effect", "none", "2026-09-21T14:13:20Z"):
        assert word in text(one)
    assert text(one, LINK).endswith(f"\n{LINK}/{'0' * 32}?fingerprint=5eed5eed5eed")
    assert LINK not in text(one)


def test_a_webhook_says_no_more_than_this() -> None:
    """Every field of it; a new one is a decision."""
    one = notice(News.REQUESTED, canaries(), "record-1")
    assert payload(one) == {
        "notice": f"{'0' * 32}:record-1",
        "id": "0" * 32,
        "event": "requested",
        "fingerprint": "5eed5eed5eed",
        "deadline": "2026-09-21T14:13:20Z",
        "tool": "refund",
        "risk": "external_effect",
        "reversibility": "none",
    }
    assert payload(one, LINK + "/")["link"].startswith(f"{LINK}/000")
    assert {one.name for one in fields(Notice)} == {
        *("key", "news", "to", "request_id", "fingerprint", "tool", "risk"),
        *("reversibility", "deadline_us", "about"),
    }


def test_what_is_no_risk_is_not_shown() -> None:
    """Whoever wrote the facts: only the words of the ladder get out."""
    for wrong in (CANARY, None, 7, ["none"]):
        facts = {"riskClass": wrong, "reversibility": wrong}
        one = notice(News.REQUESTED, asked(facts=facts), "m")
        assert (one.risk, one.reversibility) == ("unknown", "unknown")


def test_a_tool_with_an_odd_name_writes_no_line_of_its_own() -> None:
    """Neither a line break nor a sentence."""
    for name in ("refund\nTool: harmless", "please click here", "x" * 200):
        one = notice(News.REQUESTED, asked(tool=name), "m")
        assert one.tool != name
        assert text(one).count("\n") == 5
        assert "\n" not in title(one)


def test_asks_go_to_whose_turn_it_is() -> None:
    """Answers and questions to who stands behind the action; alarms to everybody."""
    chain = ("support", "lead", "ceo")
    for what in News:
        for level, to in enumerate(chain):
            one = notice(what, canaries(), "m", level)
            behind = {f"{CANARY}-agent", f"{CANARY}-user"}
            if what in LOUD:
                assert one.to == behind | {*chain}
            else:
                assert one.to == ({to} if what in TURN else behind)
    for level in (3, 99):
        assert notice(News.ESCALATED, canaries(), "m", level).to == frozenset()
    assert set(TITLES) == set(News)


def test_who_it_was_passed_on_to_hears_of_it() -> None:
    """And of what comes after, until the chain goes on; the group of alarms as well."""
    one = replace(canaries(), turn="cy", level=0, break_glass="duty")
    assert notice(News.REASSIGNED, one, "m").to == {"cy"}
    assert notice(News.EXPIRING, one, "m", 0).to == {"cy", "support"}
    assert notice(News.ESCALATED, one, "m", 1).to == {"lead"}
    assert "duty" in notice(News.CALLED_OUT, one, "m").to


def test_an_ask_is_told_while_the_request_waits() -> None:
    """An answer for a day."""
    for what, state in product(News, State):
        one = asked(state)
        recent = current(what, one, 0, NEWS_US)
        assert recent == (state is State.PENDING if what in ASKS else True)
        late = current(what, one, 0, NEWS_US + 1)
        assert late == (state is State.PENDING if what in ASKS else False)


def test_what_soon_expires_is_brought_to_mind() -> None:
    """Not what is over, was never longer, or waits for nobody."""
    one = asked(created_us=0, deadline_us=SOON_US * 2)
    assert expiring(one, SOON_US)
    assert expiring(one, SOON_US * 2 - 1)
    assert not expiring(one, SOON_US - 1)
    assert not expiring(one, SOON_US * 2)
    assert not expiring(asked(created_us=0, deadline_us=SOON_US), 1)
    assert not expiring(one.at(State.APPROVED), SOON_US)

"""Notices: who hears of which step of a request, and in which words. Pure.

A notice leaves the house: it says which tool, how risky, until when, and where to look.
No argument, amount, user, account, consequence or reason is ever in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.steps import MINUTE_US
from openfeature_gov.evidence.texts import tool_name
from openfeature_gov.ladder import Reversibility, RiskClass

SOON_US = 5 * MINUTE_US
"""How long before its deadline a request is brought to mind."""
NEWS_US = 24 * 60 * MINUTE_US
"""How long an answer is worth telling."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class News(StrEnum):
    """Say what a notice is about."""

    REQUESTED = "requested"
    ESCALATED = "escalated"
    REASSIGNED = "reassigned"
    QUESTION = "question"
    ANSWER = "answer"
    CALLED_OUT = "called_out"
    GLASS_BROKEN = "glass_broken"
    EXPIRING = "expiring"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    LOOK = "look"
    UNDONE = "undone"
    HANDED_OVER = "handed_over"


ASKS = frozenset(
    {
        *(News.REQUESTED, News.ESCALATED, News.REASSIGNED, News.EXPIRING),
        *(News.QUESTION, News.ANSWER, News.CALLED_OUT),
    }
)
"""The news that want somebody to act while the request waits; the others are told."""
LOUD = frozenset({News.CALLED_OUT, News.GLASS_BROKEN})
"""What everybody hears who could have answered, or was passed by."""
TURN = ASKS - LOUD - {News.QUESTION}
"""What whoever holds the request hears."""
STEPS: Mapping[tuple[str, str], News] = {
    ("expire", "pending"): News.ESCALATED,
    ("reassign", "pending"): News.REASSIGNED,
    ("ask", "pending"): News.QUESTION,
    ("answer", "pending"): News.ANSWER,
    ("break_glass", "pending"): News.CALLED_OUT,
    ("break_glass", "approved"): News.GLASS_BROKEN,
    ("approve", "approved"): News.APPROVED,
    ("refuse", "refused"): News.REFUSED,
    ("expire", "expired"): News.EXPIRED,
    ("supersede", "superseded"): News.SUPERSEDED,
}
"""What a recorded step, by its event and the state after it, is to somebody.

Of any other nobody hears: a vote, an extension, a withdrawal, the execution.
"""
TITLES: Mapping[News, str] = {
    News.REQUESTED: "Approval needed",
    News.ESCALATED: "Approval needed, nobody answered so far",
    News.REASSIGNED: "Approval needed, passed on to you",
    News.QUESTION: "A reviewer asks",
    News.ANSWER: "Approval needed, your question was answered",
    News.CALLED_OUT: "Somebody says that no reviewer can be reached",
    News.GLASS_BROKEN: "Released without a reviewer, by two people",
    News.EXPIRING: "Approval needed soon",
    News.APPROVED: "Approved",
    News.REFUSED: "Refused",
    News.EXPIRED: "Expired, nobody answered in time",
    News.SUPERSEDED: "Superseded, it is no longer what was asked",
    News.LOOK: "Review needed of what ran at once",
    News.UNDONE: "Undone",
    News.HANDED_OVER: "Handed over, see to it by hand",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Tell *to*, names of groups or people, about one request.

    *key* is the same whenever this notice is sent again, and no other notice has it.
    *deadline_us* counts microseconds since 1970. *about* says what is asked.
    """

    key: str
    news: News
    to: frozenset[str] = field(repr=False)
    request_id: str
    fingerprint: str
    tool: str
    risk: str
    reversibility: str
    deadline_us: int
    about: str = "request"


def news(kind: str, body: Mapping[str, Any]) -> News | None:
    """Return what a record of this *kind* tells, None when nobody hears of it."""
    if kind == "decision":
        asked = body.get("effect") == "queue_for_approval"
        return News.REQUESTED if asked else None
    if kind != "approval" or body.get("denied"):
        return None
    return STEPS.get((str(body.get("event")), str(body.get("state"))))


def current(what: News, request: Request, at_us: int, now_us: int) -> bool:
    """Say whether *what*, which was so at *at_us*, is still worth telling.

    An ask is while the request waits, an answer for a day.
    """
    if what in ASKS:
        return request.state is State.PENDING
    return now_us - at_us <= NEWS_US


def expiring(request: Request, now_us: int) -> bool:
    """Say whether *request* waits and its time is nearly up.

    One that never had more time was asked for a moment ago.
    """
    return (
        request.state is State.PENDING
        and 0 < request.deadline_us - now_us <= SOON_US
        and request.deadline_us - request.created_us > SOON_US
    )


def notice(what: News, request: Request, mark: str, level: int = 0) -> Notice:
    """Return the notice of *what*, told apart from others of *request* by *mark*.

    *level* is the place in the escalation chain whose turn it is. Answers go to whoever
    stands behind the action, and so do questions.
    """
    return Notice(
        key=f"{request.id}:{mark}",
        news=what,
        to=_to(what, request, level),
        request_id=request.id,
        fingerprint=request.fingerprint,
        tool=tool_name(request.tool),
        risk=_known(RiskClass, request.facts.get("riskClass")),
        reversibility=_known(Reversibility, request.facts.get("reversibility")),
        deadline_us=request.deadline_us,
    )


def _to(what: News, request: Request, level: int) -> frozenset[str]:
    behind = (request.agent, *request.requesters)
    if what in LOUD:
        told = (*request.chain, request.break_glass, *behind)
        return frozenset(one for one in told if one)
    if what is News.REASSIGNED and request.turn:
        return frozenset((request.turn,))
    if what in TURN:
        chain = (request.group, *request.escalation)
        turn = (request.turn,) if request.turn and level == request.level else ()
        return frozenset((*chain[level : level + 1], *turn))
    return frozenset(behind)


def title(one: Notice) -> str:
    """Return the line that *one* is announced with."""
    return f"{TITLES[one.news]}: {one.tool}"


def text(one: Notice, link: str = "") -> str:
    """Return *one* for people; *link* is the page below which requests are found."""
    lines = [
        f"Tool: {one.tool}",
        f"Risk: {one.risk}",
        f"Reversibility: {one.reversibility}",
        f"Deadline: {_moment(one.deadline_us)}",
        f"{one.about.capitalize()}: {one.request_id}",
        f"Fingerprint: {one.fingerprint}",
    ]
    return "\n".join([*lines, where(one, link)] if link else lines)


def payload(one: Notice, link: str = "") -> dict[str, str]:
    """Return *one* for programs."""
    facts = {
        "notice": one.key,
        "id": one.request_id,
        "event": one.news.value,
        "fingerprint": one.fingerprint,
        "deadline": _moment(one.deadline_us),
        "tool": one.tool,
        "risk": one.risk,
        "reversibility": one.reversibility,
    }
    return {**facts, "link": where(one, link)} if link else facts


def where(one: Notice, link: str) -> str:
    """Return where to look at the request of *one*, or at the review."""
    below = "" if one.about == "request" else "/reviews"
    mark = f"{one.request_id}?fingerprint={one.fingerprint}"
    return f"{link.rstrip('/')}{below}/{mark}"


def _known(kind: type[StrEnum], value: object) -> str:
    """Return *value* if it is one of *kind*: no other text gets out this way."""
    return value if isinstance(value, str) and value in set(kind) else "unknown"


def _moment(at_us: int) -> str:
    return f"{EPOCH + timedelta(microseconds=at_us):%Y-%m-%dT%H:%M:%SZ}"

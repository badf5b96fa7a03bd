"""The inbox for people: works without JavaScript, and is quicker with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from openfeature_gov.approvals import people, requests
from openfeature_gov.approvals.states import OPEN, State
from openfeature_gov.approvals.steps import REACH_US, TEXT_LIMIT, Denied, Step
from openfeature_gov.decisions import Constraint
from openfeature_gov.reviews.review import Review
from openfeature_gov.server import cards, reasons
from openfeature_gov.server.answers import REQUEST, answered, denied, unknown
from openfeature_gov.server.api import DAY_MINUTES, Id, extended
from openfeature_gov.server.desk import At, Desk
from openfeature_gov.server.entrance import (
    INBOX,
    Here,
    LoginNeededError,
    Me,
    Sent,
    here,
)
from openfeature_gov.server.forms import Form
from openfeature_gov.server.pages import page
from openfeature_gov.server.problems import DeniedError
from openfeature_gov.server.shelf import CURSOR

NUMBER = re.compile(r"[0-9]{1,15}")
KIND = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
After = Annotated[str | None, Query(pattern=f"^{CURSOR.pattern}$")]
SHOWN = 250
"""Requests on one page of the list."""
routes = APIRouter(include_in_schema=False)


@routes.get(INBOX)
def listed(desk: At, here: Me, after: After = None) -> Response:
    """Show what waits, the oldest first."""
    # Read before the list: what comes in between is news to the page.
    revision = desk.shelf.revision()
    found = desk.shelf.page(after, SHOWN)
    mine = list(filter(desk.sight(here.me).sees, found.requests))
    return page(
        "list",
        here=here,
        page=found._replace(requests=mine),
        first=after is None,
        now=desk.now(),
        revision=revision,
    )


@routes.get("/revision")
def revision(
    desk: At, request: Request, of: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Say what changes when the list does, or the one request *of*."""
    try:
        here(desk, request, awake=False)
    except LoginNeededError:
        raise DeniedError(401, "reviewer_unauthenticated") from None
    return JSONResponse({"revision": desk.shelf.revision(of)})


@routes.get(INBOX + "/{request_id}")
def shown(desk: At, here: Me, request_id: Id, full: str = "") -> Response:
    """Show one request; with ``full=1`` every byte of it."""
    found = desk.queue.get(request_id)
    if found is None:
        return unknown(REQUEST, here)
    if not desk.sight(here.me).sees(found):
        raise DeniedError(403, "reviewer_not_asked")
    return _card(desk, here, found, full=full == "1")


def _card(desk: Desk, here: Here, found: requests.Request, *, full: bool) -> Response:
    return page(
        "card",
        here=here,
        link=REQUEST.link(found),
        card=cards.card(found, full=full),
        objection=_objection(desk, here, found),
        may=_may(desk, here, found),
        words=reasons.words,
        now=desk.now(),
        revision=desk.shelf.revision(found.id),
    )


def _objection(desk: Desk, here: Here, found: requests.Request) -> str | None:
    """Return the reason code why *here* cannot answer, None when it can."""
    if found.state not in OPEN:
        return f"already_{found.state.value}"
    if desk.now() >= found.deadline_us:
        return "deadline_passed"
    return people.objection(found, here.me, desk.people)


class May(NamedTuple):
    """Say what else somebody can do: pass it on to *to*, *alarm*, or *answer*."""

    to: tuple[str, ...]
    alarm: bool
    answer: tuple[int, ...]


def _may(desk: Desk, here: Here, found: requests.Request) -> May:
    """Return what *here* can do besides answering the request *found*."""
    subject = here.me.subject
    waits = found.state is State.PENDING and desk.now() < found.deadline_us
    if not waits:
        return May((), alarm=False, answer=())
    unanswered = (
        number for number, one in enumerate(found.questions, 1) if not one.answered_by
    )
    behind = people.stands_behind(found, subject, desk.people)
    early = desk.now() < found.created_us + REACH_US
    return May(
        tuple(dict.fromkeys(one for one in found.chain if one != found.holder)),
        alarm=not early
        and subject not in found.callers
        and people.unfit(found, here.me, desk.people) is None,
        answer=tuple(unanswered) if behind else (),
    )


@routes.post(INBOX + "/{request_id}/approve")
def approve(desk: At, request_id: Id, here: Sent, fields: Form) -> Response:
    """Release the action that the reviewer saw."""
    step = desk.queue.approve(
        request_id,
        here.me,
        seen=fields.get("seen", "")[:64],
        reason=reason_of(fields),
        constraints=_limits(fields),
    )
    return _answer(desk, here, request_id, step)


@routes.post(INBOX + "/{request_id}/deny")
def deny(desk: At, request_id: Id, here: Sent, fields: Form) -> Response:
    """Refuse the action."""
    step = desk.queue.refuse(request_id, here.me, reason=reason_of(fields))
    return _answer(desk, here, request_id, step)


@routes.post(INBOX + "/{request_id}/extend")
def extend(desk: At, request_id: Id, here: Sent, fields: Form) -> Response:
    """Move the deadline."""
    step = extended(desk, request_id, here.me, minutes_of(fields))
    return _answer(desk, here, request_id, step, done=later(step))


@routes.post(INBOX + "/{request_id}/ask")
def ask(desk: At, request_id: Id, here: Sent, fields: Form) -> Response:
    """Ask whoever stands behind the action."""
    step = desk.queue.ask(request_id, here.me, text=reason_of(fields))
    said = "Asked", "The deadline stays; extend it if you need the answer first."
    return _answer(desk, here, request_id, step, done=said)


@routes.post(INBOX + "/{request_id}/answer")
def answer(desk: At, request_id: Id, here: Sent, fields: Form) -> Response:
    """Answer a question, as who stands behind the action."""
    number = fields.get("number", "")
    step = desk.queue.answer(
        request_id,
        here.me,
        number=int(number) if NUMBER.fullmatch(number) else 0,
        text=reason_of(fields),
    )
    said = "Answered", "Whoever reviews it sees your answer."
    return _answer(desk, here, request_id, step, done=said)


@routes.post(INBOX + "/{request_id}/reassign")
def reassign(desk: At, request_id: Id, here: Sent, fields: Form) -> Response:
    """Pass the request on."""
    to = fields.get("to", "").strip()[:200]
    step = desk.queue.reassign(request_id, here.me, to=to, reason=reason_of(fields))
    said = "Passed on", "You may still answer it; the deadline stays."
    return _answer(desk, here, request_id, step, done=said)


@routes.post(INBOX + "/{request_id}/break-glass")
def break_glass(desk: At, request_id: Id, here: Sent, fields: Form) -> Response:
    """Say that no reviewer can be reached."""
    step = desk.queue.break_glass(
        request_id,
        here.me,
        seen=fields.get("seen", "")[:64],
        reason=reason_of(fields),
    )
    alone = isinstance(step, requests.Request) and not step.glass_broken
    said = ("Noted", "It waits for a second person who says so.") if alone else None
    return _answer(desk, here, request_id, step, done=said)


def _answer(
    desk: Desk,
    here: Here,
    request_id: str,
    step: Step,
    *,
    done: tuple[str, str] | None = None,
) -> Response:
    """Return the page that says what became of an answer."""
    if isinstance(step, Denied):
        return denied(REQUEST, here, desk.queue.get(request_id), step)
    return answered(REQUEST, here, step, done or _done(step, desk.now()))


def _done(request: requests.Request, now_us: int) -> tuple[str, str]:
    """Return what became of *request* by an answer."""
    match request.state:
        case State.APPROVED:
            until = cards.span(request.deadline_us - now_us)
            return "Approved", f"It may run once, as it stands; that ends {until}."
        case State.REFUSED:
            return "Refused", "It will not run. The agent gets your reason."
        case _:
            votes = f"{len(request.votes)} of {request.quorum}"
            return "Counted", f"{votes} approvals; it still waits for others."


def later(step: requests.Request | Review | Denied) -> tuple[str, str] | None:
    """Return what became of an extension, None where it was denied."""
    if isinstance(step, Denied):
        return None
    return "Extended", f"The deadline is {cards.moment(step.deadline_us)}."


def minutes_of(fields: Mapping[str, str]) -> int:
    """Return by how many minutes a form moves the deadline.

    Raises:
        DeniedError: when it does not say, or by more than a day.

    """
    minutes = fields.get("minutes", "")
    if not NUMBER.fullmatch(minutes) or not 1 <= int(minutes) <= DAY_MINUTES:
        raise DeniedError(422, "minutes_invalid", f"1 to {DAY_MINUTES} minutes")
    return int(minutes)


def reason_of(fields: Mapping[str, str]) -> str:
    """Return the words of a form.

    Raises:
        DeniedError: when they are too many.

    """
    reason = fields.get("reason", "").strip()
    if len(reason) > TEXT_LIMIT:
        raise DeniedError(422, "reason_too_long", f"at most {TEXT_LIMIT} characters")
    return reason


def _limits(fields: Mapping[str, str]) -> list[Constraint]:
    """Return the limits that the reviewer lowered; an empty field lowers nothing."""
    found = []
    for name, value in fields.items():
        kind = name.removeprefix("limit.")
        if kind == name or not value.strip():
            continue
        number = value.strip()
        if not (KIND.fullmatch(kind) and NUMBER.fullmatch(number)):
            raise DeniedError(422, "limit_invalid", "A limit is a whole number.")
        found.append(Constraint(kind, int(number)))
    return found

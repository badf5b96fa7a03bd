"""The JSON API: list, show and answer requests, as the bearer of a token."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi import Request as HttpRequest
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from openfeature_gov.approvals import people
from openfeature_gov.approvals.codec import plain
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.steps import MINUTE_US, TEXT_LIMIT, Denied, Step
from openfeature_gov.approvals.turns import MOST_QUESTIONS
from openfeature_gov.decisions import Constraint
from openfeature_gov.reviews.review import Review
from openfeature_gov.server import reasons
from openfeature_gov.server.desk import At, Desk
from openfeature_gov.server.problems import API, DeniedError, responses
from openfeature_gov.server.shelf import CURSOR

T = TypeVar("T")
LARGEST_PAGE = 1_000
LARGEST_LIMIT = 2**53 - 1
DAY_MINUTES = 24 * 60
ID = r"^[A-Za-z0-9_-]{1,64}$"
Id = Annotated[str, Path(pattern=ID)]
COMMON = (401, 422, 429, 503)
ANSWERS = responses(400, 403, 404, 408, 409, 413, *COMMON)


def _integral(value: Any) -> Any:
    """Return a number without a fraction as JSON Schema counts it: an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


INTEGRAL = BeforeValidator(_integral)
Why = Annotated[str, Field(max_length=TEXT_LIMIT)]
Said = Annotated[str, Field(min_length=1, max_length=TEXT_LIMIT)]
Seen = Annotated[str, Field(min_length=1, max_length=64)]
Word = Annotated[str, Field(min_length=1, max_length=100)]


class Body(BaseModel):
    """Be what a caller sends: nothing but what is known, of the right type."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Paging(BaseModel):
    """Ask for at most *limit* requests; *after* is what the page before said."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[str, Field(pattern=f"^{CURSOR.pattern}$")] | None = None
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 100


class Limit(Body):
    """Tighten the action: at most *limit* of *kind*, or only *among*."""

    kind: Word
    limit: Annotated[int, Field(ge=0, le=LARGEST_LIMIT), INTEGRAL] | None = None
    among: Annotated[list[Word], Field(max_length=100)] | None = None


class Approval(Body):
    """Release the action whose binding was *seen*."""

    seen: Seen
    reason: Why = ""
    constraints: Annotated[list[Limit], Field(max_length=20)] = []


class Denial(Body):
    """Refuse the action; the agent gets the *reason*."""

    reason: Said


class Extension(Body):
    """Move the deadline by *minutes*."""

    minutes: Annotated[int, Field(ge=1, le=DAY_MINUTES), INTEGRAL]


class Ask(Body):
    """Ask whoever stands behind the action; the deadline stays."""

    text: Said


class Answer(Body):
    """Answer the question *number*, from 1, as who stands behind the action."""

    number: Annotated[int, Field(ge=1, le=MOST_QUESTIONS), INTEGRAL]
    text: Said


class Handover(Body):
    """Let it be the turn of *to*, a group or person that the contract lets be asked."""

    to: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Said


class Alarm(Body):
    """Say that no reviewer can be reached; the second who does releases the action."""

    seen: Seen
    reason: Said


class Summary(BaseModel):
    """Say in short what waits, or ran; times count microseconds since 1970."""

    id: str
    fingerprint: str
    state: str
    tool: str
    workflow: str
    agent: str
    riskClass: str  # noqa: N815 - as in records
    reversibility: str
    consequence: str
    holder: str
    votes: int
    quorum: int
    createdUs: int  # noqa: N815
    deadlineUs: int  # noqa: N815


class Listing(BaseModel):
    """Hold one page; *after* asks for the next one, null on the last."""

    approvals: list[Summary]
    after: str | None


class Whole(Summary):
    """Say everything; *arguments* are the canonical bytes that run, as text.

    *objection* is the reason code why the caller may not answer, null if it may.
    """

    binding: str
    digest: str
    arguments: str
    constraints: list[dict[str, Any]]
    facts: dict[str, Any]
    task: str
    requesters: list[str]
    group: str
    escalation: list[str]
    level: int
    approvedBy: dict[str, str]  # noqa: N815
    questions: list[dict[str, Any]]
    reassignTo: list[str]  # noqa: N815
    breakGlass: str  # noqa: N815
    calledBy: dict[str, str]  # noqa: N815
    glassBroken: bool  # noqa: N815
    reviewer: str
    reason: str
    answeredUs: int  # noqa: N815
    recordId: str  # noqa: N815
    objection: str | None


SCHEME = HTTPBearer(auto_error=False, description="A reviewer's token.")


class Route(APIRoute):
    """Know the caller before anything of the body is looked at."""

    def get_route_handler(
        self,
    ) -> Callable[[HttpRequest], Coroutine[Any, Any, Response]]:
        """Return what serves a request of somebody known."""
        handler = super().get_route_handler()

        async def known(request: HttpRequest) -> Response:
            desk: Desk = request.app.state.desk
            bearer = await SCHEME(request)
            token = bearer.credentials if bearer else ""
            client = request.client.host if request.client else ""
            request.state.me = await run_in_threadpool(desk.reviewer, token, client)
            return await handler(request)

        return known


def _caller(
    request: HttpRequest,
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(SCHEME)],
) -> Reviewer:
    """Return the bearer of the token; nothing else says who one is."""
    found: Reviewer = request.state.me
    return found


Me = Annotated[Reviewer, Depends(_caller)]
routes = APIRouter(prefix=API, tags=["approvals"], route_class=Route)


@routes.get("", response_model=Listing, responses=responses(*COMMON))
def waiting(desk: At, me: Me, asked: Annotated[Paging, Query()]) -> Response:
    """List what waits for a person, the oldest first, as far as the caller may know."""
    page = desk.shelf.page(asked.after, asked.limit)
    mine = filter(desk.sight(me).sees, page.requests)
    # A model for each of a thousand would be made, checked and written for nothing.
    found = {"approvals": [*map(summary, mine)], "after": page.after}
    return Response(orjson.dumps(found), media_type="application/json")


@routes.get("/{request_id}", responses=responses(403, 404, *COMMON))
def show(desk: At, request_id: Id, me: Me) -> Whole:
    """Show one request whole, with the exact arguments."""
    found = desk.queue.get(request_id)
    if found is None:
        raise DeniedError(404, "approval_unknown")
    if not desk.sight(me).sees(found):
        raise DeniedError(403, "reviewer_not_asked")
    return _whole(desk, found, me)


@routes.post("/{request_id}/approve", responses=ANSWERS)
def approve(desk: At, request_id: Id, body: Approval, me: Me) -> Whole:
    """Release the action, or count a vote for it; constraints only tighten."""
    tighter = [
        Constraint(
            one.kind, one.limit, None if one.among is None else frozenset(one.among)
        )
        for one in body.constraints
    ]
    step = desk.queue.approve(
        request_id, me, seen=body.seen, reason=body.reason, constraints=tighter
    )
    return _whole(desk, taken(step), me)


@routes.post("/{request_id}/deny", responses=ANSWERS)
def deny(desk: At, request_id: Id, body: Denial, me: Me) -> Whole:
    """Refuse the action, or take back a release that was not used."""
    step = desk.queue.refuse(request_id, me, reason=body.reason)
    return _whole(desk, taken(step), me)


@routes.post("/{request_id}/extend", responses=ANSWERS)
def extend(desk: At, request_id: Id, body: Extension, me: Me) -> Whole:
    """Move the deadline later, to a day from now at most."""
    return _whole(desk, taken(extended(desk, request_id, me, body.minutes)), me)


@routes.post("/{request_id}/ask", responses=ANSWERS)
def ask(desk: At, request_id: Id, body: Ask, me: Me) -> Whole:
    """Ask whoever stands behind the action; the deadline stays."""
    return _whole(desk, taken(desk.queue.ask(request_id, me, text=body.text)), me)


@routes.post("/{request_id}/answer", responses=ANSWERS)
def answer(desk: At, request_id: Id, body: Answer, me: Me) -> Whole:
    """Answer a question as who stands behind the action."""
    step = desk.queue.answer(request_id, me, number=body.number, text=body.text)
    return _whole(desk, taken(step), me)


@routes.post("/{request_id}/reassign", responses=ANSWERS)
def reassign(desk: At, request_id: Id, body: Handover, me: Me) -> Whole:
    """Pass the request on; whoever was asked before may still answer."""
    step = desk.queue.reassign(request_id, me, to=body.to, reason=body.reason)
    return _whole(desk, taken(step), me)


@routes.post("/{request_id}/break-glass", responses=ANSWERS)
def break_glass(desk: At, request_id: Id, body: Alarm, me: Me) -> Whole:
    """Say that no reviewer can be reached; a second person releases the action."""
    step = desk.queue.break_glass(request_id, me, seen=body.seen, reason=body.reason)
    return _whole(desk, taken(step), me)


def extended(desk: Desk, request_id: str, me: Reviewer, minutes: int) -> Step:
    """Move the deadline of a request by *minutes*.

    Raises:
        DeniedError: when there is no such request.
        RecordStoreError: when it was not seen to be recorded; it may be later.

    """
    found = desk.queue.get(request_id)
    if found is None:
        raise DeniedError(404, "approval_unknown")
    until = found.deadline_us + minutes * MINUTE_US
    return desk.queue.extend(request_id, me, until_us=until)


def taken(step: T | Denied) -> T:
    """Return what came of a step.

    Raises:
        DeniedError: when it was not taken.

    """
    if isinstance(step, Denied):
        raise DeniedError(reasons.status(step.reason), step.reason)
    return step


def summary(one: Request | Review) -> dict[str, Any]:
    """Return the values of the `Summary` of a request or a review."""
    return {
        "id": one.id,
        "fingerprint": one.fingerprint,
        "state": one.state.value,
        "tool": one.tool,
        "workflow": one.workflow,
        "agent": one.agent,
        "riskClass": str(one.facts.get("riskClass", "")),
        "reversibility": str(one.facts.get("reversibility", "")),
        "consequence": str(one.facts.get("consequence", "")),
        "holder": one.holder,
        "votes": len(one.votes),
        "quorum": one.quorum,
        "createdUs": one.created_us,
        "deadlineUs": one.deadline_us,
    }


def _whole(desk: Desk, one: Request, me: Reviewer) -> Whole:
    facts = plain(one)
    return Whole(
        **summary(one),
        **{
            name: facts[name]
            for name in (
                *("binding", "digest", "arguments", "constraints", "facts", "task"),
                *("group", "level", "reviewer", "reason"),
            )
        },
        requesters=list(one.requesters),
        escalation=list(one.escalation),
        approvedBy=dict(one.votes),
        questions=facts["questions"],
        reassignTo=list(one.reassign_to),
        breakGlass=one.break_glass,
        calledBy=dict(one.callers),
        glassBroken=one.glass_broken,
        answeredUs=one.answered_us,
        recordId=one.record_id,
        objection=people.objection(one, me, desk.people),
    )

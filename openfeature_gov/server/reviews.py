"""The JSON API of reviews: list, show, accept and refuse, as the bearer of a token."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from openfeature_gov.approvals import people
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.steps import TEXT_LIMIT, Denied
from openfeature_gov.reviews.review import Review, plain
from openfeature_gov.reviews.states import State, refusal
from openfeature_gov.reviews.steps import Step
from openfeature_gov.server import reasons
from openfeature_gov.server.api import (
    ANSWERS,
    COMMON,
    LARGEST_PAGE,
    Id,
    Me,
    Route,
    Why,
)
from openfeature_gov.server.desk import At, Desk
from openfeature_gov.server.problems import REVIEWS, DeniedError, responses

MOST = 10_000
"""Open reviews among which somebody's are found, the oldest first."""


class ReviewLimit(BaseModel):
    """Ask for at most *limit* reviews."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 100


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Acceptance(_Body):
    """Let the action stand whose binding was *seen*."""

    seen: Annotated[str, Field(min_length=1, max_length=64)]
    reason: Why = ""


class Refusal(_Body):
    """Have the action undone whose binding was *seen*."""

    seen: Annotated[str, Field(min_length=1, max_length=64)]
    reason: Annotated[str, Field(min_length=1, max_length=TEXT_LIMIT)]


class ReviewSummary(BaseModel):
    """Say in short what ran; times count microseconds since 1970."""

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
    onExpiry: str  # noqa: N815
    undoable: bool
    votes: int
    quorum: int
    createdUs: int  # noqa: N815
    deadlineUs: int  # noqa: N815


class ReviewListing(BaseModel):
    """Hold the reviews that are open, the oldest first."""

    reviews: list[ReviewSummary]


class ReviewWhole(ReviewSummary):
    """Say everything; *arguments* are the bytes that ran, empty once forgotten.

    *objection* is the reason code why the caller may not answer, null if it may.
    """

    binding: str
    digest: str
    arguments: str
    facts: dict[str, Any]
    task: str
    requesters: list[str]
    group: str
    owner: str
    acceptedBy: dict[str, str]  # noqa: N815
    reviewer: str
    reason: str
    why: str
    answeredUs: int  # noqa: N815
    recordId: str  # noqa: N815
    undoId: str  # noqa: N815
    objection: str | None


routes = APIRouter(prefix=REVIEWS, tags=["reviews"], route_class=Route)


@routes.get("", responses=responses(*COMMON))
def waiting(desk: At, me: Me, asked: Annotated[ReviewLimit, Query()]) -> ReviewListing:
    """List what ran at once and is to be looked at, as far as the caller may know."""
    found = seen_by(desk, me)[: asked.limit]
    return ReviewListing(reviews=[ReviewSummary(**_summary(one)) for one in found])


@routes.get("/{review_id}", responses=responses(403, 404, *COMMON))
def show(desk: At, review_id: Id, me: Me) -> ReviewWhole:
    """Show one review whole, with the exact arguments that ran."""
    found = desk.reviews.get(review_id)
    if found is None:
        raise DeniedError(404, "review_unknown")
    if not desk.sight(me).sees(found):
        raise DeniedError(403, "reviewer_not_asked")
    return _whole(desk, found, me)


@routes.post("/{review_id}/accept", responses=ANSWERS)
def accept(desk: At, review_id: Id, body: Acceptance, me: Me) -> ReviewWhole:
    """Let the action stand, or count a vote for that."""
    step = desk.reviews.accept(review_id, me, seen=body.seen, reason=body.reason)
    return _whole(desk, _taken(step), me)


@routes.post("/{review_id}/refuse", responses=ANSWERS)
def refuse(desk: At, review_id: Id, body: Refusal, me: Me) -> ReviewWhole:
    """Have the action undone where its tool runs, or handed over."""
    step = desk.reviews.refuse(review_id, me, seen=body.seen, reason=body.reason)
    return _whole(desk, _taken(step), me)


def seen_by(desk: Desk, me: Reviewer) -> list[Review]:
    """Return the open reviews that *me* may look at, the oldest first."""
    return list(filter(desk.sight(me).sees, desk.reviews.waiting(limit=MOST)))


def objection(desk: Desk, one: Review, me: Reviewer) -> str | None:
    """Return the reason code why *me* cannot answer *one*, None when it can."""
    if one.state is not State.OPEN:
        return refusal(one.state)
    if desk.now() >= one.deadline_us:
        return "deadline_passed"
    return people.objection(one, me, desk.people)


def _taken(step: Step) -> Review:
    if isinstance(step, Denied):
        raise DeniedError(reasons.status(step.reason), step.reason)
    return step


def _summary(one: Review) -> dict[str, Any]:
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
        "onExpiry": one.on_expiry,
        "undoable": one.undoable,
        "votes": len(one.votes),
        "quorum": one.quorum,
        "createdUs": one.created_us,
        "deadlineUs": one.deadline_us,
    }


def _whole(desk: Desk, one: Review, me: Reviewer) -> ReviewWhole:
    facts = plain(one)
    names = ("binding", "digest", "arguments", "facts", "task", "group", "owner")
    return ReviewWhole(
        **_summary(one),
        **{name: facts[name] for name in (*names, "reviewer", "reason", "why")},
        requesters=list(one.requesters),
        acceptedBy=dict(one.votes),
        answeredUs=one.answered_us,
        recordId=one.record_id,
        undoId=one.undo_id,
        objection=objection(desk, one, me),
    )

"""The JSON API of reviews: list, show and answer, as the bearer of a token."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from openfeature_gov.approvals import people
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.reviews.review import MINUTE_US, Review, plain
from openfeature_gov.reviews.states import State, refusal
from openfeature_gov.reviews.steps import Step
from openfeature_gov.server.api import (
    ANSWERS,
    COMMON,
    LARGEST_PAGE,
    Body,
    Extension,
    Id,
    Me,
    Route,
    Said,
    Seen,
    Summary,
    Why,
    summary,
    taken,
)
from openfeature_gov.server.desk import At, Desk
from openfeature_gov.server.problems import REVIEWS, DeniedError, responses

MOST = 10_000
"""Open reviews among which somebody's are found, the oldest first."""


class ReviewLimit(BaseModel):
    """Ask for at most *limit* reviews."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 100


class Acceptance(Body):
    """Let the action stand whose binding was *seen*."""

    seen: Seen
    reason: Why = ""


class Refusal(Body):
    """Have the action undone whose binding was *seen*."""

    seen: Seen
    reason: Said


class ReviewSummary(Summary):
    """Say in short what ran; times count microseconds since 1970."""

    onExpiry: str  # noqa: N815 - as in records
    undoable: bool


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
    return _whole(desk, taken(step), me)


@routes.post("/{review_id}/refuse", responses=ANSWERS)
def refuse(desk: At, review_id: Id, body: Refusal, me: Me) -> ReviewWhole:
    """Have the action undone where its tool runs, or handed over."""
    step = desk.reviews.refuse(review_id, me, seen=body.seen, reason=body.reason)
    return _whole(desk, taken(step), me)


@routes.post("/{review_id}/extend", responses=ANSWERS)
def extend(desk: At, review_id: Id, body: Extension, me: Me) -> ReviewWhole:
    """Move the deadline later, by a day in all at most."""
    return _whole(desk, taken(extended(desk, review_id, me, body.minutes)), me)


def extended(desk: Desk, review_id: str, me: Reviewer, minutes: int) -> Step:
    """Move the deadline of a review by *minutes*.

    Raises:
        DeniedError: when there is no such review.
        RecordStoreError: when it was not seen to be recorded.

    """
    found = desk.reviews.get(review_id)
    if found is None:
        raise DeniedError(404, "review_unknown")
    until = found.deadline_us + minutes * MINUTE_US
    return desk.reviews.extend(review_id, me, until_us=until)


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


def _summary(one: Review) -> dict[str, Any]:
    return {**summary(one), "onExpiry": one.on_expiry, "undoable": one.undoable}


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

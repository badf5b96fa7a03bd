"""The pages of reviews: what ran at once, one by one, without JavaScript."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from openfeature_gov.approvals.steps import Denied
from openfeature_gov.reviews.likeness import likeness
from openfeature_gov.reviews.review import Review
from openfeature_gov.reviews.states import State
from openfeature_gov.reviews.steps import Step
from openfeature_gov.server import cards, reasons
from openfeature_gov.server.answers import REVIEW, answered, denied, unknown
from openfeature_gov.server.api import Id
from openfeature_gov.server.desk import At, Desk
from openfeature_gov.server.entrance import Here, Me, Sent
from openfeature_gov.server.forms import Form
from openfeature_gov.server.inbox import later, minutes_of, reason_of
from openfeature_gov.server.pages import page
from openfeature_gov.server.problems import DeniedError
from openfeature_gov.server.reviews import extended, objection, seen_by

SHOWN = 250
"""Reviews on the page of the list."""
PAGES = REVIEW.home
SILENCE = {
    "undo": "The tool's own undo takes it back.",
    "keep": "It stands.",
    "handOver": "Somebody gets it to see to by hand: {owner}.",
}
routes = APIRouter(include_in_schema=False)


@routes.get(PAGES)
def listed(desk: At, here: Me) -> Response:
    """Show what is to be looked at, the oldest first."""
    found = seen_by(desk, here.me)
    shown = [likeness(one) for one in found[:SHOWN]]
    more = len(found) > SHOWN
    return page("reviews", here=here, shown=shown, more=more, now=desk.now())


@routes.get(PAGES + "/{review_id}")
def shown(desk: At, here: Me, review_id: Id, full: str = "") -> Response:
    """Show one review; with ``full=1`` every byte of it."""
    found = desk.reviews.get(review_id)
    if found is None:
        return unknown(REVIEW, here)
    if not desk.sight(here.me).sees(found):
        raise DeniedError(403, "reviewer_not_asked")
    return page(
        "review",
        here=here,
        link=REVIEW.link(found),
        review=found,
        card=cards.card(likeness(found), full=full == "1"),
        silence=_silence(found),
        objection=objection(desk, found, here.me),
        words=reasons.words,
        now=desk.now(),
    )


@routes.post(PAGES + "/{review_id}/accept")
def accept(desk: At, review_id: Id, here: Sent, fields: Form) -> Response:
    """Let the action stand that the reviewer saw."""
    seen = fields.get("seen", "")[:64]
    step = desk.reviews.accept(review_id, here.me, seen=seen, reason=reason_of(fields))
    return _answer(desk, here, review_id, step)


@routes.post(PAGES + "/{review_id}/refuse")
def refuse(desk: At, review_id: Id, here: Sent, fields: Form) -> Response:
    """Have the action undone that the reviewer saw."""
    seen = fields.get("seen", "")[:64]
    step = desk.reviews.refuse(review_id, here.me, seen=seen, reason=reason_of(fields))
    return _answer(desk, here, review_id, step)


@routes.post(PAGES + "/{review_id}/extend")
def extend(desk: At, review_id: Id, here: Sent, fields: Form) -> Response:
    """Move the deadline."""
    step = extended(desk, review_id, here.me, minutes_of(fields))
    return _answer(desk, here, review_id, step, done=later(step))


def _answer(
    desk: Desk,
    here: Here,
    review_id: str,
    step: Step,
    *,
    done: tuple[str, str] | None = None,
) -> Response:
    """Return the page that says what became of an answer."""
    if isinstance(step, Denied):
        return denied(REVIEW, here, desk.reviews.get(review_id), step)
    return answered(REVIEW, here, step, done or _done(step))


def _done(review: Review) -> tuple[str, str]:
    match review.state:
        case State.ACCEPTED:
            return "Accepted", "It stands."
        case State.REFUSED:
            return "Refused", "A process with this tool undoes it now."
        case State.HANDED_OVER:
            return "Refused", f"Nothing undoes it; {review.owner} sees to it."
        case _:
            votes = f"{len(review.votes)} of {review.quorum}"
            return "Counted", f"{votes} agree; it still waits for others."


def _silence(review: Review) -> str:
    silence = review.on_expiry
    if silence == "undo" and not review.undoable:
        silence = "handOver"
    return SILENCE[silence].format(owner=review.owner)

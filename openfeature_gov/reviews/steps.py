"""Every step of a review: what the run, a person, the clock or an undo does. Pure.

Each function returns the review after the step, or a `Denied` with a reason code; the
queue stores the one atomically and records both.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from openfeature_gov.approvals.people import Directory, Reviewer, objection, voices
from openfeature_gov.approvals.steps import (
    LONGEST_EXTENSION_US,
    Denied,
    too_long,
    unsaid,
)
from openfeature_gov.reviews.review import MINUTE_US, Review
from openfeature_gov.reviews.states import DUE, Event, State, follow, refusal

UNDO_WAIT_US = 15 * MINUTE_US
"""How long an undo waits for a process that can run it; then a person gets it."""


Step = Review | Denied


def end(review: Review, status: str, reference: bytes | None, now_us: int) -> Step:
    """Note how the action ended; one that ran is open for review from now on.

    *status* is that of the outcome, or ``refused`` where the tool says that it changed
    nothing. Nobody knows what one that broke off has changed: a person gets it.
    *reference* is what the undo needs of the result, None where it could not be had.
    """
    if status == "executed":
        return _step(
            review,
            Event.SUCCEED,
            deadline_us=now_us + review.within_us,
            undoable=review.undoable and reference is not None,
            reference=reference or b"",
        )
    if status in ("not_run", "refused"):
        return _step(review, Event.CHANGE_NOTHING)
    return _step(review, Event.LOSE, why=f"action_{status}")


def accept(
    review: Review,
    reviewer: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    seen: str,
    reason: str = "",
) -> Step:
    """Let the action stand, or count a vote for that; *seen* is what was shown."""
    stop = _objection(review, reviewer, directory, now_us, seen)
    stop = stop or too_long(reason, "reason")
    if stop is None and reviewer.subject in review.votes:
        stop = "already_voted"
    if stop is not None:
        return Denied(stop, review.state)
    votes = MappingProxyType({**review.votes, reviewer.subject: reason})
    reached = voices(review, votes, directory) >= review.quorum
    return _step(
        review,
        Event.ACCEPT if reached else Event.VOTE,
        votes=votes,
        reviewer=reviewer.subject,
        reason=reason,
        answered_us=now_us,
    )


def refuse(
    review: Review,
    reviewer: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    seen: str,
    reason: str,
) -> Step:
    """Have the action undone, or seen to by hand; needs a reason, and one voice."""
    stop = _objection(review, reviewer, directory, now_us, seen)
    stop = stop or unsaid(reason, "reason")
    if stop is not None:
        return Denied(stop, review.state)
    return _step(
        review,
        Event.REFUSE if review.undoable else Event.HAND_OVER,
        why="" if review.undoable else "no_undo",
        reviewer=reviewer.subject,
        reason=reason,
        refused=True,
        answered_us=now_us,
        deadline_us=now_us + UNDO_WAIT_US,
    )


def extend(
    review: Review,
    reviewer: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    until_us: int,
) -> Step:
    """Move the deadline, by a day at most however often: silence means something."""
    stop = _objection(review, reviewer, directory, now_us, review.binding)
    latest = review.created_us + review.within_us + LONGEST_EXTENSION_US
    if stop is None and not review.deadline_us < until_us <= latest:
        stop = "deadline_invalid"
    if stop is not None:
        return Denied(stop, review.state)
    return _step(review, Event.EXTEND, deadline_us=until_us)


def expire(review: Review, now_us: int) -> Step:
    """Do what silence means, once the time is up.

    An undo that no process began in time is handed over.
    """
    if review.state in DUE:
        if now_us < review.deadline_us:
            return Denied("not_due", review.state)
        return hand_over(review, "undo_not_begun")
    if review.state is State.OPEN and now_us < review.deadline_us:
        return Denied("not_due", review.state)
    if review.on_expiry == "keep":
        return _step(review, Event.LAPSE)
    if review.on_expiry == "undo" and review.undoable:
        return _step(review, Event.EXPIRE, deadline_us=now_us + UNDO_WAIT_US)
    return hand_over(review, "not_reviewed")


def hand_over(review: Review, why: str) -> Step:
    """Give it to a person to see to by hand, *why* being a reason code."""
    return _step(review, Event.HAND_OVER, why=why)


def undo(review: Review, by: str) -> Step:
    """Begin the undo, under the record *by*."""
    return _step(review, Event.UNDO, undo_id=by)


def undone(review: Review, status: str) -> Step:
    """Note how the undo ended, *status* being that of its outcome."""
    if status == "executed":
        return _step(review, Event.FINISH)
    event = Event.FAIL if status == "failed" else Event.LOSE
    return _step(review, event, why=f"undo_{status}")


def lose(review: Review) -> Step:
    """Note that the process died in the middle; a person gets it."""
    what = "undo" if review.state is State.UNDOING else "action"
    return _step(review, Event.LOSE, why=f"{what}_unknown")


def _step(review: Review, event: Event, **changes: Any) -> Step:
    state = follow(review.state, event)
    if state is None:
        return Denied(refusal(review.state), review.state)
    return review.at(state, **changes)


def _objection(
    review: Review, reviewer: Reviewer, directory: Directory, now_us: int, seen: str
) -> str | None:
    """Return why *reviewer* can say nothing about *review*, None if it can."""
    if review.state is not State.OPEN:
        return refusal(review.state)
    if now_us >= review.deadline_us:
        return "deadline_passed"
    if seen != review.binding:
        return "shown_something_else"
    return objection(review, reviewer, directory)

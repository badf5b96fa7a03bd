"""Every step of a request: what a person, the clock or the Governor does. Pure.

Each function returns the request after the step, or a `Denied` with a reason code; the
queue stores the one atomically and records both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from openfeature_gov.approvals.people import Directory, Reviewer, objection, voices
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import Event, State, follow, refusal
from openfeature_gov.decisions import Constraint, merge

MINUTE_US = 60_000_000
LONGEST_EXTENSION_US = 24 * 60 * MINUTE_US
TEXT_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Denied:
    """Say why a step was not taken: a *reason* code, and the state that stays."""

    reason: str
    state: State


Step = Request | Denied


def approve(
    request: Request,
    reviewer: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    seen: str,
    reason: str = "",
    constraints: Iterable[Constraint] = (),
) -> Step:
    """Release the action, or count a vote for it; *constraints* only tighten.

    *seen* is the binding that the reviewer was shown: one who looked at something else
    has approved nothing.
    """
    late = _due(request, now_us)
    if late is not None:
        return late
    if seen != request.binding:
        return Denied("shown_something_else", request.state)
    stop = objection(request, reviewer, directory)
    if stop is None and reviewer.subject in request.votes:
        stop = "already_voted"
    if stop is not None:
        return Denied(stop, request.state)
    votes = MappingProxyType({**request.votes, reviewer.subject: reason[:TEXT_LIMIT]})
    reached = voices(request, votes, directory) >= request.quorum
    return _step(
        request,
        Event.APPROVE if reached else Event.VOTE,
        votes=votes,
        constraints=merge((*request.constraints, *constraints)),
        reviewer=reviewer.subject,
        reason=reason[:TEXT_LIMIT],
        answered_us=now_us,
    )


def refuse(
    request: Request,
    reviewer: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    reason: str,
) -> Step:
    """Refuse the action, or take back a release that was not used; needs a reason."""
    late = _due(request, now_us)
    if late is not None:
        return late
    if not reason.strip():
        return Denied("reason_missing", request.state)
    stop = objection(request, reviewer, directory)
    if stop is not None:
        return Denied(stop, request.state)
    return _step(
        request,
        Event.REFUSE,
        reviewer=reviewer.subject,
        reason=reason[:TEXT_LIMIT],
        answered_us=now_us,
    )


def extend(
    request: Request,
    reviewer: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    until_us: int,
) -> Step:
    """Move the deadline of a pending request, by a day at most."""
    late = _due(request, now_us)
    if late is not None:
        return late
    stop = objection(request, reviewer, directory)
    if stop is not None:
        return Denied(stop, request.state)
    if not request.deadline_us < until_us <= now_us + LONGEST_EXTENSION_US:
        return Denied("deadline_invalid", request.state)
    return _step(request, Event.EXTEND, deadline_us=until_us)


def withdraw(request: Request, subject: str) -> Step:
    """Take the request back: only whoever stands behind the action may."""
    if subject not in request.requesters:
        return Denied("not_the_requester", request.state)
    return _step(request, Event.WITHDRAW)


def supersede(request: Request, why: str) -> Step:
    """End a request whose action, contract or flags are no longer those it binds."""
    return _step(request, Event.SUPERSEDE, reason=why)


def expire(request: Request, now_us: int, step_us: int) -> Step:
    """Pass on to the next contact, or end, once the deadline has passed.

    *step_us* is how long each contact of the escalation chain has.
    """
    if now_us < request.deadline_us:
        return Denied("not_due", request.state)
    if request.state is State.PENDING and request.level < len(request.escalation):
        return _step(
            request,
            Event.ESCALATE,
            level=request.level + 1,
            deadline_us=now_us + step_us,
        )
    return _step(request, Event.EXPIRE)


def consume(
    request: Request, directory: Directory, *, binding: str, by: str, now_us: int
) -> Step:
    """Use the release up, for the one execution *by*.

    Whoever released it must still be allowed to: the votes are counted again.
    """
    if request.state is State.APPROVED and now_us >= request.deadline_us:
        return Denied("approval_expired", request.state)
    if request.state is State.APPROVED and binding != request.binding:
        return Denied("approval_superseded", request.state)
    if (
        request.state is State.APPROVED
        and voices(request, request.votes, directory) < request.quorum
    ):
        return Denied("approver_removed", request.state)
    return _step(request, Event.CONSUME, consumed_by=by)


def finish(request: Request, event: Event) -> Step:
    """Note how the one execution ended."""
    return _step(request, event)


def _step(request: Request, event: Event, **changes: Any) -> Step:
    state = follow(request.state, event)
    if state is None:
        return Denied(refusal(request.state), request.state)
    return request.at(state, **changes)


def _due(request: Request, now_us: int) -> Denied | None:
    """Return why no person can say anything any more: it ended, or its time is up."""
    if request.state not in (State.PENDING, State.APPROVED):
        return Denied(refusal(request.state), request.state)
    if now_us >= request.deadline_us:
        return Denied("deadline_passed", request.state)
    return None

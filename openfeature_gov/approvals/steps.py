"""Every step of a request: what a person, the clock or the Governor does. Pure.

Each function returns the request after the step, or a `Denied` with a reason code; the
queue stores the one atomically and records both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from openfeature_gov.approvals.people import (
    Directory,
    Reviewer,
    alarms,
    objection,
    unfit,
    voices,
)
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import Event, State, follow, refusal
from openfeature_gov.decisions import Constraint, merge

MINUTE_US = 60_000_000
LONGEST_EXTENSION_US = 24 * 60 * MINUTE_US
TEXT_LIMIT = 1_000
REACH_US = 5 * MINUTE_US
"""How long reviewers have before anybody may say that they cannot be reached."""
GLASS_US = 15 * MINUTE_US
"""How long a release by two who broke the glass holds at most."""
GLASS_VOICES = 2


@dataclass(frozen=True, slots=True)
class Denied:
    """Say why a step was not taken: a *reason* code, and the state that stays.

    It is that of a request, or of a review.
    """

    reason: str
    state: StrEnum


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
    busy_us: int = 0,
) -> Step:
    """Release the action, or count a vote for it; *constraints* only tighten.

    *seen* is the binding that the reviewer was shown: one who looked at something else
    has approved nothing. Until *busy_us* the reviewer was at another request: how long
    somebody looked cannot be proved, but nobody looked for longer than since then.
    """
    late = due(request, now_us)
    if late is not None:
        return late
    if seen != request.binding:
        return Denied("shown_something_else", request.state)
    stop = objection(request, reviewer, directory) or too_long(reason, "reason")
    if stop is None and reviewer.subject in request.votes:
        stop = "already_voted"
    had_us = now_us - max(request.created_us, busy_us)
    if stop is None and had_us < request.minimum_us:
        stop = "approved_unread"
    if stop is not None:
        return Denied(stop, request.state)
    votes = MappingProxyType({**request.votes, reviewer.subject: reason})
    reached = voices(request, votes, directory) >= request.quorum
    return step(
        request,
        Event.APPROVE if reached else Event.VOTE,
        votes=votes,
        voted_us=MappingProxyType({**request.voted_us, reviewer.subject: now_us}),
        constraints=merge((*request.constraints, *constraints)),
        reviewer=reviewer.subject,
        reason=reason,
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
    late = due(request, now_us)
    if late is not None:
        return late
    stop = unsaid(reason, "reason") or objection(request, reviewer, directory)
    if stop is not None:
        return Denied(stop, request.state)
    return step(
        request,
        Event.REFUSE,
        reviewer=reviewer.subject,
        reason=reason,
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
    late = due(request, now_us)
    if late is not None:
        return late
    stop = objection(request, reviewer, directory)
    if stop is not None:
        return Denied(stop, request.state)
    if not request.deadline_us < until_us <= now_us + LONGEST_EXTENSION_US:
        return Denied("deadline_invalid", request.state)
    return step(request, Event.EXTEND, deadline_us=until_us)


def break_glass(
    request: Request,
    caller: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    seen: str,
    reason: str,
) -> Step:
    """Say that no reviewer can be reached; the second different person releases.

    Only people of the group that the contract names for it, only for what was shown,
    and only after `REACH_US`. The release holds for `GLASS_US` at most, and lifts what
    an approval lifts.
    """
    late = due(request, now_us)
    if late is not None:
        return late
    if seen != request.binding:
        return Denied("shown_something_else", request.state)
    stop = unfit(request, caller, directory) or unsaid(reason, "reason")
    callers = request.callers.keys()
    if stop is None and now_us < request.created_us + REACH_US:
        stop = "break_glass_too_early"
    elif stop is None and callers & {
        caller.subject,
        *directory.aliases(caller.subject),
    }:
        stop = "already_called"
    if stop is not None:
        return Denied(stop, request.state)
    said = MappingProxyType({**request.callers, caller.subject: reason})
    if alarms(request, said, directory) < GLASS_VOICES:
        return step(request, Event.CALL_OUT, callers=said)
    return step(
        request,
        Event.BREAK_GLASS,
        callers=said,
        glass_broken=True,
        reviewer=caller.subject,
        reason=reason,
        answered_us=now_us,
        deadline_us=min(request.deadline_us, now_us + GLASS_US),
    )


def withdraw(request: Request, subject: str) -> Step:
    """Take the request back: only whoever stands behind the action may."""
    if subject not in request.requesters:
        return Denied("not_the_requester", request.state)
    return step(request, Event.WITHDRAW)


def supersede(request: Request, why: str) -> Step:
    """End a request whose action, contract or flags are no longer those it binds."""
    return step(request, Event.SUPERSEDE, reason=why)


def expire(request: Request, now_us: int, step_us: int) -> Step:
    """Pass on to the next contact, or end, once the deadline has passed.

    *step_us* is how long each contact of the escalation chain has.
    """
    if now_us < request.deadline_us:
        return Denied("not_due", request.state)
    if request.state is State.PENDING and request.level < len(request.escalation):
        return step(
            request,
            Event.ESCALATE,
            level=request.level + 1,
            turn="",
            deadline_us=now_us + step_us,
        )
    return step(request, Event.EXPIRE)


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
    if request.state is State.APPROVED and not _released(request, directory):
        return Denied("approver_removed", request.state)
    return step(request, Event.CONSUME, consumed_by=by)


def finish(request: Request, event: Event) -> Step:
    """Note how the one execution ended."""
    return step(request, event)


def step(request: Request, event: Event, **changes: Any) -> Step:
    """Return *request* after *event* with *changes*, if the table has such a step."""
    state = follow(request.state, event)
    if state is None:
        return Denied(refusal(request.state), request.state)
    return request.at(state, **changes)


def unsaid(text: str, what: str) -> str | None:
    """Return why *text* says nothing, or too much; None when it will do."""
    return too_long(text, what) if text.strip() else f"{what}_missing"


def too_long(text: str, what: str) -> str | None:
    """Return why *text* says too much; None when it will do, or says nothing."""
    return f"{what}_too_long" if len(text) > TEXT_LIMIT else None


def due(request: Request, now_us: int) -> Denied | None:
    """Return why no person can say anything any more: it ended, or its time is up."""
    if request.state not in (State.PENDING, State.APPROVED):
        return Denied(refusal(request.state), request.state)
    if now_us >= request.deadline_us:
        return Denied("deadline_passed", request.state)
    return None


def _released(request: Request, directory: Directory) -> bool:
    """Say whether those who released *request* may still, as many as it needs."""
    if voices(request, request.votes, directory) >= request.quorum:
        return True
    return alarms(request, request.callers, directory) >= GLASS_VOICES

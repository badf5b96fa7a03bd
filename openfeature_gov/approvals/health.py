"""How people cope with the requests, told from the requests themselves. Pure.

How long somebody looked at a request is not stored. Known is the most that it can have
been: the time since the request was made, or since the same person's last answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import NamedTuple

from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.controls.queue import LIMITS, QueueHealth, QueueLimits

APPROVED = frozenset(
    {State.APPROVED, State.CONSUMED, State.EXECUTED, State.FAILED, State.UNKNOWN}
)
ANSWERED = APPROVED | {State.REFUSED}
REFUSED, LAST = 3, 5
"""So many refusals among so many last answers pause a workflow."""
STAMP_ANSWERS, STAMP_PERCENT, STAMP_US = 20, 95, 5_000_000
"""From so many answers on, more approvals than that, faster than that."""


class Tally(NamedTuple):
    """Count the answers of one reviewer; half of them took *dwell_us* at most."""

    reviewer: str
    approvals: int
    refusals: int
    dwell_us: int

    @property
    def stamps(self) -> bool:
        """Say whether this reviewer approves nearly everything, unread."""
        answers = self.approvals + self.refusals
        return (
            answers >= STAMP_ANSWERS
            and 100 * self.approvals > STAMP_PERCENT * answers
            and self.dwell_us < STAMP_US
        )


class Finding(NamedTuple):
    """Say what is wrong: a *code*, with whom or what, and what was seen."""

    code: str
    subject: str
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Hold how people cope: *queue* now, and what *answered* requests took.

    *overdue* requests wait although their time is up. *median_us* and *p95_us* are
    the times from request to answer, None where none was answered.
    """

    queue: QueueHealth
    overdue: int
    answered: int
    median_us: int | None
    p95_us: int | None
    reviewers: tuple[Tally, ...]
    findings: tuple[Finding, ...]


def measured(
    requests: Iterable[Request], now_us: int, limits: QueueLimits = LIMITS
) -> Health:
    """Return how people cope with *requests* at *now_us*, microseconds since 1970."""
    given = tuple(requests)
    queue = state(given, now_us, limits)
    took = sorted(
        max(0, one.answered_us - one.created_us)
        for one in given
        if one.state in ANSWERED
    )
    reviewers = tuple(_tallies(given))
    return Health(
        queue=queue,
        overdue=sum(
            one.state is State.PENDING and one.deadline_us <= now_us for one in given
        ),
        answered=len(took),
        median_us=median_low(took) if took else None,
        p95_us=took[(95 * len(took) + 99) // 100 - 1] if took else None,
        reviewers=reviewers,
        findings=tuple(
            _findings(
                queue, reviewers, (one for one in given if one.glass_broken), limits
            )
        ),
    )


def state(
    requests: Iterable[Request], now_us: int, limits: QueueLimits = LIMITS
) -> QueueHealth:
    """Return what the control of the queue needs to know of *requests*.

    What waits beyond its deadline has no age: nobody can answer it any more.
    """
    given = tuple(requests)
    waiting = [one for one in given if one.state is State.PENDING]
    ages = [now_us - one.created_us for one in waiting if one.deadline_us > now_us]
    return QueueHealth(
        depth=len(waiting),
        oldest_us=max(ages, default=0),
        paused=dict(_paused(given, now_us, limits.pause_us)),
    )


def _paused(
    requests: Iterable[Request], now_us: int, pause_us: int
) -> Iterator[tuple[str, int]]:
    """Yield each paused workflow with the end of its pause.

    A refusal counts for *pause_us*; the pause ends with the one that makes it few.
    """
    answers = defaultdict[str, list[Request]](list)
    for one in requests:
        if one.state in ANSWERED:
            answers[one.workflow].append(one)
    for workflow, given in sorted(answers.items()):
        last = sorted(given, key=lambda one: one.answered_us)[-LAST:]
        refused = [one.answered_us for one in last if one.state is State.REFUSED]
        if len(refused) >= REFUSED and (until := refused[-REFUSED] + pause_us) > now_us:
            yield workflow, until


def _tallies(requests: Iterable[Request]) -> Iterator[Tally]:
    answers = defaultdict[str, list[tuple[int, int, bool]]](list)
    for one in requests:
        for voter in one.votes:
            at_us = one.voted_us.get(voter, one.answered_us)
            answers[voter].append((at_us, one.created_us, True))
        if one.state is State.REFUSED:
            answers[one.reviewer].append((one.answered_us, one.created_us, False))
    for reviewer, given in sorted(answers.items()):
        given.sort()
        before = [(0, 0, False), *given]
        dwells = [
            max(0, at - max(made, last))
            for (last, _, _), (at, made, _) in pairwise(before)
        ]
        approvals = sum(approved for _, _, approved in given)
        yield Tally(reviewer, approvals, len(given) - approvals, median_low(dwells))


def _findings(
    queue: QueueHealth,
    reviewers: Iterable[Tally],
    broken: Iterable[Request],
    limits: QueueLimits,
) -> Iterator[Finding]:
    if queue.saturated(limits):
        seen = (
            f"{queue.depth} wait (limit {limits.depth}), the oldest for"
            f" {_minutes(queue.oldest_us)} (limit {_minutes(limits.oldest_us)})"
        )
        yield Finding("queue_saturated", "", seen)
    for workflow in queue.paused:
        seen = f"{REFUSED} or more of its last {LAST} answers were refusals"
        yield Finding("workflow_paused", workflow, seen)
    for request in broken:
        seen = f"{request.tool} was released by {' and '.join(sorted(request.callers))}"
        yield Finding("glass_broken", request.id, seen)
    for one in reviewers:
        if one.stamps:
            answers = one.approvals + one.refusals
            seen = (
                f"approved {one.approvals} of {answers}, half of them within"
                f" {one.dwell_us / 1_000_000:.1f} s"
            )
            yield Finding("rubber_stamp", one.reviewer, seen)


def _minutes(microseconds: int) -> str:
    return f"{microseconds // 60_000_000} min"

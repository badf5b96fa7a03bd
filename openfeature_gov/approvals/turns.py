"""What people do with a request besides answering it: ask, explain, pass on. Pure.

Nothing here changes what runs, what is bound, or until when an answer counts.
"""

from __future__ import annotations

from dataclasses import replace

from openfeature_gov.approvals.people import (
    Directory,
    Reviewer,
    objection,
    stands_behind,
)
from openfeature_gov.approvals.requests import Question, Request
from openfeature_gov.approvals.states import Event
from openfeature_gov.approvals.steps import Denied, Step, due, step, unsaid

MOST_QUESTIONS = 10


def ask(
    request: Request,
    reviewer: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    text: str,
) -> Step:
    """Ask whoever stands behind the action; the deadline stays, `extend` moves it."""
    late = due(request, now_us)
    if late is not None:
        return late
    stop = objection(request, reviewer, directory) or unsaid(text, "question")
    if stop is None and len(request.questions) >= MOST_QUESTIONS:
        stop = "too_many_questions"
    if stop is not None:
        return Denied(stop, request.state)
    asked = Question(by=reviewer.subject, text=text, asked_us=now_us)
    return step(request, Event.ASK, questions=(*request.questions, asked))


def answer(
    request: Request,
    caller: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    number: int,
    text: str,
) -> Step:
    """Answer the question *number*, from 1: only whoever stands behind the action may.

    What is said changes nothing of what runs, and moves no deadline.
    """
    late = due(request, now_us)
    if late is not None:
        return late
    stop = unsaid(text, "answer")
    if not caller.subject or not caller.way:
        stop = "caller_unauthenticated"
    elif not stands_behind(request, caller.subject, directory):
        stop = "not_the_requester"
    elif not 1 <= number <= len(request.questions):
        stop = "question_unknown"
    elif request.questions[number - 1].answered_by:
        stop = "question_answered"
    if stop is not None:
        return Denied(stop, request.state)
    questions = list(request.questions)
    questions[number - 1] = replace(
        questions[number - 1],
        answer=text,
        answered_by=caller.subject,
        answered_us=now_us,
    )
    return step(request, Event.ANSWER, questions=tuple(questions))


def reassign(
    request: Request,
    reviewer: Reviewer,
    directory: Directory,
    *,
    now_us: int,
    to: str,
    reason: str,
) -> Step:
    """Let it be the turn of *to*, for a *reason*.

    That is a group or person that the contract names, or a member of such a group.
    Whoever was asked before may still answer; the deadline stays.
    """
    late = due(request, now_us)
    if late is not None:
        return late
    stop = objection(request, reviewer, directory) or unsaid(reason, "reason")
    if stop is None:
        stop = _unaskable(request, to, directory)
    if stop is not None:
        return Denied(stop, request.state)
    passed = tuple(dict.fromkeys((*request.passed, to)))
    return step(request, Event.REASSIGN, turn=to, passed=passed)


def _unaskable(request: Request, name: str, directory: Directory) -> str | None:
    """Return why it cannot be the turn of *name*, None when it can."""
    if stands_behind(request, name, directory):
        return "self_approval"
    if name not in request.chain and not directory.groups(name) & set(request.chain):
        return "reassign_not_allowed"
    return "already_theirs" if name == request.holder else None

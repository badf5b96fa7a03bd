"""Who may answer a request: never who is behind it, only who was asked. Pure.

A reviewer comes from an authenticated caller, never from what a request says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from openfeature_gov.governance import skeleton


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Name an authenticated person: a stable *subject*, and the *groups* it is in.

    *way* says how it was authenticated: ``cli``, ``token``, ``login``.
    """

    subject: str
    groups: frozenset[str] = frozenset()
    way: str = ""


class Directory(Protocol):
    """Know who is in which group now, and which subjects are one person."""

    def groups(self, subject: str) -> frozenset[str]:
        """Return the groups of *subject*; none for one that is not known any more."""

    def aliases(self, subject: str) -> frozenset[str]:
        """Return every subject that is the same person, *subject* among them.

        None at all for one that is not known any more.
        """


class Asked(Protocol):
    """Be what people are asked: a request, or a review.

    *requesters* are all subjects that may not answer, *holder* whose turn it is, and
    *escalation* up to *level* who else was asked besides *group*.
    """

    @property
    def agent(self) -> str:
        """Return the agent that acts."""

    @property
    def requesters(self) -> tuple[str, ...]:
        """Return all subjects behind the action."""

    @property
    def holder(self) -> str:
        """Return whose turn it is."""

    @property
    def group(self) -> str:
        """Return the group that is asked first."""

    @property
    def escalation(self) -> tuple[str, ...]:
        """Return who is asked after the group, one by one."""

    @property
    def level(self) -> int:
        """Return how many of these were asked."""


def objection(request: Asked, reviewer: Reviewer, directory: Directory) -> str | None:
    """Return the reason code why *reviewer* may not answer *request*, None if allowed.

    Groups are asked of *directory* at this moment: one who was removed has no say,
    whatever an older token claims. Look-alike spellings are one name.
    """
    if not reviewer.subject or not reviewer.way:
        return "reviewer_unauthenticated"
    same = directory.aliases(reviewer.subject)
    behind = {skeleton(one) for one in (request.agent, *request.requesters)}
    if behind & {skeleton(one) for one in (reviewer.subject, *same)}:
        return "self_approval"
    if reviewer.subject not in same:
        return "reviewer_unknown"
    groups = directory.groups(reviewer.subject)
    asked = {request.holder, request.group, *request.escalation[: request.level]}
    if not (groups & asked or reviewer.subject in asked):
        return "reviewer_not_asked"
    return None


def voices(request: Asked, votes: Iterable[str], directory: Directory) -> int:
    """Return how many different people voted who may still, whatever names they used.

    They were authenticated when they voted.
    """
    seen: set[str] = set()
    count = 0
    for subject in votes:
        if objection(request, Reviewer(subject, way="vote"), directory) is not None:
            continue
        same = directory.aliases(subject) | {subject}
        count += not (same & seen)
        seen |= same
    return count

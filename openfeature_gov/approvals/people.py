"""Who may answer a request: never who is behind it, only who was asked. Pure.

A reviewer comes from an authenticated caller, never from what a request says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from openfeature_gov.governance import skeleton


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Name an authenticated person: a stable *subject*, and the *groups* it is in.

    *way* says how it was authenticated: ``cli``, ``token``, ``signed``, ``login``.
    *within* are the groups that its login vouches for: it acts for no other one. None
    where the login says nothing about groups.
    """

    subject: str
    groups: frozenset[str] = frozenset()
    way: str = ""
    within: frozenset[str] | None = None


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

    *requesters* are all subjects that may not answer, *asked* the groups and people
    that were asked so far.
    """

    @property
    def agent(self) -> str:
        """Return the agent that acts."""

    @property
    def requesters(self) -> tuple[str, ...]:
        """Return all subjects behind the action."""

    @property
    def asked(self) -> frozenset[str]:
        """Return the groups and people that were asked so far."""


class Shown(Protocol):
    """Be what may be looked at, by some people alone."""

    @property
    def agent(self) -> str:
        """Return the agent that acts."""

    @property
    def requesters(self) -> tuple[str, ...]:
        """Return all subjects behind the action."""

    @property
    def audience(self) -> frozenset[str]:
        """Return the groups and people that may be asked to do something about it."""


class Guarded(Asked, Protocol):
    """Be what may be released although nobody of those asked can be reached."""

    @property
    def break_glass(self) -> str:
        """Return the group of which two may, empty where nobody may."""


def objection(request: Asked, reviewer: Reviewer, directory: Directory) -> str | None:
    """Return the reason code why *reviewer* may not answer *request*, None if allowed.

    Groups are asked of *directory* at this moment: one who was removed has no say,
    whatever an older token claims. Look-alike spellings are one name.
    """
    return _objection(request, reviewer, directory, request.asked)


def unfit(request: Guarded, caller: Reviewer, directory: Directory) -> str | None:
    """Return the reason code why *caller* may not break the glass, None if allowed.

    As `objection`, for the group that the contract names for it.
    """
    if not request.break_glass:
        return "break_glass_not_allowed"
    return _objection(request, caller, directory, frozenset({request.break_glass}))


class Sight(NamedTuple):
    """Say what somebody of these *names* and *groups* may look at."""

    names: frozenset[str]
    groups: frozenset[str]

    def sees(self, one: Shown) -> bool:
        """Say whether *one* may be shown: to whom it may be put, and who is behind it.

        What an agent does to whom is no business of all the other reviewers.
        """
        if one.audience & (self.names | self.groups):
            return True
        behind = {skeleton(name) for name in (one.agent, *one.requesters)}
        return bool(behind & {skeleton(name) for name in self.names})


def sight(reviewer: Reviewer, directory: Directory) -> Sight:
    """Return what *reviewer* may look at, as *directory* knows it at this moment."""
    return Sight(directory.aliases(reviewer.subject), _groups(reviewer, directory))


def stands_behind(request: Asked, name: str, directory: Directory) -> bool:
    """Say whether *name* is somebody behind the action, under whatever alias."""
    same = directory.aliases(name)
    behind = {skeleton(one) for one in (request.agent, *request.requesters)}
    return bool(behind & {skeleton(one) for one in (name, *same)})


def _objection(
    request: Asked, reviewer: Reviewer, directory: Directory, asked: frozenset[str]
) -> str | None:
    if not reviewer.subject or not reviewer.way:
        return "reviewer_unauthenticated"
    if stands_behind(request, reviewer.subject, directory):
        return "self_approval"
    names = directory.aliases(reviewer.subject)
    if reviewer.subject not in names:
        return "reviewer_unknown"
    groups = _groups(reviewer, directory)
    # Who was asked by another of their names was asked.
    if not (groups & asked or names & asked):
        return "reviewer_not_asked"
    return None


def _groups(reviewer: Reviewer, directory: Directory) -> frozenset[str]:
    groups = directory.groups(reviewer.subject)
    return groups if reviewer.within is None else groups & reviewer.within


def voices(request: Asked, votes: Iterable[str], directory: Directory) -> int:
    """Return how many different people voted who may still, whatever names they used.

    They were authenticated when they voted.
    """
    return _different(
        (one for one in votes if objection(request, _voted(one), directory) is None),
        directory,
    )


def alarms(request: Guarded, callers: Iterable[str], directory: Directory) -> int:
    """Return how many different *callers* may still break the glass."""
    return _different(
        (one for one in callers if unfit(request, _voted(one), directory) is None),
        directory,
    )


def _voted(subject: str) -> Reviewer:
    return Reviewer(subject, way="vote")


def _different(subjects: Iterable[str], directory: Directory) -> int:
    seen: set[str] = set()
    count = 0
    for subject in subjects:
        same = directory.aliases(subject) | {subject}
        count += not (same & seen)
        seen |= same
    return count

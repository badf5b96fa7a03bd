"""On call: contacts whose members change with the time.

A contract names the contact, such as ``payments-oncall``, as it names a group. Who is
on duty comes from the reviewers file, or from a function that asks another system.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Protocol, Self

from pydantic import AfterValidator, Field, model_validator

from openfeature_gov.approvals.people import Directory
from openfeature_gov.governance.parts import Part

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
logger = logging.getLogger(__name__)


def _moment(value: str) -> str:
    try:
        known = datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise ValueError("must be a time with its zone, as 2026-11-21T08:00:00Z")
    return value


Moment = Annotated[str, AfterValidator(_moment)]


class OnCall(Protocol):
    """Know who is on duty."""

    def __call__(self, subject: str, at_us: int) -> Iterable[str]:
        """Return the contacts that *subject* is on duty for at *at_us*.

        That is microseconds since 1970.
        """


class Shift(Part):
    """Let one person be on duty from one moment until another."""

    subject: str
    since: Annotated[Moment, Field(alias="from")]
    until: Moment

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if _us(self.since) >= _us(self.until):
            raise ValueError("until: must be later than from")
        return self


class Rota(Part):
    """Name a contact, and who is on duty for it when.

    Whoever goes off duty keeps the say for *handover_minutes*: a release that was given
    at the end of a shift can still be used.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    handover_minutes: Annotated[int, Field(ge=0, le=1_440)] = 60
    shifts: tuple[Shift, ...] = ()

    def on_duty(self, names: frozenset[str], at_us: int) -> bool:
        """Say whether somebody of these *names* has a say at *at_us*."""
        late = self.handover_minutes * 60_000_000
        return any(
            one.subject in names and _us(one.since) <= at_us < _us(one.until) + late
            for one in self.shifts
        )


class DutyDirectory:
    """Know whom *directory* knows, with the contacts that they are on duty for.

    *on_call* is asked at each question, *now* returns microseconds since 1970. Nobody
    becomes a reviewer by being on duty, and while *on_call* fails nobody is.
    """

    def __init__(
        self, directory: Directory, on_call: OnCall, now: Callable[[], int]
    ) -> None:
        self._directory, self._on_call, self._now = directory, on_call, now

    def groups(self, subject: str) -> frozenset[str]:
        """Return the groups of *subject*, and its contacts of this moment."""
        groups = self._directory.groups(subject)
        names = self._directory.aliases(subject)
        try:
            at_us = self._now()
            found = [self._on_call(name, at_us) for name in sorted(names)]
            return groups.union(*found)
        except Exception:
            logger.exception("who is on duty cannot be told; nobody is")
            return groups

    def aliases(self, subject: str) -> frozenset[str]:
        """Return every name of the person *subject*."""
        return self._directory.aliases(subject)


def _us(moment: str) -> int:
    return (datetime.fromisoformat(moment) - EPOCH) // timedelta(microseconds=1)

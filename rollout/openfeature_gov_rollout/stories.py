"""What the records tell of a rollout: its transitions, holds and answers. Pure.

A transition is recorded before the flag is written (``policy_change``) and again with
what became of it; a fall is written first, for nothing may stand in its way. Holds,
pauses and acknowledgements are records of the kind ``rollout``. Nothing else is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

CHANGE, NOTE = "policy_change", "rollout"
"""The kinds of records: a transition and what became of it; everything else."""
NAMED = "rollout"
"""The ``change`` of a transition among all changes of policy."""


class Verb(StrEnum):
    """Name what somebody, or the controller, did to a rollout."""

    ADVANCE = "advance"
    DEMOTE = "demote"
    ROLLBACK = "rollback"
    ABORT = "abort"
    HOLD = "hold"
    PAUSE = "pause"
    GO_ON = "go_on"
    RESUME = "resume"


FALLS = frozenset({Verb.DEMOTE, Verb.ROLLBACK, Verb.ABORT})
"""The verbs that only narrow: they take effect first and are recorded then."""


class Result(StrEnum):
    """Say what became of a transition."""

    OPEN = "open"
    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Hold one thing that happened to a rollout, as its records tell it.

    *start* and *end* are words of the flag: stages, or what stands in place of one.
    *facts* is the whole record, *told* the record of what became of it.
    """

    id: str
    at_us: int
    verb: Verb
    actor: str
    reason: str
    start: str = ""
    end: str = ""
    result: Result = Result.APPLIED
    settled_us: int | None = None
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    told: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def came_from(self, transition: str) -> bool:
        """Say whether it was decided on where *transition* had led."""
        evidence = self.facts.get("evidence")
        if not isinstance(evidence, Mapping):
            return False
        return bool(evidence.get("transition") == transition)

    @property
    def moves(self) -> bool:
        """Say whether it was to change the flag."""
        return self.verb in FALLS or self.verb is Verb.ADVANCE


@dataclass(frozen=True, slots=True)
class Story:
    """Hold what the records tell of one plan, in their order."""

    events: tuple[Event, ...] = ()

    def transition(self, identity: str) -> Event | None:
        """Return the transition *identity*, None if no record tells of it."""
        moves = (one for one in self.events if one.moves and one.id == identity)
        return next(moves, None)

    @property
    def open(self) -> tuple[Event, ...]:
        """Return the transitions of which no record says what became."""
        return tuple(
            one for one in self.events if one.moves and one.result is Result.OPEN
        )

    @property
    def standing(self) -> Event | None:
        """Return the fall that came last and that nobody has acknowledged."""
        applied = (one for one in reversed(self.events) if one.moves)
        last = next((one for one in applied if one.result is Result.APPLIED), None)
        if last is None or last.verb not in (Verb.ROLLBACK, Verb.ABORT):
            return None
        return None if self.acknowledged(last.id) else last

    def followed(self, transition: str) -> Event | None:
        """Return the move that was made from where *transition* had led, if any."""
        if not transition:
            return None
        applied = (one for one in self.events if one.result is Result.APPLIED)
        return next((one for one in applied if one.came_from(transition)), None)

    def entries(self, stage: str) -> int:
        """Return how often *stage* was entered."""
        return sum(
            one.moves and one.end == stage and one.result is Result.APPLIED
            for one in self.events
        )

    @property
    def hold(self) -> Event | None:
        """Return the hold that nobody has resumed from."""
        return self._last(Verb.HOLD, Verb.RESUME)

    @property
    def pause(self) -> Event | None:
        """Return the pause for a signal that has not passed."""
        return self._last(Verb.PAUSE, Verb.GO_ON, Verb.RESUME, *FALLS, Verb.ADVANCE)

    def _last(self, wanted: Verb, *ends: Verb) -> Event | None:
        for one in reversed(self.events):
            if one.verb in ends and one.result is Result.APPLIED:
                return None
            if one.verb is wanted:
                return one
        return None

    def acknowledged(self, transition: str) -> bool:
        """Say whether somebody resumed after the fall *transition*."""
        return any(
            one.verb is Verb.RESUME and one.facts.get("transition") == transition
            for one in self.events
        )

    def resumed_us(self) -> int:
        """Return when somebody last resumed, 0 for never."""
        return max((e.at_us for e in self.events if e.verb is Verb.RESUME), default=0)


def stories(bodies: Iterable[Mapping[str, Any]]) -> dict[str, Story]:
    """Return by plan what *bodies* tell, records of both kinds in the log's order."""
    events: dict[str, list[Event]] = {}
    places: dict[str, tuple[str, int]] = {}
    told: list[Mapping[str, Any]] = []
    for body in bodies:
        event = _event(body)
        if event is None:
            told.append(body)
            continue
        change = body.get("kind") == CHANGE
        plan = str(body["scope"]["plan"] if change else body["plan"])
        listed = events.setdefault(plan, [])
        if change:
            places[event.id] = plan, len(listed)
        listed.append(event)
    # Another writer's clock may be behind: what became of a move may stand before it.
    for body in told:
        if body.get("kind") == CHANGE and body.get("ref") in places:
            plan, place = places[str(body["ref"])]
            events[plan][place] = _settled(events[plan][place], body)
    return {plan: Story(tuple(listed)) for plan, listed in events.items()}


def _event(body: Mapping[str, Any]) -> Event | None:
    change = body.get("kind") == CHANGE
    if change and body.get("change") != NAMED:
        return None
    said = body.get("scope") if change else body
    verb = said.get("verb") if isinstance(said, Mapping) else None
    if not isinstance(said, Mapping) or verb not in {*Verb} or "plan" not in said:
        return None
    return Event(
        id=str(body["id"]),
        at_us=int(body["atUs"]),
        verb=Verb(str(verb)),
        actor=str(body.get("actor")),
        reason=str(body.get("reason")),
        start=str(said.get("from", "")),
        end=str(said.get("to", "")),
        result=Result.OPEN if change else Result.APPLIED,
        facts=body,
    )


def _settled(event: Event, body: Mapping[str, Any]) -> Event:
    """Return *event* with what *body* says became of it; applied is the last word."""
    result = str(body.get("result"))
    known = Result(result) if result in {*Result} else Result.UNVERIFIED
    if event.result is Result.APPLIED:
        return event
    return replace(event, result=known, settled_us=int(body["atUs"]), told=body)

"""The state table of a review: what may follow what. Pure, total, enumerable.

A review is made before its action runs and is open once the action has run. What a
person accepted is not open any more, so that no clock can undo it; an undo is begun by
one step that only one can take, and no step leads back to before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Say where the review of an action stands."""

    RUNNING = "running"
    """Nobody knows yet how the action ends."""
    OPEN = "open"
    ACCEPTED = "accepted"
    LAPSED = "lapsed"
    """Nobody looked in time, and the contract keeps the action."""
    REFUSED = "refused"
    """A person refused: the undo is due."""
    EXPIRED = "expired"
    """Nobody looked in time: the undo is due."""
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"
    HANDED_OVER = "handed_over"
    """A person must see to it by hand."""
    VOID = "void"
    """The action changed nothing, so there is nothing to look at."""


class Event(StrEnum):
    """Say what happens to a review."""

    SUCCEED = "succeed"
    CHANGE_NOTHING = "change_nothing"
    LOSE = "lose"
    """Nobody knows what the action, or its undo, did before it broke off."""
    VOTE = "vote"
    """An acceptance that does not make the quorum yet."""
    EXTEND = "extend"
    ACCEPT = "accept"
    REFUSE = "refuse"
    EXPIRE = "expire"
    LAPSE = "lapse"
    HAND_OVER = "hand_over"
    UNDO = "undo"
    """The undo is about to run: one process alone gets here."""
    FINISH = "finish"
    FAIL = "fail"


_R, _O, _U = State.RUNNING, State.OPEN, State.UNDOING
TABLE: Mapping[tuple[State, Event], State] = {
    (_R, Event.SUCCEED): State.OPEN,
    (_R, Event.CHANGE_NOTHING): State.VOID,
    (_R, Event.LOSE): State.HANDED_OVER,
    (_O, Event.VOTE): State.OPEN,
    (_O, Event.EXTEND): State.OPEN,
    (_O, Event.ACCEPT): State.ACCEPTED,
    (_O, Event.REFUSE): State.REFUSED,
    (_O, Event.EXPIRE): State.EXPIRED,
    (_O, Event.LAPSE): State.LAPSED,
    (_O, Event.HAND_OVER): State.HANDED_OVER,
    **{
        (state, event): to
        for state in (State.REFUSED, State.EXPIRED)
        for event, to in (
            (Event.UNDO, State.UNDOING),
            (Event.HAND_OVER, State.HANDED_OVER),
        )
    },
    (_U, Event.FINISH): State.UNDONE,
    (_U, Event.FAIL): State.UNDO_FAILED,
    (_U, Event.LOSE): State.HANDED_OVER,
}
"""Every step there is; any other leaves the state as it is and is refused."""

DUE = frozenset({State.REFUSED, State.EXPIRED})
"""Where an undo waits for a process that can run it."""
TIMED = DUE | {State.OPEN}
"""Where time means something."""
UNDER_WAY = frozenset({State.RUNNING, State.UNDOING})
"""Where something runs, or its process died."""
FINAL = frozenset(State) - TIMED - UNDER_WAY
BY_HAND = frozenset({State.HANDED_OVER, State.UNDO_FAILED})
"""Where a person has to see to it."""


def follow(state: State, event: Event) -> State | None:
    """Return the state after *event*, None when it may not happen in *state*."""
    return TABLE.get((state, event))


def refusal(state: State) -> str:
    """Return the reason code for an event that may not happen in *state*."""
    return f"already_{state.value}" if state is not State.RUNNING else "not_open"

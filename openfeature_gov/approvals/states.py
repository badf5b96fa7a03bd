"""The state table of an approval: what may follow what. Pure, total, enumerable.

Terminal states are final: an answer that comes late changes nothing and is told why.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Say where a request for approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    CONSUMED = "consumed"
    EXECUTED = "executed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Event(StrEnum):
    """Say what happens to a request."""

    VOTE = "vote"
    """An approval that does not make the quorum yet."""
    APPROVE = "approve"
    """The approval that makes the quorum."""
    REFUSE = "refuse"
    ASK = "ask"
    ANSWER = "answer"
    EXTEND = "extend"
    REASSIGN = "reassign"
    CALL_OUT = "call_out"
    """One person says that no reviewer can be reached."""
    BREAK_GLASS = "break_glass"
    """A second person says so too, which releases the action."""
    ESCALATE = "escalate"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    SUPERSEDE = "supersede"
    CONSUME = "consume"
    SUCCEED = "succeed"
    FAIL = "fail"
    LOSE = "lose"
    """Nobody knows how it ended: the process died in between."""


_P, _A, _C = State.PENDING, State.APPROVED, State.CONSUMED
TABLE: Mapping[tuple[State, Event], State] = {
    **{
        (_P, event): _P
        for event in (
            Event.VOTE,
            Event.ASK,
            Event.ANSWER,
            Event.EXTEND,
            Event.REASSIGN,
            Event.CALL_OUT,
            Event.ESCALATE,
        )
    },
    (_P, Event.APPROVE): State.APPROVED,
    (_P, Event.BREAK_GLASS): State.APPROVED,
    (_P, Event.REFUSE): State.REFUSED,
    (_P, Event.EXPIRE): State.EXPIRED,
    (_P, Event.WITHDRAW): State.WITHDRAWN,
    (_P, Event.SUPERSEDE): State.SUPERSEDED,
    # A release that was not used yet can be taken back, and it ends by itself.
    (_A, Event.REFUSE): State.REFUSED,
    (_A, Event.EXPIRE): State.EXPIRED,
    (_A, Event.WITHDRAW): State.WITHDRAWN,
    (_A, Event.SUPERSEDE): State.SUPERSEDED,
    (_A, Event.CONSUME): State.CONSUMED,
    (_C, Event.SUCCEED): State.EXECUTED,
    (_C, Event.FAIL): State.FAILED,
    (_C, Event.LOSE): State.UNKNOWN,
}
"""Every step there is; any other leaves the state as it is and is refused."""

OPEN = frozenset({State.PENDING, State.APPROVED})
"""What may still come to run."""
FINAL = frozenset(State) - OPEN - {State.CONSUMED}


def follow(state: State, event: Event) -> State | None:
    """Return the state after *event*, None when it may not happen in *state*."""
    return TABLE.get((state, event))


def refusal(state: State) -> str:
    """Return the reason code for an event that may not happen in *state*."""
    return f"already_{state.value}" if state is not State.PENDING else "not_approved"

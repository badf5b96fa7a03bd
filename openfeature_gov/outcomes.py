"""The outcome of a call: the decision, what ran, and what to tell the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from openfeature_gov.contracts import ActionContract
from openfeature_gov.decisions import Decision, Effect


class Status(StrEnum):
    """Say how far a call got."""

    PLANNED = "planned"
    DECIDED = "decided"
    RELEASED = "released"
    EXECUTED = "executed"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Hold what became of one call.

    *record_id* names the decision's record, empty for a plan, *approval_id* the
    request that it waits for or was decided by, *review_id* the review that people
    are asked for afterwards. *value* is what a
    function returned, *ran* which one (``tool``, a mode's handler, ``fallback``).
    *arguments* are those that may run, narrowed where constraints say so. *message*
    is written for the model: what happened, and whether to try again.
    """

    decision: Decision
    status: Status
    record_id: str = ""
    approval_id: str = ""
    review_id: str = ""
    message: str = ""
    ran: str = ""
    value: Any = None
    arguments: dict[str, Any] = field(default_factory=dict)
    contract: ActionContract | None = None

    def __repr__(self) -> str:
        """Return how it ended; no argument, no value and nobody's id."""
        return (
            f"Outcome(effect={self.effect.value!r}, reason={self.reason!r}, "
            f"status={self.status.value!r}, record_id={self.record_id!r}, "
            f"approval_id={self.approval_id!r})"
        )

    @property
    def effect(self) -> Effect:
        """Return the decision's effect."""
        return self.decision.effect

    @property
    def reason(self) -> str:
        """Return the decision's reason code."""
        return self.decision.reason


FINAL = "Do not retry this call"
_TEXTS = {
    Effect.DENY: f"Not executed: denied by policy. {FINAL}; continue without it.",
    Effect.QUEUE_FOR_APPROVAL: (
        f"Not executed: waiting for a person's approval (reference {{ref}}). {FINAL}; "
        "tell the user that a person will review it."
    ),
    Effect.FALLBACK: (
        f"Not executed: the system is in a safer mode ({{mode}}). {FINAL}; continue "
        "with look-ups only."
    ),
    Effect.CONSTRAIN: (
        f"Not executed: only {{mode}} is active for this tool. {FINAL}; the proposal "
        "was recorded."
    ),
}

_HALTS = {
    "budget_exhausted": (
        f"Not executed: the budget of this work is used up. {FINAL}; finish the step "
        "you are in, summarise what is done and what is left, and stop."
    ),
    "rate_limited": (
        "Not executed: too many calls in a short time. Do not repeat this call now; "
        "continue without it, or stop and say what is left."
    ),
}
"""What tells an agent to come to an end; no limit shows."""


_NOBODY = (
    "Not executed: needs a person's approval, and there is nobody to ask here "
    f"(reference {{ref}}). {FINAL}; continue without it, and tell the user that nobody "
    "was asked."
)
"""What is said of a queued call without reviewers: nothing waits."""


def message(
    decision: Decision, status: Status, *, ran: str, ref: str, asked: bool = True
) -> str:
    """Return the text for the model. Coarse on purpose: no rule, limit or flag shows.

    *ran* names the function that ran or may run, empty when nothing does; *ref* is
    the record that a person can look up; *asked* says whether a person was asked, or
    will be, where one must be.
    """
    if ran == "tool":
        done = "Executed" if status is Status.EXECUTED else "Allowed"
        limited = decision.effect is Effect.CONSTRAIN
        return f"{done} within a smaller scope." if limited else f"{done}."
    if ran:
        return (
            f"The requested action was not executed; its {ran} version runs instead. "
            f"{FINAL}."
        )
    if decision.reason in _HALTS:
        return _HALTS[decision.reason]
    effect = Effect.DENY if decision.effect is Effect.ALLOW else decision.effect
    unheard = effect is Effect.QUEUE_FOR_APPROVAL and not asked
    text = _NOBODY if unheard else _TEXTS[effect]
    return text.format(ref=ref or "pending", mode=decision.mode.label)

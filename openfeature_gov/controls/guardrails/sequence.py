"""Guardrail: two steps that are harmless apart, such as read a secret, then send."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import Weigher, clear, fired, unknown
from openfeature_gov.controls.guardrails.matching import act_of, is_like
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Sequence

MINUTE_US = 60_000_000


def sequence(rules: GovernanceContract, settings: Sequence) -> Weigher:
    """Fire for the second step while the first lies within the window.

    What the agent claims counts as well: naming a class can only lower authority.
    """
    name, then, minutes = settings.name, settings.then, settings.within_minutes
    window, apart = minutes * MINUTE_US, clear(settings)
    unsaid = unknown(rules, settings, "sequence_unknown")
    completed = fired(rules, settings, "sequence_completed", minutes=minutes)

    def weigh(contract: ActionContract, situation: Situation) -> Verdict:
        if then is not None and not is_like(act_of(contract, rules), then):
            return apart
        now = situation.now_us
        if now is None or name not in situation.preceded:
            return unsaid
        before = situation.preceded[name]
        return apart if before is None or now - before > window else completed

    return weigh

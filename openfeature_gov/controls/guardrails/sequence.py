"""Guardrail: two steps that are harmless apart, such as read a secret, then send."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.matching import act_of, is_like
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Sequence

MINUTE_US = 60_000_000


def sequence(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Sequence,
    situation: Situation,
) -> Verdict:
    """Fire for the second step while the first lies within the window.

    What the agent claims counts as well: naming a class can only lower authority.
    """
    if settings.then is not None and not is_like(
        act_of(contract, rules), settings.then
    ):
        return clear(settings)
    now = situation.now_us
    if now is None or settings.name not in situation.preceded:
        return unknown(rules, settings, "sequence_unknown")
    before = situation.preceded[settings.name]
    if before is None or now - before > settings.within_minutes * MINUTE_US:
        return clear(settings)
    return fired(rules, settings, "sequence_completed", minutes=settings.within_minutes)

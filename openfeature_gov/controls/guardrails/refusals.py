"""Guardrail: an agent that keeps asking for what it is refused has lost its way."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Refusals

MINUTE_US = 60_000_000
REASON = "refused_repeatedly"


def refusals(
    _: ActionContract,
    rules: GovernanceContract,
    settings: Refusals,
    situation: Situation,
) -> Verdict:
    """Fire while so many refusals lie within the window.

    What this guardrail refuses itself is not counted, so that its pause ends.
    """
    times, now = situation.refusals.get(settings.name), situation.now_us
    if times is None or now is None:
        return unknown(rules, settings, "refusals_unknown")
    if len(times) < settings.count:
        return clear(settings)
    if now - times[-settings.count] >= settings.window_minutes * MINUTE_US:
        return clear(settings)
    seen = {"count": settings.count, "windowMinutes": settings.window_minutes}
    return fired(rules, settings, REASON, **seen)

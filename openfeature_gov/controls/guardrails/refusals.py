"""Guardrail: an agent that keeps asking for what it is refused has lost its way."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import Weigher, clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Refusals

MINUTE_US = 60_000_000
REASON = "refused_repeatedly"


def refusals(rules: GovernanceContract, settings: Refusals) -> Weigher:
    """Fire while so many refusals lie within the window.

    What this guardrail refuses itself is not counted, so that its pause ends.
    """
    name, count = settings.name, settings.count
    window, few = settings.window_minutes * MINUTE_US, clear(settings)
    unsaid = unknown(rules, settings, "refusals_unknown")
    seen = {"count": count, "windowMinutes": settings.window_minutes}
    many = fired(rules, settings, REASON, **seen)

    def weigh(_: ActionContract, situation: Situation) -> Verdict:
        times, now = situation.refusals.get(name), situation.now_us
        if times is None or now is None:
            return unsaid
        if len(times) < count:
            return few
        return few if now - times[-count] >= window else many

    return weigh

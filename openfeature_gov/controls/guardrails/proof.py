"""Guardrail: above an amount, the user must have said anew who they are."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import FAULTS, MISSING, reading
from openfeature_gov.controls.guardrails.answers import Weigher, clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Reauthentication

MINUTE_US = 60_000_000


def proof(rules: GovernanceContract, settings: Reauthentication) -> Weigher:
    """Fire above the amount unless the server holds a fresh proof of this very user.

    Source: article 002, "re-authentication before processing refunds above $1,000".
    """
    above, lasts, fine = settings.above, settings.minutes * MINUTE_US, clear(settings)
    unreadable = reading(settings.currency)
    faulty = {one: unknown(rules, settings, one) for one in FAULTS}
    wanted = fired(rules, settings, "reauthentication_required")
    timeless = unknown(rules, settings, "time_unknown")
    foreign = fired(rules, settings, "proof_of_somebody_else")
    future = unknown(rules, settings, "proof_from_the_future")
    old = fired(rules, settings, "proof_too_old", minutes=settings.minutes)

    def weigh(contract: ActionContract, situation: Situation) -> Verdict:
        amount = contract.amount
        fault = unreadable(amount, contract.currency)
        if fault is not None or amount is None:
            return faulty[fault or MISSING]
        if amount <= above:
            return fine
        given, user = contract.context.proof, contract.context.actor.user
        if given is None:
            return wanted
        now = situation.now_us
        if now is None:
            return timeless
        if not user or given.subject != user:
            return foreign
        if given.at_us > now:
            return future
        return old if now - given.at_us > lasts else fine

    return weigh

"""Guardrail: above an amount, the user must have said anew who they are."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import unreadable
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Reauthentication

MINUTE_US = 60_000_000


def proof(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Reauthentication,
    situation: Situation,
) -> Verdict:
    """Fire above the amount unless the server holds a fresh proof of this very user.

    Source: article 002, "re-authentication before processing refunds above $1,000".
    """
    amount, now = contract.amount, situation.now_us
    fault = unreadable(amount, contract.currency, settings.currency)
    if fault is not None or amount is None:
        return unknown(rules, settings, fault or "amount_missing")
    if amount <= settings.above:
        return clear(settings)
    given, user = contract.context.proof, contract.context.actor.user
    if given is None:
        return fired(rules, settings, "reauthentication_required")
    if now is None:
        return unknown(rules, settings, "time_unknown")
    if not user or given.subject != user:
        return fired(rules, settings, "proof_of_somebody_else")
    if given.at_us > now:
        return unknown(rules, settings, "proof_from_the_future")
    if now - given.at_us > settings.minutes * MINUTE_US:
        return fired(rules, settings, "proof_too_old", minutes=settings.minutes)
    return clear(settings)

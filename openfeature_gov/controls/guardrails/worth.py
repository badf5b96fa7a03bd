"""Guardrail: accounts that are worth a lot are not for agents alone."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import beyond, unreadable
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import AccountValue


def worth(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: AccountValue,
    _: Situation,
) -> Verdict:
    """Fire for an account above the limit; one of unknown value cannot be told.

    Source: article 002, "account value exceeds $50,000".
    """
    facts = contract.facts
    value = facts.account_value
    fault = unreadable(value, facts.currency, settings.currency)
    if fault is not None or value is None:
        return unknown(rules, settings, f"account_{fault or 'amount_missing'}")
    if not beyond(value, settings.limit, exclusive=settings.exclusive):
        return clear(settings)
    seen = {"limit": f"{settings.limit}", "currency": settings.currency}
    return fired(rules, settings, "account_value_above_limit", **seen)

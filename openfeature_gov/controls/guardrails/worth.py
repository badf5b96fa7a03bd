"""Guardrail: accounts that are worth a lot are not for agents alone."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import (
    FAULTS,
    MISSING,
    beyond,
    reading,
)
from openfeature_gov.controls.guardrails.answers import Weigher, clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import AccountValue


def worth(rules: GovernanceContract, settings: AccountValue) -> Weigher:
    """Fire for an account above the limit; one of unknown value cannot be told.

    Source: article 002, "account value exceeds $50,000".
    """
    above = beyond(settings.limit, exclusive=settings.exclusive)
    unreadable, small = reading(settings.currency), clear(settings)
    faulty = {one: unknown(rules, settings, f"account_{one}") for one in FAULTS}
    seen = {"limit": f"{settings.limit}", "currency": settings.currency}
    large = fired(rules, settings, "account_value_above_limit", **seen)

    def weigh(contract: ActionContract, _: Situation) -> Verdict:
        facts = contract.facts
        value = facts.account_value
        fault = unreadable(value, facts.currency)
        if fault is not None or value is None:
            return faulty[fault or MISSING]
        return large if above(value) else small

    return weigh

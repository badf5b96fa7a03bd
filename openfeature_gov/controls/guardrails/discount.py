"""Guardrail: how much discount an agent may promise, in percent."""

from __future__ import annotations

from decimal import Decimal

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import ZERO, beyond, reading
from openfeature_gov.controls.guardrails.answers import (
    Weigher,
    clear,
    fired,
    seeing,
    unknown,
)
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Discount

ONE, ALL = Decimal(1), Decimal(100)


def discount(rules: GovernanceContract, settings: Discount) -> Weigher:
    """Fire above the limit; a share between 0 and 1 is a mix-up with percent.

    Source: article 002, "pricing discounts above 20%".
    """
    limit, small = f"{settings.limit}", clear(settings)
    above = beyond(settings.limit, exclusive=settings.exclusive)
    large = seeing(fired(rules, settings, "discount_above_limit"))
    missing = unknown(rules, settings, "discount_missing")
    unreadable = unknown(rules, settings, "discount_unreadable")
    mixed_up = unknown(rules, settings, "discount_no_percentage")
    fault = reading("")

    def weigh(contract: ActionContract, _: Situation) -> Verdict:
        percent = contract.facts.discount
        if percent is None:
            return missing
        if fault(percent, "") is not None:
            return unreadable
        if percent > ALL or ZERO < percent < ONE:
            return mixed_up
        if above(percent):
            return large({"percent": str(percent), "limit": limit})
        return small

    return weigh

"""Guardrail: how much discount an agent may promise, in percent."""

from __future__ import annotations

from decimal import Decimal

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import ZERO, beyond, unreadable
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Discount

ONE, ALL = Decimal(1), Decimal(100)


def discount(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Discount,
    _: Situation,
) -> Verdict:
    """Fire above the limit; a share between 0 and 1 is a mix-up with percent.

    Source: article 002, "pricing discounts above 20%".
    """
    percent = contract.facts.discount
    if percent is None:
        return unknown(rules, settings, "discount_missing")
    if unreadable(percent, "", "") is not None:
        return unknown(rules, settings, "discount_unreadable")
    if percent > ALL or ZERO < percent < ONE:
        return unknown(rules, settings, "discount_no_percentage")
    if not beyond(percent, settings.limit, exclusive=settings.exclusive):
        return clear(settings)
    seen = {"percent": f"{percent}", "limit": f"{settings.limit}"}
    return fired(rules, settings, "discount_above_limit", **seen)

"""Guardrail: how much money one action, or one day, may move."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import HUGE, beyond, unreadable
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Money
from openfeature_gov.governance.parts import EXACT


def money(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Money,
    situation: Situation,
) -> Verdict:
    """Fire when the amount, with what the day moved before it, is above the limit.

    An amount that is missing, not finite, negative, in another currency or finer than
    the currency's smallest coin cannot be told.
    """
    amount, limit = contract.amount, settings.limit
    fault = unreadable(amount, contract.currency, settings.currency, settings.decimals)
    if fault is not None or amount is None:
        return unknown(rules, settings, fault or "amount_missing")
    total = amount
    if settings.per != "action" and amount < HUGE:
        spent = situation.spent.get(settings.name)
        if spent is None:
            return unknown(rules, settings, "spent_unknown")
        total = EXACT.add(spent, amount)
    if not beyond(total, limit, exclusive=settings.exclusive):
        return clear(settings)
    return fired(
        rules,
        settings,
        "amount_above_limit",
        amount=f"{amount}",
        total=f"{total}",
        limit=f"{limit}",
        currency=settings.currency,
        per=settings.per,
    )

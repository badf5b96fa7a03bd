"""Guardrail: how much money one action, or one day, may move."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import (
    FAULTS,
    HUGE,
    MISSING,
    beyond,
    reading,
)
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
from openfeature_gov.governance.guardrails import Money
from openfeature_gov.governance.parts import EXACT


def money(rules: GovernanceContract, settings: Money) -> Weigher:
    """Fire when the amount, with what the day moved before it, is above the limit.

    An amount that is missing, not finite, negative, in another currency or finer than
    the currency's smallest coin cannot be told.
    """
    name, currency, per = settings.name, settings.currency, settings.per
    limit, daily = f"{settings.limit}", per != "action"
    above = beyond(settings.limit, exclusive=settings.exclusive)
    unreadable, added = reading(currency, settings.decimals), EXACT.add
    within, much = clear(settings), seeing(fired(rules, settings, "amount_above_limit"))
    faulty = {one: unknown(rules, settings, one) for one in FAULTS}
    uncounted = unknown(rules, settings, "spent_unknown")

    def weigh(contract: ActionContract, situation: Situation) -> Verdict:
        amount = contract.amount
        fault = unreadable(amount, contract.currency)
        if fault is not None or amount is None:
            return faulty[fault or MISSING]
        total = amount
        if daily and amount < HUGE:
            spent = situation.spent.get(name)
            if spent is None:
                return uncounted
            total = added(spent, amount)
        if not above(total):
            return within
        return much(
            {
                "amount": str(amount),
                "total": str(total),
                "limit": limit,
                "currency": currency,
                "per": per,
            }
        )

    return weigh

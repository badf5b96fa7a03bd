"""Control: a call whose cost nobody can tell spends nothing.

Whether a budget has enough left is known only where it is taken, in the transaction of
the decision's record. Here stands what would be taken, and what is known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

from openfeature_gov.contracts import ActionContract
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.envelopes import CALLS, MICRO, MOST, Budget, micro
from openfeature_gov.governance.parts import EXACT
from openfeature_gov.ladder import Mode

NAME = "budget"
EXHAUSTED, UNKNOWN, ANOMALY = "budget_exhausted", "budget_unknown", "budget_anomaly"
UNAVAILABLE = "budget_unavailable"


class Charge(NamedTuple):
    """Say what a call takes of *budget*: *amount* millionths of its unit, for whom.

    *guardrail* names the one on money that asks for it, with its own *ceiling* and a
    day that *begins_us* since 1970.
    """

    budget: Budget
    scope: str
    task: str
    amount: int
    guardrail: str = ""
    ceiling: int = 0
    begins_us: int = 0

    @property
    def moves(self) -> bool:
        """Say whether it is of what the call moves, which the call itself tells."""
        return bool(self.guardrail) or self.budget.charge == "amount"


class Unknown(NamedTuple):
    """Say why nobody can tell what a call takes of *budget*."""

    budget: Budget
    reason: str


def charges(
    contract: ActionContract,
    rules: GovernanceContract,
    estimates: Mapping[str, Decimal] | None,
) -> Iterator[Charge | Unknown]:
    """Yield what the call takes of each budget of *rules*.

    *estimates* holds by unit what the tool expects the call to cost, None where it
    could not tell.
    """
    for budget in rules.budgets:
        scope = _scope(budget, contract)
        task = contract.context.task if budget.per == "task" else ""
        taken = _taken(budget, contract, estimates)
        if not scope or (budget.per == "task" and not task):
            yield Unknown(budget, "nobody_to_charge")
        elif isinstance(taken, str):
            yield Unknown(budget, taken)
        elif not (taken.is_finite() and 0 <= taken <= MOST):
            yield Unknown(budget, "no_amount")
        else:
            yield Charge(budget, scope, task, micro(taken))


def unknown(found: Unknown) -> Verdict:
    """Return the verdict on a call that nobody knows the cost of: off."""
    seen = {"budget": found.budget.name, "unit": found.budget.unit, "why": found.reason}
    return Verdict(NAME, Mode.OFF, UNKNOWN, evidence=seen)


def exhausted(charge: Charge) -> Verdict:
    """Return the verdict on a call that a budget has too little left for: off."""
    return Verdict(NAME, Mode.OFF, EXHAUSTED, evidence=_seen(charge))


def unavailable(charge: Charge) -> Verdict:
    """Return the verdict on a call beyond this process's share of a ledger away: off.

    Source: threats table 5, "Budget/rate store down".
    """
    seen = {**_seen(charge), "awayShare": f"{charge.budget.away_share}"}
    return Verdict(NAME, Mode.OFF, UNAVAILABLE, evidence=seen)


def anomalous(charge: Charge) -> Verdict:
    """Return the verdict on spending that is far above the usual: the budget's cap."""
    cap = charge.budget.anomaly_mode
    return Verdict(NAME, cap, ANOMALY, evidence=_seen(charge))


def charged(charge: Charge) -> Verdict:
    """Return the verdict on a call whose cost is known; it is taken when it runs."""
    return Verdict(NAME, Mode.AUTONOMOUS, "charged", evidence=_seen(charge))


def _seen(charge: Charge) -> dict[str, str]:
    budget = charge.budget
    return {
        "budget": budget.name,
        "unit": budget.unit,
        "amount": text(charge.amount),
        "ceiling": f"{budget.ceiling}",
        "per": budget.per,
        "of": budget.of,
    }


def text(amount: int) -> str:
    """Return *amount* millionths as plain decimal text."""
    return f"{EXACT.divide(amount, MICRO):f}"


def _taken(
    budget: Budget,
    contract: ActionContract,
    estimates: Mapping[str, Decimal] | None,
) -> Decimal | str:
    """Return what the call takes of *budget*, or why that is unknown."""
    if budget.charge == "amount":
        if contract.amount is None:
            return "no_amount"
        return contract.amount if contract.currency == budget.unit else "currency"
    if budget.unit == CALLS:
        return Decimal(1)
    if estimates is None:
        return "estimate_unreadable"
    if budget.unit in estimates:
        return estimates[budget.unit]
    if budget.reserve is None:
        return "no_estimate"
    stated = contract.context.cost_estimate
    if budget.unit == "tokens" or stated is None:
        return budget.reserve
    if not isinstance(stated, Decimal) or not stated.is_finite() or stated < 0:
        return "estimate_unreadable"
    return max(stated, budget.reserve)


def _scope(budget: Budget, contract: ActionContract) -> str:
    """Return whose calls are counted together, empty where nobody is named.

    An account may lead to a person: the ledger holds a digest of it.
    """
    match budget.of:
        case "agent":
            return f"agent:{contract.context.actor.agent}"
        case "tool":
            return f"tool:{contract.tool}"
        case "workflow":
            return f"workflow:{contract.workflow}"
        case "everyone":
            return "everyone"
        case "account":
            account = contract.context.account
            digest = sha256(f"{budget.name}\0{account}".encode()).hexdigest()
            return f"account:{digest[:32]}" if account else ""

"""What a call adds to the day of its guardrails on money, for the shared ledger.

The guardrail judges by what this process knows. The ledger knows of every process: a
call that was within the limit here is refused there if it is not, and judged anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.budget import Charge
from openfeature_gov.controls.guardrails import PREFIX, concerns
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.envelopes import MOST, micro
from openfeature_gov.governance.guardrails import Money
from openfeature_gov.observing.days import begins_us, day_of, whose

GRANTED = 2**62
"""The ceiling of what was granted already: there is none above it."""


def daily(
    contract: ActionContract,
    rules: GovernanceContract,
    verdicts: Iterable[Verdict],
    now_us: int,
) -> Iterator[Charge]:
    """Yield what *contract* adds to the days of *rules*.

    One whose guardrail said in *verdicts* that it is too much runs, if at all, because
    somebody released it: it counts, and no limit stops it. Limits above 10^12 are no
    amounts for the ledger.
    """
    passed = {one.control for one in verdicts if one.reason == "clear"}
    for one in rules.daily:
        name = whose(one, contract)
        if not name or one.limit > MOST or not concerns(one, contract, rules):
            continue
        within = f"{PREFIX}{one.name}" in passed
        yield Charge(
            one.envelope,
            _scope(one, rules, name),
            "",
            _amount(one, contract),
            guardrail=one.name,
            ceiling=one.ceiling_micro if within else GRANTED,
            begins_us=begins_us(day_of(now_us, one.timezone), one.timezone),
        )


def _amount(one: Money, contract: ActionContract) -> int:
    """Return the amount; one that nobody can read uses the whole day up."""
    amount = contract.amount
    if amount is None or contract.currency != one.currency or amount > one.limit:
        return one.ceiling_micro + 1
    return micro(amount)


def _scope(one: Money, rules: GovernanceContract, name: str) -> str:
    """Return whose day it is. A name may lead to a person: its digest stands there."""
    where = rules.tool if one.across == "tool" else rules.workflow
    scope = f"{one.across}:{where}"
    if one.per == "day":
        return scope
    digest = sha256(f"{one.name}\0{name}".encode()).hexdigest()
    return f"{scope}|{one.per}:{digest[:32]}"

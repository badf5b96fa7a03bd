"""What a foreign policy is told of an action: derived facts, no argument, no text.

A fact that nobody states is left out. One that is stated and cannot be read is told as
`UNREADABLE`: a policy that forbids large amounts would take its absence for consent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import reading
from openfeature_gov.controls.guardrails.situation import Situation

SECOND_US = 1_000_000
BIG = Decimal(10) ** 14
"""Cedar's decimals have four digits after the point, and end below this."""
MOST = 2**63
"""Cedar's whole numbers end below this."""
UNREADABLE = "unreadable"
"""What no number is: to compare it with one is an error in Cedar, and errors cap."""
_unreadable = reading("")


def facts_of(contract: ActionContract, situation: Situation) -> dict[str, Any]:
    """Return the facts of *contract*: texts, whole numbers and Decimals.

    The names are those of the flag context (article 001), and of the extractors.
    ``ageSeconds`` and ``proofSeconds`` are rounded up: nothing is younger than it is.
    """
    known, context = contract.facts, contract.context
    told: dict[str, Any] = {
        **contract.attributes(),
        "amount": _amount(contract.amount),
        "currency": contract.currency or None,
        "records": _count(contract.records),
        "discount": _amount(known.discount),
        "segment": known.segment or None,
        "accountValue": _amount(known.account_value),
        "accountCurrency": known.currency or None,
        "ageSeconds": _age(known.created_us, situation.now_us),
        "proofSeconds": _proved(contract, situation),
        "sources": len(context.evidence.sources),
    }
    return {name: value for name, value in told.items() if value is not None}


def _amount(value: Decimal | None) -> Decimal | str | None:
    if value is None:
        return None
    exact = _unreadable(value, "") is None and value < BIG
    return value if exact else UNREADABLE


def _count(value: int | None) -> int | str | None:
    sound = value is None or (type(value) is int and 0 <= value < MOST)
    return value if sound else UNREADABLE


def _age(created_us: int | None, now_us: int | None) -> int | str | None:
    if created_us is None:
        return None
    seconds = _seconds(created_us, now_us)
    return UNREADABLE if seconds is None else seconds


def _seconds(since_us: int | None, now_us: int | None) -> int | None:
    if since_us is None or now_us is None or since_us > now_us:
        return None
    return -((since_us - now_us) // SECOND_US)


def _proved(contract: ActionContract, situation: Situation) -> int | None:
    proof, user = contract.context.proof, contract.context.actor.user
    if proof is None or not user or proof.subject != user:
        return None
    return _seconds(proof.at_us, situation.now_us)

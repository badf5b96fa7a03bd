"""What a foreign policy is told of an action: derived facts, no argument, no text.

A fact that cannot be read is left out: a policy that needs it then cannot permit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import FINE, unreadable
from openfeature_gov.controls.guardrails.situation import Situation

SECOND_US = 1_000_000
BIG = Decimal(10) ** 14
"""Cedar's decimals have four digits after the point, and end below this."""


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
        "ageSeconds": _seconds(known.created_us, situation.now_us),
        "proofSeconds": _proved(contract, situation),
        "sources": len(context.evidence.sources),
    }
    return {name: value for name, value in told.items() if value is not None}


def _amount(value: Decimal | None) -> Decimal | None:
    fault = unreadable(value, "", "", FINE)
    return value if fault is None and value is not None and value < BIG else None


def _count(value: int | None) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _seconds(since_us: int | None, now_us: int | None) -> int | None:
    if since_us is None or now_us is None or since_us > now_us:
        return None
    return -((since_us - now_us) // SECOND_US)


def _proved(contract: ActionContract, situation: Situation) -> int | None:
    proof, user = contract.context.proof, contract.context.actor.user
    if proof is None or not user or proof.subject != user:
        return None
    return _seconds(proof.at_us, situation.now_us)

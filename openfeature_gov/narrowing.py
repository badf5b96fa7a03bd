"""What is left of a call under constraints, and what its controls say of that.

A narrowed call is another action than the one that was judged: its controls look at it
once more, and the stricter of both counts. Nothing is narrowed twice: a narrowed action
that would be constrained to something else again is denied, because nobody has applied
that constraint.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openfeature_gov.canonical import seal
from openfeature_gov.contracts import ActionContract, ToolCall
from openfeature_gov.decisions import Constraint, Decision, Verdict
from openfeature_gov.errors import InvalidCallError
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode
from openfeature_gov.tools import Narrower, Tool

CONSTRAINED_AGAIN = Verdict("narrowing", Mode.OFF, "constrained_again")


def sealed(contract: ActionContract, rules: GovernanceContract) -> dict[str, Any]:
    """Return a copy of the arguments that were judged.

    Raises:
        InvalidCallError: code ``arguments_altered`` when someone changed them.

    """
    limit = rules.limits.argument_bytes
    arguments, canonical = seal(contract.arguments, max_bytes=limit)
    if canonical != contract.canonical:
        raise InvalidCallError(
            "arguments_altered", "they are not those that were judged"
        )
    return arguments


def narrowed(
    tool: Tool,
    narrow: Narrower,
    decision: Decision,
    contract: ActionContract,
    rules: GovernanceContract,
) -> ActionContract:
    """Return the narrowed action, derived anew: no more than what was asked.

    Raises:
        InvalidCallError: when it is more, or beyond a constraint.

    """
    given = narrow(sealed(contract, rules), decision.constraints)
    call = ToolCall(tool.name, given, contract.context, contract.call_id)
    smaller = tool.describe(call, rules, contract.context)
    grew = (
        smaller.faults
        or (smaller.amount or 0) > (contract.amount or 0)
        or (smaller.records or 0) > (contract.records or 0)
        or (smaller.facts.discount or 0) > (contract.facts.discount or 0)
        or smaller.risk_class is not contract.risk_class
        or smaller.reversibility is not contract.reversibility
    )
    if grew:
        raise InvalidCallError(
            "narrowing_widened", "the narrowed action is not smaller"
        )
    if not all(_obeyed(one, smaller) for one in decision.constraints):
        raise InvalidCallError(
            "constraint_ignored", "the narrowed action is beyond a constraint"
        )
    return smaller


def stricter(before: Iterable[Verdict], after: Iterable[Verdict]) -> list[Verdict]:
    """Return those of *after*, about the narrowed action, that say more than *before*.

    One that says no more is no news: the decision stands with what it said first.
    """
    said = {one.control: one for one in before}
    return [one for one in after if _adds(one, said.get(one.control))]


def _adds(new: Verdict, old: Verdict | None) -> bool:
    return (
        old is None
        or new.cap < old.cap
        or new.need > old.need
        or new.fallback > old.fallback
        or bool(new.constraints and new.constraints != old.constraints)
    )


def _obeyed(constraint: Constraint, action: ActionContract) -> bool:
    """Say whether *action* keeps *constraint*, as far as extractors can tell."""
    match constraint.kind:
        case "records" if constraint.limit is not None:
            return (action.records or 0) <= constraint.limit
        case "amount" if constraint.limit is not None:
            return (action.amount or 0) <= constraint.limit
        case "sources" if constraint.among is not None:
            # Tools take a list without a source for all of them.
            asked = action.facts.sources
            return asked is None or bool(asked and constraint.among.issuperset(asked))
        case _:
            return True

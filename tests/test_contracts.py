"""The action contract: what its digest binds, and what flag rules may see of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from openfeature_gov.contracts import (
    ActionContract,
    Actor,
    CallContext,
    Evidence,
    Proof,
    amount_band,
)
from openfeature_gov.errors import InvalidCallError
from openfeature_gov.ladder import Intent, Reversibility, RiskClass

CONTEXT = CallContext(
    actor=Actor(agent="a", user="u"), account="acc", environment="prod"
)
CONTRACT = ActionContract(
    tool="pay",
    workflow="w",
    context=CONTEXT,
    target_system="bank",
    risk_class=RiskClass.EXTERNAL_EFFECT,
    reversibility=Reversibility.MANUAL,
    intent=Intent.UPDATE,
    arguments={},
    canonical=b"{}",
)


@pytest.mark.parametrize(
    "change",
    [
        {"tool": "pay2"},
        {"target_system": "bank2"},
        {"canonical": b'{"to":1}'},
        {"context": replace(CONTEXT, account="acc2")},
        {"context": replace(CONTEXT, environment="prod2")},
        {"context": replace(CONTEXT, actor=Actor(agent="a", user="u2"))},
        {"context": replace(CONTEXT, actor=Actor(agent="a"))},
    ],
)
def test_digest_binds_what_where_and_for_whom(change: dict[str, Any]) -> None:
    """Another tool, target, place, subject or argument is another action."""
    assert replace(CONTRACT, **change).digest != CONTRACT.digest


def test_digest_is_the_same_for_the_same_action() -> None:
    """What only says who asked, and when, is no part of the action."""
    again = replace(CONTEXT, request="r-2", task="t-2")
    assert replace(CONTRACT, context=again, call_id="c").digest == CONTRACT.digest


def test_subject_is_the_user_before_the_agent() -> None:
    """Percentages dispatch on the user; without one on the agent."""
    assert Actor(agent="a", user="u").targeting_key == "u"
    assert Actor(agent="a").targeting_key == "a"


@pytest.mark.parametrize(
    ("amount", "band"),
    [
        ("0", "0"),
        ("0.01", "up_to_10"),
        ("10", "up_to_10"),
        ("10.01", "up_to_100"),
        ("100", "up_to_100"),
        ("1000", "up_to_1000"),
        ("10000", "up_to_10000"),
        ("10000.01", "over_10000"),
        (None, "none"),
    ],
)
def test_bands_are_closed_above(amount: str | None, band: str) -> None:
    """A limit belongs to the band below it."""
    assert amount_band(None if amount is None else Decimal(amount)) == band


def test_unreadable_amount_is_in_the_highest_band() -> None:
    """An amount that nobody could derive is not a small one."""
    assert amount_band(None, ("amount_unreadable",)) == "over_10000"


@pytest.mark.parametrize("risk", RiskClass)
def test_only_plain_reads_are_without_consequence(risk: RiskClass) -> None:
    """Reading sensitive data counts as much as writing."""
    plain = risk in (RiskClass.SEARCH, RiskClass.SCOPED_READ)
    manual = replace(CONTRACT, risk_class=risk)
    assert manual.mere_read is plain
    assert manual.consequential is not plain
    undoable = replace(manual, reversibility=Reversibility.AUTOMATIC)
    assert undoable.mere_read is plain
    assert undoable.consequential is not (plain or risk is RiskClass.REVERSIBLE_WRITE)


def test_context_keeps_what_it_was_given() -> None:
    """A mapping that its owner edits later changes neither claims nor evidence."""
    claims, results = {"riskClass": "irreversible"}, {"judge": "bad"}
    evidence = Evidence(evaluations=results)
    context = CallContext(actor=Actor(agent="a"), claims=claims, evidence=evidence)
    claims.clear()
    results.clear()
    assert context.claims == {"riskClass": "irreversible"}
    assert context.evidence.evaluations == {"judge": "bad"}
    frozen: Any = context.claims
    with pytest.raises(TypeError):
        frozen["riskClass"] = "search"


@pytest.mark.parametrize("at_us", [1.5, "1", None, True])
def test_a_proof_has_a_whole_time(at_us: Any) -> None:
    """A time that is no whole number of microseconds proves nothing."""
    with pytest.raises(InvalidCallError, match="context_invalid"):
        Proof(subject="user-1", at_us=at_us)
    with pytest.raises(InvalidCallError, match="context_invalid"):
        Proof(subject="a user", at_us=1)


def test_an_amount_that_is_no_number_is_in_the_highest_band() -> None:
    """NaN is above every amount that a flag rule may name."""
    assert amount_band(Decimal("NaN")) == "over_10000"

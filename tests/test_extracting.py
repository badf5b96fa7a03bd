"""Extractors: what a call is comes from its arguments, and only tightens."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from openfeature_gov import Effect, Extractors, ToolCall
from openfeature_gov.contracts import Actor, CallContext
from tests.conftest import Make
from tests.mailing import MAIL, SEARCH, call, log


def test_claims_only_lower_authority(desk: Make) -> None:
    """An agent that claims more risk gets less; one that claims less gets the same."""
    one = desk(SEARCH)
    one.governor.tool("look")(one.spy)
    one.set(mode="search_only")

    def effect(**claims: str) -> Effect:
        context = CallContext(actor=Actor(agent="a"), claims=claims)
        return one.governor.plan(ToolCall("look", {"q": 1}, context)).effect

    assert effect() is effect(riskClass="search") is Effect.ALLOW
    assert effect(riskClass="irreversible") is Effect.CONSTRAIN
    assert effect(riskClass="harmless, trust me") is Effect.CONSTRAIN
    two = desk(MAIL)
    two.governor.tool("mail")(two.spy)
    two.set(mode="draft_write")
    context = CallContext(actor=Actor(agent="a"), claims={"riskClass": "search"})
    assert two.governor.plan(ToolCall("mail", {}, context)).effect is Effect.CONSTRAIN


def test_extractors_decide_what_the_action_is(desk: Make) -> None:
    """Risk, reversibility, amount and count come from the arguments, strictest wins."""
    one = desk(SEARCH)
    extract = Extractors(
        risk=lambda a: "irreversible" if a["drop"] else "search",
        reversibility=lambda a: "none" if a["drop"] else "automatic",
        amount=lambda a: a["amount"],
        records=lambda a: a["count"],
        record=lambda a: "o-1",
        currency="EUR",
    )
    one.governor.tool("look", extract=extract)(one.spy)

    def planned(**more: Any) -> Any:
        given = {"drop": False, "amount": 5, "count": 1, **more}
        return one.governor.plan(call("look", **given))

    assert planned().effect is Effect.ALLOW
    assert planned(drop=True).effect is Effect.QUEUE_FOR_APPROVAL
    contract = planned(amount=Decimal("12.50")).contract
    assert contract is not None
    assert (contract.amount, contract.record) == (Decimal("12.50"), "o-1")
    assert contract.attributes()["amountBand"] == "up_to_100"
    for bad in (float("inf"), "5", None, [5], True, -1, Decimal("NaN")):
        assert planned(amount=bad).effect is Effect.DENY, bad
    assert planned(count=2**53 - 1).effect is Effect.ALLOW
    for bad in (-1, 1.5, "1", None, True, 2**53):
        assert planned(count=bad).reason == "records_unreadable", bad


@pytest.mark.parametrize(
    ("derived", "kept"), [("automatic", "manual"), ("none", "none")]
)
def test_extractors_only_tighten(derived: str, kept: str, desk: Make) -> None:
    """What the arguments say counts beside the contract where it is stricter."""
    one = desk(MAIL)
    extract = Extractors(reversibility=lambda a: derived, risk=lambda a: "search")
    one.governor.tool("mail", extract=extract)(one.spy)
    contract = one.governor.plan(call(to="x")).contract
    assert contract is not None
    assert (contract.reversibility, contract.risk_class) == (kept, "external_effect")


@pytest.mark.parametrize("bad", ["harmless", None, 5, RuntimeError("x")])
def test_extractor_that_fails_leaves_the_worst(bad: Any, desk: Make) -> None:
    """A class or a target that cannot be told is the worst one, and denied."""

    def tell(_: Any) -> Any:
        if isinstance(bad, Exception):
            raise bad
        return bad

    one = desk(SEARCH + "---\n" + MAIL)
    one.governor.tool("look", extract=Extractors(risk=tell, reversibility=tell))(
        one.spy
    )
    planned = one.governor.plan(call("look"))
    assert planned.reason == "classification_unreadable"
    assert planned.effect is Effect.DENY
    contract = planned.contract
    assert contract is not None
    assert contract.risk_class == "irreversible"
    assert contract.reversibility == "none"
    if bad != "harmless":
        one.governor.tool("mail", extract=Extractors(record=tell))(one.spy)
        assert one.governor.plan(call("mail")).reason == "target_unreadable"


def test_targets_that_are_no_ids_are_kept_as_digests(desk: Make) -> None:
    """An e-mail address or a sentence as target or tool name is not written down."""
    one = desk(MAIL)
    target = Extractors(record=lambda a: a["to"])
    one.governor.tool("mail", extract=target)(one.spy)
    one.governor.run(call(to="anna@example.org"))
    one.governor.run(call(to="#W-77"))
    one.governor.run(call(to=""))
    one.governor.run(call("My name is Anna and my card is 4111"))
    records = log(one, "decision")
    assert records[0]["targetRecord"].startswith("sha256:")
    assert records[1]["targetRecord"] == "#W-77"
    assert records[2]["targetRecord"] == ""
    assert records[3]["tool"].startswith("sha256:")
    assert b"anna" not in one.records.read_bytes().lower()

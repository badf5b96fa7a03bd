"""Recorded retail calls under guardrails: amounts come from the order store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from examples import retail_support as retail
from openfeature_gov import Effect
from openfeature_gov.demo import session as sessions
from openfeature_gov.demo.agent import MONEY, Played
from openfeature_gov.demo.orders import OrderStore
from openfeature_gov.demo.recorded import (
    CALLS,
    GOVERNANCE,
    SHOP,
    RecordedCall,
    read_calls,
    read_store,
)
from openfeature_gov.demo.session import Session, edit, opened

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
GIVING_BACK = ("cancel_pending_order", "refund_order", "return_delivered_order_items")
THRESHOLD, LINES, DAILY = Decimal(150), 3, Decimal(2000)
RULES = f"""\
guardrails:
  - kind: money
    name: large-amounts
    limit: {THRESHOLD}
    currency: USD
    only: {{tools: [{", ".join(GIVING_BACK)}]}}
  - kind: bulk
    limit: {LINES}
    cap: off
    only: {{tools: [{", ".join(sorted(MONEY))}]}}
"""
RUNNING_UP = f"""\
guardrails:
  - kind: money
    name: day
    per: day
    across: workflow
    limit: {DAILY}
    currency: USD
    cap: off
    only: {{tools: [{", ".join(sorted(MONEY))}]}}
"""


@dataclass(frozen=True, slots=True)
class Recording:
    """Hold recorded calls and the shop that they were made in."""

    calls: list[RecordedCall]
    shop: OrderStore


@pytest.fixture(scope="module", params=["scenario", "recorded"])
def recording(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """Return the packaged scenario, and the 550 recorded calls where they are."""
    calls, shop = CALLS, SHOP
    if request.param == "recorded":
        calls, shop = SHARED / "retail_tool_calls.jsonl", SHARED / "retail_db.json"
        if not (calls.exists() and shop.exists()):
            pytest.skip(f"the recorded retail calls are not in {SHARED}")
    with closing(read_store(shop)) as store:
        yield Recording(read_calls(calls), store)


@contextmanager
def governed(
    folder: Path, shop: OrderStore, rules: str, patch: pytest.MonkeyPatch
) -> Iterator[Session]:
    """Run the agent at full autonomy, approval waived, under *rules* as well."""
    path = folder / "rules.yaml"
    path.write_text(rules + GOVERNANCE.read_text("utf-8"), "utf-8")
    patch.setattr(sessions, "GOVERNANCE", path)
    with opened(folder / "run", shop, poll_seconds=0.02) as session:
        edit(session, retail.RELEASED)
        yield session


def amount(one: Played) -> Decimal:
    contract = one.outcome.contract
    assert contract is not None
    assert contract.amount is not None
    return contract.amount


def verdict(one: Played, name: str) -> str:
    (found,) = [
        v.reason
        for v in one.outcome.decision.verdicts
        if v.control == f"guardrail.{name}"
    ]
    return found


def readable(one: Played) -> bool:
    contract = one.outcome.contract
    return contract is not None and not contract.faults


def test_amounts_above_the_threshold_wait_and_bulk_is_stopped(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the store says is at stake: not a cent above runs without a person."""
    with governed(tmp_path, recording.shop, RULES, monkeypatch) as session:
        every = list(session.play(recording.calls, "run"))
    money = [one for one in every if one.call.tool in MONEY and readable(one)]
    ran, waited, stopped = 0, 0, 0
    for one in money:
        contract, effect = one.outcome.contract, one.outcome.effect
        assert contract is not None
        large = one.call.tool in GIVING_BACK and amount(one) > THRESHOLD
        many = (contract.records or 0) > LINES
        if many:
            assert (effect, verdict(one, "bulk")) == (
                Effect.DENY,
                "records_above_limit",
            )
            stopped += 1
        elif large:
            assert effect is Effect.QUEUE_FOR_APPROVAL
            assert verdict(one, "large-amounts") == "amount_above_limit"
            waited += 1
        elif effect is Effect.ALLOW:
            ran += 1
        assert not (one.wrote and (large or many))
    assert ran > 0
    assert waited > 0
    if len(recording.calls) > 100:
        assert stopped > 0
    reads = [one for one in every if one.call.tool.startswith("get_")]
    assert all(one.outcome.effect is Effect.ALLOW for one in reads)


def test_a_run_of_payments_stops_at_the_limit_of_the_day(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ran never adds up to more; reads go on to the end."""
    with governed(tmp_path, recording.shop, RUNNING_UP, monkeypatch) as session:
        every = list(session.play(recording.calls, "run"))
    money = [one for one in every if one.call.tool in MONEY and readable(one)]
    total = sum((amount(one) for one in money if one.outcome.ran == "tool"), Decimal(0))
    assert 0 < total <= DAILY
    denied = [one for one in money if one.outcome.effect is Effect.DENY]
    asked = sum((amount(one) for one in money), Decimal(0))
    assert asked <= DAILY or denied
    for one in denied:
        assert one.outcome.decision.reason == "amount_above_limit"
    assert every[-1].outcome.effect is not Effect.DENY or every[-1] in denied
    reads = [one for one in every if one.call.tool.startswith("get_")]
    assert all(one.outcome.effect is Effect.ALLOW for one in reads)

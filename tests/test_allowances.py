"""Allowances: what a call takes before it runs, and what is refused and recorded."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from openfeature_gov import Effect, Extractors, Outcome, ToolCall
from openfeature_gov.allowances import rates as rates_module
from openfeature_gov.allowances.rates import LocalRates, RatesDownError
from openfeature_gov.cli import app
from openfeature_gov.evidence.entries import Purse, Settle, Spend
from openfeature_gov.stores import history, ledger
from tests.conftest import CONTEXT, Desk, Make, contract_yaml
from tests.full import share
from tests.test_telemetry import Signals, signals

__all__ = ["signals"]

SPENDING = (
    '{{name: refunds, unit: USD, ceiling: "{ceiling}", per: day, charge: amount,'
    " of: {of}}}"
)
CALL = ToolCall("pay", {"cents": 10_000}, CONTEXT)
EXTRACT = Extractors(amount=lambda a: Decimal(a["cents"]) / 100, currency="USD")


def ledger_of(path: Path) -> dict[str, int]:
    """Return what was taken of each budget, and how much of it is held."""
    with closing(sqlite3.connect(path)) as db:
        taken = dict(db.execute("SELECT name, sum(taken) FROM budgets GROUP BY name"))
        (held,) = db.execute("SELECT coalesce(sum(amount), 0) FROM holds").fetchone()
    return {**taken, "held": held}


def paying(
    desk: Make,
    budgets: str = SPENDING.format(ceiling="250.00", of="agent"),
    *,
    extract: Extractors = EXTRACT,
    **changes: Any,
) -> Desk:
    one = desk(contract_yaml("pay", budgets=f"[{budgets}]"))

    def pay(cents: int) -> str:
        one.calls.append({"cents": cents})
        return "paid"

    vars(one)["gate"] = one.governor.tool("pay", extract=extract, **changes)(pay)
    return one


def flush(one: Desk) -> None:
    store: Any = one.governor.records
    store.flush()


def pay(one: Desk, cents: int, **changes: Any) -> Outcome:
    context = replace(CONTEXT, **changes)
    return one.governor.run(ToolCall("pay", {"cents": cents}, context))


@pytest.mark.parametrize(
    ("cents", "runs"),
    [(25_000, True), (25_001, False), (0, True), (24_999, True), (1, True)],
)
def test_the_edges_of_a_ceiling(desk: Make, cents: int, runs: bool) -> None:
    """Exactly the ceiling may be spent, and not one cent more."""
    outcome = pay(paying(desk), cents)
    assert (outcome.effect is Effect.ALLOW) is runs
    assert runs or outcome.reason == "budget_exhausted"


def test_what_was_spent_is_gone(desk: Make) -> None:
    """Two calls fill the envelope; the third is refused, recorded and not run."""
    one = paying(desk)
    outcomes = [pay(one, cents) for cents in (20_000, 5_000, 1, 0)]
    assert [o.effect.value for o in outcomes] == ["allow", "allow", "deny", "allow"]
    assert outcomes[2].reason == "budget_exhausted"
    assert "summarise" in outcomes[2].message
    assert [call["cents"] for call in one.calls] == [20_000, 5_000, 0]
    one.governor.close()
    assert ledger_of(one.records) == {"refunds": 250_000_000, "held": 0}
    found = history.records(one.records, kind="decision")
    assert [record["reason"] for record in found][2] == "budget_exhausted"
    verdicts = [v for v in list(found)[2]["verdicts"] if v["control"] == "budget"]
    assert verdicts[0]["evidence"]["ceiling"] == "250.00"


@pytest.mark.parametrize("cents", [-1, "25000", None, float("nan"), float("inf"), True])
def test_what_is_no_amount_spends_nothing(desk: Make, cents: Any) -> None:
    """Negative, NaN, text and missing amounts are refused, and take nothing."""
    one = paying(
        desk,
        extract=Extractors(amount=lambda a: a["cents"], currency="USD"),
    )
    outcome = pay(one, cents)
    assert outcome.effect is Effect.DENY
    assert not one.calls
    one.governor.close()
    assert ledger_of(one.records) == {"held": 0}


@pytest.mark.parametrize(
    ("extract", "budget", "why"),
    [
        (Extractors(amount=lambda _: 5, currency="EUR"), None, "currency"),
        (Extractors(amount=lambda _: 5), None, "currency"),
        (Extractors(currency="USD"), None, "no_amount"),
        (Extractors(), "{name: t, unit: tokens, ceiling: 9, per: day}", "no_estimate"),
        (
            Extractors(estimate=lambda _: {"tokens": -1}),
            "{name: t, unit: tokens, ceiling: 9, per: day}",
            "estimate_unreadable",
        ),
        (
            Extractors(estimate=lambda _: 1 / 0),
            "{name: t, unit: tokens, ceiling: 9, per: day, reserve: 1}",
            "estimate_unreadable",
        ),
        (
            Extractors(estimate=lambda _: {"USD": 10**13}),
            "{name: t, unit: USD, ceiling: 9, per: day}",
            "estimate_unreadable",
        ),
        (
            EXTRACT,
            "{name: t, unit: calls, ceiling: 9, per: day, of: account}",
            "nobody_to_charge",
        ),
    ],
)
def test_a_cost_that_nobody_can_tell_is_refused(
    desk: Make, extract: Extractors, budget: str | None, why: str
) -> None:
    """A wrong currency, a missing estimate and nobody to charge: off, with the why."""
    budgets = budget or SPENDING.format(ceiling="250.00", of="agent")
    one = paying(desk, budgets, extract=extract)
    outcome = pay(one, 100)
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "budget_unknown")
    (verdict,) = [v for v in outcome.decision.verdicts if v.control == "budget"]
    assert verdict.evidence["why"] == why
    assert not one.calls


@pytest.mark.parametrize(
    ("extract", "stated", "taken"),
    [
        (Extractors(estimate=lambda _: {"USD": Decimal("0.3")}), None, 300_000),
        (Extractors(estimate=lambda _: 0.3, currency="USD"), Decimal(5), 300_000),
        (Extractors(), None, 2_000_000),
        (Extractors(), Decimal("1.5"), 2_000_000),
        (Extractors(), Decimal("2.5"), 2_500_000),
        (Extractors(), Decimal("NaN"), None),
        (Extractors(), Decimal(-1), None),
        (Extractors(), 2.5, None),
    ],
)
def test_what_is_reserved(
    desk: Make, extract: Extractors, stated: Any, taken: int | None
) -> None:
    """The tool's estimate, else the reserve, which the host may raise, never lower."""
    budget = '{name: usd, unit: USD, ceiling: "9", per: day, reserve: "2"}'
    one = paying(desk, budget, extract=extract)
    outcome = pay(one, 1, cost_estimate=stated)
    assert (outcome.effect is Effect.ALLOW) is (taken is not None)
    one.governor.close()
    assert ledger_of(one.records).get("usd") == taken


def test_a_task_without_a_name_has_no_envelope(desk: Make) -> None:
    """An envelope of the task needs to know which task."""
    one = paying(desk, "{name: t, unit: calls, ceiling: 2, per: task}")
    assert pay(one, 1, task="").reason == "budget_unknown"
    assert [pay(one, 1).effect.value for _ in range(3)] == ["allow", "allow", "deny"]
    assert pay(one, 1, task="task-2").effect is Effect.ALLOW


def test_the_acting_agent_is_charged(desk: Make) -> None:
    """A delegate spends its own envelope, and the chain stays in the record."""
    one = paying(desk)
    actor = replace(CONTEXT.actor, agent="agent-2", delegation=("agent-1",))
    assert pay(one, 25_000, actor=actor).effect is Effect.ALLOW
    assert pay(one, 1, actor=actor).effect is Effect.DENY
    assert pay(one, 25_000).effect is Effect.ALLOW
    one.governor.close()
    (first, *_) = history.records(one.records, kind="decision")
    assert (first["context"]["agent"], first["delegation"]) == ("agent-2", ["agent-1"])


def test_a_shared_envelope_is_one(desk: Make) -> None:
    """Of everyone together no more than the ceiling is spent."""
    one = paying(desk, SPENDING.format(ceiling="250.00", of="everyone"))
    actor = replace(CONTEXT.actor, agent="agent-2")
    assert pay(one, 25_000, actor=actor).effect is Effect.ALLOW
    assert pay(one, 1).reason == "budget_exhausted"


def test_no_account_stands_in_the_ledger(desk: Make) -> None:
    """An account may lead to a person: the ledger, never erased, has a digest."""
    one = paying(desk, SPENDING.format(ceiling="250.00", of="account"))
    assert pay(one, 25_000, account="acct-77").effect is Effect.ALLOW
    assert pay(one, 1, account="acct-77").effect is Effect.DENY
    assert pay(one, 1, account="acct-78").effect is Effect.ALLOW
    one.governor.close()
    with closing(sqlite3.connect(one.records)) as db:
        rows = db.execute("SELECT scope FROM budgets UNION SELECT scope FROM holds")
        assert "acct" not in str(rows.fetchall()).replace("account:", "")


def test_failure_gives_back_and_the_end_settles(desk: Make) -> None:
    """What fails costs nothing; what ran costs what it says, or what was taken."""
    told: list[Any] = []
    one = desk(
        contract_yaml(
            "ask",
            budgets='[{name: usd, unit: USD, ceiling: "10", per: task, reserve: "2"},'
            " {name: tok, unit: tokens, ceiling: 1000, per: task, reserve: 400}]",
        )
    )

    @one.governor.tool("ask", cost=lambda value: value["spent"])
    def ask(what: str) -> dict[str, Any]:
        told.append(what)
        if what == "fail":
            raise OSError
        return {"spent": {"USD": Decimal("0.25"), "tokens": 100}, "what": what}

    call = ToolCall("ask", {"what": "all"}, CONTEXT)
    for _ in range(6):
        one.governor.run(call)
    with pytest.raises(OSError):
        one.governor.run(replace(call, arguments={"what": "fail"}))
    flush(one)
    assert ledger_of(one.records) == {"usd": 1_500_000, "tok": 600_000_000, "held": 0}
    assert one.governor.run(call).effect is Effect.ALLOW
    flush(one)
    assert one.governor.run(call).reason == "budget_exhausted", "400 of 300 tokens left"
    one.governor.close()
    costs = [r["cost"] for r in history.records(one.records, kind="outcome")]
    assert costs[0] == "0.25"


@pytest.mark.parametrize("value", [-1, float("nan"), "0.10", None, 10**13])
def test_a_cost_that_cannot_be_read_leaves_what_was_taken(
    desk: Make, value: Any
) -> None:
    """Negative, NaN and text are no cost: what may have been spent counts as spent."""
    one = paying(
        desk,
        "{name: t, unit: tokens, ceiling: 9, per: day, reserve: 5}",
        cost=lambda _: {"tokens": value},
    )
    assert pay(one, 1).effect is Effect.ALLOW
    one.governor.close()
    assert ledger_of(one.records) == {"t": 5_000_000, "held": 0}


def test_a_report_settles(desk: Make) -> None:
    """Who runs the tool elsewhere reports the cost; not run gives it back."""
    one = paying(desk, '{name: usd, unit: USD, ceiling: "10", per: day, reserve: "3"}')
    first, second, third = (one.governor.decide(CALL) for _ in range(3))
    assert one.governor.decide(CALL).reason == "budget_exhausted"
    for cost in (Decimal("NaN"), Decimal(-1), Decimal("Infinity")):
        with pytest.raises(ValueError, match="from 0 to 10"):
            one.governor.report(first.record_id, "executed", cost=cost)
    one.governor.report(first.record_id, "executed", cost=Decimal("1.50"))
    one.governor.report(second.record_id, "not_run")
    assert ledger_of(one.records) == {"usd": 4_500_000, "held": 3_000_000}
    assert one.governor.decide(CALL).effect is Effect.ALLOW
    one.governor.report(third.record_id, "executed", cost=Decimal(4))
    one.governor.close()
    assert ledger_of(one.records) == {"usd": 8_500_000, "held": 0}


def test_what_nobody_reported_counts_as_spent(desk: Make) -> None:
    """A decision without an end keeps its part when the process ends."""
    one = paying(desk)
    assert one.governor.decide(CALL).effect is Effect.ALLOW
    one.governor.close()
    assert ledger_of(one.records) == {"refunds": 100_000_000, "held": 0}
    (outcome,) = history.records(one.records, kind="outcome")
    assert outcome["status"] == "unknown"


def test_what_was_paid_for_runs(desk: Make) -> None:
    """Another call that finds too little left takes nothing from one that has paid."""
    one = paying(desk)
    gate: Callable[..., str] = vars(one)["gate"]
    first = ToolCall("pay", {"cents": 25_000}, CONTEXT)
    released = one.governor.enforce(first)
    assert released.effect is Effect.ALLOW
    assert pay(one, 25_000).reason == "budget_exhausted"
    with one.governor.acting(CONTEXT):
        assert gate(cents=25_000) == "paid"
    one.governor.close()
    assert ledger_of(one.records) == {"refunds": 250_000_000, "held": 0}
    decided = list(history.records(one.records, kind="decision"))
    assert [record["effect"] for record in decided] == ["allow", "deny"]


def test_a_plan_takes_nothing(desk: Make) -> None:
    """Looking costs nothing, and says what is known."""
    one = paying(desk)
    for _ in range(5):
        assert one.governor.plan(CALL).effect is Effect.ALLOW
    over = ToolCall("pay", {"cents": 25_001}, CONTEXT)
    assert one.governor.plan(over).reason == "budget_exhausted"
    one.governor.close()
    assert ledger_of(one.records) == {"held": 0}


def test_async_calls_spend_as_well(desk: Make) -> None:
    """Many tasks at once spend no more than the ceiling, and cancelling gives back."""
    one = desk(
        contract_yaml("ping", budgets="[{name: c, unit: calls, ceiling: 20, per: day}]")
    )

    @one.governor.tool("ping")
    async def ping() -> None:
        await asyncio.sleep(0)

    async def all_of_them() -> list[Outcome]:
        call = ToolCall("ping", {}, CONTEXT)
        return await asyncio.gather(*(one.governor.arun(call) for _ in range(64)))

    outcomes = asyncio.run(all_of_them())
    assert sum(o.effect is Effect.ALLOW for o in outcomes) == 20
    assert {o.reason for o in outcomes if o.effect is Effect.DENY} == {
        "budget_exhausted"
    }
    one.governor.close()
    assert ledger_of(one.records) == {"c": 20_000_000, "held": 0}


class Broken:
    """Be counters that fail in a given way."""

    remote, processes = True, 5

    def __init__(self, error: Exception) -> None:
        self.error = error

    def take(self, key: str, count: int, seconds: int, burst: int = 0) -> bool:
        raise self.error


def limited(
    desk: Make,
    limits: str,
    *,
    clock: Callable[[], int] | None = None,
    rates: Any = None,
    **changes: str,
) -> Desk:
    one = desk(contract_yaml("pay", rateLimits=f"[{limits}]", **changes))
    allowances = one.governor._decider.allowances
    assert allowances is not None
    if clock is not None:
        allowances.rates = LocalRates(clock)
    if rates is not None:
        allowances.rates = rates

    @one.governor.tool("pay")
    def pay(cents: int) -> str:
        one.calls.append({"cents": cents})
        return "paid"

    return one


def test_a_runaway_agent_meets_its_limit_and_the_others_go_on(
    desk: Make,
) -> None:
    """Its own limit stops it before it takes what everybody shares."""
    one = limited(desk, "{rate: 100/minute, of: tool}, {rate: 20/minute}")
    loop = [pay(one, 1) for _ in range(200)]
    assert sum(o.effect is Effect.ALLOW for o in loop) == 20
    assert loop[-1].reason == "rate_limited"
    assert "Do not repeat" in loop[-1].message
    other = replace(CONTEXT.actor, agent="agent-2")
    assert pay(one, 1, actor=other).effect is Effect.ALLOW
    instance = replace(CONTEXT.actor, instance="i-2")
    assert pay(one, 1, actor=instance).effect is Effect.ALLOW
    one.governor.close()
    reasons = [r["reason"] for r in history.records(one.records, kind="decision")]
    assert reasons.count("rate_limited") == 180


def test_a_plan_and_a_refusal_take_no_place(desk: Make) -> None:
    """Only what would run counts; who named no account has no limit to count for."""
    one = limited(desk, "{rate: 2/minute, of: account}")
    assert pay(one, 1).reason == "rate_unknown"
    for _ in range(5):
        one.governor.plan(replace(CALL, context=replace(CONTEXT, account="a-1")))
    one.set(mode="off")
    assert pay(one, 1, account="a-1").effect is Effect.DENY
    one.set(mode="autonomous")
    effects = [pay(one, 1, account="a-1").effect for _ in range(3)]
    assert effects == [Effect.ALLOW, Effect.ALLOW, Effect.DENY]


def test_contracts_that_name_a_limit_share_it(desk: Make) -> None:
    """One name is one count, over tools."""
    shared = "[{rate: 3/hour, name: outgoing}]"
    one = desk(
        contract_yaml("mail", rateLimits=shared)
        + "---\n"
        + contract_yaml("post", rateLimits=shared)
    )
    for name in ("mail", "post"):
        one.governor.tool(name)(lambda: "done")
    names = ["mail", "post", "mail", "post", "mail"]
    outcomes = [one.governor.run(ToolCall(name, {}, CONTEXT)) for name in names]
    assert [o.effect.value for o in outcomes] == ["allow"] * 3 + ["deny"] * 2


READ: dict[str, Any] = {"riskClass": "search", "reversibility": "automatic"}


@pytest.mark.parametrize(
    "error", [RatesDownError("away"), OSError("gone"), ValueError()]
)
def test_counters_that_are_away_stop_what_is_consequential(
    desk: Make, error: Exception
) -> None:
    """A payment stops; reads go on within the share of this process, or not at all."""
    one = limited(desk, "{rate: 20/minute}", rates=Broken(error))
    assert pay(one, 1).reason == "rate_unavailable"
    two = limited(desk, "{rate: 20/minute}", rates=Broken(error), **READ)
    effects = [pay(two, 1).effect for _ in range(6)]
    share = 4 if isinstance(error, RatesDownError) else 0
    assert effects == [Effect.ALLOW] * share + [Effect.DENY] * (6 - share)


def test_a_share_of_less_than_one_is_none(desk: Make) -> None:
    """Four calls among five processes leave no whole one for each."""
    down = Broken(RatesDownError("away"))
    one = limited(desk, "{rate: 4/minute}", rates=down, **READ)
    assert pay(one, 1).reason == "rate_limited"


@pytest.mark.parametrize(("burst", "runs"), [(4, 0), (5, 1), (12, 2)])
def test_a_share_of_a_bucket_is_a_bucket(desk: Make, burst: int, runs: int) -> None:
    """Its burst is parted as its rate is: less than one whole call is none."""
    down = Broken(RatesDownError("away"))
    limit = f"{{rate: 20/hour, burst: {burst}}}"
    one = limited(desk, limit, rates=down, **READ)
    effects = [pay(one, 1).effect for _ in range(3)]
    assert effects == [Effect.ALLOW] * runs + [Effect.DENY] * (3 - runs)


def test_a_bucket_stops_a_burst(desk: Make) -> None:
    """Beside a wide window it holds back what comes too fast, and says so."""
    at = [10**15]
    limits = "{rate: 100/hour}, {rate: 60/hour, burst: 3}"
    one = limited(desk, limits, clock=lambda: at[0])
    assert [pay(one, 1).effect.value for _ in range(4)] == ["allow"] * 3 + ["deny"]
    at[0] += 60 * 10**9
    assert [pay(one, 1).reason for _ in range(2)][1] == "rate_limited"
    assert len(one.calls) == 4
    one.governor.close()
    refused = [*history.records(one.records, kind="decision")][3]
    (seen,) = [v for v in refused["verdicts"] if v["control"] == "rate_limit"]
    assert seen["evidence"] == {
        "rate": "60/hour",
        "of": "agent",
        "name": "",
        "burst": "3",
    }


def test_windows_slide_by_the_monotonic_clock() -> None:
    """What began counts for exactly one window, wherever that begins."""
    at = [0]
    rates = LocalRates(lambda: at[0])
    second = 10**9

    def grants(seconds: float, most: int = 10, tries: int = 30) -> int:
        at[0] = int(seconds * second)
        return sum(rates.take("k", most, 60) for _ in range(tries))

    assert grants(59, tries=4) == 4
    assert grants(118) == 6, "a burst at an edge is one burst"
    assert grants(119 - 1e-6) == 0
    assert grants(119) == 4, "those of 59"
    assert grants(149) == 0
    assert grants(178) == 6
    assert grants(500) == 10
    # Of many, those that lie close together are remembered together.
    assert [grants(1_000 + one, 100, 50) for one in (0, 0.9)] == [50, 50]
    assert grants(1_060.5, 100) == 0, "by the time of the last of them"
    assert grants(1_060.9, 100) == 30
    assert [rates.take("z", 0, 60), rates.take("z", 1, 60)] == [False, True]


@settings(max_examples=share(2000))
@given(
    st.integers(1, 200),
    st.integers(1, 70),
    st.sampled_from([0, 1, 2, 5, 130]),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 80)), max_size=40),
)
def test_no_time_sees_more_begin_than_its_limit(
    count: int, seconds: int, burst: int, asked: list[tuple[int, int]]
) -> None:
    """In a window count, in a bucket burst + count * t / seconds, whenever one looks.

    Asked for again and again after each pause, it also grants what is free.
    """
    at = [0]
    rates, begun = LocalRates(lambda: at[0]), list[int]()
    for pause, tries in asked:
        at[0] += pause * 7 * 10**8
        begun += [at[0] for _ in range(tries) if rates.take("k", count, seconds, burst)]
    width = seconds * 10**9
    for first, since in enumerate(begun):
        for last, until in enumerate(begun[first:], first + 1):
            many = last - first
            if burst:
                assert many * width <= burst * width + count * (until - since)
            elif until - since < width:
                assert many <= count
    if asked:
        assert len(begun) >= min(asked[0][1], burst or count)


def test_a_bucket_refills_at_its_rate() -> None:
    """Five at once, then one every two seconds, and never more than five at once."""
    at = [0]
    rates = LocalRates(lambda: at[0])

    def grants(seconds: float) -> int:
        at[0] = int(seconds * 10**9)
        return sum(rates.take("k", 30, 60, 5) for _ in range(9))

    assert [grants(one) for one in (0, 1.999, 2, 3, 6, 100)] == [5, 0, 1, 0, 2, 5]
    at[0] = 50 * 10**9
    assert not rates.take("k", 30, 60, 5), "a clock that goes back refills nothing"


def test_keys_are_forgotten_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can fill the memory with new names, and old ones make room."""
    monkeypatch.setattr(rates_module, "MOST_KEYS", 3)
    at = [0]
    rates = LocalRates(lambda: at[0])
    assert [rates.take(k, 9, 1) for k in "abcd"] == [True, True, True, False]
    assert rates.take("a", 9, 1)
    at[0] = 2 * 10**9
    assert rates.take("d", 9, 1)
    assert [rates.take(k, 9, 1, 1) for k in "ef"] == [True, True]
    assert not rates.take("g", 9, 1, 1)
    at[0] += 10**9 // 9 + 1
    assert rates.take("g", 9, 1, 1), "a bucket that is full again is forgotten"


@pytest.fixture
def book(tmp_path: Path) -> Any:
    """Return a ledger in a file, and a way to spend from it."""
    from openfeature_gov.stores.schema import connect

    with closing(connect(tmp_path / "ledger.db")) as db:

        def spend(ref: str, amount: int, begins: int, **more: Any) -> list[Any]:
            found: list[Any] = []
            told = {"ceiling": 100, "at_us": begins, "unit": "calls", **more}
            of = Purse("b", "agent:a", "")
            entry = Spend(of, ref, amount=amount, begins_us=begins, found=found, **told)
            ledger.enter(db.execute, entry)
            return found

        spend.db = db  # type: ignore[attr-defined]  # a test's own handle
        yield spend


def test_a_clock_that_steps_back_opens_no_window_again(book: Any) -> None:
    """The newest window stays the one that is charged, until time is beyond it."""
    book("r1", 100, 2_000)
    for begins in (1_000, 0, 2_000):
        with pytest.raises(Exception, match="budget b: less is left"):
            book(f"r-{begins}", 1, begins)
    book("r2", 100, 3_000)
    rows = book.db.execute("SELECT begins_us, taken FROM budgets ORDER BY 1").fetchall()
    assert rows == [(2_000, 100), (3_000, 100)]


def test_another_unit_is_another_budget(book: Any) -> None:
    """A name whose unit was changed spends nothing of the old window."""
    book("r1", 1, 1_000)
    with pytest.raises(Exception, match="less is left"):
        book("r2", 1, 1_000, unit="USD")


def test_an_end_counts_once(book: Any) -> None:
    """A second end, and the end of something unknown, change nothing."""
    book("r1", 50, 1_000)
    of = Purse("b", "agent:a", "")
    for end in (Settle(of, "r1", 20), Settle(of, "r1", 0), Settle(of, "r9", 0)):
        ledger.enter(book.db.execute, end)
    assert book.db.execute("SELECT taken FROM budgets").fetchall() == [(20,)]
    ledger.enter(book.db.execute, Settle(of, "r1", 0))
    book("r2", 10, 1_000)
    ledger.enter(book.db.execute, Settle(None, "r2"))
    assert book.db.execute("SELECT taken FROM budgets").fetchall() == [(30,)]
    assert book.db.execute("SELECT count(*) FROM holds").fetchall() == [(0,)]


def test_the_usual_needs_five_windows(book: Any) -> None:
    """The mean of the windows before this one, once there are five."""
    for day in range(1, 6):
        assert book(f"r{day}", 10 * day, day, multiple=3)[0].usual is None
    assert book("r6", 1, 6, multiple=3)[0] == (1, 30)
    assert book("r7", 1, 6, multiple=3)[0] == (2, 30)


def test_the_command_line_shows_the_ledger(desk: Make) -> None:
    """Whose window, since when, what was taken of it, and what is still held."""
    one = paying(desk)
    assert pay(one, 1_250).effect is Effect.ALLOW
    assert one.governor.decide(CALL).effect is Effect.ALLOW
    flush(one)
    words = ["budgets", "list", "--records", str(one.records)]
    shown = CliRunner().invoke(app, words)
    (window,) = orjson.loads(shown.stdout)["windows"]
    assert window.pop("beginsUs") % 86_400_000_000 == 0
    assert window == {
        "budget": "refunds",
        "of": "agent:agent-1",
        "task": "",
        "unit": "USD",
        "taken": "112.5",
        "held": "100",
    }
    table = CliRunner().invoke(app, [*words, "--no-json"]).stdout
    assert "112.5" in table


def test_an_anomaly_is_told_before_the_ceiling(desk: Make, signals: Signals) -> None:
    """Once a window: recorded and on the span, and from then on capped if so said."""
    budget = (
        "{name: c, unit: calls, ceiling: 100, per: task, anomalyMultiple: 3,"
        " anomalyMode: approval_required}"
    )
    one = paying(desk, budget)
    for task in range(5):
        for _ in range(2):
            assert pay(one, 1, task=f"t-{task}").effect is Effect.ALLOW
    effects = [pay(one, 1, task="t-new").effect for _ in range(8)]
    assert effects == [Effect.ALLOW] * 7 + [Effect.QUEUE_FOR_APPROVAL]
    one.governor.close()
    (alert,) = history.records(one.records, kind="budget_anomaly")
    assert (alert["budget"], alert["taken"], alert["usual"]) == ("c", "7", "2")
    events = [event for span in signals.spans() for event in span.events]
    (event,) = [one for one in events if one.name == "gov.budget.anomaly"]
    assert dict(event.attributes or {})["gov.budget.taken"] == "7"
    decided = [one["id"] for one in history.records(one.records, kind="decision")]
    assert alert["ref"] in decided


@pytest.mark.parametrize(
    ("named", "cents", "spent"),
    [(True, 1, 0), (True, 2, 20_000), (False, 1, 10_000), (False, 2, 20_000)],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_failure_that_may_have_moved_money_gives_none_back(
    desk: Make, cents: int, spent: int, *, named: bool, elsewhere: bool
) -> None:
    """Only an exception by which a tool says that it changed nothing does."""
    one = desk(
        contract_yaml("pay", budgets=f"[{SPENDING.format(ceiling=9, of='agent')}]")
    )
    refusals: tuple[type[Exception], ...] = (LookupError,) if named else ()

    @one.governor.tool("pay", extract=EXTRACT, refusals=refusals)
    def pay(cents: int) -> str:
        raise TimeoutError if cents == 2 else LookupError

    call = ToolCall("pay", {"cents": cents}, CONTEXT)
    if elsewhere:
        name = "TimeoutError" if cents == 2 else "LookupError"
        one.governor.report(one.governor.decide(call).record_id, "failed", error=name)
    else:
        with pytest.raises((TimeoutError, LookupError)):
            one.governor.run(call)
    one.governor.close()
    assert ledger_of(one.records) == {"refunds": spent, "held": 0}


def test_what_somebody_knows_not_to_have_run_gives_its_amount_back(
    desk: Make,
) -> None:
    """Whoever ran it elsewhere may say that nothing happened."""
    one = paying(desk)
    call = ToolCall("pay", {"cents": 100}, CONTEXT)
    one.governor.report(one.governor.decide(call).record_id, "not_run")
    one.governor.close()
    assert ledger_of(one.records) == {"refunds": 0, "held": 0}

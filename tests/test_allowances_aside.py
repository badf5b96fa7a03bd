"""Shares of budgets: reserved in the ledger, spent while it is away, settled after."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov import Effect, Extractors, Outcome, ToolCall
from openfeature_gov.allowances import aside
from openfeature_gov.allowances.rates import LocalRates
from openfeature_gov.allowances.taking import DAY_US, HOUR_US, Allowances
from openfeature_gov.controls import HEALTHY
from openfeature_gov.controls.budget import Charge
from openfeature_gov.errors import OverspentError, RecordStoreError
from openfeature_gov.evidence.entries import ASIDE, Entry, Purse, Settle, Spend, Taken
from openfeature_gov.evidence.records import Stamp, note_record
from openfeature_gov.evidence.records import entries as in_turn
from openfeature_gov.governance.envelopes import MICRO, Budget
from openfeature_gov.governor import Governor
from openfeature_gov.stores import RecordStore, history, leases, ledger, writing
from openfeature_gov.stores.sqlite import SqliteStore
from tests.conftest import CONTEXT, Desk, Make, contract_yaml
from tests.full import share as examples
from tests.test_allowances import EXTRACT, READ, SPENDING, flush, ledger_of, pay
from tests.waiting import until

LOOKS = '{{name: looks, unit: calls, ceiling: 20, per: {per}, awayShare: "{share}"}}'
COSTS = (
    '{name: usd, unit: USD, ceiling: "20", per: day, reserve: "0.10", awayShare: "2"}'
)
MEANT = {
    **READ,
    "defaultMode": "search_only",
    "rollback": "{safestMode: search_only, owner: team}",
}


NOON_US = 20_000 * DAY_US + 12 * HOUR_US


def looking(desk: Make, share: int, per: str = "day") -> Desk:
    """Return a desk with a search of which 20 a day are paid for, and a payment."""
    listed = f"[{LOOKS.format(share=share, per=per)}]"
    one = desk(
        contract_yaml("look", budgets=listed, **MEANT)
        + "---\n"
        + contract_yaml("pay", budgets=f"[{SPENDING.format(ceiling=9, of='agent')}]")
    )
    tools(one.governor, one)
    return one


def tools(governor: Governor, one: Desk) -> None:
    governor.tool("look")(one.spy)
    governor.tool("pay", extract=EXTRACT)(one.spy)
    at(governor)


def at(governor: Governor, *, hours: int = 0) -> None:
    """Set the clock of the budgets: no window shall end while a test runs."""
    allowances = governor._decider.allowances
    assert allowances is not None
    allowances._now = lambda: NOON_US + hours * HOUR_US


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what keeps the ledger from answering for a block, by its lock."""
    monkeypatch.setattr(leases, "WAIT_S", 0.05)
    monkeypatch.setattr(writing, "RETRY_S", 0.02)

    @contextmanager
    def kept(one: Desk, *others: Governor) -> Iterator[None]:
        stores = [governor.records for governor in (one.governor, *others)]
        with leases.Turn(one.records).taken():
            for store in stores:
                assert isinstance(store, SqliteStore)
                with pytest.raises(RecordStoreError):
                    store.commit(note_record(store.stamp(), "note"))
            yield
        for store in stores:
            until(partial(_well, store))

    return kept


def _well(store: RecordStore) -> bool:
    return store.health() == HEALTHY


def look(one: Desk, **changes: Any) -> Outcome:
    return one.governor.run(ToolCall("look", {}, replace(CONTEXT, **changes)))


def looks(one: Desk, times: int) -> int:
    """Return how many of so many looks were allowed."""
    return [look(one).effect for _ in range(times)].count(Effect.ALLOW)


def test_a_share_is_spent_while_the_ledger_is_away(
    desk: Make, away: Callable[..., Any]
) -> None:
    """Reads go on within it, payments stop, and the ledger settles it afterwards."""
    one = looking(desk, 2)
    assert looks(one, 3) == 3
    flush(one)
    assert ledger_of(one.records) == {"looks": 5_000_000, "held": 2_000_000}
    with away(one):
        reasons = [look(one).reason for _ in range(4)]
        assert reasons[2:] == ["budget_unavailable"] * 2
        assert len(one.calls) == 5
        assert pay(one, 100).reason == "records_unavailable"
    flush(one)
    assert ledger_of(one.records) == {"looks": 5_000_000, "held": 2_000_000}
    # The next one settles the share and reserves another.
    assert looks(one, 1) == 1
    flush(one)
    assert ledger_of(one.records) == {"looks": 8_000_000, "held": 2_000_000}
    with away(one):
        assert looks(one, 4) == 2
    # A share goes back before a call is refused: all twenty are spent, and no more.
    assert looks(one, 20) == 12
    flush(one)
    assert ledger_of(one.records) == {"looks": 20_000_000, "held": 0}
    with away(one):
        assert looks(one, 2) == 0
    one.governor.close()
    assert ledger_of(one.records) == {"looks": 20_000_000, "held": 0}
    decided = [*history.records(one.records, kind="decision")]
    assert sum(record["executes"] for record in decided) == 20


def test_without_a_share_nothing_is_spent_while_the_ledger_is_away(
    desk: Make, away: Callable[..., Any]
) -> None:
    """Nobody set anything aside: whatever a process spent could be too much."""
    one = looking(desk, 0)
    assert look(one).effect is Effect.ALLOW
    with away(one):
        assert look(one).reason == "budget_unavailable"
    assert looks(one, 20) == 19


def test_nothing_reserved_is_nothing_granted(
    desk: Make, away: Callable[..., Any]
) -> None:
    """A process that the ledger never answered has no share of anything."""
    one = looking(desk, 3)
    with away(one):
        assert look(one).reason == "budget_unavailable"
    assert looks(one, 1) == 1
    with away(one):
        assert looks(one, 4) == 3


def test_a_share_in_async_calls(desk: Make, away: Callable[..., Any]) -> None:
    """The async twin goes by the same share."""
    one = looking(desk, 1)

    async def some(count: int) -> list[str]:
        call = ToolCall("look", {}, CONTEXT)
        return [(await one.governor.arun(call)).effect.value for _ in range(count)]

    assert asyncio.run(some(1)) == ["allow"]
    with away(one):
        assert asyncio.run(some(2)) == ["allow", "deny"]


def test_a_call_that_costs_more_uses_the_share_up(
    desk: Make, away: Callable[..., Any]
) -> None:
    """What a call really cost counts, away as otherwise: one above it ends the share.

    A reserve of 0.10 would let twenty calls of 5 begin within a share of 2.
    """
    one = desk(contract_yaml("look", budgets=f"[{COSTS}]", **MEANT))
    costs, usd = Decimal("5.00"), Extractors(currency="USD")
    one.governor.tool("look", cost=lambda value: costs, extract=usd)(one.spy)
    at(one.governor)
    assert looks(one, 1) == 1
    with away(one):
        assert looks(one, 20) == 1
        assert look(one).reason == "budget_unavailable"
    for _ in range(4):  # the ledger hears of a cost before it is asked again
        looks(one, 1)
        flush(one)
    one.governor.close()
    assert len(one.calls) == 4
    assert ledger_of(one.records) == {"usd": 20_000_000, "held": 0}


def test_what_fails_while_away_gives_its_part_back(
    desk: Make, away: Callable[..., Any]
) -> None:
    """As a failure does otherwise."""
    listed = f"[{LOOKS.format(share=1, per='day')}]"
    one = desk(contract_yaml("look", budgets=listed, **MEANT))
    broken = False

    def find() -> str:
        if broken:
            raise ConnectionError
        return "found"

    one.governor.tool("look")(find)
    at(one.governor)
    assert looks(one, 1) == 1
    with away(one):
        broken = True
        for _ in range(3):
            with pytest.raises(ConnectionError):
                look(one)
        broken = False
        assert looks(one, 2) == 1


def test_restarts_give_no_more_than_the_ceiling(
    desk: Make, away: Callable[..., Any]
) -> None:
    """Each of many processes, one after the other, goes by what the ledger has left."""
    one = looking(desk, 3)
    ran = 0
    for _ in range(8):
        ran += looks(one, 1)
        with away(one):
            ran += looks(one, 6)
        one.governor.close()
        one.governor = Governor.open(one.governance, one.flags, one.records)
        tools(one.governor, one)
    assert ran == 20
    assert ledger_of(one.records) == {"looks": 20_000_000, "held": 0}


def test_two_governors_have_a_share_each(desk: Make, away: Callable[..., Any]) -> None:
    """The ledger reserves both, or one where there is not enough for two."""
    one = looking(desk, 12)
    with Governor.open(one.governance, one.flags, one.records) as other:
        tools(other, one)
        call = ToolCall("look", {}, CONTEXT)
        assert look(one).effect is other.run(call).effect is Effect.ALLOW
        with away(one, other):
            assert looks(one, 15) == 12
            assert other.run(call).reason == "budget_unavailable"
        flush(one)
        assert ledger_of(one.records)["looks"] == 14_000_000


def test_a_clock_that_steps_back_gives_no_share_again(
    desk: Make, away: Callable[..., Any]
) -> None:
    """The ledger stays in the newest window, and so does the share of it."""
    one = looking(desk, 3, "hour")
    ran = looks(one, 1)
    for hours in range(1, 9):
        at(one.governor, hours=-hours)
        with away(one):
            ran += looks(one, 6)
        ran += looks(one, 1)
    assert ran == 20


def test_a_share_is_of_its_window(desk: Make, away: Callable[..., Any]) -> None:
    """Of one that began while the ledger was away nothing is reserved."""
    one = looking(desk, 3, "hour")
    assert looks(one, 1) == 1
    with away(one):
        at(one.governor, hours=1)
        assert look(one).reason == "budget_unavailable"
    assert looks(one, 1) == 1
    with away(one):
        assert looks(one, 4) == 3


BUDGET = Budget(
    name="b",
    unit="calls",
    ceiling=Decimal(50) / MICRO,
    per="hour",
    awayShare=Decimal(7) / MICRO,
)


class Process:
    """Be one of the processes that spend from a budget, as far as its shares go."""

    def __init__(self) -> None:
        self.now = 5 * DAY_US
        self.allowances = Allowances(LocalRates(), lambda: 0, lambda: self.now)

    def spend(self, db: sqlite3.Connection, amount: int, ref: str, step: str) -> int:
        """Return what was spent; *step* says what becomes of the record."""
        charge, allowances = Charge(BUDGET, "agent:a", "", amount), self.allowances
        if step == "away":
            found = allowances.alone([charge], ref, "tool")
            return amount if isinstance(found, tuple) else 0
        for _ in range(4):
            held = allowances.taken([charge], ref, "tool")
            entries = allowances.entries(held, reads=True)
            if step == "lost":  # the process is told nothing, and it is written or not
                allowances.undone(entries)
                return enter(db, entries) and amount if amount % 2 else 0
            try:
                enter(db, entries)
            except OverspentError as error:
                if allowances.overspent(held, entries, error):
                    return 0
            else:
                allowances.kept(entries)
                return amount
        raise AssertionError("never ends")


def enter(db: sqlite3.Connection, made: tuple[Entry, ...]) -> bool:
    """Make the entries *made*, all or none, in the order in which a store does."""
    note = note_record(Stamp("note", 1, "writer"), "note")
    db.execute("BEGIN")
    try:
        for entry in in_turn([note._replace(entries=made)]):
            ledger.enter(db.execute, entry)
    except OverspentError:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    return True


def book() -> Any:
    """Return an empty ledger."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    for statement in ledger.TABLES:
        db.execute(statement)
    return closing(db)


@settings(max_examples=examples(1000))
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 9),
            st.sampled_from(["up", "up", "away", "away", "lost", "back", "end", "die"]),
        ),
        max_size=60,
    )
)
def test_whatever_happens_no_more_is_spent_than_the_ceiling(
    steps: list[tuple[int, int, str]],
) -> None:
    """Any number of processes, that end, die, lose their ledger, or the time."""
    every, spent = [Process() for _ in range(4)], 0
    with book() as db:
        first = Process()
        assert first.spend(db, 0, "first", "up") == 0
        enter(db, first.allowances.returned())
        for number, (who, amount, step) in enumerate(steps):
            if step == "back":
                every[who].now = 5 * DAY_US - amount * HOUR_US
            elif step in ("end", "die"):
                if step == "end":
                    enter(db, every[who].allowances.returned())
                every[who] = Process()
            else:
                with suppress(OverspentError):
                    spent += every[who].spend(db, amount, f"r-{number}", step)
            (taken,) = db.execute("SELECT sum(taken) FROM budgets").fetchone()
            assert spent <= 50
            assert taken <= 50
        for one in every:
            enter(db, one.allowances.returned())
        (taken,) = db.execute("SELECT sum(taken) FROM budgets").fetchone()
        assert spent <= taken <= 50


def test_a_share_settled_before_its_call_ended_hears_of_the_rest() -> None:
    """What costs more than was thought counts, however late that is known."""
    budget = BUDGET.model_copy(update={"unit": "USD"})
    one = Process()
    charge = Charge(budget, "agent:a", "", 1)
    with book() as db:
        held = one.allowances.taken([charge], "r", "tool")
        entries = one.allowances.entries(held, reads=True)
        enter(db, entries)
        one.allowances.kept(entries)
        late = one.allowances.alone([charge], "late", "tool")
        assert isinstance(late, tuple)
        enter(db, one.allowances.returned())
        assert db.execute("SELECT taken FROM budgets").fetchone() == (2,)
        costs = {"USD": Decimal(30) / MICRO}
        ends = one.allowances.ended(late, "executed", began=True, costs=costs)
        enter(db, ends)
        assert db.execute("SELECT taken FROM budgets").fetchone() == (31,)
        assert db.execute("SELECT count(*) FROM holds").fetchone() == (1,)


def test_shares_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes back for one more; nothing is spent of it any longer."""
    monkeypatch.setattr(aside, "MOST", 2)
    shares = aside.Aside(lambda: 0)
    held = [_held(f"{number}") for number in range(3)]
    for one in held:
        shares.kept(shares.reserve([one]))
    (back,) = [one for one in shares.reserve([held[2]]) if isinstance(one, Settle)]
    assert (back.of, back.cost) == (held[0].spend.of, 0)
    assert isinstance(shares.take([held[0]]), Charge)
    assert isinstance(shares.take([held[1]]), tuple)


def test_a_child_has_none_of_its_parents_shares() -> None:
    """Both would spend it: the child reserves its own."""
    shares, one = aside.Aside(lambda: 0), _held("a")
    shares.kept(shares.reserve([one]))
    assert isinstance(shares.take([one]), tuple)
    shares.renew()
    assert isinstance(shares.take([one]), Charge)


def test_two_who_reserve_at_once_keep_one() -> None:
    """The second share goes back with the next record."""
    shares, one = aside.Aside(lambda: 0), _held("a")
    first, second = shares.reserve([one]), shares.reserve([one])
    shares.kept(first)
    shares.kept(second)
    assert shares.reserve([one]) == (Settle(one.spend.of, second[0].ref, 0),)


def _held(scope: str) -> aside.Held:
    charge = Charge(BUDGET, scope, "", 1)
    return aside.Held(charge, Spend(Purse("b", scope), "r", "calls", 1, 50, 1, 1))


def test_what_is_set_aside_is_not_unusual() -> None:
    """An anomaly is of what was spent: a reserved share is not, yet."""
    with book() as db:
        for day in range(1, 6):
            ledger.enter(db.execute, _spend(f"d-{day}", 10, day))
        ledger.enter(db.execute, _spend(f"{ASIDE}x", 30, 6))
        found = _spend("now", 12, 6)._replace(multiple=2, found=[])
        ledger.enter(db.execute, found)
        assert found.found == [Taken(12, 10)]


def _spend(ref: str, amount: int, day: int) -> Spend:
    return Spend(Purse("b", "a"), ref, "calls", amount, 99, day * DAY_US, day * DAY_US)

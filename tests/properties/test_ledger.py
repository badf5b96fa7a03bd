"""The ledger as a machine: whatever happens in whatever order, no ceiling is passed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from openfeature_gov.errors import OverspentError
from openfeature_gov.evidence.entries import Purse, Settle, Spend
from openfeature_gov.stores import ledger
from openfeature_gov.stores.schema import connect

CEILING = 100
AMOUNTS = st.integers(0, CEILING + 1)


class Book(RuleBasedStateMachine):
    """Spend, settle, give back, lapse and set the clock, beside a model in memory."""

    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.db = connect(Path(self.folder.name) / "ledger.db")
        self.number = self.clock = 0
        self.newest: dict[Purse, int] = {}
        self.windows: dict[tuple[Purse, int], int] = {}
        self.held: dict[str, tuple[Purse, int, int]] = {}

    @rule(
        target=holds,
        scope=st.sampled_from(["agent:a", "agent:b"]),
        task=st.sampled_from(["", "t"]),
        amount=AMOUNTS,
    )
    def spend(self, scope: str, task: str, amount: int) -> str:
        self.number += 1
        ref, of = f"r{self.number}", Purse("b", scope, task)
        begins = 0 if task else self.clock
        entry = Spend(of, ref, "calls", amount, CEILING, begins, begins)
        window = max(begins, self.newest.get(of, 0))
        before = self.windows.get((of, window), 0)
        fits = before + amount <= CEILING
        try:
            ledger.enter(self.db.execute, entry)
        except OverspentError:
            assert not fits
            return ref
        assert fits
        self.newest[of] = window
        self.windows[of, window] = before + amount
        self.held[ref] = (of, window, amount)
        return ref

    @rule(ref=holds, part=st.integers(0, 100) | st.none())
    def settle(self, ref: str, part: int | None) -> None:
        """End a hold at a part of what it took, at all of it, or a second time."""
        of, window, amount = self.held.pop(ref, (Purse("b", "agent:a"), -1, 0))
        cost = None if part is None else amount * part // 100
        ledger.enter(self.db.execute, Settle(of, ref, cost))
        if window >= 0 and cost is not None:
            self.windows[of, window] -= amount - cost

    @rule(ref=holds)
    def lapse(self, ref: str) -> None:
        """Let a hold end as unknown: what it took stays taken."""
        self.held.pop(ref, None)
        ledger.enter(self.db.execute, Settle(None, ref))

    @rule(step=st.integers(-3, 3))
    def set_clock(self, step: int) -> None:
        self.clock = max(0, self.clock + step)

    @rule(ref=holds)
    def crash(self, ref: str) -> None:
        """Die within a transaction: nothing of it happened."""
        self.db.execute("BEGIN IMMEDIATE")
        with suppress(OverspentError):
            of = Purse("b", "agent:a")
            entry = Spend(of, f"{ref}-x", "calls", 1, CEILING, self.clock, 0)
            ledger.enter(self.db.execute, entry)
        ledger.enter(self.db.execute, Settle(None, ref))
        self.db.execute("ROLLBACK")

    @invariant()
    def holds_the_ceiling(self) -> None:
        rows: list[Any] = self.db.execute(
            "SELECT name, scope, task, begins_us, taken FROM budgets"
        ).fetchall()
        found = {(Purse(*of), begins): taken for *of, begins, taken in rows}
        assert found == self.windows
        assert all(0 <= taken <= CEILING for taken in found.values())
        held = dict(self.db.execute("SELECT ref, amount FROM holds").fetchall())
        assert held == {ref: amount for ref, (*_, amount) in self.held.items()}

    def teardown(self) -> None:
        self.db.close()
        self.folder.cleanup()


Book.TestCase.settings = settings(max_examples=25, stateful_step_count=30)
TestBook = Book.TestCase

"""`Allowances`: take what a call needs before it runs, and end it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from openfeature_gov.allowances.aside import Aside, Held
from openfeature_gov.allowances.daily import GRANTED, daily
from openfeature_gov.allowances.rates import LocalRates, Rates, RatesDownError
from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls import budget as control
from openfeature_gov.controls import rates as rate_control
from openfeature_gov.controls.budget import Charge, Unknown
from openfeature_gov.controls.rates import Counted
from openfeature_gov.decisions import Verdict
from openfeature_gov.errors import OverspentError
from openfeature_gov.evidence.entries import Entry, Purse, Settle, Spend
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.envelopes import CALLS, TOKENS, Budget, micro

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
WIDTH_US = {"hour": HOUR_US, "day": DAY_US}
SHORT_NS = 1_000_000_000
"""How long a budget that had too little left is not asked again for as much."""
MOST_NOTES = 10_000


class Anomaly(NamedTuple):
    """Say that a window of a budget went above its multiple of the usual, just now."""

    budget: Budget
    taken: int
    usual: int

    def facts(self) -> dict[str, str | int]:
        """Return what a record and a span say of it."""
        return {
            "budget": self.budget.name,
            "unit": self.budget.unit,
            "taken": control.text(self.taken),
            "usual": control.text(self.usual),
            "multiple": self.budget.anomaly_multiple or 0,
            "ceiling": f"{self.budget.ceiling}",
        }


class Allowances:
    """Take places and parts. Lives with its Governor, is safe to share.

    *clock* counts monotonic nanoseconds, *now* microseconds since 1970.
    """

    def __init__(
        self, rates: Rates, clock: Callable[[], int], now: Callable[[], int]
    ) -> None:
        self.rates, self._clock, self._now = rates, clock, now
        self._share, self._aside = LocalRates(clock), Aside(clock)
        self._short: dict[Purse, tuple[int, int]] = {}
        self._anomalous: dict[Purse, int] = {}

    def charged(
        self,
        contract: ActionContract,
        rules: GovernanceContract,
        estimates: Mapping[str, Decimal] | None,
    ) -> tuple[list[Verdict], tuple[Charge, ...]]:
        """Return a verdict a budget, and what the call takes of those that it can."""
        verdicts, taken = [], []
        for found in control.charges(contract, rules, estimates):
            if isinstance(found, Unknown):
                verdicts.append(control.unknown(found))
                continue
            taken.append(found)
            verdicts.append(self._known(found))
        return verdicts, tuple(taken)

    def daily(
        self,
        contract: ActionContract,
        rules: GovernanceContract,
        verdicts: Iterable[Verdict],
    ) -> tuple[Charge, ...]:
        """Return what the call adds to the days of its guardrails on money."""
        return tuple(daily(contract, rules, verdicts, self._now()))

    def _known(self, charge: Charge) -> Verdict:
        """Return what is known of the budget without asking the ledger."""
        purse = _purse(charge)
        short = self._short.get(purse)
        if short is not None and charge.amount >= short[0]:
            if self._clock() < short[1]:
                return control.exhausted(charge)
            self._short.pop(purse, None)
        if charge.amount > charge.budget.ceiling_micro:
            return control.exhausted(charge)
        # A window without a noted anomaly is as usual.
        if purse in self._anomalous and self._anomalous[purse] == self._begins(charge):
            return control.anomalous(charge)
        return control.charged(charge)

    def rate(
        self, contract: ActionContract, rules: GovernanceContract
    ) -> Verdict | None:
        """Take a place in every rate; return the refusal of the first without one."""
        for one in rate_control.counted(contract, rules):
            if not one.key:
                return rate_control.refused(one.limit, rate_control.UNKNOWN)
            try:
                free = _taken(self.rates, one)
            except RatesDownError:
                refusal = self._alone(contract, one)
            except Exception:  # noqa: BLE001 - an error is the strictest opinion
                refusal = rate_control.refused(one.limit, rate_control.UNAVAILABLE)
            else:
                refusal = None if free else _limited(one)
            if refusal is not None:
                return refusal
        return None

    def _alone(self, contract: ActionContract, one: Counted) -> Verdict | None:
        """Return what holds while the shared counters are away.

        What is consequential stops; the rest goes on within this process's share
        (threats table 5: "Budget/rate store down").
        """
        if contract.consequential:
            return rate_control.refused(one.limit, rate_control.UNAVAILABLE)
        limit, among = one.limit, self.rates.processes
        share, burst = limit.count // among, (limit.burst or 0) // among
        # A bucket of which less than one call is left is none, and no window either.
        some = share > 0 and (burst > 0 or not limit.burst)
        free = some and self._share.take(one.key, share, limit.seconds, burst)
        return None if free else _limited(one)

    def taken(self, charges: Iterable[Charge], ref: str, ran: str) -> tuple[Held, ...]:
        """Return what the decision *ref* takes, of which *ran* is to run.

        An amount moves only where the tool itself runs.
        """
        return tuple(
            Held(charge, self._spend(charge, ref))
            for charge in charges
            if ran == "tool" or charge.budget.charge == "cost"
        )

    def alone(
        self, charges: Iterable[Charge], ref: str, ran: str
    ) -> tuple[Held, ...] | Verdict:
        """Return what *ref* takes of this process's shares while the ledger is away.

        Return the refusal where a share has too little left, or there is none: nothing
        is spent that the ledger did not reserve before.
        """
        taken = self._aside.take(self.taken(charges, ref, ran))
        return control.unavailable(taken) if isinstance(taken, Charge) else taken

    def entries(self, held: tuple[Held, ...], *, reads: bool) -> tuple[Entry, ...]:
        """Return what the record of a decision enters for what it *held*.

        One that *reads*, and so may run while the ledger is away, reserves the shares
        for that as well.
        """
        spends = tuple(one.spend for one in held if not one.share)
        if not reads or len(spends) < len(held):
            return spends
        return spends + self._aside.reserve(held)

    def kept(self, entries: tuple[Entry, ...]) -> None:
        """Hear that *entries* are in the ledger."""
        self._aside.kept(entries)

    def undone(self, entries: tuple[Entry, ...]) -> None:
        """Hear that *entries* may not be in the ledger."""
        self._aside.undone(entries)

    def returned(self) -> tuple[Entry, ...]:
        """Return the entries that give back what this process had set aside."""
        return self._aside.returned()

    def _spend(self, charge: Charge, ref: str) -> Spend:
        budget = charge.budget
        multiple = budget.anomaly_multiple or 0
        return Spend(
            of=_purse(charge),
            ref=ref,
            unit=budget.unit,
            amount=charge.amount,
            ceiling=charge.ceiling if charge.guardrail else budget.ceiling_micro,
            begins_us=self._begins(charge),
            at_us=self._now(),
            multiple=multiple,
            found=[] if multiple else None,
        )

    def _begins(self, charge: Charge) -> int:
        if charge.guardrail:
            return charge.begins_us
        width = WIDTH_US.get(charge.budget.per)
        now = self._now()
        return 0 if width is None else now - now % width

    def overspent(
        self, held: tuple[Held, ...], entries: tuple[Entry, ...], error: OverspentError
    ) -> tuple[Verdict, ...]:
        """Return the verdict on the call that *error* refused; remember it a moment.

        A share comes last: none is reserved, and the one that there is goes back,
        before a call is refused. Without a verdict it may be tried again.
        """
        reserved = self._aside.undone(entries)
        if reserved:
            self._aside.forgo(reserved)
            return ()
        shared = [one.spend.of for one in held if one.charge.budget.away_micro]
        if shared and self._aside.forgo(shared):
            return ()
        if len(self._short) >= MOST_NOTES:
            self._short.clear()
        until = self._clock() + SHORT_NS
        same = [one for one in held if one.spend.of == error.purse]
        short = [one for one in same if not one.charge.guardrail]
        for one in short:
            self._short[one.spend.of] = (error.amount, until)
        return tuple(control.exhausted(one.charge) for one in short)

    def anomalies(self, held: tuple[Held, ...]) -> list[Anomaly]:
        """Return what just went above its multiple of the usual, once a window."""
        found = []
        for charge, spend, _ in held:
            if not spend.found:
                continue
            taken, usual = spend.found[0]
            if usual is None or taken <= spend.multiple * usual:
                continue
            if len(self._anomalous) >= MOST_NOTES:
                self._anomalous.clear()
            self._anomalous[spend.of] = spend.begins_us
            if taken - spend.amount <= spend.multiple * usual:
                found.append(Anomaly(charge.budget, taken, usual))
        return found

    def ended(
        self,
        held: tuple[Held, ...],
        status: str,
        *,
        began: bool,
        costs: Mapping[str, Decimal] | None = None,
        moved: bool = False,
    ) -> tuple[Entry, ...]:
        """Return the entries that end what was *held* by a call.

        What never *began* gives everything back, what failed the cost that it did not
        have, but no amount that *moved* all the same, perhaps: only who knows that
        nothing was moved says so. What ended otherwise costs what *costs* says by unit,
        else what was taken.
        """
        back = not began or status in ("not_run", "failed")
        known = costs or {}
        for one in held:
            self._short.pop(one.spend.of, None)
        gone = moved and began and status == "failed"
        ends: list[Entry] = []
        for one in held:
            kept = gone and one.charge.budget.charge == "amount"
            cost = None if kept else _cost(one, back=back, costs=known)
            ends += self._end(one, cost)
        return tuple(ends)

    def _end(self, held: Held, cost: int | None) -> Iterator[Entry]:
        """Yield what ends *held* at its *cost*; a share is corrected by it instead."""
        spend = held.spend
        if not held.share:
            yield Settle(spend.of, spend.ref, cost)
            return
        more = 0 if cost is None else cost - spend.amount
        if not self._aside.corrected(held, more) and more > 0:
            # Its share was settled before it ended: the ledger hears of the rest.
            yield spend._replace(amount=more, ceiling=GRANTED, multiple=0, found=None)
            yield Settle(spend.of, spend.ref)


def priced(costs: Mapping[str, Decimal]) -> Decimal | None:
    """Return the one amount of money among *costs*, None for none or several."""
    money = [amount for unit, amount in costs.items() if unit not in (TOKENS, CALLS)]
    return money[0] if len(money) == 1 else None


def reported(
    held: Iterable[Held], cost: Decimal | None, tokens: int | None
) -> dict[str, Decimal]:
    """Return by unit what a call cost that was reported, as far as it is clear.

    *cost* is in the one currency that the call was charged in; with several it is not
    known in which, and what was taken stays taken.
    """
    budgets = [one.charge.budget for one in held]
    units = {budget.unit for budget in budgets if budget.charge == "cost"}
    currencies = units - {TOKENS, CALLS}
    spent = {TOKENS: Decimal(tokens)} if tokens is not None else {}
    if cost is not None and len(currencies) == 1:
        spent[currencies.pop()] = cost
    return spent


def _cost(held: Held, *, back: bool, costs: Mapping[str, Decimal]) -> int | None:
    budget = held.charge.budget
    if budget.charge == "cost" and budget.unit in costs:
        return micro(costs[budget.unit])
    return 0 if back else None


def _purse(charge: Charge) -> Purse:
    return Purse(charge.budget.name, charge.scope, charge.task)


def _taken(rates: Rates, one: Counted) -> bool:
    limit = one.limit
    if limit.burst:
        return rates.take(one.key, limit.count, limit.seconds, limit.burst)
    return rates.take(one.key, limit.count, limit.seconds)


def _limited(one: Counted) -> Verdict:
    return rate_control.refused(one.limit, rate_control.LIMITED)

"""What one day moved: the memory of guardrails on money."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.amounts import HUGE
from openfeature_gov.governance import GovernanceContract, skeleton
from openfeature_gov.governance.guardrails import Money
from openfeature_gov.governance.parts import EXACT
from openfeature_gov.observing.table import Table

DAY_US, MINUTE_US = 86_400_000_000, 60_000_000
KEYS = 65_536
"""How many customers, accounts and tools are remembered for a day, at most."""
HEARD_US = 1_000_000
"""How long a process believes what the ledger refused: what others give back counts."""
NOTHING = Decimal(0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Key = tuple[str, ...]


class Spent(NamedTuple):
    """Hold what was moved on *day*, counted in the guardrail's time zone."""

    day: int
    total: Decimal


class Days:
    """Remember what each day moved. Not safe to share: its owner has the lock."""

    def __init__(self) -> None:
        self._kept: Table[Key, Spent] = Table(KEYS, 2 * DAY_US)
        self._heard: Table[Key, tuple[int, Spent]] = Table(KEYS, HEARD_US)

    def total(
        self,
        one: Money,
        contract: ActionContract,
        rules: GovernanceContract,
        own: Mapping[Key, Spent],
        now: int,
    ) -> Decimal | None:
        """Return what the day moved without *own*; None when nobody can tell."""
        key = key_of(one, rules, whose(one, contract))
        if key is None or not self._kept.room(key, now):
            return None
        today, mine = day_of(now, one.timezone), own.get(key)
        until, heard = self._heard.get(key) or (0, None)
        totals = [NOTHING]
        for found in (self._kept.get(key), heard if now < until else None):
            # A clock that went back finds a later day: its total still holds.
            if found is not None and found.day >= today:
                same = mine is not None and mine.day == found.day
                own_part = mine.total if mine is not None and same else NOTHING
                totals.append(EXACT.subtract(found.total, own_part))
        return max(totals)

    def hear(
        self,
        one: Money,
        contract: ActionContract,
        rules: GovernanceContract,
        total: Decimal,
        now: int,
    ) -> None:
        """Take over for a moment what the ledger says of all processes together."""
        key = key_of(one, rules, whose(one, contract))
        if key is not None:
            spent = Spent(day_of(now, one.timezone), total)
            self._heard.put(key, (now + HEARD_US, spent), now)

    def spend(
        self,
        listed: Iterable[Money],
        contract: ActionContract,
        rules: GovernanceContract,
        now: int,
    ) -> dict[Key, Spent]:
        """Add the amount of *contract* to its days; return what was added where."""
        added: dict[Key, Spent] = {}
        for one in listed:
            key = key_of(one, rules, whose(one, contract))
            if key is None or key in added:
                continue
            amount = contract.amount
            # Money of which nobody knows how much it is uses the whole day up.
            if amount is None or contract.currency != one.currency:
                amount = HUGE
            # No more than that: a sum of more digits than fit would forget the rest.
            amount = min(amount, HUGE)
            added[key] = self.add(key, amount, day_of(now, one.timezone), now)
        return added

    def add(self, key: Key, amount: Decimal, day: int, now: int) -> Spent:
        """Add *amount* to *day* of *key*, or to the later day that is kept."""
        kept = self._kept.get(key)
        total = NOTHING
        if kept is not None and kept.day >= day:
            day, total = kept.day, kept.total
        self._kept.put(key, Spent(day, EXACT.add(total, amount)), now)
        return Spent(day, amount)

    def give_back(self, added: Mapping[Key, Spent], now: int) -> None:
        """Take back what a call added that did not run after all."""
        for key, own in added.items():
            kept = self._kept.get(key)
            if kept is not None and kept.day == own.day:
                left = EXACT.subtract(kept.total, own.total)
                self._kept.put(key, Spent(kept.day, left), now)


def key_of(one: Money, rules: GovernanceContract, name: str) -> Key | None:
    """Return under which key money of the customer or account *name* counts."""
    where = rules.tool if one.across == "tool" else rules.workflow
    return (one.across, where, one.name, one.per, name) if name else None


def whose(one: Money, contract: ActionContract) -> str:
    """Return for whom money counts, empty where nobody is named.

    A customer who is named in another spelling is the same one.
    """
    context = contract.context
    match one.per:
        case "customer":
            return _customer(one.customer, contract)
        case "account":
            return context.account
        case "day":
            return "all"
        case "action":
            return ""


def _customer(customer: str, contract: ActionContract) -> str:
    match customer:
        case "user":
            return contract.context.actor.user
        case "record":
            return skeleton(contract.named or contract.record)
        case _:
            value = contract.arguments.get(customer.removeprefix("argument."))
            return skeleton(str(value)) if type(value) in (str, int) else ""


def day_of(at_us: int, timezone: str) -> int:
    """Return the number of the day that *at_us* falls on in *timezone*."""
    return _day(at_us // MINUTE_US, timezone)


def begins_us(day: int, timezone: str) -> int:
    """Return when the *day* of that number begins in *timezone*, since 1970."""
    return _begins_us(day, timezone)


@lru_cache(maxsize=256)
def _begins_us(day: int, timezone: str) -> int:
    at = datetime.combine(date.fromordinal(day), time(), ZoneInfo(timezone))
    return (at - _EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=256)
def _day(minute: int, timezone: str) -> int:
    at = _EPOCH + timedelta(minutes=minute)
    return at.astimezone(ZoneInfo(timezone)).date().toordinal()

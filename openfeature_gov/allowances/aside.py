"""`Aside`: the shares of budgets that the ledger reserved for this process.

A share is a hold in the ledger like any other, in the name of this process alone. It
is spent from while the ledger does not answer, and settled at what was spent once it
does. So no process can spend what the ledger did not set aside for it, whatever
clocks, restarts and other processes do; one that dies leaves its share spent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from secrets import token_hex
from typing import NamedTuple

from openfeature_gov.controls.budget import Charge
from openfeature_gov.evidence.entries import ASIDE, Entry, Purse, Settle, Spend
from openfeature_gov.locks import interrupted, renewed

MOST = 10_000
"""How many shares are held at once; the oldest goes back for one more."""
FULL_NS = 60_000_000_000
"""How long no share is asked of a budget that had too little left for one."""


class Held(NamedTuple):
    """Hold what one decision took of one budget, or of the share *share* of it."""

    charge: Charge
    spend: Spend
    share: str = ""


class _Share:
    """Be one share: *amount* reserved as *ref*, of which *used* is spent."""

    __slots__ = ("amount", "begins_us", "ref", "used")

    def __init__(self, spend: Spend) -> None:
        self.ref, self.amount, self.begins_us = spend.ref, spend.amount, spend.begins_us
        self.used = 0


class Aside:
    """Hold the shares of one process. Safe to share between threads.

    *clock* counts monotonic nanoseconds. A forked child has none of its parent's: it
    reserves its own. A signal handler that comes while a thread reserves or spends
    gets nothing, and what it would give back stays spent.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin with no share, and a lock that nobody holds."""
        self._lock = threading.RLock()
        self._shares: dict[Purse, _Share] = {}
        self._full: dict[Purse, int] = {}
        self._back: list[Settle] = []

    def reserve(self, held: Iterable[Held]) -> tuple[Entry, ...]:
        """Return the entries that reserve what *held* has no share for yet.

        What was spent of a share, or is of a window that ended, is settled with it.
        """
        wanted: list[Entry] = []
        if interrupted(self._lock):
            return ()
        with self._lock:
            for charge, spend, _ in held:
                if charge.guardrail or not charge.budget.away_micro:
                    continue
                one = self._shares.get(spend.of)
                if one is not None:
                    # A clock that steps back stays in the newest window.
                    if not one.used and spend.begins_us <= one.begins_us:
                        continue
                    self._give(spend.of)
                if self._clock() >= self._full.get(spend.of, 0):
                    wanted.append(_reservation(charge, spend))
            back, self._back = self._back, []
        return (*back, *wanted)

    def kept(self, entries: Iterable[Entry]) -> None:
        """Hear that *entries* are in the ledger: what they reserved may be spent."""
        if interrupted(self._lock):
            return
        with self._lock:
            for one in entries:
                if not isinstance(one, Spend) or not one.ref.startswith(ASIDE):
                    continue
                if one.of in self._shares:  # another thread was first
                    self._back.append(Settle(one.of, one.ref, 0))
                    continue
                if len(self._shares) >= MOST:
                    self._give(next(iter(self._shares)))
                self._shares[one.of] = _Share(one)

    def undone(self, entries: Iterable[Entry]) -> list[Purse]:
        """Hear that *entries* may not be in the ledger; return what they reserved.

        They go back with the next ones: to end a hold that is none changes nothing.
        """
        reserved: list[Purse] = []
        if interrupted(self._lock):
            return reserved
        with self._lock:
            for one in entries:
                if one.of is None or not one.ref.startswith(ASIDE):
                    continue
                if isinstance(one, Spend):
                    reserved.append(one.of)
                    self._back.append(Settle(one.of, one.ref, 0))
                else:
                    self._back.append(one)
        return reserved

    def forgo(self, purses: Iterable[Purse]) -> bool:
        """Reserve nothing of *purses* for a while; say if a share of one goes back."""
        given = False
        if interrupted(self._lock):
            return given
        with self._lock:
            if len(self._full) >= MOST:
                self._full.clear()
            for purse in purses:
                self._full[purse] = self._clock() + FULL_NS
                if purse in self._shares:
                    self._give(purse)
                    given = True
        return given

    def take(self, held: Iterable[Held]) -> tuple[Held, ...] | Charge:
        """Take all of *held* from shares, or nothing; return what was too much."""
        taken: list[Held] = []
        wanted: dict[Purse, int] = {}
        away = interrupted(self._lock)
        with self._lock:
            for one in held:
                charge, spend, _ = one
                if away:
                    return charge
                if not spend.amount and charge.moves:
                    taken.append(one)
                    continue
                share = self._shares.get(spend.of)
                if share is None or spend.begins_us > share.begins_us:
                    return charge
                total = wanted.get(spend.of, share.used) + spend.amount
                if total > share.amount:
                    return charge
                wanted[spend.of] = total
                taken.append(one._replace(share=share.ref))
            for purse, total in wanted.items():
                self._shares[purse].used = total
        return tuple(taken)

    def corrected(self, held: Held, more: int) -> bool:
        """Count that *held* cost *more*, or less; False if its share was settled."""
        if interrupted(self._lock):
            return False
        with self._lock:
            share = self._shares.get(held.spend.of)
            if share is None or share.ref != held.share:
                return False
            share.used += more
            return True

    def returned(self) -> tuple[Entry, ...]:
        """Return the entries that settle every share; there is none afterwards."""
        if interrupted(self._lock):
            return ()
        with self._lock:
            for purse in tuple(self._shares):
                self._give(purse)
            back, self._back = self._back, []
        return tuple(back)

    def _give(self, purse: Purse) -> None:
        share = self._shares.pop(purse)
        self._back.append(Settle(purse, share.ref, share.used))


def _reservation(charge: Charge, spend: Spend) -> Spend:
    return spend._replace(
        ref=f"{ASIDE}{token_hex(16)}",
        amount=charge.budget.away_micro,
        multiple=0,
        found=None,
    )

"""`Aside`: what this process spends of budgets while their ledger does not answer."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from typing import NamedTuple

from openfeature_gov.controls.budget import Charge
from openfeature_gov.evidence.records import Purse, Spend

MOST = 10_000
"""How many windows are remembered; what would need one more is refused."""
OVER_US = 2 * 86_400_000_000
"""After how long no window of an hour or a day is spent from any more."""


class Held(NamedTuple):
    """Hold what one decision took of one budget."""

    charge: Charge
    spend: Spend


class Aside:
    """Take from the shares that budgets set aside for each process. Safe to share.

    A window's share is given once a process, however often the ledger goes away. A
    forked child has what its parent left: it is another of the budget's processes.
    """

    def __init__(self) -> None:
        self._taken: dict[tuple[Purse, int], int] = {}
        self.unlock()
        _all.add(self)

    def unlock(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = threading.Lock()

    def take(self, held: Iterable[Held]) -> Charge | None:
        """Take all of *held*, or nothing and return the charge that was too much."""
        with self._lock:
            wanted: dict[tuple[Purse, int], int] = {}
            for charge, spend in held:
                window = (spend.of, spend.begins_us)
                before = wanted.get(window, self._taken.get(window, 0))
                if before + spend.amount > charge.budget.away_micro:
                    return charge
                if window not in self._taken and not self._room(spend.at_us):
                    return charge
                wanted[window] = before + spend.amount
            self._taken |= wanted
        return None

    def _room(self, now_us: int) -> bool:
        """Say whether one more window can be remembered; forget those long over."""
        if len(self._taken) >= MOST:
            self._taken = {
                window: taken
                for window, taken in self._taken.items()
                if not 0 < window[1] < now_us - OVER_US
            }
        return len(self._taken) < MOST


_all: weakref.WeakSet[Aside] = weakref.WeakSet()


def _unlock_all() -> None:
    for one in tuple(_all):
        one.unlock()


os.register_at_fork(after_in_child=_unlock_all)

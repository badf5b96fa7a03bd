"""What records do to budgets: the entries of the ledger made with them. Pure."""

from __future__ import annotations

from typing import NamedTuple

ASIDE = "aside-"
"""How the `Spend.ref` of what a process sets aside begins; no id of a record does."""


class Purse(NamedTuple):
    """Name one budget of somebody: the row of the ledger that a window of it is.

    *scope* says whose, *task* which task where the budget is one of a task.
    """

    name: str
    scope: str
    task: str = ""


class Spend(NamedTuple):
    """Take *amount* of the purse *of* for the decision *ref*, or nothing happens.

    All amounts are in millionths of *unit*. *begins_us* is when the window began, 0 for
    a task's. *multiple* asks for the usual, 0 for not; *found* hears what was taken.
    """

    of: Purse
    ref: str
    unit: str
    amount: int
    ceiling: int
    begins_us: int
    at_us: int
    multiple: int = 0
    found: list[Taken] | None = None


class Taken(NamedTuple):
    """Say what a window holds after a spend: *taken* in all, *usual* for a window."""

    taken: int
    usual: int | None


class Settle(NamedTuple):
    """End what the decision *ref* took of the purse *of*, at its *cost* in millionths.

    Without *cost* it stays at what was taken; without *of* so does every purse.
    """

    of: Purse | None
    ref: str
    cost: int | None = None


Entry = Spend | Settle


def order(entry: Entry) -> tuple[Purse, int]:
    """Return by what entries that are made together are sorted."""
    turn = 1
    if isinstance(entry, Settle):
        turn = 0 if entry.ref.startswith(ASIDE) else 2
    return entry.of or Purse("", ""), turn

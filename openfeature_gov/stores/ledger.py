"""The ledger of budgets: what was taken of each, in the database of the records.

A spend is one statement in the transaction of its decision: both are durable, or
neither. What a window holds counts as spent from then on. The outcome of the decision
ends the hold, at its cost where one is known: what may have been spent counts as spent,
also of a call whose process died, until somebody knows better.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from openfeature_gov.errors import OverspentError
from openfeature_gov.evidence.entries import ASIDE, Entry, Settle, Spend, Taken

USUAL_OF, USUAL_FROM = 30, 5
"""The usual is the mean of the last windows: of so many at most, and at least."""
TABLES = (
    """CREATE TABLE IF NOT EXISTS budgets (
  name TEXT NOT NULL,
  scope TEXT NOT NULL,
  task TEXT NOT NULL,
  begins_us INTEGER NOT NULL,
  unit TEXT NOT NULL,
  taken INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  PRIMARY KEY (name, scope, task, begins_us)
) STRICT""",
    """CREATE TABLE IF NOT EXISTS holds (
  ref TEXT NOT NULL,
  name TEXT NOT NULL,
  scope TEXT NOT NULL,
  task TEXT NOT NULL,
  begins_us INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  PRIMARY KEY (ref, name, scope, task)
) STRICT""",
)
INDEXES = (
    "CREATE INDEX IF NOT EXISTS budgets_at ON budgets (name, scope, at_us)",
)  # fmt: skip

# A window that was opened stays the newest: a clock that steps back opens none again.
TAKE = """
INSERT INTO budgets AS b (name, scope, task, begins_us, unit, taken, at_us)
  SELECT CAST(:name AS TEXT), CAST(:scope AS TEXT), CAST(:task AS TEXT),
    CASE WHEN n.newest > :begins_us THEN n.newest ELSE :begins_us END,
    CAST(:unit AS TEXT), :amount, :at_us
  FROM (SELECT coalesce(max(begins_us), 0) AS newest FROM budgets
    WHERE name = :name AND scope = :scope AND task = :task) n
  WHERE :amount <= :ceiling
ON CONFLICT (name, scope, task, begins_us) DO UPDATE
  SET taken = b.taken + excluded.taken
  WHERE b.unit = excluded.unit AND b.taken + excluded.taken <= :ceiling
RETURNING begins_us, taken
"""
TAKEN = """
SELECT taken FROM budgets WHERE name = :name AND scope = :scope AND task = :task
ORDER BY begins_us DESC LIMIT 1
"""
HOLD = """
INSERT INTO holds (ref, name, scope, task, begins_us, amount)
  VALUES (:ref, :name, :scope, :task, :begins_us, :amount)
"""
END = """
DELETE FROM holds WHERE ref = :ref AND name = :name AND scope = :scope AND task = :task
RETURNING begins_us, amount
"""
END_ALL = "DELETE FROM holds WHERE ref = :ref"
GIVE_BACK = """
UPDATE budgets SET taken = taken - :back
  WHERE name = :name AND scope = :scope AND task = :task AND begins_us = :begins_us
"""
USUAL = f"""
SELECT count(*), coalesce(sum(taken), 0) FROM (SELECT taken FROM budgets
  WHERE name = :name AND scope = :scope
    AND NOT (task = :task AND begins_us = :begins_us)
  ORDER BY at_us DESC LIMIT {USUAL_OF}) w
"""  # noqa: S608 - a constant

SET_ASIDE = f"""
SELECT coalesce(sum(amount), 0) FROM holds
  WHERE name = :name AND scope = :scope AND task = :task AND begins_us = :begins_us
    AND substr(ref, 1, {len(ASIDE)}) = '{ASIDE}'
"""  # noqa: S608 - a constant

WINDOWS = """
SELECT b.name, b.scope, b.task, b.begins_us, b.unit, b.taken,
  (SELECT CAST(coalesce(sum(h.amount), 0) AS BIGINT) FROM holds h WHERE h.name = b.name
    AND h.scope = b.scope AND h.task = b.task AND h.begins_us = b.begins_us)
FROM budgets b ORDER BY b.at_us DESC, b.name, b.scope, b.task LIMIT :limit
"""


class Window(NamedTuple):
    """Hold one window of a budget: *taken* of it in all, *held* by calls under way."""

    name: str
    scope: str
    task: str
    begins_us: int
    unit: str
    taken: int
    held: int


def windows(
    rows: Callable[[str, Mapping[str, Any]], Iterable[Any]], limit: int
) -> list[Window]:
    """Return the latest windows, the youngest first, at most *limit*; *rows* reads."""
    return [Window(*row) for row in rows(WINDOWS, {"limit": limit})]


class Rows(Protocol):
    """Be what a statement returned."""

    def fetchall(self) -> list[Any]:
        """Return every row; the statement has ended then."""


Execute = Callable[[str, Mapping[str, Any]], Rows]


def enter(execute: Execute, entry: Entry) -> None:
    """Make *entry* in the transaction that *execute* is in.

    Raises:
        OverspentError: for a spend that the budget has too little left for.

    """
    if isinstance(entry, Spend):
        _take(execute, entry)
    elif entry.of is None:
        execute(END_ALL, {"ref": entry.ref})
    else:
        _settle(execute, entry, entry.of._asdict())


def _take(execute: Execute, spend: Spend) -> None:
    values = {**spend.of._asdict(), **spend._asdict()}
    rows = execute(TAKE, _only(TAKE, values)).fetchall()
    if not rows:
        held = execute(TAKEN, _only(TAKEN, values)).fetchall()
        raise OverspentError(spend.of, spend.amount, held[0][0] if held else 0)
    [(values["begins_us"], taken)] = rows
    execute(HOLD, _only(HOLD, values))
    if spend.found is not None:
        usual = _usual(execute, values) if spend.multiple else None
        if usual is not None:  # what is set aside is not spent yet
            aside = execute(SET_ASIDE, _only(SET_ASIDE, values)).fetchall()
            taken -= int(aside[0][0])
        spend.found[:] = [Taken(taken, usual)]


def _usual(execute: Execute, values: Mapping[str, Any]) -> int | None:
    [(count, total)] = execute(USUAL, _only(USUAL, values)).fetchall()
    return None if count < USUAL_FROM else int(total) // count


def _settle(execute: Execute, settle: Settle, of: Mapping[str, Any]) -> None:
    rows = execute(END, {**of, "ref": settle.ref}).fetchall()
    if not rows or settle.cost is None:
        return
    [(begins_us, amount)] = rows
    if amount != settle.cost:
        back = amount - settle.cost
        execute(GIVE_BACK, {**of, "begins_us": begins_us, "back": back})


def _only(statement: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in _NAMES[statement]}


_NAMED = re.compile(r":([a-z_]+)")
_NAMES = {
    text: tuple(_NAMED.findall(text)) for text in (TAKE, TAKEN, HOLD, USUAL, SET_ASIDE)
}
_FOREIGN = {
    text: _NAMED.sub(r"%(\1)s", text)
    for text in (TAKE, TAKEN, HOLD, END, END_ALL, GIVE_BACK, USUAL, SET_ASIDE)
}


def of_postgres(connection: Any) -> Execute:
    """Return how a statement of the ledger is executed on a psycopg *connection*."""

    def execute(statement: str, values: Mapping[str, Any]) -> Rows:
        rows: Rows = connection.execute(_FOREIGN[statement], values)
        return rows

    return execute

"""One call before it runs: is it well formed, what would it move and touch.

The figures do not depend on whether the shop would take the call now (an order of
the wrong status still has its price): they say how much is at stake.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from openfeature_gov.demo import records
from openfeature_gov.demo.values import OrderError, cents, seen

Arguments = Mapping[str, Any]
_Count = Callable[[sqlite3.Connection, Arguments], int]


def check(
    tools: Mapping[str, frozenset[str]], tool: str, *, arguments: Arguments
) -> str:
    """Return *tool* if *tools* has it and *arguments* has exactly its names.

    Raises:
        OrderError: an unknown tool, or an argument too few or too many.

    """
    if not isinstance(tool, str) or tool not in tools:
        raise OrderError(f"tool: {seen(tool)} is not known")
    if tools[tool] != frozenset(arguments):
        raise OrderError(
            f"{tool}: needs {', '.join(sorted(tools[tool]))}, "
            f"got {', '.join(seen(name) for name in arguments) or 'nothing'}"
        )
    return tool


def amount(db: sqlite3.Connection, tool: str, *, arguments: Arguments) -> int | None:
    """Return the cents that the call would move, or None for a tool that moves none."""
    count = _AMOUNTS.get(tool)
    return None if count is None else count(db, arguments)


def touched(db: sqlite3.Connection, tool: str, *, arguments: Arguments) -> int:
    """Return how many records the call reads or changes."""
    count = _RECORDS.get(tool)
    return 1 if count is None else count(db, arguments)


def _whole_order(db: sqlite3.Connection, arguments: Arguments) -> int:
    order_id = records.order(db, arguments["order_id"])["order_id"]
    return max(sum(records.paid(db, order_id).values()), 0)


def _picked(db: sqlite3.Connection, arguments: Arguments) -> list[records.Line]:
    order_id = records.order(db, arguments["order_id"])["order_id"]
    return records.picked(db, order_id, arguments["item_ids"])


def _items(db: sqlite3.Connection, arguments: Arguments) -> int:
    return sum(line.price for line in _picked(db, arguments))


def _difference(db: sqlite3.Connection, arguments: Arguments) -> int:
    order_id = records.order(db, arguments["order_id"])["order_id"]
    planned = records.swaps(
        db,
        order_id,
        item_ids=arguments["item_ids"],
        new_item_ids=arguments["new_item_ids"],
    )
    return abs(records.difference(planned))


def _stated(db: sqlite3.Connection, arguments: Arguments) -> int:
    records.order(db, arguments["order_id"])
    return cents(arguments["amount"], "amount")


def _lines(db: sqlite3.Connection, arguments: Arguments) -> int:
    return len(_picked(db, arguments))


def _none(db: sqlite3.Connection, arguments: Arguments) -> int:  # noqa: ARG001
    return 0


_AMOUNTS: Mapping[str, _Count] = {
    "cancel_pending_order": _whole_order,
    "modify_pending_order_payment": _whole_order,
    "return_delivered_order_items": _items,
    "modify_pending_order_items": _difference,
    "exchange_delivered_order_items": _difference,
    "refund_order": _stated,
}
_RECORDS: Mapping[str, _Count] = {
    "return_delivered_order_items": _lines,
    "modify_pending_order_items": _lines,
    "exchange_delivered_order_items": _lines,
    "calculate": _none,
}
"""Every other tool reads or changes one record."""

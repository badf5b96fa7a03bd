"""What a call of the shop's tools would do to whom, in words for who approves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openfeature_gov.demo.orders import OrderStore
from openfeature_gov.tools import Consequence

Arguments = Mapping[str, Any]


def of(store: OrderStore, tool: str) -> Consequence | None:
    """Return what tells of a call of *tool*, None for one that never waits.

    It asks *store*, which the tool acts on, how much money would move.
    """
    tell = _TOLD.get(tool)
    if tell is None:
        return None

    def consequence(arguments: Arguments) -> str:
        moved = store.amount_of(tool, arguments)
        return tell(arguments, "no money" if moved is None else f"{moved:.2f} dollars")

    return consequence


def _cancelled(given: Arguments, money: str) -> str:
    return (
        f"Order {given['order_id']} is cancelled ({given['reason']}), and {money} go"
        " back to where they came from."
    )


def _returned(given: Arguments, money: str) -> str:
    return (
        f"{_items(given['item_ids'])} of order {given['order_id']} may be sent back;"
        f" {money} go to {given['payment_method_id']} once the goods are there."
    )


def _exchanged(given: Arguments, money: str) -> str:
    return (
        f"{_items(given['item_ids'])} of order {given['order_id']} may be exchanged for"
        f" {', '.join(map(str, given['new_item_ids']))}; the difference of {money} is"
        f" settled with {given['payment_method_id']}."
    )


def _swapped(given: Arguments, money: str) -> str:
    new = ", ".join(map(str, given["new_item_ids"]))
    return (
        f"{_items(given['item_ids'])} of order {given['order_id']}, not sent yet, will"
        f" be {new}; the difference of {money} is settled with"
        f" {given['payment_method_id']} at once."
    )


def _charged(given: Arguments, money: str) -> str:
    return (
        f"{money} for order {given['order_id']} are charged to"
        f" {given['payment_method_id']}, and the method before gets them back."
    )


def _refunded(given: Arguments, money: str) -> str:
    return f"{money} paid for order {given['order_id']} go back now: {given['reason']}"


def _sent(given: Arguments, _: str) -> str:
    parts = (given[name] for name in ("address1", "address2", "city", "state", "zip"))
    place = ", ".join(str(part) for part in parts if part)
    return f"Order {given['order_id']} is sent to {place} instead."


def _items(ids: Any) -> str:
    return f"{len(ids)} item{'' if len(ids) == 1 else 's'}"


_TOLD: Mapping[str, Callable[[Arguments, str], str]] = {
    "cancel_pending_order": _cancelled,
    "exchange_delivered_order_items": _exchanged,
    "modify_pending_order_address": _sent,
    "modify_pending_order_items": _swapped,
    "modify_pending_order_payment": _charged,
    "refund_order": _refunded,
    "return_delivered_order_items": _returned,
}

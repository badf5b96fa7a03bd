"""Changes to the order store: what a shop checks first, and what then is written.

The caller opens the transaction: each function either returns with everything
written or raises `OrderError`, after which the caller rolls back.
"""

from __future__ import annotations

import sqlite3

from openfeature_gov.demo import records
from openfeature_gov.demo.values import (
    Address,
    OrderError,
    cents,
    dollars,
    seen,
    text,
)

MODIFIED = "pending (item modified)"
_STATUSES = {
    "cancel_pending_order": ("pending",),
    "modify_pending_order_items": ("pending",),
    "modify_pending_order_address": ("pending", MODIFIED),
    "modify_pending_order_payment": ("pending", MODIFIED),
    "return_delivered_order_items": ("delivered",),
    "exchange_delivered_order_items": ("delivered",),
}
"""The statuses in which an order takes each change; after it, most take no other."""
_NEXT_PAYMENT = "SELECT COALESCE(MAX(line) + 1, 0) FROM payments WHERE order_id = ?"
_REFUNDS = """
SELECT line, payment_method_id, amount FROM payments
WHERE order_id = ? AND line >= ? ORDER BY line DESC
"""
_CANCEL_REASONS = ("no longer needed", "ordered by mistake")

_MOVE_CARD = """
UPDATE payment_methods SET balance = balance - ?
WHERE user_id = ? AND payment_method_id = ?
"""
_ADD_PAYMENT = """
INSERT INTO payments VALUES (
    ?, (SELECT COALESCE(MAX(line) + 1, 0) FROM payments WHERE order_id = ?),
    ?, ?, ?, ?)
"""
_ADD_REQUEST = "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)"
_SWAP_ITEM = """
UPDATE order_items SET item_id = ?, price = ? WHERE order_id = ? AND line = ?
"""
_MOVE_ORDER = """
UPDATE orders SET address1 = ?, address2 = ?, city = ?, state = ?, country = ?, zip = ?
WHERE order_id = ?
"""
_MOVE_CUSTOMER = """
UPDATE customers
SET address1 = ?, address2 = ?, city = ?, state = ?, country = ?, zip = ?
WHERE user_id = ?
"""
_KEEP_PLACE = """
INSERT INTO address_history VALUES (
    ?, (SELECT COALESCE(MAX(version) + 1, 0) FROM address_history WHERE user_id = ?),
    ?, ?, ?, ?, ?, ?)
"""
_LAST_PLACE = """
SELECT * FROM address_history WHERE user_id = ? ORDER BY version DESC LIMIT 1
"""


def cancel(db: sqlite3.Connection, order_id: object, *, reason: object) -> None:
    """Cancel a pending order and give back all that was paid, to where it came from."""
    order = _open_order(db, order_id, tool="cancel_pending_order")
    if reason not in _CANCEL_REASONS:
        raise OrderError(f"reason: {seen(reason)} is none of {_CANCEL_REASONS}")
    known = (order["order_id"],)
    db.execute(f"INSERT INTO cancellations SELECT ?, ({_NEXT_PAYMENT})", known * 2)
    _give_back(db, order, amount=sum(records.paid(db, order["order_id"]).values()))
    db.execute(
        "UPDATE orders SET status = 'cancelled', cancel_reason = ? WHERE order_id = ?",
        (reason, order["order_id"]),
    )


def restore(db: sqlite3.Connection, order_id: object) -> None:
    """Take a cancellation back: the order is pending, and paid for as it was before.

    A gift card that was spent meanwhile does not cover it any more, which is refused.
    """
    order = records.order(db, order_id)
    known = order["order_id"]
    row = db.execute(
        "DELETE FROM cancellations WHERE order_id = ? RETURNING line", (known,)
    ).fetchone()
    if order["status"] != "cancelled" or row is None:
        raise OrderError(f"order {known}: no cancellation that could be taken back")
    for line, method_id, amount in db.execute(_REFUNDS, (known, row[0])).fetchall():
        _unbook(db, order, line=line, method_id=method_id, amount=amount)
    db.execute(
        "UPDATE orders SET status = 'pending', cancel_reason = NULL WHERE order_id = ?",
        (known,),
    )


def refund(
    db: sqlite3.Connection, order_id: object, *, amount: object, reason: object
) -> None:
    """Give back *amount* dollars of what was paid for an order and not yet refunded."""
    order = records.order(db, order_id)
    owed = cents(amount, "amount")
    if owed == 0:
        raise OrderError("amount: a refund is more than 0.00")
    _give_back(db, order, amount=owed, reason=text(reason, "reason"))


def change_payment(
    db: sqlite3.Connection, order_id: object, *, payment_method_id: object
) -> None:
    """Charge another method for a pending order and give the first its money back."""
    order = _open_order(db, order_id, tool="modify_pending_order_payment")
    new = records.method(db, order["user_id"], payment_method_id)["payment_method_id"]
    held = {key: net for key, net in records.paid(db, order["order_id"]).items() if net}
    if len(held) != 1:
        raise OrderError(f"order {order_id}: its money is on {len(held)} methods")
    [(old, amount)] = held.items()
    if old == new:
        raise OrderError(f"payment_method_id: {seen(new)} pays for {order_id} already")
    _book(db, order, method_id=new, amount=amount)
    _book(db, order, method_id=old, amount=-amount)


def change_items(
    db: sqlite3.Connection,
    order_id: object,
    *,
    item_ids: object,
    new_item_ids: object,
    payment_method_id: object,
) -> None:
    """Replace items of a pending order and settle the price difference at once."""
    order = _open_order(db, order_id, tool="modify_pending_order_items")
    planned = _available(
        records.swaps(
            db, order["order_id"], item_ids=item_ids, new_item_ids=new_item_ids
        )
    )
    method = records.method(db, order["user_id"], payment_method_id)
    owed = records.difference(planned)
    _book(db, order, method_id=method["payment_method_id"], amount=owed)
    for swap in planned:
        new = (swap.new_item_id, swap.new_price)
        db.execute(_SWAP_ITEM, (*new, order["order_id"], swap.old.line))
    _set_status(db, order, status=MODIFIED)


def request_return(
    db: sqlite3.Connection,
    order_id: object,
    *,
    item_ids: object,
    payment_method_id: object,
) -> None:
    """Note which delivered items come back and where their money shall go.

    The money moves when the goods arrive (`refund`), so none is booked here.
    """
    order = _open_order(db, order_id, tool="return_delivered_order_items")
    lines = records.picked(db, order["order_id"], item_ids)
    method = records.method(db, order["user_id"], payment_method_id)
    known, held = method["payment_method_id"], records.paid(db, order["order_id"])
    if method["source"] != "gift_card" and held.get(known, 0) <= 0:
        raise OrderError(
            f"payment_method_id: {seen(known)} neither paid for {order_id} "
            "nor is a gift card"
        )
    _require_refundable(db, order, amount=sum(line.price for line in lines))
    for line in lines:
        row = (order["order_id"], line.line, "return", None, None, known)
        db.execute(_ADD_REQUEST, row)
    _set_status(db, order, status="return requested")


def request_exchange(
    db: sqlite3.Connection,
    order_id: object,
    *,
    item_ids: object,
    new_item_ids: object,
    payment_method_id: object,
) -> None:
    """Note which delivered items are exchanged, for what, and who settles the rest.

    The difference is due when the goods arrive; a gift card must cover it now.
    """
    order = _open_order(db, order_id, tool="exchange_delivered_order_items")
    known = order["order_id"]
    planned = _available(
        records.swaps(db, known, item_ids=item_ids, new_item_ids=new_item_ids)
    )
    method = records.method(db, order["user_id"], payment_method_id)
    owed = records.difference(planned)
    _require_balance(method, amount=owed)
    _require_refundable(db, order, amount=-owed)
    for swap in planned:
        new = (swap.new_item_id, swap.new_price, method["payment_method_id"])
        db.execute(_ADD_REQUEST, (known, swap.old.line, "exchange", *new))
    _set_status(db, order, status="exchange requested")


def move_order(db: sqlite3.Connection, order_id: object, *, to: Address) -> None:
    """Send a pending order to another address."""
    order = _open_order(db, order_id, tool="modify_pending_order_address")
    db.execute(_MOVE_ORDER, (*_parts(to), order["order_id"]))


def move_customer(db: sqlite3.Connection, user_id: object, *, to: Address) -> None:
    """Give a customer another address and keep the one before."""
    row = records.customer(db, user_id)
    known = row["user_id"]
    db.execute(_KEEP_PLACE, (known, known, *_parts(records.address(row))))
    db.execute(_MOVE_CUSTOMER, (*_parts(to), known))


def move_back(db: sqlite3.Connection, user_id: object) -> None:
    """Give a customer the address before the last change, and forget that change."""
    known = records.customer(db, user_id)["user_id"]
    row = db.execute(_LAST_PLACE, (known,)).fetchone()
    if row is None:
        raise OrderError(f"user_id: {seen(known)} has no earlier address")
    db.execute(_MOVE_CUSTOMER, (*_parts(records.address(row)), known))
    db.execute(
        "DELETE FROM address_history WHERE user_id = ? AND version = ?",
        (known, row["version"]),
    )


def _open_order(db: sqlite3.Connection, order_id: object, *, tool: str) -> sqlite3.Row:
    order = records.order(db, order_id)
    if order["status"] not in _STATUSES[tool]:
        raise OrderError(
            f"{tool}: order {order['order_id']} is {order['status']}, "
            f"not {' or '.join(_STATUSES[tool])}"
        )
    return order


def _available(planned: list[records.Swap]) -> list[records.Swap]:
    missing = [swap.new_item_id for swap in planned if not swap.available]
    if missing:
        raise OrderError(f"new_item_ids: {', '.join(missing)} not available")
    return planned


def _give_back(
    db: sqlite3.Connection,
    order: sqlite3.Row,
    *,
    amount: int,
    reason: str | None = None,
) -> None:
    _require_refundable(db, order, amount=amount)
    for method_id, held in records.paid(db, order["order_id"]).items():
        part = min(amount, max(held, 0))
        _book(db, order, method_id=method_id, amount=-part, reason=reason)
        amount -= part


def _book(
    db: sqlite3.Connection,
    order: sqlite3.Row,
    *,
    method_id: str,
    amount: int,
    reason: str | None = None,
) -> None:
    # INVARIANT: with _unbook the only writer of payments and balances. What an order
    # gains, the gift card that pays for it loses; a negative amount goes the other way.
    if amount == 0:
        return
    method = records.method(db, order["user_id"], method_id)
    _require_balance(method, amount=amount)
    _require_refundable(db, order, amount=-amount)
    if method["balance"] is not None:
        db.execute(_MOVE_CARD, (amount, order["user_id"], method_id))
    kind = "payment" if amount > 0 else "refund"
    order_id = order["order_id"]
    row = (order_id, order_id, kind, method_id, abs(amount), reason)
    db.execute(_ADD_PAYMENT, row)


def _unbook(
    db: sqlite3.Connection,
    order: sqlite3.Row,
    *,
    line: int,
    method_id: str,
    amount: int,
) -> None:
    """Forget the last refund of an order; a gift card loses what it got by it."""
    method = records.method(db, order["user_id"], method_id)
    _require_balance(method, amount=amount)
    if method["balance"] is not None:
        db.execute(_MOVE_CARD, (amount, order["user_id"], method_id))
    db.execute(
        "DELETE FROM payments WHERE order_id = ? AND line = ? AND kind = 'refund'",
        (order["order_id"], line),
    )


def _require_balance(method: sqlite3.Row, *, amount: int) -> None:
    if method["balance"] is not None and method["balance"] < amount:
        raise OrderError(
            f"payment_method_id: {method['payment_method_id']} holds "
            f"{dollars(method['balance'])}, {dollars(amount)} are due"
        )


def _require_refundable(
    db: sqlite3.Connection, order: sqlite3.Row, *, amount: int
) -> None:
    left = sum(records.paid(db, order["order_id"]).values())
    if amount > max(left, 0):
        raise OrderError(
            f"order {order['order_id']}: {dollars(amount)} is more than the "
            f"{dollars(left)} that was paid and not refunded"
        )


def _set_status(db: sqlite3.Connection, order: sqlite3.Row, *, status: str) -> None:
    db.execute(
        "UPDATE orders SET status = ? WHERE order_id = ?", (status, order["order_id"])
    )


def _parts(address: Address) -> tuple[str, ...]:
    return tuple(getattr(address, part) for part in Address.__dataclass_fields__)

"""Records of the order store, read: rows, order lines, and what a tool returns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from openfeature_gov.demo.tables import name_key
from openfeature_gov.demo.values import (
    Address,
    OrderError,
    dollars,
    identifiers,
    seen,
    text,
)

_ORDER = "SELECT * FROM orders WHERE order_id = ?"
_CUSTOMER = "SELECT * FROM customers WHERE user_id = ?"
_PRODUCT = "SELECT * FROM products WHERE product_id = ?"
_VARIANT = """
SELECT v.*, p.name FROM variants v JOIN products p USING (product_id)
WHERE item_id = ?
"""
_METHOD = "SELECT * FROM payment_methods WHERE user_id = ? AND payment_method_id = ?"
_LINES = """
SELECT i.line, i.item_id, v.product_id, p.name, v.options, i.price
FROM order_items i JOIN variants v USING (item_id) JOIN products p USING (product_id)
WHERE i.order_id = ? ORDER BY i.line
"""
_PAID = """
SELECT payment_method_id, SUM(CASE kind WHEN 'payment' THEN amount ELSE -amount END)
FROM payments WHERE order_id = ? GROUP BY payment_method_id ORDER BY MIN(line)
"""
_REQUESTS = """
SELECT r.*, i.item_id, i.price FROM requests r JOIN order_items i USING (order_id, line)
WHERE r.order_id = ? ORDER BY r.line
"""


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one line of an order, as it was read; *price* is in cents."""

    line: int
    item_id: str
    product_id: str
    name: str
    options: str
    price: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Pair one order line with the variant that shall replace it."""

    old: Line
    new_item_id: str
    new_price: int
    available: bool


def order(db: sqlite3.Connection, order_id: object) -> sqlite3.Row:
    """Return the row of *order_id*, or raise OrderError."""
    return _one(db, _ORDER, order_id, name="order_id")


def customer(db: sqlite3.Connection, user_id: object) -> sqlite3.Row:
    """Return the row of *user_id*, or raise OrderError."""
    return _one(db, _CUSTOMER, user_id, name="user_id")


def variant(db: sqlite3.Connection, item_id: object) -> sqlite3.Row:
    """Return the row of *item_id* with its product's name, or raise OrderError."""
    return _one(db, _VARIANT, item_id, name="item_id")


def method(db: sqlite3.Connection, user_id: str, method_id: object) -> sqlite3.Row:
    """Return the payment method *method_id* of *user_id*, or raise OrderError."""
    known = text(method_id, "payment_method_id")
    row: sqlite3.Row | None = db.execute(_METHOD, (user_id, known)).fetchone()
    if row is None:
        raise OrderError(f"payment_method_id: {user_id} has no {seen(known)}")
    return row


def lines(db: sqlite3.Connection, order_id: str) -> list[Line]:
    """Return the lines of *order_id*, in order."""
    return [Line(*row) for row in db.execute(_LINES, (order_id,))]


def picked(db: sqlite3.Connection, order_id: str, item_ids: object) -> list[Line]:
    """Return one line of *order_id* for each of *item_ids*, or raise OrderError.

    An item that was bought twice may be named twice, and not more often.
    """
    left = lines(db, order_id)
    found = []
    for item_id in identifiers(item_ids, "item_ids"):
        match = next((line for line in left if line.item_id == item_id), None)
        if match is None:
            raise OrderError(
                f"item_ids: {seen(item_id)} is not, or not so often, in {order_id}"
            )
        left.remove(match)
        found.append(match)
    return found


def swaps(
    db: sqlite3.Connection, order_id: str, *, item_ids: object, new_item_ids: object
) -> list[Swap]:
    """Pair each of *item_ids* with its replacement, or raise OrderError.

    A replacement is another variant of the same product.
    """
    old = picked(db, order_id, item_ids)
    new = identifiers(new_item_ids, "new_item_ids")
    if len(old) != len(new):
        raise OrderError(f"new_item_ids: {len(new)} for {len(old)} items")
    return [_swap(line, variant(db, item)) for line, item in zip(old, new, strict=True)]


def difference(planned: Sequence[Swap]) -> int:
    """Return what the customer owes for *planned*, in cents; negative is owed back."""
    return sum(swap.new_price - swap.old.price for swap in planned)


def paid(db: sqlite3.Connection, order_id: str) -> dict[str, int]:
    """Return paid minus refunded, in cents, by payment method, first used first."""
    return {row[0]: row[1] for row in db.execute(_PAID, (order_id,))}


def address(row: sqlite3.Row) -> Address:
    """Return the address that a customer, order or history *row* holds."""
    return Address(*(row[part] for part in Address.__dataclass_fields__))


def user_by_name(
    db: sqlite3.Connection, *, first_name: object, last_name: object, zip_code: object
) -> str:
    """Return the id of the one customer of that name and zip, or raise OrderError."""
    key = name_key(text(first_name, "first_name"), text(last_name, "last_name"))
    found = db.execute(
        "SELECT user_id FROM customers WHERE name_key = ? AND zip = ?",
        (key, text(zip_code, "zip")),
    ).fetchall()
    if len(found) != 1:
        raise OrderError(f"find: {len(found)} customers have that name and zip")
    return str(found[0][0])


def user_by_email(db: sqlite3.Connection, email: object) -> str:
    """Return the id of the customer with *email* in any case, or raise OrderError."""
    key = text(email, "email").strip().casefold()
    found = db.execute("SELECT user_id FROM customers WHERE email_key = ?", (key,))
    row = found.fetchone()
    if row is None:
        raise OrderError("find: no customer has that email")
    return str(row[0])


def order_view(db: sqlite3.Connection, order_id: object) -> dict[str, Any]:
    """Return *order_id* with its items, payments and requests, ready for JSON."""
    row = order(db, order_id)
    view: dict[str, Any] = {
        "order_id": row["order_id"],
        "user_id": row["user_id"],
        "status": row["status"],
        "address": asdict(address(row)),
        "items": [_line_view(line) for line in lines(db, row["order_id"])],
        "fulfillments": json.loads(row["fulfillments"]),
        "payment_history": _payments(db, row["order_id"]),
    }
    if row["cancel_reason"] is not None:
        view["cancel_reason"] = row["cancel_reason"]
    return view | _request_view(db, row["order_id"])


def customer_view(db: sqlite3.Connection, user_id: object) -> dict[str, Any]:
    """Return *user_id* with address, payment methods and order ids, for JSON."""
    row = customer(db, user_id)
    known = (row["user_id"],)
    methods = "SELECT * FROM payment_methods WHERE user_id = ? ORDER BY 2"
    orders = "SELECT order_id FROM orders WHERE user_id = ? ORDER BY 1"
    return {
        "user_id": row["user_id"],
        "name": {"first_name": row["first_name"], "last_name": row["last_name"]},
        "email": row["email"],
        "address": asdict(address(row)),
        "payment_methods": {
            found["payment_method_id"]: _method_view(found)
            for found in db.execute(methods, known)
        },
        "orders": [found[0] for found in db.execute(orders, known)],
    }


def product_view(db: sqlite3.Connection, product_id: object) -> dict[str, Any]:
    """Return *product_id* with all its variants, ready for JSON."""
    row = _one(db, _PRODUCT, product_id, name="product_id")
    query = "SELECT * FROM variants WHERE product_id = ? ORDER BY item_id"
    found = db.execute(query, (row["product_id"],))
    variants = {item["item_id"]: variant_view(item) for item in found}
    return {"product_id": row["product_id"], "name": row["name"], "variants": variants}


def variant_view(row: sqlite3.Row) -> dict[str, Any]:
    """Return the variant that *row* holds, ready for JSON."""
    return {
        "item_id": row["item_id"],
        "options": json.loads(row["options"]),
        "available": bool(row["available"]),
        "price": dollars(row["price"]),
    }


def _one(db: sqlite3.Connection, query: str, key: object, *, name: str) -> sqlite3.Row:
    known = text(key, name)
    row: sqlite3.Row | None = db.execute(query, (known,)).fetchone()
    if row is None:
        raise OrderError(f"{name}: {seen(known)} is not in the store")
    return row


def _swap(line: Line, new: sqlite3.Row) -> Swap:
    if new["product_id"] != line.product_id:
        raise OrderError(f"new_item_ids: {new['item_id']} is not a {line.name}")
    if new["item_id"] == line.item_id:
        raise OrderError(f"new_item_ids: {line.item_id} would replace itself")
    return Swap(line, new["item_id"], new["price"], bool(new["available"]))


def _line_view(line: Line) -> dict[str, Any]:
    return {
        "item_id": line.item_id,
        "product_id": line.product_id,
        "name": line.name,
        "options": json.loads(line.options),
        "price": dollars(line.price),
    }


def _method_view(row: sqlite3.Row) -> dict[str, Any]:
    view = {"id": row["payment_method_id"], "source": row["source"]}
    for part in ("brand", "last_four"):
        if row[part] is not None:
            view[part] = row[part]
    if row["balance"] is not None:
        view["balance"] = dollars(row["balance"])
    return view


def _payments(db: sqlite3.Connection, order_id: str) -> list[dict[str, Any]]:
    query = "SELECT * FROM payments WHERE order_id = ? ORDER BY line"
    views = []
    for row in db.execute(query, (order_id,)):
        view = {
            "transaction_type": row["kind"],
            "amount": dollars(row["amount"]),
            "payment_method_id": row["payment_method_id"],
        }
        views.append(view | ({"reason": row["reason"]} if row["reason"] else {}))
    return views


def _request_view(db: sqlite3.Connection, order_id: str) -> dict[str, Any]:
    rows = db.execute(_REQUESTS, (order_id,)).fetchall()
    if not rows:
        return {}
    kind, method_id = rows[0]["kind"], rows[0]["payment_method_id"]
    view: dict[str, Any] = {
        f"{kind}_items": sorted(row["item_id"] for row in rows),
        f"{kind}_payment_method_id": method_id,
    }
    if kind == "exchange":
        owed = sum(row["new_price"] - row["price"] for row in rows)
        view["exchange_new_items"] = sorted(row["new_item_id"] for row in rows)
        view["exchange_price_difference"] = dollars(owed)
    return view

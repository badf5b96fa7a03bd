"""The tables of the order store: what they hold, and how a source fills them.

Money is integer cents. Drafts, hand-overs, earlier addresses and where the refunds of a
cancellation begin are traces of work, not part of the business; everything else is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from openfeature_gov.demo.values import Address, OrderError, cents, seen, text

VERSION = 2
_ADDRESS = ", ".join(f"{part} TEXT NOT NULL" for part in Address.__dataclass_fields__)
SCHEMA = f"""
CREATE TABLE products (product_id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE variants (
    item_id TEXT PRIMARY KEY,
    product_id TEXT NOT NULL REFERENCES products,
    options TEXT NOT NULL,
    price INTEGER NOT NULL CHECK (price >= 0),
    available INTEGER NOT NULL CHECK (available IN (0, 1)));
CREATE INDEX variants_of_product ON variants (product_id);
CREATE TABLE customers (
    user_id TEXT PRIMARY KEY,
    first_name TEXT NOT NULL, last_name TEXT NOT NULL, email TEXT NOT NULL,
    name_key TEXT NOT NULL, email_key TEXT NOT NULL UNIQUE, {_ADDRESS});
CREATE INDEX customers_by_name ON customers (name_key);
CREATE TABLE payment_methods (
    user_id TEXT NOT NULL REFERENCES customers,
    payment_method_id TEXT NOT NULL,
    source TEXT NOT NULL, brand TEXT, last_four TEXT,
    balance INTEGER CHECK (balance >= 0),
    PRIMARY KEY (user_id, payment_method_id),
    CHECK ((source = 'gift_card') = (balance IS NOT NULL)));
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES customers,
    status TEXT NOT NULL, cancel_reason TEXT, fulfillments TEXT NOT NULL, {_ADDRESS});
CREATE INDEX orders_of_customer ON orders (user_id);
CREATE TABLE order_items (
    order_id TEXT NOT NULL REFERENCES orders, line INTEGER NOT NULL,
    item_id TEXT NOT NULL REFERENCES variants,
    price INTEGER NOT NULL CHECK (price >= 0),
    PRIMARY KEY (order_id, line));
CREATE TABLE requests (
    order_id TEXT NOT NULL, line INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('return', 'exchange')),
    new_item_id TEXT REFERENCES variants, new_price INTEGER,
    payment_method_id TEXT NOT NULL,
    PRIMARY KEY (order_id, line),
    FOREIGN KEY (order_id, line) REFERENCES order_items,
    CHECK ((kind = 'exchange') = (new_item_id IS NOT NULL)));
CREATE TABLE payments (
    order_id TEXT NOT NULL REFERENCES orders, line INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund')),
    payment_method_id TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0), reason TEXT,
    PRIMARY KEY (order_id, line));
CREATE TABLE address_history (
    user_id TEXT NOT NULL REFERENCES customers, version INTEGER NOT NULL, {_ADDRESS},
    PRIMARY KEY (user_id, version));
CREATE TABLE cancellations (
    order_id TEXT PRIMARY KEY REFERENCES orders, line INTEGER NOT NULL);
CREATE TABLE drafts (
    draft_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tool TEXT NOT NULL, arguments TEXT NOT NULL);
CREATE TABLE handovers (
    handover_id INTEGER PRIMARY KEY AUTOINCREMENT, summary TEXT NOT NULL);
PRAGMA user_version = {VERSION};
"""

_INSERTS = {
    "products": "INSERT INTO products VALUES (?, ?)",
    "variants": "INSERT INTO variants VALUES (?, ?, ?, ?, ?)",
    "users": "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "payment_methods": "INSERT INTO payment_methods VALUES (?, ?, ?, ?, ?, ?)",
    "orders": "INSERT INTO orders VALUES (?, ?, ?, NULL, ?, ?, ?, ?, ?, ?, ?)",
    "items": "INSERT INTO order_items VALUES (?, ?, ?, ?)",
    "payment_history": "INSERT INTO payments VALUES (?, ?, ?, ?, ?, NULL)",
}
_STRAYS = """
SELECT p.order_id, p.payment_method_id FROM payments p JOIN orders o USING (order_id)
LEFT JOIN payment_methods m
    ON m.user_id = o.user_id AND m.payment_method_id = p.payment_method_id
WHERE m.user_id IS NULL
"""
Row = tuple[object, ...]


def fill(db: sqlite3.Connection, source: Mapping[str, Any]) -> None:
    """Insert *source*, a mapping with ``products``, ``users`` and ``orders``.

    The caller opens the transaction, so that a source is taken whole or not at all.

    Raises:
        OrderError: a key is missing, a value has the wrong type, an id stands twice
            or points nowhere, or the store already holds data.

    """
    if db.execute("SELECT 1 FROM products LIMIT 1").fetchone():
        raise OrderError("load: the store already holds products; load an empty one")
    reached = "nothing"
    try:
        for where, table, row in _rows(source):
            reached = where
            db.execute(_INSERTS[table], row)
    except (KeyError, TypeError, AttributeError, sqlite3.Error) as error:
        fault = f"{type(error).__name__} {error}"
        raise OrderError(f"load: at or after {reached}: {fault}") from error
    stray = db.execute(_STRAYS).fetchone()
    if stray is not None:
        raise OrderError(f"load: order {stray[0]} was paid with unknown {stray[1]}")


def _rows(source: Mapping[str, Any]) -> Iterator[tuple[str, str, Row]]:
    for product in source["products"].values():
        yield from _product_rows(product)
    for user in source["users"].values():
        yield from _user_rows(user)
    for order in source["orders"].values():
        yield from _order_rows(order)


def _product_rows(product: Mapping[str, Any]) -> Iterator[tuple[str, str, Row]]:
    product_id = text(product["product_id"], "products.product_id")
    where = f"product {product_id}"
    yield where, "products", (product_id, text(product["name"], f"{where}.name"))
    for item in product["variants"].values():
        item_id = text(item["item_id"], f"{where}.item_id")
        options = json.dumps(item["options"], sort_keys=True)
        price = cents(item["price"], f"item {item_id}.price")
        available = {True: 1, False: 0}[item["available"]]
        yield where, "variants", (item_id, product_id, options, price, available)


def _user_rows(user: Mapping[str, Any]) -> Iterator[tuple[str, str, Row]]:
    user_id = text(user["user_id"], "users.user_id")
    where = f"user {user_id}"
    first = text(user["name"]["first_name"], f"{where}.first_name")
    last = text(user["name"]["last_name"], f"{where}.last_name")
    email = text(user["email"], f"{where}.email")
    keys = (name_key(first, last), email.casefold())
    place = _place(user["address"])
    yield where, "users", (user_id, first, last, email, *keys, *place)
    for method in user["payment_methods"].values():
        source = text(method["source"], f"{where}.source")
        balance = cents(method["balance"], where) if source == "gift_card" else None
        kind = (source, method.get("brand"), method.get("last_four"), balance)
        method_id = text(method["id"], f"{where}.payment_methods.id")
        yield where, "payment_methods", (user_id, method_id, *kind)


def _order_rows(order: Mapping[str, Any]) -> Iterator[tuple[str, str, Row]]:
    order_id = text(order["order_id"], "orders.order_id")
    where = f"order {order_id}"
    status = text(order["status"], f"{where}.status")
    parcels = json.dumps(order["fulfillments"], sort_keys=True)
    place = _place(order["address"])
    yield where, "orders", (order_id, order["user_id"], status, parcels, *place)
    for at, item in enumerate(order["items"]):
        price = cents(item["price"], f"{where}.items[{at}].price")
        yield where, "items", (order_id, at, item["item_id"], price)
    for at, payment in enumerate(order["payment_history"]):
        kind, method = payment["transaction_type"], payment["payment_method_id"]
        amount = cents(payment["amount"], f"{where}.payment_history[{at}].amount")
        yield where, "payment_history", (order_id, at, kind, method, amount)


def name_key(first_name: str, last_name: str) -> str:
    """Return what two spellings of one name have in common: letters without case."""
    return f"{first_name.strip()}\n{last_name.strip()}".casefold()


def _place(address: Mapping[str, Any]) -> Row:
    unknown = set(address) - set(Address.__dataclass_fields__)
    if unknown:
        raise OrderError(f"load: address has unknown {seen(min(unknown))}")
    place = Address(**address)
    return tuple(getattr(place, part) for part in Address.__dataclass_fields__)

"""What the business tables hold, as one hash or as rows to compare with later."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

Snapshot = Mapping[str, frozenset[tuple[Any, ...]]]
"""Every row of every business table."""

_TABLES = {
    "customers": ("SELECT * FROM customers", 1),
    "payment_methods": ("SELECT * FROM payment_methods", 2),
    "products": ("SELECT * FROM products", 1),
    "variants": ("SELECT * FROM variants", 1),
    "orders": ("SELECT * FROM orders", 1),
    "order_items": ("SELECT * FROM order_items", 2),
    "payments": ("SELECT * FROM payments", 2),
    "requests": ("SELECT * FROM requests", 2),
}
"""A business table: all its rows, and how many leading columns are the key."""


def fingerprint(db: sqlite3.Connection) -> str:
    """Return SHA-256, in hexadecimal, over all rows of all business tables."""
    digest = sha256()
    for table, (query, _) in _TABLES.items():
        rows = sorted(_rows(db, query))  # by key: it leads, and is unique
        digest.update(json.dumps([table, rows], separators=(",", ":")).encode())
    return digest.hexdigest()


def take(db: sqlite3.Connection) -> Snapshot:
    """Return every row of every business table."""
    return {table: frozenset(_rows(db, query)) for table, (query, _) in _TABLES.items()}


def changes(before: Snapshot, after: Snapshot) -> dict[str, int]:
    """Count the rows added, altered or removed; a table without any is left out."""
    counted = {
        table: len({row[:key] for row in before[table] ^ after[table]})
        for table, (_, key) in _TABLES.items()
    }
    return {table: count for table, count in counted.items() if count}


def _rows(db: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    cursor = db.cursor()
    cursor.row_factory = None  # plain tuples: they hash, and are faster than Row
    return cursor.execute(query).fetchall()

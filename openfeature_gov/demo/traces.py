"""What an agent leaves behind for people: drafts and hand-overs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from openfeature_gov.demo.values import OrderError, text


def hand_over(db: sqlite3.Connection, summary: object) -> None:
    """Leave *summary* for a human colleague."""
    written = text(summary, "summary", longest=4000, breaks="\n\t")
    db.execute("INSERT INTO handovers (summary) VALUES (?)", (written,))


def keep_draft(
    db: sqlite3.Connection, tool: str, *, arguments: Mapping[str, Any]
) -> int:
    """Keep a call that was prepared but not made, and return the draft's number."""
    try:
        written = json.dumps(
            dict(arguments), allow_nan=False, sort_keys=True, default=_plain
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise OrderError(f"draft of {tool}: {error}") from None
    row = db.execute(
        "INSERT INTO drafts (tool, arguments) VALUES (?, ?) RETURNING draft_id",
        (tool, written),
    ).fetchone()
    return int(row[0])


def drafts(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return all drafts, oldest first, ready for JSON."""
    return [
        {"draft_id": number, "tool": tool, "arguments": json.loads(written)}
        for number, tool, written in db.execute("SELECT * FROM drafts ORDER BY 1")
    ]


def handovers(db: sqlite3.Connection) -> list[str]:
    """Return the summaries of all hand-overs, oldest first."""
    rows = db.execute("SELECT summary FROM handovers ORDER BY handover_id")
    return [summary for (summary,) in rows]


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")

"""Query the record log: by who, what, where, why, when and how much. Read-only.

Results come in the order of the log; a cursor is the ``seq`` of the last record that
was looked at, so that pages neither overlap nor miss what was appended meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.otlp import Stored
from openfeature_gov.evidence.records import merged
from openfeature_gov.stores.history import personal_part, reading

COLUMNS = ("kind", "agent", "task", "tool", "effect", "reason", "writer")
"""The filters that are columns in every version of the schema."""
BODY = "CAST(body AS TEXT)"
DERIVED: Mapping[str, str] = {
    "target": f"NULLIF(json_extract({BODY}, '$.targetSystem'), '')",
    "reviewer": f"NULLIF(json_extract({BODY}, '$.reviewer'), '')",
    "variant": f"(SELECT json_extract(value, '$.variant') FROM json_each({BODY},"  # noqa: S608 - constants
    " '$.flags') WHERE json_extract(value, '$.kind') = 'mode')",
    "amount": f"CAST(json_extract({BODY}, '$.amount') AS REAL)",
}
"""The filters that only version 2 keeps as columns, and how version 1 finds them."""
FLAG = (
    f"EXISTS (SELECT 1 FROM json_each({BODY}, '$.flags')"  # noqa: S608 - constants
    " WHERE json_extract(value, '$.key') = :{0}"
    " AND json_extract(value, '$.variant') = :{1})"
)

NAMED = (
    "SELECT id FROM records WHERE id = :id UNION"
    " SELECT ref FROM records WHERE id = :id AND ref IS NOT NULL"
)
RELATED = f"id IN ({NAMED}) OR ref IN ({NAMED}) ORDER BY seq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Say which records are wanted; what is empty or None wants all.

    A tuple holds alternatives. *reason* is a decision's reason code or an outcome's
    status, *variant* that of the mode flag, *flags* pairs of a flag's key and variant
    that must all have been served. Times are microseconds since 1970, *from_us*
    included, *to_us* not; amounts are in major units, both included.
    """

    kind: tuple[str, ...] = ()
    writer: tuple[str, ...] = ()
    agent: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    tool: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    effect: tuple[str, ...] = ()
    reason: tuple[str, ...] = ()
    reviewer: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    from_us: int | None = None
    to_us: int | None = None
    amount_from: Decimal | None = None
    amount_to: Decimal | None = None


EVERYTHING = Filter()
DECISIONS = ("agent", "task", "tool", "target", "effect", "variant")
"""The filters that only decisions meet."""
COMMON = frozenset({"decision", "outcome"})
"""The kinds that most records are of."""
CHOICES = tuple(
    one.name for one in fields(Filter) if one.name in {*COLUMNS, *DERIVED} - {"amount"}
)


class Page(NamedTuple):
    """Hold some records, and where to go on: None after the last.

    Ask again with *after* set to *last* for what is appended later.
    """

    records: list[dict[str, Any]]
    cursor: int | None
    last: int


@contextmanager
def opened(path: Path | str) -> Iterator[sqlite3.Connection]:
    """Open the record log at *path* for reading only.

    Raises:
        RecordStoreError: when there is no such log, or a record cannot be read.

    """
    try:
        with reading(path) as connection:
            yield connection
    except (ValueError, TypeError) as error:
        raise RecordStoreError(f"{path}: a record cannot be read: {error}") from None


def query(
    path: Path | str,
    wanted: Filter = EVERYTHING,
    *,
    after: int | None = None,
    newest_first: bool = False,
    limit: int = 100,
) -> Page:
    """Return the first *limit* records that *wanted* describes, each with its ``seq``.

    *after* is the cursor of the page before; with *newest_first* pages go backwards.

    Raises:
        RecordStoreError: when there is no such log, or a record cannot be read.

    """
    with opened(path) as connection:
        return page(
            connection, wanted, after=after, newest_first=newest_first, limit=limit
        )


def related(path: Path | str, record_id: str) -> list[dict[str, Any]]:
    """Return record *record_id*, what it refers to, and all that refer to either.

    Raises:
        RecordStoreError: when there is no such log, or a record cannot be read.

    """
    with opened(path) as connection:
        return recorded(connection, RELATED, {"id": record_id})


def stored(path: Path | str, *, after: int, limit: int) -> list[Stored]:
    """Return at most *limit* records after place *after*, byte for byte.

    Raises:
        RecordStoreError: when there is no such log.

    """
    with opened(path) as connection:
        rows = connection.execute(
            "SELECT seq, id, kind, at_us, body FROM records WHERE seq > ?"
            " ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [*map(Stored._make, rows)]


def page(
    connection: sqlite3.Connection,
    wanted: Filter,
    *,
    after: int | None,
    newest_first: bool,
    limit: int,
) -> Page:
    """Return the first *limit* records of an open log that *wanted* describes."""
    where, values = condition(wanted, columns(connection))
    # Going through the log in its order would read all of it for a rare value.
    by = "+seq" if narrow(wanted) else "seq"
    beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
    if after is not None:
        where, values = f"({where}) AND seq {beyond} :after", {**values, "after": after}
    selects = " UNION ALL ".join(
        f"SELECT seq FROM records WHERE {one}"  # noqa: S608 - constants
        for one in _alternatives(where, wanted)
    )
    # The bodies are read last: sorting them would copy each.
    records = recorded(
        connection,
        f"seq IN (SELECT seq FROM ({selects}) ORDER BY {by} {order} LIMIT :limit)"  # noqa: S608 - constants
        f" ORDER BY seq {order}",
        {**values, "limit": limit},
    )
    last = records[-1]["seq"] if records else after or 0
    kept = [one for one in records if _within(one.get("amount"), wanted)]
    return Page(kept, last if len(records) == limit else None, last)


def narrow(wanted: Filter) -> bool:
    """Say whether an index finds what *wanted* describes."""
    bounds = (wanted.from_us, wanted.to_us, wanted.amount_from, wanted.amount_to)
    common = ("writer",) if COMMON.isdisjoint(wanted.kind) else ("writer", "kind")
    return any(one is not None for one in bounds) or any(
        getattr(wanted, name) for name in CHOICES if name not in common
    )


def columns(connection: sqlite3.Connection) -> Mapping[str, str]:
    """Return how this log's version of the schema says each filter."""
    known = {name for _, name, *_ in connection.execute("PRAGMA table_info(records)")}
    derived = {name: name if name in known else DERIVED[name] for name in DERIVED}
    return {**{name: name for name in (*COLUMNS, "at_us")}, **derived}


def condition(wanted: Filter, said: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return *wanted* as an SQL condition over records, with its parameters."""
    terms = list(_kinds(wanted))
    values: dict[str, Any] = {}
    for name in CHOICES:
        chosen = getattr(wanted, name)
        if chosen:
            named = {f"{name}{place}": one for place, one in enumerate(chosen)}
            values |= named
            marks = ", ".join(f":{one}" for one in named)
            terms.append(f"{said[name]} IN ({marks})")
    for place, (key, variant) in enumerate(wanted.flags):
        names = (f"key{place}", f"served{place}")
        terms.append(FLAG.format(*names))
        values |= dict(zip(names, (key, variant), strict=True))
    bounds = (
        (said["at_us"], ">=", "from_us", wanted.from_us),
        (said["at_us"], "<", "to_us", wanted.to_us),
        (said["amount"], ">=", "amount_from", _real(wanted.amount_from)),
        (said["amount"], "<=", "amount_to", _real(wanted.amount_to)),
    )
    for left, sign, name, bound in bounds:
        if bound is not None:
            terms.append(f"{left} {sign} :{name}")
            values[name] = bound
    return " AND ".join(terms) or "1", values


def _kinds(wanted: Filter) -> Iterator[str]:
    """Yield what follows from *wanted*, in the words of the indexes."""
    bounds = (wanted.amount_from, wanted.amount_to)
    of_decisions = any(getattr(wanted, name) for name in DECISIONS)
    if wanted.flags or of_decisions or any(one is not None for one in bounds):
        yield "kind = 'decision'"
    if wanted.kind and COMMON.isdisjoint(wanted.kind):
        yield "kind NOT IN ('decision', 'outcome')"


def _alternatives(where: str, wanted: Filter) -> Iterator[str]:
    """Yield *where* as conditions that no record meets twice, each for one index."""
    if wanted.reason and not wanted.kind:
        yield f"kind = 'decision' AND {where}"
        yield f"kind = 'outcome' AND ref > '' AND {where}"
    else:
        yield where


def _real(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def recorded(
    connection: sqlite3.Connection, where: str, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the records for which *where* holds, an SQL condition of this package."""
    rows = connection.execute(
        f"SELECT seq, body, {personal_part(connection)} FROM records WHERE {where}",  # noqa: S608 - constants
        values,
    )
    return [{"seq": seq, **merged(body, personal)} for seq, body, personal in rows]


def _within(amount: object, wanted: Filter) -> bool:
    """Compare the amounts themselves: the column is only near them."""
    lowest, highest = wanted.amount_from, wanted.amount_to
    if lowest is None and highest is None:
        return True
    try:
        exact = Decimal(str(amount))
    except ArithmeticError:
        return False
    return (lowest is None or lowest <= exact) and (highest is None or exact <= highest)

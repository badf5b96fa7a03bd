"""Query the record log: by who, what, where, why, when and how much. Read-only.

Results come in the order of the log; a cursor names the last record that was looked
at, so that pages neither overlap nor miss what was appended meanwhile. The logs of many
writers in one database are ordered by time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from openfeature_gov.evidence.otlp import Stored
from openfeature_gov.stores.logs import COLUMNS, DERIVED, Log, opened

WRITERS = """
WITH RECURSIVE w (writer) AS (SELECT min(writer) FROM records UNION ALL
  SELECT (SELECT min(r.writer) FROM records r WHERE r.writer > w.writer) FROM w
  WHERE w.writer IS NOT NULL)
SELECT writer FROM w WHERE writer IS NOT NULL
"""
"""Looks once for each writer, whatever was archived of its records."""
NAMED = (
    "SELECT id FROM records WHERE id = :id UNION"
    " SELECT ref FROM records WHERE id = :id AND ref IS NOT NULL"
)


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
NUMBERS = {"amount", "at_us"}
COMMON = frozenset({"decision", "outcome"})
"""The kinds that most records are of."""
CHOICES = tuple(
    one.name for one in fields(Filter) if one.name in {*COLUMNS, *DERIVED} - NUMBERS
)


class Page(NamedTuple):
    """Hold some records, and where to go on: None after the last.

    Ask again with *after* set to *last* for what is appended later.
    """

    records: list[dict[str, Any]]
    cursor: str | None
    last: str | None


def query(
    records: Path | str,
    wanted: Filter = EVERYTHING,
    *,
    after: str | None = None,
    newest_first: bool = False,
    limit: int = 100,
) -> Page:
    """Return the first *limit* records that *wanted* describes, each with its ``seq``.

    *after* is the cursor of the page before; with *newest_first* pages go backwards.

    Raises:
        RecordStoreError: when there is no such log, or a record cannot be read.

    """
    with opened(records) as log:
        return page(log, wanted, after=after, newest_first=newest_first, limit=limit)


def related(records: Path | str, record_id: str) -> list[dict[str, Any]]:
    """Return record *record_id*, what it refers to, and all that refer to either.

    Raises:
        RecordStoreError: when there is no such log, or a record cannot be read.

    """
    with opened(records) as log:
        where = f"id IN ({NAMED}) OR ref IN ({NAMED}) ORDER BY {log.ordered('ASC')}"
        return log.recorded(where, {"id": record_id})


def stored(
    records: Path | str, *, after: int, limit: int, writer: str | None = None
) -> list[Stored]:
    """Return at most *limit* records after number *after*, byte for byte.

    Where every writer has numbers of its own, *writer* says whose.

    Raises:
        RecordStoreError: when there is no such log.

    """
    mine = "" if writer is None else " AND writer = :writer"
    with opened(records) as log:
        rows = log.rows(
            f"SELECT seq, id, kind, at_us, body FROM records WHERE seq > :after{mine}"  # noqa: S608 - constants
            " ORDER BY seq LIMIT :limit",
            {"after": after, "limit": limit, "writer": writer},
        )
        return [*map(Stored._make, rows)]


def writers(records: Path | str) -> list[str | None]:
    """Return whose logs *records* holds; one None where all share one.

    Raises:
        RecordStoreError: when there is no such log.

    """
    with opened(records) as log:
        if log.one_log:
            return [None]
        return sorted(writer for (writer,) in log.rows(WRITERS, {}))


def ends(log: Log) -> dict[str, int]:
    """Return the last number in each log, by its writer; of one log by no name."""
    if log.one_log:
        [(last,)] = log.rows("SELECT max(seq) FROM records", {})
        return {"": int(last or 0)}
    query = "SELECT max(seq) FROM records WHERE writer = :writer"
    found = {}
    for writer in [writer for (writer,) in log.rows(WRITERS, {})]:
        [(found[writer],)] = log.rows(query, {"writer": writer})
    return found


def newer(
    log: Log, wanted: Filter, seen: Mapping[str, int], *, limit: int
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return what *wanted* describes behind the numbers *seen*, and the numbers now.

    Each log is read in its own order, which is that of its commits: the logs together
    have none, and a record may appear behind one that is younger. At most *limit*
    records of each log are looked at.
    """
    where, values = condition(wanted, log)
    found: list[dict[str, Any]] = []
    now = dict(seen)
    for writer, last in ends(log).items():
        first = seen.get(writer, 0)
        now[writer] = min(last, first + limit)
        if last > first:
            mine = "" if log.one_log else " AND writer = :of"
            bounds = {"of": writer, "first": first, "last": now[writer]}
            found += log.recorded(
                f"seq > :first AND seq <= :last{mine} AND {where} ORDER BY seq",
                {**values, **bounds},
            )
    return sorted(found, key=lambda one: int(one["atUs"])), now


def page(
    log: Log,
    wanted: Filter,
    *,
    after: str | None = None,
    newest_first: bool = False,
    limit: int | None = None,
) -> Page:
    """Return the first *limit* records of an open log that *wanted* describes."""
    where, values = condition(wanted, log)
    sign, direction = ("<", "DESC") if newest_first else (">", "ASC")
    beyond, bounds = log.beyond(after, sign)
    columns = ", ".join(log.order)
    selects = " UNION ALL ".join(
        f"SELECT {columns} FROM records WHERE {one}{beyond}"  # noqa: S608 - constants
        for one in _alternatives(where, wanted)
    )
    place = ", ".join(log.place)
    order = log.ordered(direction, narrow=narrow(wanted))
    # The bodies are read last: sorting them would copy each.
    found = log.recorded(
        f"({place}) IN (SELECT {place} FROM ({selects}) AS found ORDER BY {order}"  # noqa: S608 - constants
        f" LIMIT :limit) ORDER BY {log.ordered(direction)}",
        {**values, **bounds, "limit": 2**62 if limit is None else limit},
    )
    last = log.cursor(found[-1]) if found else after
    kept = [one for one in found if _within(one.get("amount"), wanted)]
    return Page(kept, last if len(found) == limit else None, last)


def narrow(wanted: Filter) -> bool:
    """Say whether an index finds what *wanted* describes."""
    bounds = (wanted.from_us, wanted.to_us, wanted.amount_from, wanted.amount_to)
    common = ("writer",) if COMMON.isdisjoint(wanted.kind) else ("writer", "kind")
    return any(one is not None for one in bounds) or any(
        getattr(wanted, name) for name in CHOICES if name not in common
    )


def condition(wanted: Filter, log: Log, *, by: str = "") -> tuple[str, dict[str, Any]]:
    """Return *wanted* as an SQL condition over records, with its parameters.

    *by* is put before the time, so that no index by time leads the search.
    """
    said = log.said
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
        terms.append(log.served.format(*names))
        values |= dict(zip(names, (key, variant), strict=True))
    bounds = (
        (f"{by}at_us", ">=", "from_us", wanted.from_us),
        (f"{by}at_us", "<", "to_us", wanted.to_us),
        (said["amount"], ">=", "amount_from", _real(wanted.amount_from)),
        (said["amount"], "<=", "amount_to", _real(wanted.amount_to)),
    )
    for left, sign, name, bound in bounds:
        if bound is not None:
            terms.append(f"{left} {sign} :{name}")
            values[name] = bound
    return " AND ".join(terms) or "1 = 1", values


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

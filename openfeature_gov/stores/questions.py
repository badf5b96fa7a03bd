"""What the reports ask of the record log. Read-only.

Totals come from one index that holds what decisions are grouped by, in that order, so
that a million records are counted without reading one of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson

from openfeature_gov.evidence.actions import Action
from openfeature_gov.evidence.reports import NO_ENDS, STATUSES, Group
from openfeature_gov.evidence.spending import Cost
from openfeature_gov.stores.queries import (
    Filter,
    columns,
    condition,
    page,
    recorded,
)

Records = list[dict[str, Any]]
CACHE_KB = 128_000
"""Outcomes are looked up in the order of the groups: that needs their index at hand."""
GROUP = ("agent", "tool", "target", "effect", "reason", "variant", "executes")
"""What decisions are grouped by: the order of the index."""
MARKS = 500
"""How many values one statement names."""


def groups(
    connection: sqlite3.Connection, wanted: Filter, *, ends: bool = False
) -> list[Group]:
    """Return the decisions of *wanted*, counted by what they have in common.

    With *ends* each group says what became of its decisions.
    """
    found, values = _decisions(connection, wanted)
    keys = ", ".join(f"d.{name}" for name in GROUP)
    decided, counts, join = "count(*)", "", ""
    if ends:
        connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
        # A decision with two outcomes, which is a finding, is still one decision.
        decided = "count(DISTINCT d.seq)"
        counts = "".join(f", sum(o.reason IS '{one}')" for one in STATUSES)
        join = (
            " LEFT JOIN records o ON o.ref = d.id AND o.kind = 'outcome'"
            " AND d.executes = 1"
        )
    rows = connection.execute(
        f"SELECT {keys}, {decided}, min(d.at_us), max(d.at_us), max(d.seq){counts}"  # noqa: S608 - constants
        f" FROM ({found}) d{join} GROUP BY {keys}",
        values,
    )
    return [_group(row) for row in rows]


def latest(
    connection: sqlite3.Connection, wanted: Filter, *, limit: int
) -> list[Action]:
    """Return the last *limit* decisions of *wanted* with what refers to them."""
    decided = replace(wanted, kind=("decision",))
    found = page(connection, decided, after=None, newest_first=True, limit=limit)
    return list(_joined(connection, found.records))


def samples(connection: sqlite3.Connection, seqs: Iterable[int]) -> dict[int, Action]:
    """Return the decisions *seqs*, each with what refers to it, by ``seq``."""
    found = _named(connection, "seq", sorted(set(seqs)))
    return {one.decision["seq"]: one for one in _joined(connection, found)}


def notes(connection: sqlite3.Connection, kind: str, wanted: Filter) -> Records:
    """Return the records of one *kind* of the log itself, in the time of *wanted*."""
    within = Filter(kind=(kind,), from_us=wanted.from_us, to_us=wanted.to_us)
    return page(connection, within, after=None, newest_first=False, limit=-1).records


def answers(connection: sqlite3.Connection, wanted: Filter) -> Records:
    """Return the reviewers' answers in the time of *wanted*."""
    within = Filter(from_us=wanted.from_us, to_us=wanted.to_us)
    said = {**columns(connection), "at_us": "+at_us"}
    where, values = condition(within, said)
    where += f" AND kind NOT IN ('decision', 'outcome') AND {said['reviewer']} > ''"
    return recorded(connection, f"{where} ORDER BY +seq", values)


def costs(connection: sqlite3.Connection, wanted: Filter) -> Iterator[Cost]:
    """Yield what each action of *wanted* that ran cost, as its outcome says."""
    found, values = _decisions(connection, wanted)
    rows = connection.execute(
        "SELECT d.agent, d.task, d.at_us, o.body"  # noqa: S608 - constants
        f" FROM ({found}) d CROSS JOIN records o"
        " ON o.ref = d.id AND o.kind = 'outcome' AND d.executes = 1",
        values,
    )
    for agent, task, at_us, body in rows:
        yield Cost(agent, task, at_us, orjson.loads(body).get("cost"))


def _decisions(
    connection: sqlite3.Connection, wanted: Filter
) -> tuple[str, dict[str, Any]]:
    """Return the statement that finds the decisions of *wanted*, with parameters."""
    # An index by time would lead to every record; the grouped one has the time as well.
    said = {**columns(connection), "at_us": "+at_us"}
    where, values = condition(wanted, said)
    names = ", ".join(f"{said.get(name, name)} AS {name}" for name in (*GROUP, "task"))
    found = f"SELECT seq, id, at_us, {names} FROM records"  # noqa: S608 - constants
    return f"{found} WHERE kind = 'decision' AND {where}", values


def _group(row: tuple[Any, ...]) -> Group:
    known, ends = row[: len(GROUP) + 4], row[len(GROUP) + 4 :]
    group = Group._make((*known, ends or NO_ENDS))
    return group._replace(executes=bool(group.executes))


def _joined(connection: sqlite3.Connection, found: Records) -> Iterator[Action]:
    later: dict[str, Records] = {}
    for one in _named(connection, "ref", [one["id"] for one in found]):
        later.setdefault(one["ref"], []).append(one)
    for one in found:
        yield Action(one, tuple(later.get(one["id"], ())))


def _named(
    connection: sqlite3.Connection, column: str, values: Sequence[Any]
) -> Records:
    found: Records = []
    for start in range(0, len(values), MARKS):
        some = values[start : start + MARKS]
        named = {f"v{place}": one for place, one in enumerate(some)}
        marks = ", ".join(f":{one}" for one in named)
        found += recorded(connection, f"{column} IN ({marks}) ORDER BY seq", named)
    return found

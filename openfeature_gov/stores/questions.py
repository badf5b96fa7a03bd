"""What the reports ask of the record log. Read-only.

Totals come from one index that holds what decisions are grouped by, in that order, so
that a million records are counted without reading one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from openfeature_gov.evidence.actions import Action, joined
from openfeature_gov.evidence.reports import NO_ENDS, STATUSES, Group
from openfeature_gov.evidence.spending import Cost
from openfeature_gov.stores.logs import MARKS, Log
from openfeature_gov.stores.queries import Filter, condition, page

Records = list[dict[str, Any]]
GROUP = ("agent", "tool", "target", "effect", "reason", "variant", "executes")
"""What decisions are grouped by: the order of the index."""
LAST = len(GROUP) + 3
"""Where a row says which decision is the last of its group."""


@dataclass(frozen=True, slots=True)
class Run:
    """Summarise one task: how many calls, and what became of them by effect."""

    task: str
    agent: str
    first_us: int
    last_us: int
    calls: int
    effects: dict[str, int]


def groups(log: Log, wanted: Filter, *, ends: bool = False) -> list[Group]:
    """Return the decisions of *wanted*, counted by what they have in common.

    With *ends* each group says what became of its decisions.
    """
    decisions, values = _decisions(log, wanted)
    keys = ", ".join(f"d.{name}" for name in GROUP)
    counted = log.last.format(
        keys=keys,
        decisions=f"({decisions}) d",
        same=" AND ".join(f"d.{name} IS NOT DISTINCT FROM g.{name}" for name in GROUP),
    )
    found = list(log.rows(counted, values))
    ids = _last_ids(log, found)
    ended = _ends(log, wanted) if ends else {}
    return [_group(row, ids, ended) for row in found]


def _ends(log: Log, wanted: Filter) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Return how many outcomes of each status the groups of *wanted* have."""
    decisions, values = _decisions(log, wanted)
    keys = ", ".join(f"d.{name}" for name in GROUP)
    counts = ", ".join(
        f"sum(CASE WHEN o.reason = '{one}' THEN 1 ELSE 0 END)" for one in STATUSES
    )
    rows = log.rows(
        f"SELECT {keys}, {counts} FROM ({decisions}) d {log.ended} GROUP BY {keys}",  # noqa: S608 - constants
        values,
    )
    return {row[: len(GROUP)]: row[len(GROUP) :] for row in rows}


def latest(log: Log, wanted: Filter, *, limit: int) -> list[Action]:
    """Return the last *limit* decisions of *wanted* with what refers to them."""
    decided = replace(wanted, kind=("decision",))
    found = page(log, decided, newest_first=True, limit=limit)
    return list(_joined(log, found.records))


def samples(log: Log, ids: Iterable[str]) -> dict[str, Action]:
    """Return the decisions *ids*, each with what refers to it, by id."""
    found = log.named("id", sorted(set(ids)))
    return {one.decision["id"]: one for one in _joined(log, found)}


def acted(log: Log, task: str) -> list[Action]:
    """Return the decisions of *task* with what refers to them, in the log's order."""
    found = page(log, Filter(task=(task,), kind=("decision",)))
    return list(_joined(log, found.records))


def runs(log: Log, *, limit: int) -> list[Run]:
    """Return the last *limit* tasks, latest first, with what became of their calls."""
    last = f"max({log.place[-1] if log.one_log else 'at_us'})"
    rows = log.rows(
        "SELECT task, min(agent), min(at_us), max(at_us), count(*) FROM records"  # noqa: S608 - constants
        f" WHERE kind = 'decision' GROUP BY task ORDER BY {last} DESC LIMIT :limit",
        {"limit": limit},
    )
    return [
        Run(task or "", agent or "", first, last, calls, _effects(log, task))
        for task, agent, first, last, calls in list(rows)
    ]


def _effects(log: Log, task: str | None) -> dict[str, int]:
    same = "task IS NULL" if task is None else "task = :task"
    rows = log.rows(
        f"SELECT effect, count(*) FROM records WHERE kind = 'decision' AND {same}"  # noqa: S608 - constants
        " GROUP BY effect ORDER BY effect",
        {} if task is None else {"task": task},
    )
    return dict(rows)


def notes(log: Log, kind: str, wanted: Filter) -> Records:
    """Return the records of one *kind* of the log itself, in the time of *wanted*."""
    within = Filter(kind=(kind,), from_us=wanted.from_us, to_us=wanted.to_us)
    return page(log, within).records


def answers(log: Log, wanted: Filter) -> Records:
    """Return the reviewers' answers in the time of *wanted*."""
    within = Filter(from_us=wanted.from_us, to_us=wanted.to_us)
    where, values = condition(within, log, by=log.by)
    where += f" AND kind NOT IN ('decision', 'outcome') AND {log.said['reviewer']} > ''"
    order = log.ordered("ASC", narrow=True)
    return log.recorded(f"{where} ORDER BY {order}", values)


def costs(log: Log, wanted: Filter) -> Iterator[Cost]:
    """Yield what each action of *wanted* cost, where its outcome says that."""
    found, values = _decisions(log, wanted)
    rows = log.rows(
        f"SELECT d.agent, d.task, d.at_us, o.body FROM ({found}) d {log.costed}",  # noqa: S608 - constants
        values,
    )
    for agent, task, at_us, body in rows:
        yield Cost(agent, task, at_us, orjson.loads(body).get("cost"))


def _decisions(log: Log, wanted: Filter) -> tuple[str, dict[str, Any]]:
    """Return the statement that finds the decisions of *wanted*, with parameters."""
    # An index by time would lead to every record; the grouped one has the time as well.
    where, values = condition(wanted, log, by=log.by)
    names = (*GROUP, "task", "writer") if not log.one_log else (*GROUP, "task")
    said = ", ".join(f"{log.said.get(name, name)} AS {name}" for name in names)
    found = f"SELECT seq, id, at_us, {said} FROM records"  # noqa: S608 - constants
    return f"{found} WHERE kind = 'decision' AND {where}", values


def _last_ids(log: Log, found: list[tuple[Any, ...]]) -> dict[Any, str]:
    """Return the id of the last record of each group, by what the group calls it."""
    said = [row[LAST] for row in found]
    if not log.one_log:
        return {one: one for one in said}
    ids: dict[Any, str] = {}
    for start in range(0, len(said), MARKS):
        seqs = ", ".join(map(str, said[start : start + MARKS]))
        ids |= dict(log.rows(f"SELECT seq, id FROM records WHERE seq IN ({seqs})", {}))  # noqa: S608 - numbers
    return ids


def _group(
    row: tuple[Any, ...],
    ids: Mapping[Any, str],
    ended: Mapping[tuple[Any, ...], tuple[int, ...]],
) -> Group:
    group = Group._make((*row, ended.get(row[: len(GROUP)], NO_ENDS)))
    return group._replace(executes=bool(group.executes), last=ids[group.last])


def _joined(log: Log, found: Records) -> Iterator[Action]:
    later: dict[str, Records] = {}
    refer = log.named("ref", [one["id"] for one in found])
    undos = [one["id"] for one in refer if one["kind"] == "undo"]
    for one in [*refer, *(log.named("ref", undos) if undos else ())]:
        later.setdefault(one["ref"], []).append(one)
    for one in found:
        yield joined(one, later)

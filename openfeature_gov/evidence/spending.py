"""What actions cost, exactly, and whether it stayed within an envelope. Pure.

Source: article 002, "Cost Governance": a limit per task, per hour and per day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from openfeature_gov.evidence.actions import Action, Facts, named
from openfeature_gov.evidence.reports import Group, Report, report_of

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


class Cost(NamedTuple):
    """Hold what one action cost, as its outcome says."""

    agent: str | None
    task: str | None
    at_us: int
    cost: str | None


class Envelope(NamedTuple):
    """Hold how much may be spent by one agent in a task, an hour and a day (UTC)."""

    task: Decimal | None = None
    hour: Decimal | None = None
    day: Decimal | None = None


def cost(
    groups: Iterable[Group],
    costs: Iterable[Cost],
    envelope: Envelope,
    items: Iterable[Action] = (),
) -> Report:
    """Answer what it cost: by agent, exactly, and where it left the *envelope*.

    *groups* say how many actions there were; *costs* what those cost that say so.
    """
    sums: dict[str | None, Facts] = {}
    for group in groups:
        ran = group.decided if group.executes else 0
        _sum(sums, group.agent)["actions"] += ran
    spent: dict[str | None, dict[tuple[str, Any], Decimal]] = {}
    for one in costs:
        amount = _decimal(one.cost)
        if amount is None:
            continue
        total = _sum(sums, one.agent)
        total["costed"] += 1
        total["cost"] += amount
        parts = spent.setdefault(one.agent, {})
        for part in _parts(one):
            parts[part] = parts.get(part, Decimal(0)) + amount
    over = [
        breach
        for agent, parts in spent.items()
        for breach in _over(agent, parts, envelope)
    ]
    rows = [
        {**total, "cost": str(total["cost"]), **_dearest(spent.get(agent, {}))}
        for agent, total in sums.items()
    ]
    totals = {
        "actions": sum(row["actions"] for row in rows),
        "costed": sum(row["costed"] for row in rows),
        "cost": str(sum((Decimal(row["cost"]) for row in rows), Decimal(0))),
        "envelope": {
            name: None if limit is None else str(limit)
            for name, limit in envelope._asdict().items()
        },
        "within": None if envelope == Envelope() else not over,
        "over": over,
    }
    return report_of("cost", totals, rows, map(_paid, items))


def _sum(sums: dict[str | None, Facts], agent: str | None) -> Facts:
    empty = {"agent": agent, "actions": 0, "costed": 0, "cost": Decimal(0)}
    return sums.setdefault(agent, empty)


def _paid(action: Action) -> Facts:
    context = action.decision.get("context") or {}
    return {
        **named(action),
        "task": context.get("task"),
        "cost": action.outcome.get("cost"),
        "estimate": context.get("costEstimate"),
        "latencyUs": action.outcome.get("latencyUs"),
    }


def _decimal(text: str | None) -> Decimal | None:
    try:
        amount = None if text is None else Decimal(text)
    except ArithmeticError:
        return None
    return amount if amount is not None and amount.is_finite() else None


def _parts(one: Cost) -> Iterator[tuple[str, Any]]:
    yield "task", one.task
    yield "hour", one.at_us // HOUR_US * HOUR_US
    yield "day", one.at_us // DAY_US * DAY_US


def _over(
    agent: str | None, parts: Mapping[tuple[str, Any], Decimal], envelope: Envelope
) -> Iterator[Facts]:
    limits = envelope._asdict()
    for (part, which), amount in parts.items():
        limit = limits[part]
        if limit is not None and amount > limit:
            yield {
                "agent": agent,
                "part": part,
                "which": which,
                "cost": str(amount),
                "limit": str(limit),
            }


def _dearest(parts: Mapping[tuple[str, Any], Decimal]) -> Facts:
    """Return the most that one task, one hour and one day cost."""
    most: Facts = {"dearestTask": None, "taskCost": None}
    most |= {"hourCost": None, "dayCost": None}
    for part in ("task", "hour", "day"):
        found = [(amount, key) for (name, key), amount in parts.items() if name == part]
        if found:
            amount, key = max(found, key=lambda one: one[0])
            most[f"{part}Cost"] = str(amount)
            if part == "task":
                most["dearestTask"] = key
    return most

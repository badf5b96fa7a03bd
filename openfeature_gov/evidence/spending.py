"""What actions cost, exactly, and whether it stayed within an envelope. Pure.

Source: article 002, "Cost Governance": a limit per task, per hour and per day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from operator import itemgetter
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


@dataclass(slots=True)
class Spent:
    """Hold what one agent spent: in each task, hour and day that it spent in."""

    costed: int = 0
    task: dict[str | None, Decimal] = field(default_factory=dict)
    hour: dict[int, Decimal] = field(default_factory=dict)
    day: dict[int, Decimal] = field(default_factory=dict)

    def of(self, part: str) -> Mapping[Any, Decimal]:
        """Return the amounts of *part*, a field of `Envelope`."""
        parts: Mapping[str, Mapping[Any, Decimal]]
        parts = {"task": self.task, "hour": self.hour, "day": self.day}
        return parts[part]


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
    spent = _spent(costs)
    for agent, parts in spent.items():
        total = _sum(sums, agent)
        total["costed"] = parts.costed
        total["cost"] = sum(parts.day.values(), Decimal(0))
    over = [
        breach
        for agent, parts in spent.items()
        for breach in _over(agent, parts, envelope)
    ]
    rows = [
        {**total, "cost": str(total["cost"]), **_dearest(spent.get(agent))}
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


def _spent(costs: Iterable[Cost]) -> dict[str | None, Spent]:
    found: dict[str | None, Spent] = {}
    nothing = Decimal(0)
    for agent, task, at_us, said in costs:
        amount = _decimal(said)
        if amount is None:
            continue
        parts = found.get(agent)
        if parts is None:
            parts = found[agent] = Spent()
        parts.costed += 1
        hour, day = at_us // HOUR_US * HOUR_US, at_us // DAY_US * DAY_US
        parts.task[task] = parts.task.get(task, nothing) + amount
        parts.hour[hour] = parts.hour.get(hour, nothing) + amount
        parts.day[day] = parts.day.get(day, nothing) + amount
    return found


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


def _over(agent: str | None, spent: Spent, envelope: Envelope) -> Iterator[Facts]:
    for part, limit in envelope._asdict().items():
        if limit is None:
            continue
        for which, amount in spent.of(part).items():
            if amount > limit:
                yield {
                    "agent": agent,
                    "part": part,
                    "which": which,
                    "cost": str(amount),
                    "limit": str(limit),
                }


def _dearest(spent: Spent | None) -> Facts:
    """Return the most that one task, one hour and one day cost."""
    most: Facts = {"dearestTask": None, "taskCost": None}
    most |= {"hourCost": None, "dayCost": None}
    if spent is None:
        return most
    for part in Envelope._fields:
        which, amount = max(spent.of(part).items(), key=itemgetter(1))
        most[f"{part}Cost"] = str(amount)
        if part == "task":
            most["dearestTask"] = which
    return most

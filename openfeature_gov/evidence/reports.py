"""The five questions that a governed deployment answers by query. Pure.

Source: article 002, "Governance Readiness". Rows count every decision in the scope;
items show single ones. What a row says of policy and risk class is what the last of
its decisions was made under: the items say it of each. The answers about authority and
cost are in `authority` and `spending`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from openfeature_gov.evidence.actions import (
    Action,
    Facts,
    access_of,
    named,
    resolution,
)

QUESTIONS: Mapping[str, str] = {
    "actions": "What actions did the agent take?",
    "authority": "Who authorized those actions, and under what policy?",
    "data": "What data did the agent access or modify?",
    "cost": "What did it cost, and was it within the approved envelope?",
    "boundaries": "Were policy boundaries triggered, and how were they resolved?",
}
_SPAN = ("firstUs", "lastUs", "lastRecord")
_ENDS = ("executed", "failed", "cancelled", "notRun", "unknown", "open")
_POLICY = ("workflow", "owner", "contractRevision", "authorization", "flags")
ROWS: Mapping[str, tuple[str, ...]] = {
    "actions": ("agent", "tool", "target", "effect", "decided", *_ENDS, *_SPAN),
    "authority": (
        *("agent", "tool", "effect", "reason", "modeVariant", "decided"),
        *(*_POLICY, "setBy", *_SPAN),
    ),
    "data": (
        *("agent", "target", "tool", "access", "riskClass", "intent", "actions"),
        *_SPAN,
    ),
    "cost": (
        *("agent", "actions", "costed", "cost"),
        *("dearestTask", "taskCost", "hourCost", "dayCost"),
    ),
    "boundaries": (
        *("agent", "tool", "effect", "reason", "triggered", "ranLess", "didNotRun"),
        *_SPAN,
    ),
}
"""The columns of each report's rows; a promise like that of the flat records."""
STATUSES = ("executed", "failed", "cancelled", "not_run", "unknown")
"""What an outcome says, in the order of `Group.ends`."""
NO_ENDS = (0,) * len(STATUSES)


class Group(NamedTuple):
    """Hold decisions that have all this in common: how many, since when, until when.

    *ends* counts their outcomes by `STATUSES`; *last* is the id of the last one.
    """

    agent: str | None
    tool: str | None
    target: str | None
    effect: str | None
    reason: str | None
    variant: str | None
    executes: bool
    decided: int
    first_us: int
    last_us: int
    last: str
    ends: tuple[int, ...] = NO_ENDS


class Report(NamedTuple):
    """Answer one question: *rows* in full, *items* one by one, *totals* over all."""

    name: str
    question: str
    totals: Facts
    rows: list[Facts]
    items: list[Facts]

    def facts(self) -> Facts:
        """Return the report as plain JSON values."""
        return dict(self._asdict())


def actions(groups: Iterable[Group], items: Iterable[Action]) -> Report:
    """Answer what was done: by agent, tool and target, and how it ended."""
    rows: dict[tuple[Any, ...], Facts] = {}
    for group in groups:
        key = (group.agent, group.tool, group.target, group.effect)
        row = rows.setdefault(
            key,
            {
                "agent": group.agent,
                "tool": group.tool,
                "target": group.target or None,
                "effect": group.effect,
                "decided": 0,
                **dict.fromkeys(map(_camel, STATUSES), 0),
                "open": 0,
            },
        )
        row["decided"] += group.decided
        for status, count in zip(STATUSES, group.ends, strict=True):
            row[_camel(status)] += count
        if group.executes:
            row["open"] += max(0, group.decided - sum(group.ends))
        stretch(row, group)
    listed = list(rows.values())
    totals = {
        name: sum(row[name] for row in listed)
        for name in ("decided", *map(_camel, STATUSES), "open")
    }
    return report_of("actions", totals, listed, map(_taken, items))


def data(
    groups: Iterable[Group], samples: Mapping[str, Action], items: Iterable[Action]
) -> Report:
    """Answer which systems were read and which changed, by which tool.

    *samples* holds the last decision of each group, with its outcome, by id. What
    was only proposed, refused or is waiting is counted as withheld.
    """
    rows: dict[tuple[Any, ...], Facts] = {}
    for group in groups:
        access = access_of(samples.get(group.last, Action({})))
        key = (group.agent, group.tool, group.target, access)
        sample = samples.get(group.last, Action({})).decision
        row = rows.setdefault(
            key,
            {
                "agent": group.agent,
                "target": group.target or None,
                "tool": group.tool,
                "access": access,
                "riskClass": sample.get("riskClass"),
                "intent": sample.get("intent"),
                "actions": 0,
            },
        )
        row["actions"] += group.decided
        stretch(row, group)
    totals: Facts = {}
    for row in rows.values():
        totals[row["access"]] = totals.get(row["access"], 0) + row["actions"]
    return report_of("data", totals, list(rows.values()), map(_touched, items))


def boundaries(groups: Iterable[Group], items: Iterable[Action]) -> Report:
    """Answer which limits were met: by effect and reason, and what came of it.

    Whatever was decided other than allow met a limit.
    """
    rows: dict[tuple[Any, ...], Facts] = {}
    for group in groups:
        if group.effect == "allow":
            continue
        key = (group.agent, group.tool, group.effect, group.reason)
        row = rows.setdefault(
            key,
            {
                "agent": group.agent,
                "tool": group.tool,
                "effect": group.effect,
                "reason": group.reason,
                "triggered": 0,
                "ranLess": 0,
                "didNotRun": 0,
            },
        )
        row["triggered"] += group.decided
        ran = sum(group.ends) - group.ends[STATUSES.index("not_run")]
        row["ranLess"] += ran
        row["didNotRun"] += group.decided - ran
        stretch(row, group)
    totals: Facts = {}
    for row in rows.values():
        totals[row["effect"]] = totals.get(row["effect"], 0) + row["triggered"]
    return report_of("boundaries", totals, list(rows.values()), map(_resolved, items))


def report_of(
    name: str, totals: Facts, rows: list[Facts], items: Iterable[Facts]
) -> Report:
    """Return the answer to the question *name*."""
    return Report(name, QUESTIONS[name], totals, rows, list(items))


def stretch(row: Facts, group: Group) -> None:
    """Let *row* reach from the first to the last decision of *group* as well."""
    row["firstUs"] = min(row.get("firstUs", group.first_us), group.first_us)
    if group.last_us >= row.get("lastUs", group.last_us):
        row["lastUs"], row["lastRecord"] = group.last_us, group.last


def _camel(status: str) -> str:
    return {"not_run": "notRun"}.get(status, status)


def _taken(action: Action) -> Facts:
    outcome = action.outcome
    open_ended = "open" if action.decision.get("executes") else None
    return {
        **named(action),
        "summary": action.decision.get("summary"),
        "target": action.decision.get("targetSystem") or None,
        "outcome": outcome.get("status", open_ended),
        "ran": outcome.get("ran") or None,
        "error": outcome.get("error") or None,
    }


def _touched(action: Action) -> Facts:
    decision = action.decision
    return {
        **named(action),
        "target": decision.get("targetSystem") or None,
        "targetRecord": decision.get("targetRecord") or None,
        "access": access_of(action),
        "records": decision.get("records"),
        "fields": sorted(decision.get("fields") or ()),
        "argumentsDigest": decision.get("argumentsDigest"),
    }


def _resolved(action: Action) -> Facts:
    decision = action.decision
    caps = [
        f"{one.get('control')}: {one.get('reason')} ({one.get('cap')})"
        for one in decision.get("verdicts") or ()
        if one.get("cap") != "autonomous" or one.get("reason") == "needs_human"
    ]
    return {
        **named(action),
        "mode": decision.get("mode"),
        "need": decision.get("need"),
        "controls": caps,
        "resolution": resolution(action),
    }

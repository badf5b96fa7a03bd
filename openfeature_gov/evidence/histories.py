"""One run as a history: what started it, what it knew, did, brought about and left.

Pure. Source: article 004, "Keep a run history". A run is everything of one task. What
may differ from step to step is a list of every value, in the order of its first use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from openfeature_gov.evidence.actions import Action, Facts, Record

STARTED = ("trigger", "request", "parentTask", "user", "service", "session")
KNEW = (
    *("agent", "agentInstance", "agentVersion", "account", "environment", "region"),
    *("stage", "model", "template", "promptDigest", "parametersDigest", "inputDigest"),
    *("payload", "sources", "confidence", "delegation"),
)
RULES = ("workflow", "owner", "revision")
LEFT = ("undo", "handOver", "incident", "error")
ENDS = {"failed", "cancelled", "unknown"}


def history(task: str, actions: Sequence[Action]) -> Facts:
    """Return the run *task* as article 004 asks for it, in plain JSON values."""
    decisions = [one.decision for one in actions]
    contexts = [{**(one.get("context") or {}), **one} for one in decisions]
    rules = [one.get("contract") or {} for one in decisions]
    return {
        "task": task,
        "trigger": _distinct(contexts, STARTED),
        "context": {**_distinct(contexts, KNEW), **_distinct(rules, RULES)},
        "steps": [step(one) for one in actions],
        "output": _output(actions),
        "approval": [one for action in actions for one in _approval(action)],
        "review": [one for action in actions for one in _review(action)],
        "followUp": [one for action in actions for one in _follow_up(action)],
    }


def step(action: Action) -> Facts:
    """Return one step: what was decided, under which flags, and how it ended."""
    one, after = action.decision, action.outcome
    open_ended = "open" if one.get("executes") else None
    return {
        "record": one["id"],
        "atUs": one["atUs"],
        "agent": (one.get("context") or {}).get("agent"),
        "tool": one.get("tool"),
        "summary": one.get("summary"),
        "riskClass": one.get("riskClass"),
        "effect": one.get("effect"),
        "mode": one.get("mode"),
        "need": one.get("need"),
        "reason": one.get("reason"),
        "detail": one.get("detail") or None,
        "flags": {flag["kind"]: _variant(flag) for flag in one.get("flags", ())},
        "outcome": after.get("status", open_ended),
        "ran": after.get("ran") or None,
        "error": after.get("error") or None,
        "cost": after.get("cost"),
        "decisionUs": one.get("latencyUs"),
        "latencyUs": after.get("latencyUs"),
    }


def _distinct(found: Iterable[Mapping[str, Any]], names: Iterable[str]) -> Facts:
    """Return every value of *names* once, in the order of first use; lists as one."""
    listed = list(found)
    told = {
        name: list(dict.fromkeys(_text(one[name]) for one in listed if one.get(name)))
        for name in names
    }
    return {name: values for name, values in told.items() if values}


def _text(value: Any) -> str:
    return " > ".join(map(str, value)) if isinstance(value, list) else str(value)


def _variant(flag: Mapping[str, Any]) -> str:
    return str(flag.get("fault") or flag.get("variant"))


def _output(actions: Sequence[Action]) -> Facts:
    outcomes = [one.outcome for one in actions]
    costs = [Decimal(one["cost"]) for one in outcomes if one.get("cost")]
    effects = Counter(str(one.decision.get("effect")) for one in actions)
    ends = Counter(str(one["status"]) for one in outcomes if one.get("status"))
    return {
        "effects": dict(sorted(effects.items())),
        "outcomes": dict(sorted(ends.items())),
        "results": [one["output"] for one in outcomes if one.get("output")],
        "cost": str(sum(costs, Decimal(0))) if costs else None,
    }


def _approval(action: Action) -> Iterator[Facts]:
    """Yield each step of a request for approval, or that nobody answered.

    Whether somebody was asked is not in these records: without reviewers nobody was.
    """
    one = action.decision
    rules = one.get("contract") or {}
    asked = {"record": one["id"], "tool": one.get("tool")}
    steps = [each for each in action.later if each.get("kind") == "approval"]
    for each in steps:
        yield {**asked, **_answer(each)}
    if not steps and one.get("effect") == "queue_for_approval":
        yield {
            **asked,
            "status": "unanswered",
            "reviewer": rules.get("reviewerGroup") or None,
            "atUs": one.get("atUs"),
            "because": one.get("reason"),
            "ifUnanswered": rules.get("timeoutFallback") or "off",
        }


def _answer(each: Record) -> Facts:
    return {
        "status": each.get("state"),
        "event": each.get("event"),
        "denied": each.get("denied") or None,
        "reviewer": each.get("reviewer") or None,
        "atUs": each.get("atUs"),
        "rationale": each.get("rationale") or None,
    }


def _review(action: Action) -> Iterator[Facts]:
    """Yield each step of a review of what ran at once, its undo at the end."""
    asked = {"record": action.decision["id"], "tool": action.decision.get("tool")}
    for each in action.later:
        if each.get("kind") == "review":
            yield {**asked, **_answer(each), "why": each.get("why") or None}
    after = action.undone
    if after:
        yield {**asked, "status": after.get("reviewState"), "atUs": after.get("atUs")}


def _follow_up(action: Action) -> Iterator[Facts]:
    """Yield what *action* left to do: an error, an undo, a hand-over, an open end."""
    one, after = action.decision, action.outcome
    handed = [each for each in action.later if each.get("kind") == "review"]
    left = {
        name: each[name]
        for each in (after, *handed, action.undone)
        for name in LEFT
        if each.get(name)
    }
    status = after.get("status", "open" if one.get("executes") else None)
    if left or status in (*ENDS, "open"):
        rules = one.get("contract") or {}
        yield {
            "record": one["id"],
            "tool": one.get("tool"),
            "status": status,
            **left,
            "owner": rules.get("rollbackOwner") or rules.get("owner"),
        }

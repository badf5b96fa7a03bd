"""A new release of an agent beside the old one, on the same tasks.

A new model or prompt is a release. The kernel holds it where the contract says; what it
would have done is in its records all the same. Tasks that both releases did are paired
by their ids, and each pair is one sample: calls within a task hang together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from openfeature_gov.governance.lineage import LineageRules, Release
from openfeature_gov.stores.logs import Log
from openfeature_gov_rollout.gates import LEVEL, Count, Gate
from openfeature_gov_rollout.judging import StageResult, judge_all

ESCALATED = frozenset({"queue_for_approval", "deny", "fallback"})
MOST_TASKS = 10_000
"""How many tasks of a release are compared: the latest, which are held in memory."""


GATES = tuple(
    Gate.model_validate(given)
    for given in (
        {"metric": "agreement", "atLeast": "0.95"},
        {"metric": "tool_choice", "atLeast": "0.95"},
        {"metric": "argument_drift", "atMost": "0.1"},
        {"metric": "escalation", "atMost": "0.05"},
        {"metric": "cost_drift", "atMost": "0.1", "within": "1.5", "kind": "signal"},
    )
)
"""What a new release has to clear unless somebody asks for something else."""


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one call of a task: what was to be done, and what the law says of it.

    *effect* is that under the authority of the released agent. *arguments* is their
    digest, *cost* the estimate in major units; None where nobody knows any more.
    """

    tool: str
    effect: str
    arguments: str | None = None
    cost: Decimal | None = None


Tasks = Mapping[str, tuple[Step, ...]]
"""What a release did, by task, each in the order of its calls."""


def judged(
    log: Log,
    old: Release,
    new: Release,
    tools: Iterable[str],
    since_us: int,
    until_us: int,
    *,
    gates: Sequence[Gate] = GATES,
    error_level: Decimal = LEVEL,
) -> StageResult:
    """Return whether *new* behaves as *old* did, on the tasks that both did.

    Times are microseconds since 1970, *until_us* excluded. Whoever passes may be
    added to ``lineage.accepted`` of the tools' contracts.

    Raises:
        RecordStoreError: when a record cannot be read.

    """
    named = tuple(tools)
    before = performed(log, old, named, since_us, until_us)
    after = performed(log, new, named, since_us, until_us)
    return judge_all(gates, compared(before, after, gates), error_level)


def compared(old: Tasks, new: Tasks, gates: Iterable[Gate]) -> dict[str, Count | None]:
    """Return what *gates* ask of the tasks that both *old* and *new* did.

    ``agreement`` and ``tool_choice`` are true of a task in which each call met the same
    effect, or chose the same tool; ``argument_drift`` of one with the same tools and
    other arguments, ``cost_drift`` of one that cost more than the gate's multiple of
    the old one, ``escalation`` of one in which a call waits or is refused although none
    did. No pair that counts is no count, so that its gate holds.
    """
    pairs = [(old[task], new[task]) for task in sorted(old.keys() & new.keys())]
    counts: dict[str, Count | None] = {}
    for gate in gates:
        told = [_differs(gate, *pair) for pair in pairs]
        known = [one for one in told if one is not None]
        counts[gate.metric] = Count(sum(known), len(known)) if known else None
    return counts


def _differs(gate: Gate, old: tuple[Step, ...], new: tuple[Step, ...]) -> bool | None:
    """Return what the metric of *gate* says of one pair, None if it says nothing."""
    same = [one.tool for one in old] == [one.tool for one in new]
    match gate.metric:
        case "tool_choice":
            return same
        case "agreement":
            return same and [o.effect for o in old] == [n.effect for n in new]
        case "argument_drift":
            return _drifted(old, new) if same else None
        case "cost_drift":
            return _dearer(old, new, gate.limit)
        case "escalation":
            return _escalated(new) and not _escalated(old)
        case _:
            return None


def _escalated(steps: tuple[Step, ...]) -> bool:
    return any(one.effect in ESCALATED for one in steps)


def _drifted(old: tuple[Step, ...], new: tuple[Step, ...]) -> bool | None:
    digests = [one.arguments for one in (*old, *new)]
    if None in digests:
        return None
    return digests[: len(old)] != digests[len(old) :]


def _dearer(
    old: tuple[Step, ...], new: tuple[Step, ...], multiple: Decimal | None
) -> bool | None:
    costs = [one.cost for one in (*old, *new)]
    known = [one for one in costs if one is not None]
    if multiple is None or len(known) < len(costs):
        return None
    return sum(known[len(old) :]) > multiple * sum(known[: len(old)])


def performed(
    log: Log, release: Release, tools: Iterable[str], since_us: int, until_us: int
) -> Tasks:
    """Return the latest tasks that *release* did with *tools*, and how.

    Times are microseconds since 1970, *until_us* excluded. A call that the lineage held
    back counts as what its shadow says: what the old release would have been allowed.

    Raises:
        RecordStoreError: when a record cannot be read.

    """
    named = {f"t{place}": tool for place, tool in enumerate(sorted(set(tools)))}
    marks = ", ".join(f":{name}" for name in named) or "NULL"
    rows = log.rows(
        f"SELECT body, {log.personal} FROM records WHERE kind = 'decision'"  # noqa: S608 - constants
        f" AND tool IN ({marks}) AND at_us >= :since AND at_us < :until"
        " ORDER BY at_us, id",
        {**named, "since": since_us, "until": until_us},
    )
    tasks: dict[str, list[Step]] = {}
    for body, personal in rows:
        said = orjson.loads(body)
        context = said.get("context") or {}
        task = context.get("task")
        if not task or not _of(release, context):
            continue
        tasks[task] = tasks.pop(task, [])
        tasks[task].append(_step(said, context, personal))
        if len(tasks) > MOST_TASKS:
            del tasks[next(iter(tasks))]
    return {task: tuple(steps) for task, steps in tasks.items()}


def accepted(body: bytes, rules: LineageRules) -> bool:
    """Say whether the decision *body* is of a release that *rules* accept by now."""
    context = orjson.loads(body).get("context") or {}
    return any(_of(release, context) for release in rules.accepted)


def _of(release: Release, context: Mapping[str, Any]) -> bool:
    told = (context.get(one) or "" for one in ("agentVersion", "model", "promptDigest"))
    version, model, prompt = told
    return release.describes(version, model, prompt)


def _step(
    said: Mapping[str, Any], context: Mapping[str, Any], personal: bytes | None
) -> Step:
    shadow = said.get("shadow") or {}
    flags = said.get("flags") or ()
    served = [flag["value"] for flag in flags if flag["kind"] == "mode"]
    # The shadow of a stage is of a further mode; that of a lineage is of the same.
    held = shadow.get("mode") in served
    kept = {} if personal is None else orjson.loads(personal)
    cost = context.get("costEstimate")
    return Step(
        tool=said["tool"],
        effect=shadow["effect"] if held else said["effect"],
        arguments=kept.get("argumentsDigest"),
        cost=None if cost is None else Decimal(cost),
    )

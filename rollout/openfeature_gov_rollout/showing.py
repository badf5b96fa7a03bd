"""Rollouts as plain facts: what status, history, JSON and the report show. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openfeature_gov_rollout.audience import Layer
from openfeature_gov_rollout.bundles import gate_facts
from openfeature_gov_rollout.judging import StageResult
from openfeature_gov_rollout.looking import Look
from openfeature_gov_rollout.plan import Part, Plan, Stage
from openfeature_gov_rollout.states import Situation, Step, Why, next_step, span
from openfeature_gov_rollout.stories import Event, Story

Facts = dict[str, Any]
WORDS = {
    Why.KILLED: "killed",
    Why.ALTERED: "altered",
    Why.LOCKED: "locked",
    Why.ABORTED: "aborted",
    Why.HELD: "held",
    Why.UNRECORDED: "unsettled",
    Why.FAILED: "failing",
    Why.LAST: "done",
}
"""What a rollout is called when such a thing stands in the way; the first counts."""


def status(look: Look) -> Facts:
    """Return all that is to say of one rollout now."""
    situation, plan = look.situation, look.plan
    step = next_step(situation)
    place = situation.place
    return {
        "plan": plan.name,
        "workflow": plan.workflow,
        "tools": list(plan.tools),
        "owner": plan.owner,
        "purpose": plan.purpose,
        "reviewDate": f"{plan.review_date}",
        "cleanUpCondition": plan.clean_up_condition,
        "planDigest": plan.digest,
        "flag": plan.mode_flag,
        "flagVersion": look.token,
        "status": word(situation, step),
        "stage": place.stage,
        "fellFrom": place.origin,
        "transition": place.transition,
        "enteredUs": situation.entered_us,
        "nowUs": situation.now_us,
        "safestMode": situation.safest.label,
        "samples": situation.samples,
        "next": step.following,
        "signers": list(_signers(situation)),
        "due": None
        if step.verb is None
        else {"verb": step.verb.value, "to": step.end, "reason": step.reason},
        "blocks": [{"why": one.why.value, "text": one.text} for one in step.blocks],
        "gates": gates(situation.judged),
        "recentGates": gates(situation.recent),
        "stages": [_stage(plan, stage, place.stage) for stage in plan.stages],
    }


def word(situation: Situation, step: Step) -> str:
    """Return what a rollout is called now, in one word."""
    for one in step.blocks:
        if one.why in WORDS:
            return WORDS[one.why]
    if not situation.place.stage:
        return "not begun"
    return "proving" if step.blocks else "ready"


def gates(judged: StageResult | None) -> list[Facts]:
    """Return what each gate says."""
    return [gate_facts(one) for one in judged.results] if judged else []


def history(story: Story) -> list[Facts]:
    """Return each event of *story*, explained by its records alone."""
    return [_event(one) for one in story.events]


def audience(stage: Stage) -> str:
    """Return in words whom *stage* reaches."""
    return "; or ".join(_part(part) for part in stage.audience)


def served(
    layer: Layer, everybody: Mapping[str, frozenset[str]], *, among: bool
) -> str:
    """Return in words what a layer serves to whom.

    *everybody* are conditions that go without saying; *among* says that there are other
    layers beside it.
    """
    terms = [
        f"{name} {'|'.join(sorted(values))}"
        for name, values in sorted(layer.where.items())
        if everybody.get(name) != values
    ]
    terms += [
        f"in segment {'|'.join(ids)}" for ids in sorted(map(sorted, layer.segments))
    ]
    where = ", ".join(terms) or ("everybody else" if among else "everybody")
    start, told = 0.0, []
    for mode, end in layer.shares:
        share = float(end) - start
        start = float(end)
        told.append(mode.label if share == 1 else f"{share * 100:.4g}% {mode.label}")
    return f"{where}: {', '.join(told)}"


def differences(old: Plan, new: Plan) -> list[tuple[str, str, str]]:
    """Return what differs between two plans: key, before, after; empty is absent."""
    before, after = (
        dict(_flat("", one.model_dump(mode="json", by_alias=True)))
        for one in (old, new)
    )
    return [
        (key, before.get(key, ""), after.get(key, ""))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _flat(head: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        pairs = [(f"{head}.{name}" if head else name, v) for name, v in value.items()]
    elif isinstance(value, list):
        named = [one.get("name") if isinstance(one, dict) else None for one in value]
        pairs = [
            (f"{head}[{n or i}]", v)
            for i, (n, v) in enumerate(zip(named, value, strict=True))
        ]
    else:
        return [(head, "" if value is None else str(value))]
    return [item for name, one in pairs for item in _flat(name, one)]


def _signers(situation: Situation) -> tuple[str, ...]:
    stage = situation.stage
    plan = situation.plan
    return (plan.owner,) if stage is None else plan.signers(stage)


def _stage(plan: Plan, stage: Stage, now: str) -> Facts:
    at, layers = plan.order.get(now, -1), plan.layers[stage.name]
    place = plan.order[stage.name]
    if now not in plan.order:
        state = "ahead"
    else:
        state = "now" if place == at else "done" if place < at else "ahead"
    return {
        "name": stage.name,
        "mode": stage.mode.label,
        "state": state,
        "audience": audience(stage),
        "minimumTime": span(stage.minimum_time),
        "minimumSamples": stage.minimum_samples,
        "deadline": None if stage.deadline is None else span(stage.deadline),
        "onDeadline": stage.on_deadline,
        "signOff": list(plan.signers(stage)),
        "override": None if stage.override is None else stage.override.reason,
        "gates": [
            gate.model_dump(mode="json", by_alias=True, exclude_none=True)
            for gate in stage.gates
        ],
        "serves": [
            served(one, plan.everybody, among=len(layers) > 1) for one in layers
        ],
    }


def _part(part: Part) -> str:
    terms = [f"{name} {'|'.join(values)}" for name, values in part.where.items()]
    if part.segments:
        terms.append(f"in segment {'|'.join(part.segments)}")
    share = "" if part.percentage == 100 else f"{part.percentage:f} % of "
    return share + (", ".join(terms) or "everybody")


def _event(one: Event) -> Facts:
    facts, told = one.facts, one.told
    evidence = facts.get("evidence") or {}
    return {
        "id": one.id,
        "atUs": one.at_us,
        "settledUs": one.settled_us,
        "verb": one.verb.value,
        "from": one.start,
        "to": one.end or str(facts.get("stage", "")),
        "actor": one.actor,
        "reason": one.reason,
        "result": one.result.value,
        "override": bool(facts.get("override")),
        "waived": list(evidence.get("unmet", ())) if facts.get("override") else [],
        "settledLater": bool(told.get("settled") or facts.get("settled")),
        "evidenceDigest": facts.get("evidenceDigest"),
        "planDigest": facts.get("planDigest"),
        "samples": evidence.get("samples"),
        "gates": list(evidence.get("gates", ())),
        "recentGates": list(evidence.get("recent", ())),
        "flagBefore": facts.get("flagBefore"),
        "flagAfter": told.get("flagAfter"),
    }

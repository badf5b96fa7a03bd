"""What a transition was decided on, and how records and comments tell of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openfeature_gov.contracts import digest_of
from openfeature_gov_rollout.judging import GateResult, StageResult
from openfeature_gov_rollout.looking import Look
from openfeature_gov_rollout.plan import Plan
from openfeature_gov_rollout.states import waived

Facts = dict[str, Any]


def bundle(look: Look, *, measured: bool = True) -> Facts:
    """Return the evidence that was at hand, in the integer-only domain of records.

    Without *measured* nothing was counted: a fall waits for no evidence.
    """
    situation = look.situation
    facts = {
        "plan": look.plan.name,
        "planDigest": look.plan.digest,
        "stage": situation.place.stage,
        "transition": situation.place.transition,
        "atUs": situation.now_us,
        "measured": measured,
    }
    if not measured:
        return facts
    return {
        **facts,
        "enteredUs": situation.entered_us,
        "entries": situation.story.entries(situation.place.stage),
        "samples": situation.samples,
        "gates": _gates(situation.judged),
        "recent": _gates(situation.recent),
        "refused": situation.refused,
        "unmet": [one.text for one in waived(situation)],
    }


def gate_facts(one: GateResult) -> Facts:
    """Return what one gate said: numbers are text."""
    return {
        "metric": one.metric,
        "kind": one.kind,
        "answer": one.answer.value,
        "value": _text(one.value),
        "bound": _text(one.bound),
        "target": _text(one.target),
        "samples": one.samples,
        "missing": one.missing,
        "sentence": one.sentence,
    }


def comment(plan: Plan, start: str, end: str, evidence: Facts, reason: str) -> str:
    """Return what an audit log keeps of a move: the digest stands before the reason.

    FeatBit keeps 512 characters of it, and cuts the end.
    """
    told = f"rollout {plan.name}: {start or 'none'} to {end}"
    return f"{told}; evidence sha256:{digest_of(evidence)}; {reason}"


def _gates(judged: StageResult | None) -> list[Facts]:
    results: Iterable[GateResult] = () if judged is None else judged.results
    return [gate_facts(one) for one in results]


def _text(value: object) -> str | None:
    return None if value is None else f"{value:f}"

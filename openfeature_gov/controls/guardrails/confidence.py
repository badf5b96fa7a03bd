"""Guardrail: what an action rests on: confidence, sources, policies that agree."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import isfinite

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import EvidenceNeeded
from openfeature_gov.ladder import Mode

CONFLICT = "conflict"


def confidence(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: EvidenceNeeded,
    _: Situation,
) -> Verdict:
    """Fire for low confidence and contradictions; missing sources cannot be told.

    The lowest of what was found holds. Source: article 000, "low-evidence actions";
    article 002, "route to" the owner.
    """
    found = list(_found(contract, rules, settings))
    return min(found, key=_cap) if found else clear(settings)


def _cap(verdict: Verdict) -> Mode:
    return verdict.cap


def _found(
    contract: ActionContract, rules: GovernanceContract, settings: EvidenceNeeded
) -> Iterator[Verdict]:
    evidence = contract.context.evidence
    if len(evidence.sources) < settings.sources:
        yield unknown(
            rules,
            settings,
            "sources_missing",
            sources=len(evidence.sources),
            wanted=settings.sources,
        )
    for name in settings.conflicts:
        result = evidence.evaluations.get(name)
        if result is None:
            yield unknown(rules, settings, "evaluation_missing", evaluator=name)
        elif result == CONFLICT:
            told = {"evaluator": name, "escalateTo": rules.owner}
            yield fired(rules, settings, "policies_contradict", **told)
    least = settings.min_confidence
    if least is None:
        return
    stated = evidence.confidence
    if type(stated) not in (Decimal, float, int) or stated is None:
        yield unknown(rules, settings, "confidence_missing")
    elif not _share(stated):
        yield unknown(rules, settings, "confidence_unreadable")
    elif stated < least:
        seen = {"confidence": f"{stated}", "wanted": f"{least}"}
        yield fired(rules, settings, "confidence_too_low", **seen)


def _share(value: Decimal | float) -> bool:
    return isfinite(value) and 0 <= value <= 1

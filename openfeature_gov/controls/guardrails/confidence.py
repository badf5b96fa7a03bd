"""Guardrail: what an action rests on: confidence, sources, policies that agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from math import isfinite

from openfeature_gov.contracts import ActionContract, Evidence
from openfeature_gov.controls.guardrails.answers import (
    Weigher,
    clear,
    fired,
    seeing,
    unknown,
)
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import EvidenceNeeded

CONFLICT = "conflict"
Look = Callable[[Evidence], Verdict | None]
"""Looks at one side of the evidence; None where nothing is amiss."""


def confidence(rules: GovernanceContract, settings: EvidenceNeeded) -> Weigher:
    """Fire for low confidence and contradictions; missing sources cannot be told.

    The lowest of what was found holds. Source: article 000, "low-evidence actions";
    article 002, "route to" the owner.
    """
    sound, looks = clear(settings), tuple(_looks(rules, settings))
    strictest = unknown(rules, settings, "").cap

    def weigh(contract: ActionContract, _: Situation) -> Verdict:
        evidence, found = contract.context.evidence, sound
        for look in looks:
            one = look(evidence)
            if one is not None and one.cap < found.cap:
                found = one
                if one.cap is strictest:  # nothing that follows is lower
                    break
        return found

    return weigh


def _looks(rules: GovernanceContract, settings: EvidenceNeeded) -> Iterator[Look]:
    if settings.sources:
        yield _sourced(rules, settings, settings.sources)
    for name in settings.conflicts:
        yield _settled(rules, settings, name)
    if settings.min_confidence is not None:
        yield _sure(rules, settings, settings.min_confidence)


def _sourced(rules: GovernanceContract, settings: EvidenceNeeded, wanted: int) -> Look:
    missing = seeing(unknown(rules, settings, "sources_missing"))

    def look(evidence: Evidence) -> Verdict | None:
        given = len(evidence.sources)
        return missing({"sources": given, "wanted": wanted}) if given < wanted else None

    return look


def _settled(rules: GovernanceContract, settings: EvidenceNeeded, name: str) -> Look:
    missing = unknown(rules, settings, "evaluation_missing", evaluator=name)
    told = {"evaluator": name, "escalateTo": rules.owner}
    contradict = fired(rules, settings, "policies_contradict", **told)

    def look(evidence: Evidence) -> Verdict | None:
        result = evidence.evaluations.get(name)
        if result is None:
            return missing
        return contradict if result == CONFLICT else None

    return look


def _sure(rules: GovernanceContract, settings: EvidenceNeeded, least: Decimal) -> Look:
    missing = unknown(rules, settings, "confidence_missing")
    unreadable = unknown(rules, settings, "confidence_unreadable")
    low, wanted = seeing(fired(rules, settings, "confidence_too_low")), f"{least}"

    def look(evidence: Evidence) -> Verdict | None:
        stated = evidence.confidence
        if type(stated) not in (Decimal, float, int) or stated is None:
            return missing
        if not _share(stated):
            return unreadable
        if stated < least:
            return low({"confidence": str(stated), "wanted": wanted})
        return None

    return look


def _share(value: Decimal | float) -> bool:
    return isfinite(value) and 0 <= value <= 1

"""Guardrail: an action above a class, or harder to undo than agreed, needs more."""

from __future__ import annotations

from functools import lru_cache

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict, effective_risk
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import RiskThreshold
from openfeature_gov.ladder import EFFORT, SEVERITY, Reversibility, RiskClass


def risk(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: RiskThreshold,
    _: Situation,
) -> Verdict:
    """Fire by the worst class and reversibility stated, derived or claimed.

    Source: article 000, "Risk class threshold: queue high-risk actions for approval".
    """
    undo = contract.claimed_reversibility or contract.reversibility
    worst, effort = _worst(
        rules.risk_class,
        contract.risk_class,
        contract.claimed_risk or contract.risk_class,
        contract.reversibility,
        undo,
    )
    if SEVERITY[worst] > SEVERITY[settings.above]:
        return fired(rules, settings, "risk_above_threshold", riskClass=worst.value)
    if settings.harder_than and EFFORT[effort] > EFFORT[settings.harder_than]:
        return fired(rules, settings, "too_hard_to_undo", reversibility=effort.value)
    return clear(settings)


@lru_cache(maxsize=4096)
def _worst(
    stated: RiskClass,
    derived: RiskClass,
    claimed: RiskClass,
    undo: Reversibility,
    claimed_undo: Reversibility,
) -> tuple[RiskClass, Reversibility]:
    effort = max(undo, claimed_undo, key=EFFORT.__getitem__)
    classes = [effective_risk(one, effort) for one in (stated, derived, claimed)]
    return max(stated, derived, claimed, *classes, key=SEVERITY.__getitem__), effort

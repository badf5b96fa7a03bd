"""Guardrail: an action above a class, or harder to undo than agreed, needs more."""

from __future__ import annotations

from functools import lru_cache

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import Weigher, clear, fired
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict, effective_risk
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import RiskThreshold
from openfeature_gov.ladder import EFFORT, SEVERITY, Reversibility, RiskClass


def risk(rules: GovernanceContract, settings: RiskThreshold) -> Weigher:
    """Fire by the worst class and reversibility stated, derived or claimed.

    Source: article 000, "Risk class threshold: queue high-risk actions for approval".
    """
    stated, below, most = rules.risk_class, clear(settings), SEVERITY[settings.above]
    high = {
        one: fired(rules, settings, "risk_above_threshold", riskClass=one.value)
        for one in RiskClass
        if SEVERITY[one] > most
    }
    hard = {
        one: fired(rules, settings, "too_hard_to_undo", reversibility=one.value)
        for one in Reversibility
        if settings.harder_than and EFFORT[one] > EFFORT[settings.harder_than]
    }

    def weigh(contract: ActionContract, _: Situation) -> Verdict:
        derived, undo = contract.risk_class, contract.reversibility
        worst, effort = _worst(
            stated,
            derived,
            contract.claimed_risk or derived,
            undo,
            contract.claimed_reversibility or undo,
        )
        return high.get(worst) or hard.get(effort) or below

    return weigh


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

"""Compare an action with what settings say of actions: names, classes, intents."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from openfeature_gov.contracts import ActionContract
from openfeature_gov.decisions import effective_risk
from openfeature_gov.governance import GovernanceContract, skeleton
from openfeature_gov.governance.settings import Match
from openfeature_gov.ladder import Intent, RiskClass


class Act(NamedTuple):
    """Describe an action as far as sequences care; *risks* is every class it got."""

    tool: str
    target: str
    intent: Intent
    risks: frozenset[RiskClass]


def act_of(contract: ActionContract, rules: GovernanceContract) -> Act:
    """Return *contract* as an act: with the classes stated, derived and claimed."""
    risk = contract.risk_class
    effective = effective_risk(risk, contract.reversibility)
    claimed = contract.claimed_risk or risk
    risks = _classes(risk, effective, claimed, rules.risk_class)
    return Act(contract.tool, contract.target_system, contract.intent, risks)


@lru_cache(maxsize=4096)
def _classes(*risks: RiskClass) -> frozenset[RiskClass]:
    return frozenset(risks)


def is_like(act: Act, match: Match) -> bool:
    """Say whether *act* is what *match* describes: all that is stated holds."""
    return (
        (not match.tools or is_named(act.tool, match.tools))
        and (not match.targets or is_named(act.target, match.targets))
        and (not match.intents or act.intent in match.intents)
        and (not match.risk_classes or not act.risks.isdisjoint(match.risk_classes))
    )


def is_named(name: str, patterns: Iterable[str]) -> bool:
    """Say whether *name*, in any spelling, is listed or begins as one ending in *."""
    folded = _folded(name)
    for pattern in patterns:
        listed = _folded(pattern)
        if folded == listed or (
            listed.endswith("*") and folded.startswith(listed[:-1])
        ):
            return True
    return False


@lru_cache(maxsize=4096)
def _folded(name: str) -> str:
    return skeleton(name)

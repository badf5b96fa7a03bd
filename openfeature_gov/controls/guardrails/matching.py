"""Compare an action with what settings say of actions: names, classes, intents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def listing(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return what says whether a name is listed, or begins as one ending in *.

    Any spelling of a name is the name.
    """
    listed = frozenset(map(_folded, patterns))
    begun = tuple(one[:-1] for one in listed if one.endswith("*"))

    def is_listed(name: str) -> bool:
        folded = _folded(name)
        return folded in listed or folded.startswith(begun)

    return is_listed


@lru_cache(maxsize=4096)
def _listing(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    return listing(patterns)


def is_named(name: str, patterns: tuple[str, ...]) -> bool:
    """Say whether *name* is one that `listing` finds in *patterns*."""
    return _listing(patterns)(name)


@lru_cache(maxsize=4096)
def _folded(name: str) -> str:
    return skeleton(name)

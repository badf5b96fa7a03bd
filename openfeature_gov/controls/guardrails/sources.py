"""Guardrail: a search or read stays within the sources that are allowed."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import (
    PREFIX,
    Weigher,
    clear,
    fired,
    seeing,
)
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Constraint, Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import SourceAllowlist
from openfeature_gov.ladder import Mode

KIND = "sources"
"""The kind of constraint that a tool's *narrow* applies."""


def sources(rules: GovernanceContract, settings: SourceAllowlist) -> Weigher:
    """Constrain to the allowed sources; fire when none that is asked for is.

    A call of which nobody can tell the sources is constrained to the allowed ones: a
    tool that cannot be narrowed then does not run. Source: article 000.
    """
    allowed, listed = settings.permitted, sorted(settings.permitted)
    within, name = clear(settings), f"{PREFIX}{settings.name}"
    outside = seeing(fired(rules, settings, "source_not_allowed"))

    def confined(among: frozenset[str], asked: int) -> Verdict:
        return Verdict(
            name,
            Mode.AUTONOMOUS,
            "sources_confined",
            constraints=(Constraint(KIND, among=among),),
            evidence={"asked": asked, "allowed": listed},
        )

    everywhere = confined(allowed, 0)

    def weigh(contract: ActionContract, _: Situation) -> Verdict:
        asked = contract.facts.sources
        if not asked:
            return everywhere
        if allowed.issuperset(asked):
            return within
        among = allowed.intersection(asked)
        return confined(among, len(asked)) if among else outside({"asked": len(asked)})

    return weigh

"""Guardrail: a search or read stays within the sources that are allowed."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import PREFIX, clear, fired
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Constraint, Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import SourceAllowlist
from openfeature_gov.ladder import Mode

KIND = "sources"
"""The kind of constraint that a tool's *narrow* applies."""


def sources(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: SourceAllowlist,
    _: Situation,
) -> Verdict:
    """Constrain to the allowed sources; fire when none that is asked for is.

    A call of which nobody can tell the sources is constrained to the allowed ones: a
    tool that cannot be narrowed then does not run. Source: article 000.
    """
    asked, allowed = contract.facts.sources, settings.permitted
    if asked and allowed.issuperset(asked):
        return clear(settings)
    if not asked:
        return _confined(settings, allowed, 0)
    among = allowed.intersection(asked)
    if not among:
        return fired(rules, settings, "source_not_allowed", asked=len(asked))
    return _confined(settings, among, len(asked))


def _confined(settings: SourceAllowlist, among: frozenset[str], asked: int) -> Verdict:
    return Verdict(
        f"{PREFIX}{settings.name}",
        Mode.AUTONOMOUS,
        "sources_confined",
        constraints=(Constraint(KIND, among=among),),
        evidence={"asked": asked, "allowed": sorted(settings.permitted)},
    )

"""Guardrail: tools and targets that are stopped by name, as in an incident."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.matching import is_named
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import DenyList


def names(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: DenyList,
    _: Situation,
) -> Verdict:
    """Fire when the tool or its target is listed, in any spelling.

    Source: article 000, "Tool denylist: tool name, incident state, operator".
    """
    if settings.tools and is_named(contract.tool, settings.tools):
        return fired(rules, settings, "tool_denied", **_why(settings))
    if not settings.targets:
        return clear(settings)
    if not contract.target_system:
        return unknown(rules, settings, "target_unknown")
    if is_named(contract.target_system, settings.targets):
        return fired(rules, settings, "target_denied", **_why(settings))
    return clear(settings)


def _why(settings: DenyList) -> dict[str, str | None]:
    since = None if settings.since is None else f"{settings.since}"
    told = {"incident": settings.incident, "operator": settings.operator}
    return {**told, "since": since}

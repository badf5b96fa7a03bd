"""Guardrail: tools and targets that are stopped by name, as in an incident."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import Weigher, clear, fired, unknown
from openfeature_gov.controls.guardrails.matching import listing
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import DenyList


def names(rules: GovernanceContract, settings: DenyList) -> Weigher:
    """Fire when the tool or its target is listed, in any spelling.

    Source: article 000, "Tool denylist: tool name, incident state, operator".
    """
    is_tool, is_target = listing(settings.tools), listing(settings.targets)
    free, any_target = clear(settings), not settings.targets
    tool = fired(rules, settings, "tool_denied", **_why(settings))
    target = fired(rules, settings, "target_denied", **_why(settings))
    unsaid = unknown(rules, settings, "target_unknown")

    def weigh(contract: ActionContract, _: Situation) -> Verdict:
        if is_tool(contract.tool):
            return tool
        if any_target:
            return free
        if not contract.target_system:
            return unsaid
        return target if is_target(contract.target_system) else free

    return weigh


def _why(settings: DenyList) -> dict[str, str | None]:
    since = None if settings.since is None else f"{settings.since}"
    told = {"incident": settings.incident, "operator": settings.operator}
    return {**told, "since": since}

"""Ask Cedar policies through cedarpy (extra ``cedar``); what errors counts as forbid.

Cedar itself skips a policy that errors, a forbid as well. Here any error caps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails import Situation
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.foreign import Cedar
from openfeature_gov.policies.facts import facts_of

MISSING = "cedarpy is not installed: pip install 'openfeature-gov[cedar]'"
ATTRIBUTES = (
    *("accountId", "agentId", "environment", "workflow", "toolName", "targetSystem"),
    *("riskClass", "reversibility", "intent", "region", "stage", "amountBand"),
)
TEXTS = (*ATTRIBUTES, "currency", "segment", "accountCurrency")
DECIMALS, NUMBERS = (
    ("amount", "discount", "accountValue"),
    ("records", "ageSeconds", "proofSeconds", "sources"),
)
FULL: dict[str, Any] = {
    **dict.fromkeys(TEXTS, "x"),
    **dict.fromkeys(DECIMALS, Decimal(1)),
    **dict.fromkeys(NUMBERS, 1),
}
"""Every fact that policies can be told: the schema must know them all."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """Hold policies, parsed once; lives with its Governor."""

    ask: Any
    policies: Any
    nobody: Any

    def result(
        self, tool: str, agent: str, target: str, context: Any, schema: Any = None
    ) -> Any:
        """Return Cedar's answer to whether *agent* may do *tool* on *target*.

        *schema* is checked when the policies are loaded, with every fact; not again at
        each call: what a policy then misses is an error, and an error caps.
        """
        request = {
            "principal": {"type": "Agent", "id": agent},
            "action": {"type": "Action", "id": tool},
            "resource": {"type": "Target", "id": target},
            "context": context,
        }
        return self.ask(request, self.policies, self.nobody, schema)


def standard(tools: Iterable[str]) -> str:
    """Return the Cedar schema of *tools*: each an action, with every fact."""
    always = dict.fromkeys(ATTRIBUTES, "String") | {"sources": "Long"}
    perhaps = {
        **dict.fromkeys(("currency", "segment", "accountCurrency"), "String"),
        **dict.fromkeys(DECIMALS, "decimal"),
        **dict.fromkeys(("records", "ageSeconds", "proofSeconds"), "Long"),
    }
    listed = [f"{name}: {kind}" for name, kind in always.items()]
    listed += [f"{name}?: {kind}" for name, kind in perhaps.items()]
    actions = ", ".join(f'"{tool}"' for tool in tools)
    return (
        f"entity Agent; entity Target; type Facts = {{ {', '.join(listed)} }};"
        f" action {actions} appliesTo"
        " { principal: [Agent], resource: [Target], context: Facts };"
    )


def compiled(settings: Cedar, tool: str, tools: Iterable[str]) -> Compiled:
    """Return the policies of *settings* for *tool*, valid under their schema.

    *tools* are all of the file, for the standard schema.

    Raises:
        ValueError: when cedarpy is missing, a text does not parse, a policy is not
            valid, or the schema does not know the tool or a fact.

    """
    try:
        import cedarpy  # noqa: PLC0415 - the extra
    except ImportError:
        raise ValueError(MISSING) from None
    definitions = settings.definitions or standard(tools)
    policies = cedarpy.PolicySet.from_str(settings.policies)
    schema = cedarpy.Schema.from_str(definitions)
    checked = cedarpy.validate_policies(settings.policies, definitions)
    if not checked.validation_passed:
        raise ValueError("; ".join(str(one) for one in checked.errors))
    nobody = cedarpy.Entities.from_json_str("[]")
    found = Compiled(cedarpy.is_authorized, policies, nobody)
    result = found.result(tool, "agent", "target", encoded(FULL), schema)
    if result.decision is cedarpy.Decision.NoDecision:
        raise ValueError("; ".join(result.diagnostics.errors))
    return found


def encoded(facts: dict[str, Any]) -> dict[str, Any]:
    """Return *facts* as Cedar reads them: a Decimal by its own name."""
    return {
        name: {"__extn": {"fn": "decimal", "arg": f"{value:.4f}"}}
        if type(value) is Decimal
        else value
        for name, value in facts.items()
    }


def asked(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Cedar,
    situation: Situation,
    *,
    policies: Compiled | None,
) -> Verdict:
    """Return what Cedar says: nothing permits fires, an error cannot tell."""
    if policies is None:
        return unknown(rules, settings, "policies_not_loaded")
    try:
        result = policies.result(
            contract.tool,
            contract.context.actor.agent,
            contract.target_system or "none",
            encoded(facts_of(contract, situation)),
        )
        errors, named = result.diagnostics.errors, _named(result.diagnostics)
    except Exception as error:  # noqa: BLE001 - an error is the strictest opinion
        return unknown(rules, settings, "policy_failed", error=type(error).__name__)
    if errors:
        return unknown(rules, settings, "policy_failed", errors=len(errors))
    if result.allowed:
        return clear(settings)
    return fired(rules, settings, "policy_refused", policies=named)


def _named(diagnostics: Any) -> str:
    names = diagnostics.id_annotations_by_reason
    return ", ".join(sorted(names.get(one) or one for one in diagnostics.reasons))

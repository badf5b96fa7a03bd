"""Ask a Python function of the host, within its time budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails import PREFIX, Situation
from openfeature_gov.controls.guardrails.answers import capped, clear, fired, unknown
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.foreign import Custom
from openfeature_gov.ladder import Mode
from openfeature_gov.policies.budget import Budget, OverrunError

Function = Callable[[ActionContract, Situation], Any]
"""Answers True for clear, False for fired, a Mode as a cap, or a Verdict."""


def asked(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Custom,
    situation: Situation,
    *,
    functions: Mapping[str, Function],
    budget: Budget,
) -> Verdict:
    """Return what the function says; none, late, raising or nonsense cannot tell."""
    function = functions.get(settings.function)
    if function is None:
        return unknown(rules, settings, "function_missing")
    try:
        answer = budget.run(
            lambda: function(contract, situation), settings.budget_ms / 1000
        )
    except OverrunError:
        return unknown(
            rules, settings, "function_too_slow", budgetMs=settings.budget_ms
        )
    except Exception as error:  # noqa: BLE001 - an error is the strictest opinion
        return unknown(rules, settings, "function_failed", error=type(error).__name__)
    return _verdict(rules, settings, answer)


def _verdict(rules: GovernanceContract, settings: Custom, answer: Any) -> Verdict:
    if answer is True:
        return clear(settings)
    if answer is False:
        return fired(rules, settings, "function_refused")
    if type(answer) is Mode:
        return capped(rules, settings, answer, "function_capped")
    if type(answer) is Verdict and type(answer.cap) is type(answer.need) is Mode:
        name, seen = f"{PREFIX}{settings.name}", plain(answer.evidence)
        return replace(answer, control=name, reason=str(answer.reason), evidence=seen)
    return unknown(rules, settings, "function_answered_nonsense")


def plain(evidence: Mapping[str, object]) -> dict[str, object]:
    """Return *evidence* as JSON scalars: records hold no floats and no objects."""
    return {
        str(key): item if item is None or type(item) in (bool, int) else str(item)
        for key, item in evidence.items()
    }

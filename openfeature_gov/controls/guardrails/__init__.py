"""The guardrails: each looks at one action and answers with a verdict. All pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.age import age
from openfeature_gov.controls.guardrails.answers import PREFIX, unknown
from openfeature_gov.controls.guardrails.breaker import breaker
from openfeature_gov.controls.guardrails.bulk import bulk
from openfeature_gov.controls.guardrails.confidence import confidence
from openfeature_gov.controls.guardrails.data import data
from openfeature_gov.controls.guardrails.discount import discount
from openfeature_gov.controls.guardrails.hours import hours
from openfeature_gov.controls.guardrails.matching import act_of, is_like
from openfeature_gov.controls.guardrails.money import money
from openfeature_gov.controls.guardrails.names import names
from openfeature_gov.controls.guardrails.proof import proof
from openfeature_gov.controls.guardrails.refusals import refusals
from openfeature_gov.controls.guardrails.risk import risk
from openfeature_gov.controls.guardrails.segments import segments
from openfeature_gov.controls.guardrails.sequence import sequence
from openfeature_gov.controls.guardrails.signal import signal
from openfeature_gov.controls.guardrails.situation import (
    UNKNOWN,
    Breaker,
    Situation,
    Standing,
)
from openfeature_gov.controls.guardrails.sources import sources
from openfeature_gov.controls.guardrails.worth import worth
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.settings import Setting

Weigher = Callable[[ActionContract, GovernanceContract, Any, Situation], Verdict]

WEIGHERS: Mapping[str, Weigher] = {
    "risk_threshold": risk,
    "source_allowlist": sources,
    "denylist": names,
    "segments": segments,
    "money": money,
    "account_value": worth,
    "discount": discount,
    "bulk": bulk,
    "record_age": age,
    "reauthentication": proof,
    "business_hours": hours,
    "evidence": confidence,
    "signal": signal,
    "tool_errors": breaker,
    "refusals": refusals,
    "data_rules": data,
    "sequence": sequence,
}
"""What weighs an action, by the kind of its settings. Foreign kinds are not here."""


def weigh(
    contract: ActionContract,
    rules: GovernanceContract,
    situation: Situation,
    among: Iterable[Setting] | None = None,
) -> list[Verdict]:
    """Return one verdict for each guardrail of *rules* that is for this action.

    *among* are those to ask, all of *rules* where it is None.
    """
    given = []
    for settings in rules.guardrails if among is None else among:
        if concerns(settings, contract, rules):
            try:
                given.append(_asked(settings, contract, rules, situation))
            except Exception:  # noqa: BLE001 - an error is an opinion, the strictest one
                given.append(unknown(rules, settings, "guardrail_failed"))
    return given


def _asked(
    settings: Any,
    contract: ActionContract,
    rules: GovernanceContract,
    situation: Situation,
) -> Verdict:
    weigher = WEIGHERS.get(settings.kind)
    if weigher is not None:
        return weigher(contract, rules, settings, situation)
    answer = situation.answers.get(settings.name)
    return answer or unknown(rules, settings, "policy_not_asked")


def concerns(
    settings: Setting, contract: ActionContract, rules: GovernanceContract
) -> bool:
    """Say whether the guardrail is for actions such as *contract*."""
    only = settings.only
    return only is None or is_like(act_of(contract, rules), only)


__all__ = [
    "PREFIX",
    "UNKNOWN",
    "WEIGHERS",
    "Breaker",
    "Situation",
    "Standing",
    "Weigher",
    "concerns",
    "weigh",
]

"""The guardrails: each looks at one action and answers with a verdict. All pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.age import age
from openfeature_gov.controls.guardrails.answers import PREFIX, Weigher, unknown
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
from openfeature_gov.governance.settings import Match, Setting

WEIGHERS: Mapping[str, Callable[[GovernanceContract, Any], Weigher]] = {
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
"""What prepares a guardrail, by the kind of its settings; none of a foreign kind."""
PREPARED = 1024
"""For how many contracts guardrails are kept prepared, at most."""


class Guard(NamedTuple):
    """Hold one prepared guardrail, and its answer if weighing fails."""

    settings: Setting
    only: Match | None
    weigh: Weigher
    failed: Verdict


Guards = dict[int, Guard]
_prepared: dict[int, tuple[GovernanceContract, Guards]] = {}


def weigh(
    contract: ActionContract,
    rules: GovernanceContract,
    situation: Situation,
    among: Iterable[Setting] | None = None,
) -> list[Verdict]:
    """Return one verdict for each guardrail of *rules* that is for this action.

    *among* are those to ask, all of *rules* where it is None.
    """
    known = _prepared.get(id(rules))
    # What is kept lives, so that no other one can have its id.
    guards = known[1] if known and known[0] is rules else _guards(rules)
    chosen: Iterable[Guard] = guards.values()
    if among is not None:
        chosen = [guards.get(id(one)) or _guard(rules, one) for one in among]
    given = []
    for _, only, ask, failed in chosen:
        if only is None or is_like(act_of(contract, rules), only):
            try:
                given.append(ask(contract, situation))
            except Exception:  # noqa: BLE001 - an error is an opinion, the strictest one
                given.append(failed)
    return given


def _guards(rules: GovernanceContract) -> Guards:
    """Prepare and keep the guardrails of *rules*, by the id of their settings."""
    if len(_prepared) >= PREPARED:
        _prepared.clear()
    guards = {id(one): _guard(rules, one) for one in rules.guardrails}
    _prepared[id(rules)] = (rules, guards)
    return guards


def _guard(rules: GovernanceContract, settings: Setting) -> Guard:
    prepare = WEIGHERS.get(getattr(settings, "kind", ""), _foreign)
    failed = unknown(rules, settings, "guardrail_failed")
    return Guard(settings, settings.only, prepare(rules, settings), failed)


def _foreign(rules: GovernanceContract, settings: Setting) -> Weigher:
    """Take the answer that a foreign policy gave before the call was judged."""
    name, unasked = settings.name, unknown(rules, settings, "policy_not_asked")
    return lambda _, situation: situation.answers.get(name) or unasked


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

"""What stops the tools of a plan right now, whatever its stage says. Pure.

Asked is for a call of which only workflow and tool are known. A switch that is lost, or
that somebody turned off, stops; so does a denylist that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from openfeature.exception import OpenFeatureError

from openfeature_gov.contracts import ABSENT
from openfeature_gov.controls.denylist import entries_of, names
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.targets import Held
from openfeature_gov_rollout.plan import Plan, contracts

UNKNOWN = dict.fromkeys(
    (
        *("accountId", "agentId", "environment", "region", "stage", "amountBand"),
        *("reversibility", "intent"),
    ),
    ABSENT,
)
"""The attributes of a call of which nothing is known."""


def keys(plans: Sequence[Plan], governance: Governance) -> list[str]:
    """Return the keys of the flags that *plans* are about: modes and switches."""
    found: dict[str, None] = {}
    for plan in plans:
        found[plan.mode_flag] = None
        for rules in contracts(plan, governance):
            of = rules.runtime_controls
            named = (of.global_flag, of.denylist_flag, of.fallback_flag)
            found |= dict.fromkeys(key for key in named if key is not None)
    return list(found)


def stops(plan: Plan, governance: Governance, held: Held) -> tuple[str, ...]:
    """Return what stops tools of *plan* in *held*: switches, denylists, an incident."""
    flag = held.flags.get(plan.mode_flag)
    found: dict[str, None] = {}
    if flag is not None and not flag.enabled:
        found[f'flag "{plan.mode_flag}" is off'] = None
    for rules in contracts(plan, governance):
        found |= dict.fromkeys(_of_tool(rules, held))
    return tuple(found)


def _of_tool(rules: GovernanceContract, held: Held) -> Iterator[str]:
    of = rules.runtime_controls
    if of.global_flag and _value(held, of.global_flag, rules) is not True:
        yield f'switch "{of.global_flag}" is off'
    if of.fallback_flag and _value(held, of.fallback_flag, rules) is not False:
        yield f'incident flag "{of.fallback_flag}" is on'
    if of.denylist_flag:
        entries = entries_of(_value(held, of.denylist_flag, rules))
        if entries is None or names(entries, rules.tool):
            yield f'denylist "{of.denylist_flag}" stops {rules.tool}'


def _value(held: Held, key: str, rules: GovernanceContract) -> Any:
    """Return what flag *key* serves the tool of *rules*, None for a lost flag."""
    attributes = {
        **UNKNOWN,
        "workflow": rules.workflow,
        "toolName": rules.tool,
        "targetSystem": rules.target_system or ABSENT,
        "riskClass": rules.risk_class.value,
    }
    try:
        found = held.snapshot.evaluate(key, ABSENT, attributes)
    except OpenFeatureError:
        return None
    return None if found is None else found.value

"""Control: calls that come too fast, counted where they begin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from openfeature_gov.contracts import ActionContract
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.envelopes import RateLimit
from openfeature_gov.ladder import Mode

NAME = "rate_limit"
LIMITED, UNKNOWN, UNAVAILABLE = "rate_limited", "rate_unknown", "rate_unavailable"
_NARROWEST_FIRST = {"agent": 0, "account": 1, "tool": 2}


class Counted(NamedTuple):
    """Say under which *key* a call counts for *limit*, empty where nobody is named."""

    limit: RateLimit
    key: str


def counted(contract: ActionContract, rules: GovernanceContract) -> Iterator[Counted]:
    """Yield what the call counts for, the narrowest first.

    An agent that is stopped at its own limit takes nothing of what others share.
    """
    ranked = sorted(rules.rate_limits, key=lambda one: _NARROWEST_FIRST[one.of])
    for limit in ranked:
        whose = _whose(limit, contract)
        kind = f"{limit.name or contract.tool}|{limit.rate}|{limit.of}"
        if limit.burst:
            kind = f"{kind}|{limit.burst}"
        yield Counted(limit, f"{kind}|{whose}" if whose else "")


def refused(limit: RateLimit, reason: str) -> Verdict:
    """Return the verdict on a call that *limit* has no room for: off."""
    seen = {"rate": limit.rate, "of": limit.of, "name": limit.name or ""}
    if limit.burst:
        seen["burst"] = f"{limit.burst}"
    return Verdict(NAME, Mode.OFF, reason, evidence=seen)


def _whose(limit: RateLimit, contract: ActionContract) -> str:
    actor = contract.context.actor
    match limit.of:
        case "agent":
            return f"{actor.agent}/{actor.instance}"
        case "tool":
            return contract.tool
        case "account":
            return contract.context.account

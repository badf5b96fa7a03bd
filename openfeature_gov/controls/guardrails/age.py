"""Guardrail: how old the record may be that an action is about."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import (
    Weigher,
    clear,
    fired,
    seeing,
    unknown,
)
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import RecordAge

DAY_US = 86_400_000_000


def age(rules: GovernanceContract, settings: RecordAge) -> Weigher:
    """Fire for records older than the limit; one from the future cannot be told.

    A record of exactly that many days is not older. Source: article 003, "within 30
    days of creation".
    """
    limit, limit_us = settings.days, settings.days * DAY_US
    young = clear(settings)
    old = seeing(fired(rules, settings, "record_too_old"))
    unsaid = unknown(rules, settings, "age_unknown")
    future = unknown(rules, settings, "created_in_the_future")

    def weigh(contract: ActionContract, situation: Situation) -> Verdict:
        created, now = contract.facts.created_us, situation.now_us
        if type(created) is not int or now is None:
            return unsaid
        if created > now:
            return future
        passed = now - created
        if passed > limit_us:
            return old({"days": passed // DAY_US, "limit": limit})
        return young

    return weigh

"""Guardrail: how old the record may be that an action is about."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import RecordAge

DAY_US = 86_400_000_000


def age(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: RecordAge,
    situation: Situation,
) -> Verdict:
    """Fire for records older than the limit; one from the future cannot be told.

    A record of exactly that many days is not older. Source: article 003, "within 30
    days of creation".
    """
    created, now = contract.facts.created_us, situation.now_us
    if type(created) is not int or now is None:
        return unknown(rules, settings, "age_unknown")
    if created > now:
        return unknown(rules, settings, "created_in_the_future")
    if now - created > settings.days * DAY_US:
        days = (now - created) // DAY_US
        return fired(rules, settings, "record_too_old", days=days, limit=settings.days)
    return clear(settings)

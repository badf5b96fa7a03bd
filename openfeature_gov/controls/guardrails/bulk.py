"""Guardrail: how many records one action may touch."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Bulk


def bulk(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Bulk,
    _: Situation,
) -> Verdict:
    """Fire above the limit; an action of which nobody counts the records cannot tell.

    Source: article 002, "bulk operations affecting more than 100 records".
    """
    records, limit = contract.records, settings.limit
    if records is None:
        return unknown(rules, settings, "records_missing")
    if type(records) is not int or records < 0:
        return unknown(rules, settings, "records_unreadable")
    if records > limit or (settings.exclusive and records == limit):
        return fired(
            rules, settings, "records_above_limit", records=records, limit=limit
        )
    return clear(settings)

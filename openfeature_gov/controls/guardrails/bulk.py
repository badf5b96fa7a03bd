"""Guardrail: how many records one action may touch."""

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
from openfeature_gov.governance.guardrails import Bulk


def bulk(rules: GovernanceContract, settings: Bulk) -> Weigher:
    """Fire above the limit; an action of which nobody counts the records cannot tell.

    Source: article 002, "bulk operations affecting more than 100 records".
    """
    limit, exclusive, few = settings.limit, settings.exclusive, clear(settings)
    many = seeing(fired(rules, settings, "records_above_limit"))
    missing = unknown(rules, settings, "records_missing")
    unreadable = unknown(rules, settings, "records_unreadable")

    def weigh(contract: ActionContract, _: Situation) -> Verdict:
        records = contract.records
        if records is None:
            return missing
        if type(records) is not int or records < 0:
            return unreadable
        if records > limit or (exclusive and records == limit):
            return many({"records": records, "limit": limit})
        return few

    return weigh

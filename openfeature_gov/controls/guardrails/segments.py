"""Guardrail: the accounts, regions and segments that a tool is released for."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Segments


def segments(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Segments,
    _: Situation,
) -> Verdict:
    """Fire outside what is listed; what is listed and not known cannot be told.

    Source: article 000, "Account or region rule". The account stays out of the
    evidence: it is in the record's personal part.
    """
    context, facts = contract.context, contract.facts
    for dimension, value, chosen, refused in (
        ("account", context.account, settings.accounts, settings.not_accounts),
        ("region", context.region, settings.regions, settings.not_regions),
        ("segment", facts.segment, settings.segments, settings.not_segments),
    ):
        if not (chosen or refused):
            continue
        if not value:
            return unknown(rules, settings, f"{dimension}_unknown")
        if (chosen and value not in chosen) or value in refused:
            told = {} if dimension == "account" else {dimension: value}
            return fired(rules, settings, f"{dimension}_not_released", **told)
    return clear(settings)

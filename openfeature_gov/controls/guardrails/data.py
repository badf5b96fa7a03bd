"""Guardrail: records that no agent may touch, and users who were erased."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.matching import is_named
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import DataRules

HASHED = "sha256:"


def data(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: DataRules,
    situation: Situation,
) -> Verdict:
    """Fire for a record or account on the list, or a user who was erased.

    A tool that does not say which record it is about cannot be told. Source: article
    003, "do not process data from users who have requested deletion".
    """
    if settings.never:
        record = contract.record
        if not record:
            return unknown(rules, settings, "record_unknown")
        account = contract.context.account
        if _listed(contract.named or record, settings.never) or (
            account and is_named(account, settings.never)
        ):
            return fired(rules, settings, "record_off_limits")
    if not settings.erased:
        return clear(settings)
    if situation.erased is None:
        return unknown(rules, settings, "erasures_unknown")
    return (
        fired(rules, settings, "user_erased") if situation.erased else clear(settings)
    )


def _listed(record: str, never: tuple[str, ...]) -> bool:
    if not record.startswith(HASHED):
        return is_named(record, never)
    # Of a digest nobody can tell how the name began: every beginning might match.
    return any(one.endswith("*") or _hashed(one) == record for one in never)


@lru_cache(maxsize=4096)
def _hashed(name: str) -> str:
    return f"{HASHED}{sha256(name.encode()).hexdigest()}"

"""Guardrail: records that no agent may touch, and users who were erased."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import Weigher, clear, fired, unknown
from openfeature_gov.controls.guardrails.matching import listing
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import DataRules

HASHED = "sha256:"


def data(rules: GovernanceContract, settings: DataRules) -> Weigher:
    """Fire for a record or account on the list, or a user who was erased.

    A tool that does not say which record it is about cannot be told. Source: article
    003, "do not process data from users who have requested deletion".
    """
    never, erased, fine = bool(settings.never), settings.erased, clear(settings)
    is_listed, is_account = _listing(settings.never), listing(settings.never)
    unsaid = unknown(rules, settings, "record_unknown")
    off_limits = fired(rules, settings, "record_off_limits")
    unknown_user = unknown(rules, settings, "erasures_unknown")
    gone = fired(rules, settings, "user_erased")

    def weigh(contract: ActionContract, situation: Situation) -> Verdict:
        if never:
            record = contract.record
            if not record:
                return unsaid
            account = contract.context.account
            if is_listed(contract.named or record) or (account and is_account(account)):
                return off_limits
        if not erased:
            return fine
        if situation.erased is None:
            return unknown_user
        return gone if situation.erased else fine

    return weigh


def _listing(never: tuple[str, ...]) -> Callable[[str], bool]:
    """Return what says whether a record, or the digest of its name, is listed."""
    is_named, beginning = listing(never), any(one.endswith("*") for one in never)
    digests = {f"{HASHED}{sha256(one.encode()).hexdigest()}" for one in never}

    def is_listed(record: str) -> bool:
        if not record.startswith(HASHED):
            return is_named(record)
        # Of a digest nobody can tell how the name began: every beginning might match.
        return beginning or record in digests

    return is_listed

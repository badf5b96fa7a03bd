"""Guardrail: the accounts, regions and segments that a tool is released for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter

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
from openfeature_gov.governance.guardrails import Segments

Look = Callable[[ActionContract], Verdict | None]
"""Looks at one dimension of an action; None where it is released."""


def segments(rules: GovernanceContract, settings: Segments) -> Weigher:
    """Fire outside what is listed; what is listed and not known cannot be told.

    Source: article 000, "Account or region rule". The account stays out of the
    evidence: it is in the record's personal part.
    """
    released, looks = clear(settings), tuple(_looks(rules, settings))

    def weigh(contract: ActionContract, _: Situation) -> Verdict:
        for look in looks:
            found = look(contract)
            if found is not None:
                return found
        return released

    return weigh


def _looks(rules: GovernanceContract, settings: Segments) -> Iterator[Look]:
    for dimension, place, chosen, refused in (
        ("account", "context.account", settings.accounts, settings.not_accounts),
        ("region", "context.region", settings.regions, settings.not_regions),
        ("segment", "facts.segment", settings.segments, settings.not_segments),
    ):
        if chosen or refused:
            yield _looking(
                *(rules, settings, dimension, attrgetter(place)),
                frozenset(chosen),
                frozenset(refused),
            )


def _looking(
    rules: GovernanceContract,
    settings: Segments,
    dimension: str,
    of: Callable[[ActionContract], str],
    chosen: frozenset[str],
    refused: frozenset[str],
) -> Look:
    unsaid = unknown(rules, settings, f"{dimension}_unknown")
    held_back = fired(rules, settings, f"{dimension}_not_released")
    telling, told = seeing(held_back), dimension != "account"

    def look(contract: ActionContract) -> Verdict | None:
        value = of(contract)
        if not value:
            return unsaid
        if (chosen and value not in chosen) or value in refused:
            return telling({dimension: value}) if told else held_back
        return None

    return look

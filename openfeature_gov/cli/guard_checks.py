"""What is legal in guardrails and still unwise: contradictions, what never fires."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import combinations

from openfeature_gov.controls.guardrails.matching import is_named
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.governance.guardrails import (
    DenyList,
    Money,
    RiskThreshold,
    Segments,
    Sequence,
    SourceAllowlist,
)
from openfeature_gov.governance.settings import Match, Setting
from openfeature_gov.ladder import SEVERITY, Mode, RiskClass

Remark = tuple[str, str, str]
"""The tool, the guardrail's name, and what is unwise about it."""


def remarks(governance: Governance, today: date) -> Iterator[Remark]:
    """Yield what is unwise about the guardrails of *governance* at *today*."""
    tools = tuple(rules.tool for rules in governance)
    for rules in governance:
        for one in rules.guardrails:
            texts = (
                *_idle(one, rules, _shared(governance, one), tools),
                *_unowned(one, rules, today),
            )
            yield from ((rules.tool, one.name, text) for text in texts)
        waits = [one for one in rules.guardrails if one.cap is Mode.APPROVAL_REQUIRED]
        if waits and not rules.approval.reviewer_group:
            said = "queues, but approval.reviewerGroup names nobody to answer"
            yield rules.tool, waits[0].name, said
        for one, other in combinations(rules.guardrails, 2):
            for text in _contradicting(one, other):
                yield rules.tool, other.name, f"{text} {one.name}"


def _shared(governance: Governance, one: Setting) -> bool:
    """Say whether *one* is of the whole file: idle here, it may fire elsewhere."""
    return len(governance) > 1 and all(one in rules.guardrails for rules in governance)


def _idle(
    one: Setting, rules: GovernanceContract, shared: bool, tools: tuple[str, ...]
) -> Iterator[str]:
    """Yield why *one* can never lower anything for the tool of *rules*."""
    highest = max(rules.modes)
    waits = one.cap is Mode.APPROVAL_REQUIRED and highest is Mode.APPROVAL_REQUIRED
    if highest <= one.unknown or (highest <= one.cap and not waits):
        capped = f"cap {one.cap.label} is no lower than the highest of allowedModes"
        yield f"can never fire: its {capped}, {highest.label}"
    if one.only is not None and not _ever(one.only, rules, tools, shared):
        yield "can never fire: only matches no tool that it stands for"
    match one:
        case RiskThreshold() if (
            one.above is RiskClass.IRREVERSIBLE and one.harder_than is None
        ):
            yield "can never fire: nothing is above irreversible"
        case DenyList() if not _denies(one, rules, tools if shared else (rules.tool,)):
            yield "can never fire: names neither a tool here nor its target"
        case Sequence() if one.first.tools and not _known(one.first, tools):
            yield "can never fire: first names no tool of the file"
        case _:
            return


def _ever(
    match: Match, rules: GovernanceContract, tools: tuple[str, ...], shared: bool
) -> bool:
    if shared:
        return not match.tools or _known(match, tools)
    named = not match.tools or is_named(rules.tool, match.tools)
    target = rules.target_system
    return named and (not match.targets or is_named(target, match.targets))


def _known(match: Match, tools: tuple[str, ...]) -> bool:
    return any(is_named(tool, match.tools) for tool in tools)


def _denies(one: DenyList, rules: GovernanceContract, tools: tuple[str, ...]) -> bool:
    target = rules.target_system
    return any(is_named(tool, one.tools) for tool in tools) or (
        bool(one.targets) and (not target or is_named(target, one.targets))
    )


def _unowned(one: Setting, rules: GovernanceContract, today: date) -> Iterator[str]:
    if one.review_date is not None:
        if one.review_date < today:
            yield f"reviewDate: {one.review_date} has passed"
        if not one.owner and not rules.cleanup_owner:
            yield "owner: none, and no cleanupOwner; nobody will review it"
    if isinstance(one, DenyList) and not one.operator:
        yield "operator: none; records will not say who stopped it"
    if isinstance(one, RiskThreshold):
        freed = [
            risk for risk in rules.autonomy_for if SEVERITY[risk] > SEVERITY[one.above]
        ]
        if freed:
            yield f"contradicts autonomyFor, which frees {freed[0].value}"


def _contradicting(one: Setting, other: Setting) -> Iterator[str]:
    """Yield how *other* contradicts *one*, or stands in its shadow."""
    if one.only != other.only:
        return
    match one, other:
        case (SourceAllowlist(), SourceAllowlist()):
            if one.permitted.isdisjoint(other.permitted):
                yield "contradicts: allows no source in common with"
        case (Segments(), Segments()):
            for name in ("accounts", "regions", "segments"):
                chosen = set(getattr(one, name)), set(getattr(other, name))
                if all(chosen) and chosen[0].isdisjoint(chosen[1]):
                    yield f"contradicts: allows none of the {name} of"
        case (Money(), Money()):
            yield from _overlapping(one, other)
        case _:
            return


def _overlapping(one: Money, other: Money) -> Iterator[str]:
    if one.currency != other.currency:
        yield "contradicts: every amount is in another currency than"
        return
    if (one.per, one.across) != (other.per, other.across):
        return
    if one.limit <= other.limit and one.cap <= other.cap:
        yield "can never decide: in the shadow of the lower limit of"
    elif other.limit <= one.limit and other.cap <= one.cap:
        yield "leaves nothing to decide for"

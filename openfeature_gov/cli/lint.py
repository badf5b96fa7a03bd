"""What is wrong, or merely unwise, in governance contracts and their flags. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from openfeature.contrib.provider.featbit.flagset import Flag
from openfeature_gov import strict_yaml as yaml
from openfeature_gov.cli import guard_checks
from openfeature_gov.cli.switches import TYPES, named_flags
from openfeature_gov.controls.denylist import entries_of
from openfeature_gov.flags.kinds import KINDS, Kind
from openfeature_gov.governance import ROOT, Governance, GovernanceContract, ReviewRules
from openfeature_gov.ladder import RiskClass
from openfeature_gov.targets.states import Held, names_of

KIND: dict[str, Kind] = {kind.name: kind for kind in KINDS}
ANSWERED = frozenset({*(risk.value for risk in RiskClass), "incident_mode"})
"""Conditions of ``approval.requiredFor`` that need nothing from the host."""
STATED = frozenset({"low_confidence"})
"""Conditions that the host's evaluators answer with each call."""
MERE_READS = frozenset({RiskClass.SEARCH, RiskClass.SCOPED_READ})
UNANSWERED = (
    "only a predicate registered in Controls answers it; without one it always holds"
)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One remark on a file: where, about which key, and what. Line 0 is the file."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.message) if part)


def warnings(
    governance: Governance, text: str, source: str, *, today: date
) -> list[Finding]:
    """Return what is legal in the governance file *text* and still unwise."""
    lines = _lines(text, source)
    found = [
        Finding(source, lines.get(rules.tool, 0), f"{rules.tool}.{key}", message)
        for rules in governance
        for key, message in _unwise(rules, today)
    ]
    found += (
        Finding(source, governance.lines[tool, name], f"{tool}.guardrails.{name}", text)
        for tool, name, text in guard_checks.remarks(governance, today)
    )
    return list(dict.fromkeys(found))


def _lines(text: str, source: str) -> dict[str, int]:
    """Return the line on which each tool is named."""
    found: dict[str, int] = {}
    for document in yaml.parse(text, source):
        root: Any = document.data[ROOT]
        paths: list[yaml.Path] = [(ROOT,)]
        if isinstance(root, list):
            paths = [(ROOT, index) for index in range(len(root))]
        entries = root if isinstance(root, list) else [root]
        for path, entry in zip(paths, entries, strict=True):
            found[entry["tool"]] = document.line((*path, "tool"))
    return found


def _unwise(rules: GovernanceContract, today: date) -> Iterator[tuple[str, str]]:
    controls = rules.runtime_controls
    if controls.mode_flag is None:
        mode = rules.default_mode.label
        yield "runtimeControls.modeFlag", f"none: it stays at {mode} for ever"
    if controls.denylist_flag is None:
        yield "runtimeControls.denylistFlag", "none: gov flags kill cannot stop it"
    if controls.fallback_flag is None:
        yield "runtimeControls.fallbackFlag", "none: an incident does not lower it"
    if rules.review_date is not None and rules.review_date < today:
        yield "reviewDate", f"{rules.review_date} has passed"
    if rules.review_date is not None and not rules.cleanup_owner:
        yield "cleanupOwner", "none: nobody will clean up after reviewDate"
    if rules.review is not None:
        yield from _unwise_review(rules.review)
    yield from _unwise_budgets(rules)
    for name in rules.approval.required_for:
        if name not in ANSWERED | STATED:
            yield "approval.requiredFor", f"{name}: {UNANSWERED}"
        elif name == "incident_mode" and controls.fallback_flag is None:
            always = "incident_mode: always holds without a fallbackFlag"
            yield "approval.requiredFor", always


def _unwise_budgets(rules: GovernanceContract) -> Iterator[tuple[str, str]]:
    for budget in rules.budgets:
        if budget.away_share and rules.risk_class not in MERE_READS:
            yield "budgets.awayShare", f"{budget.name}: only mere reads spend it"


def _unwise_review(review: ReviewRules) -> Iterator[tuple[str, str]]:
    if review.on_expiry == "undo":
        message = "undo: the tool must register one, or it is refused at the start"
        yield "review.onExpiry", message
    if review.on_expiry == "keep":
        yield "review.onExpiry", "keep: what nobody looks at stands"


def flag_problems(
    governance: Governance, flags: Held, *, place: str = "the file"
) -> list[Finding]:
    """Return what keeps *flags* from serving every flag that *governance* names.

    *place* is what to call where they are.
    """
    kinds: dict[str, dict[str, str]] = {}
    for rules in governance:
        for key, kind in named_flags(rules).items():
            kinds.setdefault(key, {}).setdefault(kind, rules.tool)
    return [
        Finding(flags.source, 0, key, message)
        for key, uses in kinds.items()
        for message in _unusable(key, uses, flags, place)
    ]


def _unusable(key: str, uses: dict[str, str], flags: Held, place: str) -> Iterator[str]:
    """Yield what is wrong with the flag *key*; *uses* maps a kind to a tool."""
    if len(uses) > 1:
        listed = ", ".join(f"{kind} flag of {tool}" for kind, tool in uses.items())
        yield f"has several uses: {listed}"
    if key in flags.flags:
        for kind in uses:
            yield from _unfit(flags.flags[key], KIND[kind])
        return
    if key in flags.unread:
        yield f"cannot be read, so it counts as lost: {flags.unread[key]}"
        return
    archived = key in flags.snapshot.flag_set.archived_flags
    gone = "is archived" if archived else f"is not in {place}"
    tool = next(iter(uses.values()))
    yield f"{gone}, so it counts as its strictest value (tool {tool})"


def _unfit(flag: Flag, kind: Kind) -> Iterator[str]:
    """Yield why *flag* cannot be a flag of *kind*."""
    if flag.kind != TYPES[kind.name]:
        yield f"is {flag.kind}; a {kind.name} flag must be {TYPES[kind.name]}"
        return
    names = names_of(flag)
    for one in flag.variations:
        value = _value(one.value)
        if not kind.legal(value):
            yield f'variation "{names[one.id]}" is no legal value of a {kind.name} flag'
        elif one.id == flag.off_id and not strictest(kind, value):
            yield (
                f'serves "{names[one.id]}" when off; safe is '
                f"{orjson.dumps(kind.default()).decode()}"
            )


def _value(value: object) -> Any:
    return orjson.loads(value) if isinstance(value, bytes) else value


def strictest(kind: Kind, value: Any) -> bool:
    """Tell whether *value* allows no more than any other of its kind."""
    if kind.name == "denylist":
        return "*" in (entries_of(value) or ())
    return bool(value == kind.default())

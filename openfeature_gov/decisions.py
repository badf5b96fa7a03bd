"""THE LAW. Everything that turns verdicts into an effect is in this file.

Modes are a ladder, every control is a cap on it, the decision is the lowest cap
compared with the highest need. Therefore another control can never widen anything,
order does not matter, and silence is ``off``. `decide` is total and pure: it reads no
clock, no flag and no store; what they said arrives as verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import Any

from openfeature_gov.contracts import NOTHING, nothing
from openfeature_gov.ladder import READS, Mode, Reversibility, RiskClass

OFF, OBSERVE, SEARCH_ONLY, SCOPED_READ, DRAFT_WRITE, APPROVAL_REQUIRED, AUTONOMOUS = (
    Mode
)

NEED: Mapping[RiskClass, Mode] = {
    RiskClass.SEARCH: SEARCH_ONLY,
    RiskClass.SCOPED_READ: SCOPED_READ,
    RiskClass.SENSITIVE_READ: AUTONOMOUS,
    RiskClass.REVERSIBLE_WRITE: AUTONOMOUS,
    RiskClass.EXTERNAL_EFFECT: AUTONOMOUS,
    RiskClass.ADMIN_ACTION: AUTONOMOUS,
    RiskClass.IRREVERSIBLE: AUTONOMOUS,
}
"""The rung that a class needs; what needs autonomy waits for a human below it."""

HELD_BACK = frozenset({RiskClass.IRREVERSIBLE, RiskClass.ADMIN_ACTION})
"""The classes that reach autonomy only by name (``autonomyFor``)."""


class Effect(StrEnum):
    """Name what happens to the call: the vocabulary of article 000."""

    ALLOW = "allow"
    CONSTRAIN = "constrain"
    QUEUE_FOR_APPROVAL = "queue_for_approval"
    DENY = "deny"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class Constraint:
    """Limit the scope of an action: at most *limit* of *kind*, or only *among*."""

    kind: str
    limit: int | None = None
    among: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold what one control thinks of one action: a cap, and why.

    *need* raises what the action needs; *constraints* limit its scope; *fallback*
    marks a cap that sends the agent to its safer degraded behaviour.
    """

    control: str
    cap: Mode
    reason: str
    need: Mode = OFF
    constraints: tuple[Constraint, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=nothing, repr=False)
    fallback: bool = False
    encoded: bytes | None = field(init=False, default=None, repr=False, compare=False)
    """The verdict as it stands in records; filled in by the first that is written."""

    def __init__(
        self,
        control: str,
        cap: Mode,
        reason: str,
        need: Mode = OFF,
        constraints: tuple[Constraint, ...] = (),
        evidence: Mapping[str, Any] = NOTHING,
        fallback: bool = False,
    ) -> None:
        # What dataclasses generate for frozen ones takes three times as long.
        _control(self, control)
        _cap(self, cap)
        _reason(self, reason)
        _need(self, need)
        _constraints(self, constraints)
        _evidence(self, evidence)
        _fallback(self, fallback)
        _encoded(self, None)


_control, _cap, _reason, _need, _constraints, _evidence, _fallback, _encoded = (
    Verdict.__dict__[one.name].__set__ for one in fields(Verdict)
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold the outcome of the law with everything that led to it.

    *mode* is the authority that is left; *full* says whether the tool's own function
    may run (under *constraints*), otherwise only a handler of *mode* or below.
    """

    effect: Effect
    mode: Mode
    need: Mode
    reason: str
    full: bool
    verdicts: tuple[Verdict, ...]
    constraints: tuple[Constraint, ...] = ()
    approved: bool = False


def effective_risk(risk: RiskClass, reversibility: Reversibility) -> RiskClass:
    """Return the class to hold back: a write that nothing can undo is irreversible."""
    if reversibility is Reversibility.NONE and risk not in READS:
        return RiskClass.IRREVERSIBLE
    return risk


def need_of(risk: RiskClass, reversibility: Reversibility) -> Mode:
    """Return the rung that an action of *risk* and *reversibility* needs."""
    if risk is RiskClass.REVERSIBLE_WRITE and reversibility is Reversibility.AUTOMATIC:
        return DRAFT_WRITE
    return NEED[risk]


def ceiling_of(
    risk: RiskClass, reversibility: Reversibility, autonomy_for: Iterable[RiskClass]
) -> Mode:
    """Return the highest rung for the class unless *autonomy_for* names it."""
    # INVARIANT: what cannot be undone is held back as itself and as irreversible.
    held = HELD_BACK & {risk, effective_risk(risk, reversibility)}
    return AUTONOMOUS if held <= frozenset(autonomy_for) else APPROVAL_REQUIRED


@cache
def clamps(listed: frozenset[Mode]) -> tuple[Mode, ...]:
    """Return, for each mode, itself or the next lower one in *listed*, else off."""
    lowered = [OFF]
    for mode in tuple(Mode)[1:]:
        lowered.append(mode if mode in listed else lowered[-1])
    return tuple(lowered)


def decide(
    verdicts: Iterable[Verdict],
    *,
    need: Mode,
    listed: frozenset[Mode],
    approved: bool = False,
) -> Decision:
    """Return the decision that *verdicts* add up to.

    *need* is what the action's class needs, *listed* the contract's allowed modes;
    *approved* says that a human released exactly this action and the release was
    not used before. No verdicts at all means off.
    """
    given = tuple(verdicts)
    clamped = clamps(listed)
    cap = clamped[min([verdict.cap for verdict in given], default=OFF)]
    need = max([need, *[verdict.need for verdict in given]])
    lowest = [verdict for verdict in given if clamped[verdict.cap] is cap]
    fallen = True in [verdict.fallback for verdict in lowest]
    found = [c for verdict in given for c in verdict.constraints]
    constraints = merge(found) if found else ()
    # INVARIANT: an approval lifts exactly one rung, and never out of a fallback.
    lifted = approved and cap is APPROVAL_REQUIRED and not fallen
    cap = AUTONOMOUS if lifted else cap
    effect = _effect(cap, need, fallen=fallen)
    full = effect is Effect.ALLOW
    if full and constraints:
        effect = Effect.CONSTRAIN
    reason = _strictest(lowest) if lowest else "no_verdict"
    return Decision(effect, cap, need, reason, full, given, constraints, lifted)


def _strictest(lowest: list[Verdict]) -> str:
    """Return the reason of the strictest of *lowest*."""
    ranks = [
        (verdict.cap, not verdict.fallback, verdict.control, verdict.reason)
        for verdict in lowest
    ]
    return min(ranks)[-1]


def _effect(cap: Mode, need: Mode, *, fallen: bool) -> Effect:
    match cap:
        case Mode.OFF:
            return Effect.DENY
        case Mode.OBSERVE:
            return Effect.CONSTRAIN
        case _ if need <= cap:
            return Effect.ALLOW
        case _ if fallen:
            return Effect.FALLBACK
        case Mode.APPROVAL_REQUIRED:
            return Effect.QUEUE_FOR_APPROVAL
        case _:
            return Effect.CONSTRAIN


def merge(constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """Return *constraints* with one entry a kind: the tightest of each.

    Limits take the smallest, sets their intersection, so that adding a constraint
    never loosens another.
    """
    merged: dict[str, Constraint] = {}
    for new in constraints:
        old = merged.get(new.kind, new)
        limits = [c.limit for c in (old, new) if c.limit is not None]
        sets = [c.among for c in (old, new) if c.among is not None]
        merged[new.kind] = Constraint(
            new.kind,
            min(limits, default=None),
            frozenset.intersection(*sets) if sets else None,
        )
    return tuple(merged[kind] for kind in sorted(merged))

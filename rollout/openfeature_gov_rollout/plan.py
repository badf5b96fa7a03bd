"""The plan of a rollout: which stages lead one workflow, tool and audience upwards.

A plan only rises, rung by rung; whoever skips a rung says so in the plan, with a reason
and a name. The YAML has the camelCase keys of the governance file. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from openfeature_gov.contracts import digest_of
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.governance.parts import FlagKey, LadderMode, Name
from openfeature_gov.governance.parts import Part as Section
from openfeature_gov.ladder import Mode
from openfeature_gov.once import cached_property
from openfeature_gov_rollout.audience import (
    Attribute,
    Layer,
    Slice,
    everybody,
    raised,
)
from openfeature_gov_rollout.gates import LEVEL, Gate

ROLLED_BACK, ABORTED = "rolled-back", "aborted"
"""What the flag says in place of a stage; no stage may be called so."""
MOST_LAYERS = 64
MOST_LEVEL = Decimal("0.2")
"""Beyond this error level a bound proves nothing worth the name."""
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])")


def _span(value: Any) -> Any:
    """Return a span of time such as ``90s``, ``30m``, ``12h`` or ``7d`` in seconds."""
    if type(value) is int:
        return value
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("write a number and s, m, h or d, such as 12h")
    return int(found[1]) * _UNITS[found[2]]


def _id(value: str) -> str:
    if value in (ROLLED_BACK, ABORTED):
        raise ValueError(f"{value!r} is what the flag says when no stage holds")
    return value


Span = Annotated[int, BeforeValidator(_span), Field(ge=0, le=315_360_000)]
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,47}$"), AfterValidator(_id)]
Text = Annotated[str, Field(min_length=1, max_length=500)]
Values = Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
Percentage = Annotated[Decimal, Field(gt=0, le=100, decimal_places=4, strict=False)]


class Override(Section):
    """State why a rung is skipped, and who decided it."""

    reason: Text
    by: Name


class Part(Section):
    """Describe a part of a stage's audience; what is not named is not asked for.

    *where* lists the values that a flag attribute may have, *segments* ids of FeatBit
    segments of which one must hold the user. *percentage* of them is reached, and
    stays reached: users are dealt by their targeting key.
    """

    where: Mapping[Attribute, Values] = Field(default_factory=dict)
    segments: tuple[Name, ...] = ()
    percentage: Percentage = Decimal(100)

    @property
    def slice(self) -> Slice:
        """Return the part as the layers read it."""
        where: Mapping[str, frozenset[str]] = {
            name: frozenset(values) for name, values in self.where.items()
        }
        return Slice(where, frozenset(self.segments), self.percentage / 100)


class Demotion(Section):
    """State when authority falls by one stage without being asked.

    *refusals* of the last *among* answers of reviewers; a signal that has been off for
    *signal_patience* seconds.
    """

    refusals: Annotated[int, Field(ge=1, le=100)] = 3
    among: Annotated[int, Field(ge=1, le=100)] = 5
    signal_patience: Span = 3_600

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.refusals > self.among:
            raise ValueError("refusals: more than among, so that never happens")
        return self


class Stage(Section):
    """Hold one stage: who gets which mode, and what proves that more may follow.

    *minimum_time* and *deadline* are seconds from when it was entered; *sign_off*
    names who may advance from here, and with nobody named the controller does it by
    itself once every gate passes.
    """

    name: Id
    mode: LadderMode
    audience: tuple[Part, ...] = (Part(),)
    minimum_time: Span = 0
    minimum_samples: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    gates: tuple[Gate, ...] = ()
    sign_off: tuple[Name, ...] | None = None
    deadline: Span | None = None
    on_deadline: Literal["hold", "rollback"] = "hold"
    override: Override | None = None
    clean_up: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.mode is Mode.OFF:
            raise ValueError("mode: a stage that is off stages nothing")
        if not self.audience:
            raise ValueError("audience: empty; leave the key out for everybody")
        if self.deadline is not None and self.deadline <= self.minimum_time:
            raise ValueError("deadline: not after minimumTime, so nobody can advance")
        metrics = [gate.metric for gate in self.gates]
        for metric in metrics:
            if metrics.count(metric) > 1:
                raise ValueError(f"gates: {metric} has two gates")
        proofs = [gate for gate in self.gates if gate.kind == "evidence"]
        if not proofs and not self.clean_up:
            raise ValueError(
                "gates: none of kind evidence, so nothing can prove that more may "
                "follow; only the clean-up stage needs none"
            )
        if self.clean_up and self.audience != (Part(),):
            raise ValueError("audience: clean-up comes when everybody is reached")
        return self


class Plan(Section):
    """Hold the plan of one rollout, as its owner and code review agreed on it.

    *elsewhere* is what those get whom no stage has reached yet. *regression_window*,
    seconds, is how much of the latest past is looked at by itself, so that a long good
    record cannot hide that something has just become bad.
    """

    name: Id
    workflow: Name
    tools: Annotated[tuple[Name, ...], Field(min_length=1, max_length=200)]
    owner: Name
    purpose: Text
    review_date: Annotated[date, Field(strict=False)]
    clean_up_condition: Text
    mode_flag: FlagKey
    elsewhere: LadderMode = Mode.OFF
    error_level: Annotated[Decimal, Field(gt=0, le=MOST_LEVEL, strict=False)] = LEVEL
    regression_window: Span = 86_400
    demotion: Demotion = Demotion()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=60)]

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the whole plan."""
        return digest_of(self.model_dump(mode="json", by_alias=True))

    @cached_property
    def order(self) -> Mapping[str, int]:
        """Return the place of each stage, by name."""
        return {stage.name: place for place, stage in enumerate(self.stages)}

    @cached_property
    def everybody(self) -> Mapping[str, frozenset[str]]:
        """Return the conditions that every call of the plan meets, and no other."""
        return {
            "workflow": frozenset({self.workflow}),
            "toolName": frozenset(self.tools),
        }

    @cached_property
    def layers(self) -> Mapping[str, tuple[Layer, ...]]:
        """Return what the flag serves in each stage, by name."""
        found = {}
        below = everybody(self.everybody, self.elsewhere)
        for stage in self.stages:
            below = raised(below, [part.slice for part in stage.audience], stage.mode)
            found[stage.name] = below
        return found

    def signers(self, stage: Stage) -> tuple[str, ...]:
        """Return who may advance from *stage*: those it names, by default the owner."""
        return (self.owner,) if stage.sign_off is None else stage.sign_off

    @model_validator(mode="after")
    def _rises(self) -> Self:
        names = [stage.name for stage in self.stages]
        for place, stage in enumerate(self.stages):
            where = f"stages.{place}"
            if names.index(stage.name) < place:
                raise ValueError(f"{where}.name: {stage.name!r} is taken")
            before = self.stages[place - 1].mode if place else self.elsewhere
            _check_rung(where, stage, max(before, Mode.OFF))
            if stage.clean_up and place != len(self.stages) - 1:
                raise ValueError(f"{where}.cleanUp: stages follow it")
            for part in stage.audience:
                odd = set(part.where.get("toolName", ())) - set(self.tools)
                if odd:
                    raise ValueError(
                        f"{where}.audience: {min(odd)!r} is no tool of the plan"
                    )
        for name, layers in self.layers.items():
            if len(layers) > MOST_LAYERS:
                raise ValueError(
                    f"stages: {name!r} needs {len(layers)} rules on the flag; reach "
                    f"everybody in an earlier stage, so that at most {MOST_LAYERS} do"
                )
        return self


def _check_rung(where: str, stage: Stage, before: Mode) -> None:
    if stage.mode < before:
        raise ValueError(
            f"{where}.mode: {stage.mode.label} is below {before.label} before it; a "
            "plan only rises, what lowers is a rollback"
        )
    if stage.mode > before + 1 and stage.override is None:
        raise ValueError(
            f"{where}.mode: {before.label} to {stage.mode.label} skips "
            f"{Mode(before + 1).label}; add that stage, or an override with a reason"
        )
    if stage.mode <= before + 1 and stage.override is not None:
        raise ValueError(f"{where}.override: no rung is skipped here")


def safest(plan: Plan, governance: Governance) -> Mode:
    """Return where *plan* falls to: the lowest safestMode of its tools' contracts."""
    found = [one.rollback.safest_mode for one in contracts(plan, governance)]
    return min(found, default=Mode.OFF)


def contracts(plan: Plan, governance: Governance) -> Iterator[GovernanceContract]:
    """Yield the contracts of the tools of *plan* that there are."""
    for tool in plan.tools:
        found = governance.get(tool)
        if found is not None:
            yield found

"""`Gate`: what one metric has to reach before a rollout goes on. Pure.

Every metric is a share: of calls that match the policy, of drafts that were accepted,
of calls that were fast enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from openfeature_gov_rollout.metrics import BOUNDED, LATER, NAMES

LEVEL = Decimal("0.05")
"""The error level of a stage: how often a bad agent may pass it."""
MAX_SAMPLES = 10_000_000


@dataclass(frozen=True, slots=True)
class Count:
    """Hold what was seen of one metric: in how many of *trials* the named thing was so.

    A metric of something good (``acceptance``) counts the good, of something bad
    (``denial``) the bad: its gate says ``atLeast`` or ``atMost``.
    """

    successes: int
    trials: int

    @property
    def sound(self) -> bool:
        """Say whether these are whole numbers that can be a share."""
        whole = type(self.successes) is int and type(self.trials) is int
        return whole and 0 <= self.successes <= self.trials <= MAX_SAMPLES


Share = Annotated[Decimal, Field(ge=0, le=1, max_digits=7, decimal_places=6)]


class Gate(BaseModel):
    """Demand that one metric reaches a target. Frozen; part of a stage of a plan.

    An *evidence* gate demands proof: a one-sided confidence bound beyond the target. A
    *guardrail* tolerates nothing: one event fails it. A *signal* compares the plain
    value: it holds a rollout while the value is off, and lets it go on by itself.

    *rule* says how an evidence gate looks. ``anytime`` may be watched at every sample.
    ``fixed`` looks once, at the first *sample_size* samples, and needs fewer; it is
    judged on exactly these, so that every later look is the same look again.

    *within* is what the metric bounds, in seconds for ``latency`` and
    ``time_to_decide``; for ``cost`` it is a multiple of *baseline*, the cost of one
    call in major units.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )

    metric: str
    at_least: Annotated[Share, Field(strict=False)] | None = None
    at_most: Annotated[Share, Field(strict=False)] | None = None
    rule: Literal["fixed", "anytime"] = "anytime"
    minimum_samples: Annotated[int, Field(ge=1, le=MAX_SAMPLES)] = 1
    sample_size: Annotated[int, Field(ge=1, le=MAX_SAMPLES)] | None = None
    kind: Literal["evidence", "guardrail", "signal"] = "evidence"
    within: Annotated[Decimal, Field(gt=0, strict=False)] | None = None
    baseline: Annotated[Decimal, Field(gt=0, strict=False)] | None = None

    @property
    def limit(self) -> Decimal | None:
        """Return what one row of the metric has to stay within, None for nothing."""
        if self.within is None or self.baseline is None:
            return self.within
        return self.within * self.baseline

    @property
    def target(self) -> Decimal:
        """Return what the metric has to reach, or to stay within."""
        return next(one for one in (self.at_least, self.at_most) if one is not None)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.metric not in NAMES:
            known = ", ".join(sorted(NAMES))
            raise ValueError(f"metric: {self.metric!r} is none of {known}")
        if (self.within is None) is (self.metric in BOUNDED):
            known = ", ".join(sorted(BOUNDED))
            raise ValueError(f"within: state it for {known}, and only there")
        if (self.baseline is None) is (self.metric == "cost"):
            raise ValueError("baseline: state it for the metric cost, and only there")
        return self

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.at_least is None) is (self.at_most is None):
            raise ValueError("state one of atLeast and atMost")
        fixed = self.rule == "fixed"
        if fixed is (self.sample_size is None):
            raise ValueError("sampleSize: state it for the rule fixed, and only there")
        if self.sample_size is not None and self.sample_size < self.minimum_samples:
            raise ValueError("sampleSize: fewer than minimumSamples")
        if fixed and self.kind != "evidence":
            raise ValueError(f"rule: a {self.kind} is always watched; leave it out")
        if fixed and self.metric in LATER:
            raise ValueError(
                f"rule: {self.metric} may come to light later; it is always watched"
            )
        zero = self.at_most == 0 or self.at_least == 1
        if self.kind == "guardrail" and not zero:
            raise ValueError("a guardrail tolerates nothing: atMost 0, or atLeast 1")
        if self.kind == "evidence" and zero:
            raise ValueError(
                "no number of samples proves a share of exactly 0 or 1; use a "
                "guardrail, or a target between them"
            )
        return self

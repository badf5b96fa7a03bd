"""What guardrails know beyond the call: one frozen value, with the time in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import NamedTuple

from openfeature_gov.contracts import NOTHING, nothing
from openfeature_gov.decisions import Verdict


class Breaker(NamedTuple):
    """Hold what one tool did on one target; times in microseconds since 1970.

    *failures* are recent ones, *opened_us* since when it is open, *probing_us* since
    when a probe runs, *passed* how many probes succeeded.
    """

    failures: tuple[int, ...] = ()
    opened_us: int | None = None
    probing_us: int | None = None
    passed: int = 0


class Standing(NamedTuple):
    """Hold what is known of a signal: its samples, their mean, and whether it fired.

    *released_by* names who let go of it last, *bad_us* is when it was last beyond its
    threshold.
    """

    samples: tuple[tuple[int, Decimal], ...] = ()
    mean: Decimal | None = None
    fired: bool = False
    released_by: str = ""
    bad_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Hold what was known when a call was judged, by the guardrail's name.

    A guardrail that is not in the mapping of its kind cannot tell. *now_us* is the time
    since 1970, None where nobody can tell it. *refusals* are the times of the last,
    oldest first; *spent* is the day's total before this call; *preceded* is when the
    first part of a sequence happened last, None for not. *erased* says whether the
    action is about a user who was erased. *answers* are those of foreign policies.
    """

    now_us: int | None = None
    breakers: Mapping[str, Breaker] = field(default_factory=nothing)
    refusals: Mapping[str, tuple[int, ...]] = field(default_factory=nothing)
    spent: Mapping[str, Decimal] = field(default_factory=nothing)
    signals: Mapping[str, Standing] = field(default_factory=nothing)
    preceded: Mapping[str, int | None] = field(default_factory=nothing)
    erased: bool | None = None
    answers: Mapping[str, Verdict] = field(default_factory=nothing)

    def __init__(
        self,
        *,
        now_us: int | None = None,
        breakers: Mapping[str, Breaker] = NOTHING,
        refusals: Mapping[str, tuple[int, ...]] = NOTHING,
        spent: Mapping[str, Decimal] = NOTHING,
        signals: Mapping[str, Standing] = NOTHING,
        preceded: Mapping[str, int | None] = NOTHING,
        erased: bool | None = None,
        answers: Mapping[str, Verdict] = NOTHING,
    ) -> None:
        # As for a Verdict: what dataclasses generate takes three times as long.
        _now_us(self, now_us)
        _breakers(self, breakers)
        _refusals(self, refusals)
        _spent(self, spent)
        _signals(self, signals)
        _preceded(self, preceded)
        _erased(self, erased)
        _answers(self, answers)


_now_us, _breakers, _refusals, _spent, _signals, _preceded, _erased, _answers = (
    Situation.__dict__[one.name].__set__ for one in fields(Situation)
)


UNKNOWN = Situation()
"""Nothing is known: every guardrail that asks for more says its strictest."""

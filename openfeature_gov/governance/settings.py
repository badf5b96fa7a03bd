"""What every guardrail of a governance file has, and what its fields are made of.

When a guardrail fires it caps at *cap*; when it cannot tell it caps at *unknown*,
which is never above *cap*.
"""

from __future__ import annotations

import re
from datetime import date, time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from openfeature_gov.governance.parts import LadderMode, Part, repeated
from openfeature_gov.ladder import Intent, Mode, Reversibility, RiskClass

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _decimal(value: Any) -> Any:
    """Return a plain number that is not negative as a Decimal, exactly as written."""
    text = str(value) if type(value) in (int, float, str, Decimal) else ""
    if not _NUMBER.fullmatch(text):
        raise ValueError("must be a plain number, zero or more, such as 1000 or 19.99")
    try:
        return Decimal(text)
    except InvalidOperation:  # pragma: no cover - the pattern leaves nothing to refuse
        raise ValueError("must be a plain number") from None


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):
        raise ValueError(
            f"{value!r} is no time zone; use a name such as Europe/Berlin or UTC"
        ) from None
    return value


def _clock(value: Any) -> Any:
    if isinstance(value, time):
        return value
    if type(value) is not str or not _CLOCK.fullmatch(value):
        raise ValueError('must be a time such as "09:00", from 00:00 to 23:59')
    return time.fromisoformat(value)


def some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return *value* unless it is empty or lists one twice."""
    if not value:
        raise ValueError("must list at least one")
    if (twice := repeated(value)) is not None:
        raise ValueError(f"lists {str(twice)!r} twice")
    return value


Number = Annotated[Decimal, BeforeValidator(_decimal)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Zone = Annotated[str, AfterValidator(_zone)]
Clock = Annotated[time, BeforeValidator(_clock)]
Pattern = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\s*]*\*?$")]
"""A name, or the beginning of names that ends in ``*``."""
Word = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^\S+$")]
Seconds = Annotated[int, Field(ge=1, le=86_400)]
Minutes = Annotated[int, Field(ge=1, le=1_440)]
Risk = Annotated[RiskClass, Field(strict=False)]
Undo = Annotated[Reversibility, Field(strict=False)]
Purpose = Annotated[Intent, Field(strict=False)]


class Match(Part):
    """Describe actions: all that is stated must hold; a list holds alternatives."""

    tools: tuple[Pattern, ...] = ()
    risk_classes: tuple[Risk, ...] = ()
    targets: tuple[Pattern, ...] = ()
    intents: tuple[Purpose, ...] = ()

    @model_validator(mode="after")
    def _states(self) -> Self:
        if not (self.tools or self.risk_classes or self.targets or self.intents):
            raise ValueError("tools: state something; this would match every action")
        return self


class Setting(Part):
    """Hold what every guardrail has.

    *only* says for which actions it is asked, all where unset. With *fallback* it caps
    at the contract's safest mode at most, and as a fallback.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] = ""
    cap: LadderMode = Mode.APPROVAL_REQUIRED
    unknown: LadderMode = Mode.OFF
    fallback: bool = False
    only: Match | None = None
    owner: str = ""
    review_date: Annotated[date, Field(strict=False)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" not in data and "kind" in data:
            return {**data, "name": data["kind"]}
        return data

    @model_validator(mode="after")
    def _lowers(self) -> Self:
        if self.cap is Mode.AUTONOMOUS:
            raise ValueError("cap: autonomous lowers nothing; it would never fire")
        if self.unknown > self.cap:
            raise ValueError(
                f"unknown: {self.unknown.label} is above the cap {self.cap.label}; "
                "what it cannot tell must not allow more than what it refuses"
            )
        return self

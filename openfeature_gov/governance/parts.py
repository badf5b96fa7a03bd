"""What the settings of a governance file are made of: fields, and one strict model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    DivisionByZero,
    InvalidOperation,
)
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from openfeature_gov.ladder import MODES, Mode

EXACT = Context(
    prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero]
)
"""How amounts are added up: the host's own context may keep three digits only."""
TOOL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")


def repeated(items: Iterable[Any]) -> Any:
    """Return the first of *items* that stood before it already, None where none did."""
    seen = set()
    for one in items:
        if one in seen:
            return one
        seen.add(one)
    return None


def _mode(value: Any) -> Any:
    if isinstance(value, Mode):
        return value
    if type(value) is not str or value not in MODES:
        raise ValueError(f"{value!r} is not a mode; use one of {', '.join(MODES)}")
    return MODES[value]


def _named(value: str) -> str:
    if not value.strip():
        raise ValueError("must name someone")
    return value


def _tool_name(value: str) -> str:
    if not TOOL_NAME.fullmatch(value):
        raise ValueError(
            "must be 1 to 128 letters, digits or _ . / - and start with none of . / -"
        )
    return value


LadderMode = Annotated[Mode, BeforeValidator(_mode)]
ToolName = Annotated[str, AfterValidator(_tool_name)]
Name = Annotated[str, AfterValidator(_named), Field(max_length=200)]
FlagKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
Scope = Annotated[str, Field(min_length=1, max_length=200)]
Condition = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Kept = Literal[True]


class Part(BaseModel):
    """Be one frozen section: unknown keys are refused, types are not converted."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        defer_build=True,
    )


def skeleton(name: str) -> str:
    """Return *name* folded so that look-alike spellings become equal."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    if not folded.isascii():  # what nobody sees makes no other name
        folded = "".join(one for one in folded if unicodedata.category(one) != "Cf")
    return folded.strip()

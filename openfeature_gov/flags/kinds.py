"""The five kinds of governance flags: type, safest default, closed set of values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openfeature.flag_evaluation import FlagType

from openfeature_gov.controls.denylist import entries_of
from openfeature_gov.controls.mode import VARIANTS


@dataclass(frozen=True, slots=True)
class Kind:
    """Describe one kind of flag.

    *default* returns the strictest legal value, a new one each time: whatever goes
    wrong inside OpenFeature serves it. *legal* is the closed set as a predicate;
    *copy* detaches a value from the provider's data.
    """

    name: str
    type: FlagType
    default: Callable[[], Any]
    legal: Callable[[Any], bool]
    copy: Callable[[Any], Any]


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_mode(value: Any) -> bool:
    return type(value) is str and value in VARIANTS


def _is_list(value: Any) -> bool:
    return entries_of(value) is not None


def _same(value: Any) -> Any:
    return value


KINDS: tuple[Kind, ...] = (
    Kind("switch", FlagType.BOOLEAN, lambda: False, _is_bool, _same),
    Kind("mode", FlagType.STRING, lambda: "off", _is_mode, _same),
    Kind("approval", FlagType.BOOLEAN, lambda: True, _is_bool, _same),
    Kind("denylist", FlagType.OBJECT, lambda: ["*"], _is_list, entries_of),
    Kind("fallback", FlagType.BOOLEAN, lambda: True, _is_bool, _same),
)
"""In the order of evaluation."""

"""Canonical bytes of tool arguments: what is hashed is what runs.

The domain is JSON with finite numbers, 64-bit integers, valid Unicode and string
keys, plus the scalars that JSON writers commonly turn into text (decimals, dates,
UUIDs, enumerations). Whatever lies outside has no canonical form and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

import orjson

from openfeature_gov.errors import InvalidCallError

MAX_DEPTH = 16
MAX_NODES = 4096
MAX_BYTES = 65_536
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_PLAIN = frozenset({str, bool, type(None)})
_FLAT, _KEY = _PLAIN | {int}, frozenset({str})
_TEXTUAL = (datetime, date, time, UUID)


def seal(
    arguments: Mapping[str, Any], *, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, Any], bytes]:
    """Copy *arguments* deeply and return the copy with its canonical bytes.

    The copy shares no container with the input, so a later edit by the caller
    changes neither what was hashed nor what runs. *max_bytes* bounds the encoding.

    Raises:
        InvalidCallError: code ``arguments_invalid`` for a value outside the domain,
            ``arguments_too_large`` beyond a size, depth or count limit.

    """
    if type(arguments) is not dict and not isinstance(arguments, Mapping):
        raise InvalidCallError(
            "arguments_invalid", f"arguments are a {type(arguments).__name__}"
        )
    copied = dict(arguments)
    # As most arguments are; integers that are too large are refused when encoded.
    if (
        len(copied) > MAX_NODES
        or not _KEY.issuperset(map(type, copied))
        or not _FLAT.issuperset(map(type, copied.values()))
    ):
        copied = _Copier().mapping(copied, 1)
    try:
        encoded = orjson.dumps(copied, default=_text, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidCallError("arguments_invalid", str(error)) from None
    if len(encoded) > max_bytes:
        raise InvalidCallError(
            "arguments_too_large", f"{len(encoded)} bytes, at most {max_bytes}"
        )
    return copied, encoded


def kinds(sealed: Any, place: tuple[str | int, ...] = ()) -> list[list[str | int]]:
    """Return where *sealed* holds what JSON gives back as text: places and types.

    Canonical bytes do not tell ``Decimal("10")`` from ``"10"``: a call that comes again
    as JSON is the same action. With the same kinds besides, it is the same to its tool.
    *place* is where *sealed* stands.
    """
    if isinstance(sealed, dict):
        inner: Iterable[tuple[str | int, Any]] = sorted(sealed.items())
    elif isinstance(sealed, list):
        inner = enumerate(sealed)
    elif sealed is None or isinstance(sealed, str | int | float):
        return []
    else:
        return [[*place, type(sealed).__name__]]
    return [found for key, one in inner for found in kinds(one, (*place, key))]


def encode(value: Any) -> bytes:
    """Return the canonical bytes of *value*, a record in the integer-only domain.

    Inside that domain (no floats, integers below 2^53, ASCII keys) the bytes equal
    RFC 8785, so that another implementation can recompute a digest.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _text(value: Any) -> str:
    if type(value) is Decimal:
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no canonical form")


class _Copier:
    """Copy one argument tree; lives for one call of `seal`."""

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes = 0

    def mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        self.enter(len(value), depth)
        copied = {}
        for key, item in value.items():
            if type(key) is not str:
                raise InvalidCallError(
                    "arguments_invalid", f"a key is a {type(key).__name__}"
                )
            copied[key] = item if type(item) in _PLAIN else self.any(item, depth)
        return copied

    def any(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is dict:
            return self.mapping(value, depth + 1)
        if kind is list or kind is tuple:
            self.enter(len(value), depth + 1)
            return [self.any(item, depth + 1) for item in value]
        return _scalar(value)

    def enter(self, count: int, depth: int) -> None:
        self.nodes += count
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise InvalidCallError(
                "arguments_too_large",
                f"depth {depth}, {self.nodes} values; at most {MAX_DEPTH}, {MAX_NODES}",
            )


def _scalar(value: Any) -> Any:
    kind = type(value)
    if kind is int and _INT_MIN <= value <= _INT_MAX:
        return value
    if kind is float and isfinite(value):
        return value
    if kind is Decimal and value.is_finite():
        return value
    if isinstance(value, _TEXTUAL):
        return value
    if isinstance(value, Enum) and type(value.value) is str:
        return value
    raise InvalidCallError(
        "arguments_invalid", f"a {kind.__name__} is not finite JSON data"
    )

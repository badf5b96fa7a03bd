"""Read typed members of JSON objects; every error says where and what was seen.

*where* names the surrounding object, for example ``flag "a.mode": rules[0]``.
"""

import math

from openfeature.contrib.provider.featbit.errors import FeatBitDataError

JsonObject = dict[str, object]


def refuse(where: str, problem: str) -> FeatBitDataError:
    """Build the error for *problem* at *where*."""
    return FeatBitDataError(f"{where}: {problem}")


def member(item: JsonObject, field: str, where: str) -> object:
    """Return a member that must be there."""
    try:
        return item[field]
    except KeyError:
        raise refuse(where, f"{field} is missing") from None


def as_object(value: object, where: str) -> JsonObject:
    """Return *value* if it is a JSON object."""
    if isinstance(value, dict):
        return value
    raise refuse(where, f"must be an object, not {_kind(value)}")


def items(item: JsonObject, field: str, where: str) -> list[object]:
    """Return a member that must be a list."""
    value = member(item, field, where)
    if isinstance(value, list):
        return value
    raise refuse(where, f"{field} must be a list, not {_kind(value)}")


def text(item: JsonObject, field: str, where: str) -> str:
    """Return a member that must be text without lone surrogates."""
    return as_text(member(item, field, where), field, where)


def name(item: JsonObject, field: str, where: str) -> str:
    """Return a member that must be non-blank text."""
    value = text(item, field, where)
    if value.strip():
        return value
    raise refuse(where, f"{field} is blank")


def optional_text(item: JsonObject, field: str, where: str) -> str | None:
    """Return a text member, or None if it is absent, null or blank."""
    value = item.get(field)
    if value is None:
        return None
    given = as_text(value, field, where)
    return given if given.strip() else None


def texts(item: JsonObject, field: str, where: str) -> tuple[str, ...]:
    """Return a member that must be a list of text."""
    return tuple(
        as_text(value, f"{field}[{at}]", where)
        for at, value in enumerate(items(item, field, where))
    )


def truth(item: JsonObject, field: str, where: str) -> bool:
    """Return a member that must be true or false."""
    value = member(item, field, where)
    if isinstance(value, bool):
        return value
    raise refuse(where, f"{field} must be true or false, not {_kind(value)}")


def fraction(value: object, field: str, where: str) -> float:
    """Return *value* if it is a number in [0, 1]."""
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 <= value <= 1
    ):
        return float(value)
    raise refuse(where, f"{field} must be a number from 0 to 1, not {value!r}")


def as_text(value: object, field: str, where: str) -> str:
    """Return *value* if it is text without lone surrogates."""
    if not isinstance(value, str):
        raise refuse(where, f"{field} must be text, not {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise refuse(where, f"{field} holds half a surrogate pair") from None
    return value


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text"}
    names |= {list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)

"""Parse the text of a variation by the declared type of its flag."""

import math
import re

import orjson

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.flagset import Value
from openfeature.contrib.provider.featbit.strict_json import read_json

BOOLEAN, STRING, NUMBER, JSON = "boolean", "string", "number", "json"
KINDS = (BOOLEAN, STRING, NUMBER, JSON)
"""FeatBit's ``variationType``."""

DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def read_value(kind: str, text: str) -> Value:
    """Parse *text* as the declared *kind*; never serve raw text for another type.

    Raises:
        FeatBitDataError: *text* is no value of *kind*.

    """
    match kind:
        case "boolean":
            return _boolean(text)
        case "string":
            return text
        case "number":
            return _number(text)
        case "json":
            return _json(text)
    raise FeatBitDataError(f"{kind!r} is no variationType; known: {', '.join(KINDS)}")


def finite_number(text: str) -> float | None:
    """Return the finite double that *text* spells, or None.

    Infinity, NaN, digits of other scripts and underscores, which Python's ``float``
    takes, are no numbers here: FeatBit's server would not read them the same way.
    """
    try:
        number = float(text)
    except ValueError:
        return None
    if text.isascii() and "_" not in text and math.isfinite(number):
        return number
    return None


def _boolean(text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise FeatBitDataError(f"{text!r} is no boolean; write true or false")


def _number(text: str) -> int | float:
    if DECIMAL.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return _narrow(text, number)
    raise FeatBitDataError(f"{text!r} is no finite number")


def _narrow(text: str, number: float) -> int | float:
    # Digits alone are read exactly: a double loses integers above 2**53.
    if text.lstrip("+-").isdigit():
        return int(text)
    return int(number) if number.is_integer() else number


def _json(text: str) -> bytes:
    try:
        return orjson.dumps(read_json(text))
    except (TypeError, RecursionError) as error:
        raise FeatBitDataError(f"not usable JSON: {error}") from None

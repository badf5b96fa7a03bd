"""JSON without the traps: one reader for files and for values of json flags."""

import json
import math
from typing import NoReturn

from openfeature.contrib.provider.featbit.errors import FeatBitDataError


def read_json(data: bytes | str) -> object:
    """Parse *data* (UTF-8), refusing what RFC 8259 leaves to the reader.

    Raises:
        FeatBitDataError: not JSON or not UTF-8, a repeated member name, NaN or
            infinity, or nesting beyond the interpreter's limit.

    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        return json.loads(
            text,
            object_pairs_hook=_members,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise FeatBitDataError(f"not valid JSON: {error}") from None


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FeatBitDataError(f'not valid JSON: member "{twice}" appears twice')
    return members


def _refuse_constant(text: str) -> NoReturn:
    raise FeatBitDataError(f"not valid JSON: {text} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise FeatBitDataError(f"not valid JSON: {text} is beyond a double")
    return number

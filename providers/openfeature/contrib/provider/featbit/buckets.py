"""Percentage dispatch: the bucket of a user and the share that holds it."""

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from openfeature.exception import InvalidContextError

from openfeature.contrib.provider.featbit.conditions import is_key

WHOLE = 1 << 31
"""Buckets run from 0 to 2**31, both included: the magnitude of a signed 32-bit."""
FIRST_INT = struct.Struct("<i").unpack_from

T = TypeVar("T")


def bucket(text: str) -> int:
    """Return FeatBit's bucket of *text* as an integer; divided by `WHOLE` in [0, 1].

    It is the magnitude of the first four bytes of MD5, little-endian and signed.
    Do not change it: every user of every running percentage would be dealt anew.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: still one bucket, no error
        data = text.encode("utf-8", "surrogatepass")
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    number: int = FIRST_INT(digest)[0]
    return abs(number)


def choose(ends: Sequence[tuple[float, T]], point: int) -> T:
    """Return the outcome of the first share whose end, in buckets, is above *point*.

    The top bucket, exactly 1.0, belongs to the last share; FeatBit's SDK leaves it
    to nobody.
    """
    for end, outcome in ends:
        if point < end:
            return outcome
    return ends[-1][1]


def compile_split(
    flag_key: str, dispatch_key: str | None, shares: Sequence[tuple[float, T]]
) -> Callable[[str, Mapping[str, str]], T]:
    """Compile *shares*, pairs of the end in [0, 1] and the outcome, ascending.

    The compiled function raises `InvalidContextError` when the attribute to be
    bucketed is missing: such users would all share one bucket, which is no
    percentage of them.
    """
    ends = tuple((end * WHOLE, outcome) for end, outcome in shares)

    def by_key(key: str, _attributes: Mapping[str, str]) -> T:
        return choose(ends, bucket(flag_key + key))

    if dispatch_key is None or is_key(dispatch_key):
        return by_key

    def by_attribute(_key: str, attributes: Mapping[str, str]) -> T:
        text = attributes.get(dispatch_key)
        if text is None:
            raise InvalidContextError(
                f'flag "{flag_key}" splits by attribute "{dispatch_key}", '
                "which the evaluation context lacks"
            )
        return choose(ends, bucket(flag_key + text))

    return by_attribute

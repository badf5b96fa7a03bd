"""The values of the order store, checked once: money, text, ids, addresses.

Everything that a caller hands over is untrusted: a model wrote it.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from decimal import Decimal

_MONEY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")
_LIMIT = 10**9
_SHORT = 60


class OrderError(ValueError):
    """Report a call that the shop refuses; nothing was changed (the caller's fault)."""


@dataclass(frozen=True, slots=True)
class Address:
    """Hold one postal address; only a complete one can be built.

    *address2* may be empty, every other part is one line of text.
    """

    address1: str
    address2: str
    city: str
    state: str
    country: str
    zip: str

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "address2" or value != "":
                text(value, name)


def cents(value: object, name: str) -> int:
    """Turn *value*, a non-negative amount in decimal dollars, into whole cents.

    Text, integers, floats and decimals are read as they are written, so that no
    binary rounding takes part; *name* says in the error where the value stood.

    Raises:
        OrderError: no plain decimal, more than two decimals, or too large. That
            includes NaN, infinities, exponents, signs and non-ASCII digits.

    """
    written = ""
    if isinstance(value, str | Decimal | float) or (
        type(value) is int and -_LIMIT < value < _LIMIT
    ):
        written = str(value)
    if _MONEY.fullmatch(written) is None:
        raise OrderError(
            f"{name}: {seen(value)} is not an amount in dollars such as 12.50"
        )
    whole, _, fraction = written.partition(".")
    return int(whole) * 100 + int(fraction.ljust(2, "0"))


def dollars(amount: int) -> str:
    """Write *amount*, in cents, as dollars with two decimals."""
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def text(value: object, name: str, *, longest: int = 200, breaks: str = "") -> str:
    """Return *value* if it is printable text of 1 to *longest* characters.

    *breaks* lists control characters that are allowed as well, such as a new line.

    Raises:
        OrderError: not text, blank, too long, or with a character outside that.

    """
    if not isinstance(value, str):
        raise OrderError(f"{name}: {seen(value)} is not text")
    if not value.strip() or len(value) > longest:
        raise OrderError(f"{name}: {seen(value)} has not 1 to {longest} characters")
    if not value.translate(dict.fromkeys(map(ord, breaks))).isprintable():
        raise OrderError(f"{name}: {seen(value)} holds unprintable characters")
    return value


def identifiers(value: object, name: str) -> tuple[str, ...]:
    """Return *value*, a list of 1 to 100 ids, as a tuple.

    Raises:
        OrderError: not a list, empty, too long, or an element that is not text.

    """
    if not isinstance(value, list | tuple):
        raise OrderError(f"{name}: {seen(value)} is not a list of ids")
    if not 1 <= len(value) <= 100:
        raise OrderError(f"{name}: {len(value)} ids, 1 to 100 are possible")
    return tuple(text(item, f"{name}[{at}]") for at, item in enumerate(value))


def seen(value: object) -> str:
    """Return *value* as an error message shows it: short, and never failing."""
    if isinstance(value, int) and not -_LIMIT < value < _LIMIT:
        return "an integer beyond all amounts"
    if isinstance(value, str | int | float | Decimal | None):
        shown = ascii(value[: _SHORT + 1] if isinstance(value, str) else value)
        return shown if len(shown) <= _SHORT else f"{shown[:_SHORT]}..."
    return f"a {type(value).__name__}"

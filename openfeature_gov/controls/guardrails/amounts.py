"""Read amounts strictly: what is no exact amount of the currency is a reason code."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from openfeature_gov.governance.parts import EXACT

HUGE = Decimal(10) ** 15
"""From here on sums and remainders would round; it is above every limit."""
ZERO = Decimal(0)
FINE = 4
"""More digits after the point than any currency has: a mix-up of units."""
MISSING = "amount_missing"
FAULTS = (MISSING, "amount_unreadable", "currency_mismatch", "amount_too_fine")
"""Why something is no amount."""


def reading(expected: str, decimals: int = FINE) -> Callable[[object, str], str | None]:
    """Return what says why an amount is not one of *expected*, None when it is.

    More than *decimals* digits after the point is a mix-up of units.
    """
    unit, remainder = Decimal(1).scaleb(-decimals), EXACT.remainder

    def unreadable(amount: object, currency: str) -> str | None:
        if amount is None:
            return MISSING
        if type(amount) is not Decimal or not amount.is_finite() or amount < ZERO:
            return "amount_unreadable"
        if currency != expected:
            return "currency_mismatch"
        if amount < HUGE and remainder(amount, unit):
            return "amount_too_fine"
        return None

    return unreadable


def beyond(limit: Decimal, *, exclusive: bool) -> Callable[[Decimal], bool]:
    """Return what says whether an amount is above *limit*, with *exclusive* at it."""
    return limit.__le__ if exclusive else limit.__lt__

"""Read amounts strictly: what is no exact amount of the currency is a reason code."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from openfeature_gov.governance.parts import EXACT

HUGE = Decimal(10) ** 15
"""From here on sums and remainders would round; it is above every limit."""
ZERO = Decimal(0)
FINE = 4
"""More digits after the point than any currency has: a mix-up of units."""


def unreadable(
    amount: object, currency: str, expected: str, decimals: int = FINE
) -> str | None:
    """Return why *amount* is not one of *expected*, None when it is.

    More than *decimals* digits after the point is a mix-up of units.
    """
    if amount is None:
        return "amount_missing"
    if type(amount) is not Decimal or not amount.is_finite() or amount < ZERO:
        return "amount_unreadable"
    if currency != expected:
        return "currency_mismatch"
    if amount < HUGE and EXACT.remainder(amount, _unit(decimals)):
        return "amount_too_fine"
    return None


def beyond(amount: Decimal, limit: Decimal, *, exclusive: bool) -> bool:
    """Say whether *amount* is above *limit*, or with *exclusive* at it."""
    return amount >= limit if exclusive else amount > limit


@lru_cache(maxsize=16)
def _unit(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)

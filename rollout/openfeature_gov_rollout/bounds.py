"""One-sided confidence bounds for a proportion: exact for one look, and anytime-valid.

Both are lower bounds for the share of successes; the upper bound of a share is one
minus the lower bound of its complement. Bounds are whole millionths, rounded away from
the claim, so that rounding never promotes anyone. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

STEPS = 1_000_000
"""How many values a bound can take between 0 and 1."""
CLEAN_LIMIT = 1 << 24
"""How many clean samples `missing` looks ahead."""
_TINY = 1e-300
_TERMS = 100_000
Clears = Callable[[int, int, float, float], bool]
"""Say whether *successes* of *trials* put the share above *target* at level *alpha*."""


def exact(successes: int, trials: int, target: float, alpha: float) -> bool:
    """Say whether the exact lower bound, taken once, reaches *target*.

    So it does if a share of *target* would bring as many successes with a probability
    of at most *alpha*. Source: Clopper & Pearson 1934, "The use of confidence or
    fiducial limits illustrated in the case of the binomial", Biometrika 26, 404-413;
    the tail is a regularised incomplete beta function, DLMF 8.17.5. Valid for one look
    at a number of trials that was fixed before.
    """
    if successes == 0 or target >= 1:
        return False
    if target <= 0:
        return True
    return log_beta(target, successes, trials - successes + 1) <= math.log(alpha)


def anytime(successes: int, trials: int, target: float, alpha: float) -> bool:
    """Say whether the bound that holds at all times at once reaches *target*.

    Bet against "the share is at most *target*": the capital after a success is
    multiplied by 1 + u (1/target - 1), after a failure by 1 - u. Mixed over u with the
    density 1 / (2 sqrt(1 - u)) this is a supermartingale under every such share, so it
    ever reaches 1/alpha with a probability of at most *alpha*, however often one looks
    and whenever one stops. Samples need not be independent: it is enough that each
    succeeds with a probability of at most *target* given those before.

    Source: Ville 1939; Robbins 1970, "Statistical methods related to the law of the
    iterated logarithm", Ann. Math. Statist. 41, 1397-1409 (mixtures); Howard, Ramdas,
    McAuliffe & Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence
    sequences", Ann. Statist. 49, 1055-1080, section 3.2 (conjugate mixtures);
    Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by
    betting", J. R. Stat. Soc. B 86, 1-27, section 4 (the capital process, and that
    the values it does not refuse are an interval).
    """
    if successes == 0 or target >= 1:
        return False
    if target <= 0:
        return True
    return log_capital(successes, trials, target) >= -math.log(alpha)


def log_capital(successes: int, trials: int, target: float) -> float:
    """Return the logarithm of the mixed capital; it falls as *target* rises.

    With q = target + (1 - target) u the mixture is an incomplete beta function.
    """
    failures = trials - successes
    rest = math.log1p(-target)
    whole = _log_beta(successes + 1, failures + 0.5)
    above = log_beta(1 - target, failures + 0.5, successes + 1)
    odds = successes * math.log(target) + failures * rest
    return math.log(0.5) + whole + above - 0.5 * rest - odds


@lru_cache(maxsize=65_536)
def lower(clears: Clears, successes: int, trials: int, alpha: float) -> int:
    """Return the largest target, in millionths, that *clears* still says yes to."""
    good, bad = 0, STEPS
    while bad - good > 1:
        middle = (good + bad) // 2
        if clears(successes, trials, middle / STEPS, alpha):
            good = middle
        else:
            bad = middle
    return good


@lru_cache(maxsize=65_536)
def missing(
    clears: Clears, successes: int, trials: int, target: float, alpha: float
) -> int | None:
    """Return how many more successes in a row it takes; None if beyond reach."""

    def enough(more: int) -> bool:
        return clears(successes + more, trials + more, target, alpha)

    bad, good = 0, 1
    if enough(0):
        return 0
    while not enough(good):
        if good > CLEAN_LIMIT:
            return None
        bad, good = good, good * 2
    while good - bad > 1:
        middle = (good + bad) // 2
        if enough(middle):
            good = middle
        else:
            bad = middle
    return good


def log_beta(x: float, a: float, b: float) -> float:
    """Return the logarithm of the regularised incomplete beta function I_x(a, b).

    Source: the continued fraction DLMF 8.17.22, which converges fast for
    x < (a + 1) / (a + b + 2), evaluated as Lentz 1976 does; beyond that I_x(a, b) is
    one minus I_1-x(b, a), DLMF 8.17.4.
    """
    front = a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b)
    if x <= (a + 1) / (a + b + 2):
        return min(0.0, front - math.log(a) + math.log(_fraction(x, a, b)))
    other = math.exp(front) / b * _fraction(1 - x, b, a)
    return math.log1p(-other) if other < 1 else -math.inf


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY

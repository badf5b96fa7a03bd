"""Confidence bounds: against published values, exact sums, and each other."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov_rollout import bounds
from openfeature_gov_rollout.bounds import STEPS, anytime, exact, lower, missing

SEEN = st.integers(1, 120).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
TARGETS = st.integers(1, STEPS - 1).map(lambda one: one / STEPS)


def tail(successes: int, trials: int, share: float) -> Fraction:
    """Return how likely at least *successes* are, as a sum of exact fractions."""
    p = Fraction(share)
    return sum(
        (
            math.comb(trials, k) * p**k * (1 - p) ** (trials - k)
            for k in range(successes, trials + 1)
        ),
        Fraction(0),
    )


@given(SEEN, TARGETS)
def test_the_beta_function_is_the_binomial_tail(
    seen: tuple[int, int], share: float
) -> None:
    """DLMF 8.17.5, to 12 digits of the logarithm."""
    successes, trials = seen
    if successes:
        told = bounds.log_beta(share, successes, trials - successes + 1)
        whole = tail(successes, trials, share)
        known = math.log(whole.numerator) - math.log(whole.denominator)
        if whole > Fraction(1, 2):  # the difference of two logarithms cancels there
            known = math.log1p(float(whole - 1))
        assert told == pytest.approx(known, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "alpha", "bound"),
    [
        (59, 59, 0.05, 0.950492),  # 0.05 ** (1 / 59)
        (299, 299, 0.05, 0.990031),
        (100, 100, 0.05, 0.970487),  # 2.95 % incidents at most
        (1000, 1000, 0.05, 0.997009),  # 0.30 %
        (9, 10, 0.025, 0.554984),  # the 95 % interval of 9 in 10, two-sided
        (5, 10, 0.025, 0.187086),
        (0, 10, 0.05, 0.0),
    ],
)
def test_exact_bounds_are_the_published_ones(
    successes: int, trials: int, alpha: float, bound: float
) -> None:
    """Rounded down, never up."""
    assert lower(exact, successes, trials, alpha) / STEPS == pytest.approx(
        bound, abs=1.5e-6
    )


def capital(successes: int, trials: int, target: float) -> float:
    """Return the mixed capital as a sum over bets u, of the density 1/(2 sqrt(1-u)).

    With w = sqrt(1 - u) the density is even on (0, 1): the midpoint rule.
    """
    steps = 20_000
    total = 0.0
    for place in range(steps):
        u = 1 - ((place + 0.5) / steps) ** 2
        won, lost = 1 + u * (1 / target - 1), 1 - u
        total += won**successes * lost ** (trials - successes)
    return total / steps


@pytest.mark.parametrize("target", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize(
    "seen", [(0, 1), (1, 1), (5, 20), (19, 20), (74, 74), (95, 100)]
)
def test_the_capital_is_the_mixture_of_the_bets(
    seen: tuple[int, int], target: float
) -> None:
    """The closed form is the integral that the proof is about."""
    told = math.exp(bounds.log_capital(*seen, target))
    assert told == pytest.approx(capital(*seen, target), rel=1e-4)


@given(SEEN, TARGETS)
def test_the_capital_is_a_fair_game_at_the_target(
    seen: tuple[int, int], target: float
) -> None:
    """E[next] = now where the share is the target; less where it is below."""
    successes, trials = seen
    now = bounds.log_capital(successes, trials, target)
    won = bounds.log_capital(successes + 1, trials + 1, target) - now
    lost = bounds.log_capital(successes, trials + 1, target) - now
    mean = target * math.exp(won) + (1 - target) * math.exp(lost)
    assert mean == pytest.approx(1, rel=1e-6)
    assert won >= lost


@given(SEEN, st.sampled_from([0.05, 0.01, 0.0125]))
def test_watching_costs_something(seen: tuple[int, int], alpha: float) -> None:
    """The anytime-valid bound never promises more than the single look."""
    assert lower(anytime, *seen, alpha) <= lower(exact, *seen, alpha)


@given(SEEN, st.sampled_from([anytime, exact]), TARGETS)
def test_a_bound_is_where_the_answer_turns(
    seen: tuple[int, int], rule: bounds.Clears, target: float
) -> None:
    """Every target up to the bound is cleared, none above the next step."""
    found = lower(rule, *seen, 0.05)
    assert found == 0 or rule(*seen, found / STEPS, 0.05)
    assert not rule(*seen, (found + 1) / STEPS, 0.05)
    assert rule(*seen, target, 0.05) == (target <= found / STEPS)


@given(SEEN, st.sampled_from([anytime, exact]))
def test_what_is_missing_is_the_least(
    seen: tuple[int, int], rule: bounds.Clears
) -> None:
    """With one clean sample less the target is not cleared."""
    successes, trials = seen
    more = missing(rule, successes, trials, 0.95, 0.05)
    assert more is not None
    assert rule(successes + more, trials + more, 0.95, 0.05)
    if more:
        less = more - 1
        assert not rule(successes + less, trials + less, 0.95, 0.05)


@pytest.mark.parametrize("rule", [anytime, exact])
def test_the_ends_are_certain(rule: bounds.Clears) -> None:
    """Nothing proves a share of 1; every success proves more than 0."""
    assert not rule(1000, 1000, 1.0, 0.05)
    assert not rule(0, 1000, 0.0, 0.05)
    assert rule(1, 1000, 0.0, 0.05)
    assert missing(rule, 5, 10, 1.0, 0.05) is None


def test_large_numbers_keep_their_digits() -> None:
    """A million samples: the bound is near what the normal distribution says."""
    near = 0.99 - 1.6449 * math.sqrt(0.99 * 0.01 / 1e6)
    assert lower(exact, 990_000, 1_000_000, 0.05) / STEPS == pytest.approx(
        near, abs=3e-6
    )
    assert 0.989 < lower(anytime, 990_000, 1_000_000, 0.05) / STEPS < near

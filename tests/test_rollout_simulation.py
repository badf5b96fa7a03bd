"""Error rates of gates: exactly, as sums of probabilities, and by simulated agents.

``python -m tests.benchmarks.gates`` simulates 10,000 agents a cell.
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from openfeature_gov_rollout.gates import Count, Gate
from openfeature_gov_rollout.judging import judge_all
from tests.benchmarks.gates import (
    ANYTIME,
    FIXED,
    LOOK,
    NEVER,
    allowed,
    naive,
    promoted_exactly,
    ruinous,
)

HORIZON = 1_000


@pytest.fixture(scope="module")
def watched() -> list[int]:
    """Return how many of the first samples may be bad, under watch."""
    return allowed(ANYTIME, HORIZON, 0.05)


@pytest.mark.parametrize("share", [0.5, 0.85, 0.90, 0.93, 0.94, 0.95])
def test_a_bad_agent_is_rarely_promoted_however_often_one_looks(
    watched: list[int], share: float
) -> None:
    """At most 5 %, and at the target itself nearly that: nothing is given away."""
    promoted = promoted_exactly(watched, share)
    assert promoted <= 0.05
    assert share != 0.95 or promoted > 0.02


@pytest.mark.parametrize("share", [0.85, 0.90, 0.93, 0.94, 0.95])
def test_a_bad_agent_is_rarely_promoted_by_one_look(share: float) -> None:
    """At most 5 % too."""
    limits = allowed(FIXED, LOOK, 0.05)
    assert [limit for limit in limits[:-1] if limit != NEVER] == []
    promoted = promoted_exactly(limits, share)
    assert promoted <= 0.05
    assert share != 0.95 or promoted > 0.02


def test_a_point_threshold_promotes_bad_agents() -> None:
    """The naive rule that ours stands beside: most of them, at one time or another."""
    assert promoted_exactly(naive(200), 0.93) > 0.6
    assert promoted_exactly(naive(200), 0.90) > 0.3
    assert promoted_exactly(naive(LOOK, once=LOOK), 0.95) > 0.5


def test_a_good_agent_is_promoted_and_not_failed(watched: list[int]) -> None:
    """Soon if it is perfect, in most runs if it is good; failed in at most 5 %."""
    assert promoted_exactly(watched[:74], 1.0) == 1
    assert promoted_exactly(watched, 0.99) > 0.99
    assert promoted_exactly(watched, 0.98) > 0.9
    # What fails an agent is what would promote its complement.
    ruin = ruinous(ANYTIME, 300, 0.05)
    mirrored = [
        trials - bad if bad <= trials else NEVER
        for trials, bad in enumerate(ruin, start=1)
    ]
    assert promoted_exactly(mirrored, 0.05) <= 0.05


def test_the_boundaries_never_fall(watched: list[int]) -> None:
    """What the exact sums rely on: one more sample allows no fewer bad ones."""
    assert all(one <= other for one, other in pairwise(watched))
    ruin = ruinous(ANYTIME, 300, 0.05)
    assert all(one <= other for one, other in pairwise(ruin))


METRICS = ("acceptance", "policy_match", "error", "correction")
STAGE = tuple(
    Gate.model_validate(
        {
            "metric": name,
            "atLeast" if place < 2 else "atMost": "0.9" if place < 2 else "0.1",
        }
    )
    for place, name in enumerate(METRICS)
)


def stages_promoted(shares: dict[str, float], runs: int, horizon: int) -> int:
    """Return how many of *runs* agents pass the whole stage at any of its checks."""
    pick, promoted = random.Random(11), 0
    for _ in range(runs):
        seen = dict.fromkeys(METRICS, 0)
        for trials in range(1, horizon + 1):
            for name in METRICS:
                seen[name] += pick.random() < shares[name]
            if trials % 10 == 0:
                counts = {name: Count(one, trials) for name, one in seen.items()}
                if judge_all(STAGE, counts).answer == "pass":
                    promoted += 1
                    break
    return promoted


def test_one_bad_metric_among_good_ones_holds_a_stage() -> None:
    """Whichever it is, and however good the others are."""
    good = {"acceptance": 1.0, "policy_match": 1.0, "error": 0.0, "correction": 0.0}
    assert stages_promoted(good, 5, 200) == 5
    for bad in ({"acceptance": 0.9}, {"error": 0.1}):
        assert stages_promoted({**good, **bad}, 60, 200) <= 6

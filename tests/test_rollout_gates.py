"""Gates: three answers, each with its reason; nothing but proof passes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from openfeature_gov_rollout.gates import Count, Gate
from openfeature_gov_rollout.judging import Answer, clean_samples, judge, judge_all
from openfeature_gov_rollout.metrics import METRICS, Row

PASS, HOLD, FAIL = Answer


def gate(**given: Any) -> Gate:
    """Return a gate as a plan states it."""
    return Gate.model_validate({"metric": "acceptance", **given})


GOOD = gate(atLeast="0.95")
FEW = gate(atMost="0.05")
FIXED = gate(atLeast="0.95", rule="fixed", sampleSize=93)
NONE = gate(metric="incident", atMost=0, kind="guardrail", minimumSamples=10)
FAST = gate(metric="support", atMost="0.1", kind="signal", minimumSamples=10)
ALL = (GOOD, FEW, FIXED, NONE, FAST)
NOTHING: tuple[Any, ...] = (
    None,
    Count(0, 0),
    Count(5, 4),
    Count(-1, 10),
    Count(float("nan"), 100),  # type: ignore[arg-type]  # what a bad query gives
    Count(100, float("nan")),  # type: ignore[arg-type]  # the same
    Count(True, True),
    Count(0, 10**9),
)


@pytest.mark.parametrize("count", NOTHING)
@pytest.mark.parametrize("one", ALL)
def test_no_data_is_hold(one: Gate, count: Count | None) -> None:
    """Missing, zero, NaN and impossible data neither promote nor roll back."""
    said = judge(one, count)
    assert said.answer is HOLD
    assert said.value is None
    assert said.bound is None
    assert said.samples == 0
    assert said.missing
    assert "holds" in said.sentence


@pytest.mark.parametrize(
    ("one", "count", "answer", "missing"),
    [
        (GOOD, Count(73, 73), HOLD, 1),
        (GOOD, Count(74, 74), PASS, None),
        (GOOD, Count(50, 50), HOLD, 24),
        (GOOD, Count(78, 80), HOLD, 94),
        (GOOD, Count(60, 100), FAIL, None),
        (FEW, Count(0, 73), HOLD, 1),
        (FEW, Count(0, 74), PASS, None),
        (FEW, Count(40, 100), FAIL, None),
        (FIXED, Count(92, 92), HOLD, 1),
        (FIXED, Count(92, 93), PASS, None),
        (FIXED, Count(91, 93), HOLD, None),
        (FIXED, Count(58, 60), HOLD, None),
        (FIXED, Count(94, 94), HOLD, None),
        (FIXED, Count(30, 60), FAIL, None),
        (NONE, Count(0, 9), HOLD, 1),
        (NONE, Count(0, 10), PASS, None),
        (NONE, Count(1, 100_000), FAIL, None),
        (NONE, Count(1, 1), FAIL, None),
        (FAST, Count(0, 9), HOLD, 1),
        (FAST, Count(1, 10), PASS, None),
        (FAST, Count(2, 10), HOLD, None),
    ],
)
def test_answers_at_the_edge(
    one: Gate, count: Count, answer: Answer, missing: int | None
) -> None:
    """One sample more or less decides, where the bound meets the target."""
    said = judge(one, count)
    assert said.answer is answer
    assert said.missing == missing
    assert said.samples == count.trials
    assert said.value is not None


def test_what_holds_passes_after_what_is_missing() -> None:
    """The number of clean samples that a hold asks for is the least that do."""
    for good, trials in ((0, 1), (19, 20), (78, 80), (955, 1000)):
        more = judge(GOOD, Count(good, trials)).missing
        assert more is not None
        assert judge(GOOD, Count(good + more, trials + more)).answer is PASS
        assert judge(GOOD, Count(good + more - 1, trials + more - 1)).answer is HOLD


def test_more_samples_than_the_bound_needs_can_be_demanded() -> None:
    """A minimum holds what the bound alone would pass."""
    patient = gate(atLeast="0.95", minimumSamples=200)
    said = judge(patient, Count(150, 150))
    assert (said.answer, said.missing) == (HOLD, 50)
    assert judge(patient, Count(200, 200)).answer is PASS


def test_the_sentence_says_everything() -> None:
    """Value, bound, target, samples, and how many clean samples are needed."""
    assert judge(GOOD, Count(78, 80)).sentence == (
        "acceptance: 97.5 % of 80 samples, bound 89.394 %: has not cleared 95 %; "
        "94 more clean samples needed"
    )
    assert judge(FEW, Count(0, 74)).sentence == (
        "acceptance: 0 % of 74 samples, bound 4.9791 %: clears 5 %"
    )
    assert judge(GOOD, Count(60, 100)).sentence == (
        "acceptance: 60 % of 100 samples, bound 74.9734 %: misses 95 %"
    )
    assert judge(NONE, Count(1, 20)).sentence == (
        "incident: 1 event in 20 samples; a guardrail tolerates none"
    )
    assert judge(FIXED, Count(94, 94)).sentence == (
        "acceptance: 100 % of 94 samples; the one look at 95 % is at 93 samples, "
        "these are 94: count the first 93"
    )


@given(
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from(["0.5", "0.9", "0.95", "0.999"]),
)
def test_a_metric_and_its_complement_are_one(
    seen: tuple[int, int], target: str
) -> None:
    """At least 95 % good says what at most 5 % bad says."""
    good, trials = seen
    up = judge(gate(atLeast=target), Count(good, trials))
    down = judge(gate(atMost=str(1 - Decimal(target))), Count(trials - good, trials))
    assert up.answer is down.answer
    assert up.missing == down.missing
    assert up.bound is not None
    assert down.bound is not None
    assert up.bound == 1 - down.bound
    if up.answer is PASS:
        assert up.bound >= Decimal(target)


@given(st.integers(1, 300), st.integers(0, 300), st.sampled_from([GOOD, FEW, FIXED]))
def test_one_more_bad_sample_never_helps(trials: int, bad: int, one: Gate) -> None:
    """Exchange a good sample for a bad one: the answer never gets better."""
    bad = min(bad, trials - 1)
    order = [FAIL, HOLD, PASS]
    answers = []
    for worse in (bad, bad + 1):
        seen = worse if one.at_most is not None else trials - worse
        answers.append(order.index(judge(one, Count(seen, trials)).answer))
    assert answers[1] <= answers[0]


def counts(**given: Count | None) -> dict[str, Count | None]:
    """Return what passes, but for what is *given*."""
    clean: dict[str, Count | None] = {
        "acceptance": Count(100, 100),
        "denial": Count(0, 100),
        "incident": Count(0, 100),
        "support": Count(0, 100),
    }
    return clean | given


STAGE = (GOOD, gate(metric="denial", atMost="0.05"), NONE, FAST)


@pytest.mark.parametrize(
    ("seen", "answer", "paused"),
    [
        ({}, PASS, False),
        ({"acceptance": None}, HOLD, False),
        ({"support": Count(50, 100)}, HOLD, True),
        ({"support": None}, HOLD, True),
        ({"incident": Count(1, 100)}, FAIL, False),
        ({"incident": Count(1, 100), "support": Count(50, 100)}, FAIL, False),
        ({"denial": Count(50, 100)}, FAIL, False),
        ({"incident": None}, HOLD, False),
    ],
)
def test_a_stage_says_the_strictest(
    seen: dict[str, Count | None], answer: Answer, paused: bool
) -> None:
    """One failure fails it, one doubt holds it; all must pass."""
    said = judge_all(STAGE, counts(**seen))
    assert (said.answer, said.paused) == (answer, paused)
    assert len(said.results) == len(STAGE)


def test_the_error_level_is_split_over_the_proofs() -> None:
    """Two proofs: each at half the level. Guardrails and signals take no share."""
    alone = judge_all([GOOD, NONE, FAST], counts())
    both = judge_all(STAGE, counts())
    assert alone.results[0] == judge(GOOD, Count(100, 100), 0.05)
    assert both.results[0] == judge(GOOD, Count(100, 100), 0.025)
    edge = counts(acceptance=Count(74, 74))
    assert judge_all([GOOD], edge).answer is PASS
    assert judge_all(STAGE, edge).answer is HOLD


@pytest.mark.parametrize("gates", [(), (NONE,), (FAST, NONE)])
def test_nothing_passes_without_a_proof(gates: tuple[Gate, ...]) -> None:
    """No gates, or none that proves anything, hold."""
    said = judge_all(gates, counts())
    assert said.answer is HOLD
    assert "nothing can be proven" in said.sentence


@pytest.mark.parametrize("level", [0, 1, -0.05, float("nan")])
def test_an_error_level_is_a_probability(level: float) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="error level"):
        judge_all([GOOD], counts(), level)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"atLeast": "0.9", "atMost": "0.95"},
        {"atLeast": "1.5"},
        {"atLeast": "0.95", "rule": "fixed"},
        {"atLeast": "0.95", "sampleSize": 59},
        {"atLeast": "0.95", "rule": "fixed", "sampleSize": 59, "minimumSamples": 60},
        {"atLeast": "0.95", "minimumSamples": 0},
        {"atLeast": 1},
        {"atMost": 0},
        {"atMost": "0.01", "kind": "guardrail"},
        {"atMost": 0, "kind": "guardrail", "rule": "fixed", "sampleSize": 5},
        {"atLeast": "0.95", "atleast": "0.95"},
        {"atLeast": "0.95", "metric": "acceptence"},
        {"atLeast": "0.95", "metric": "latency"},
        {"atLeast": "0.95", "within": 2},
        {"atLeast": "0.95", "metric": "latency", "within": 0},
        {"atLeast": "0.95", "metric": "cost", "within": 2},
        {"atLeast": "0.95", "metric": "latency", "within": 2, "baseline": 1},
        {"atLeast": "NaN"},
        {"atLeast": "0.95", "rule": "often"},
    ],
)
def test_a_gate_that_could_mean_something_else_is_refused(given: Any) -> None:
    """Bad input is refused whole."""
    with pytest.raises(ValidationError):
        gate(**given)


def test_a_bound_of_the_cost_is_a_multiple_of_the_baseline() -> None:
    """The rest states its bound in its own unit."""
    cost = gate(metric="cost", atLeast="0.9", within="1.5", baseline="0.02")
    assert cost.limit == Decimal("0.030")
    assert gate(metric="latency", atLeast="0.9", within=2).limit == 2
    assert GOOD.limit is None


def test_how_long_a_clean_agent_waits_is_known_beforehand() -> None:
    """Zero failures: 59 samples with one look at 95 %, 74 under watch; 299 at 99 %."""
    assert clean_samples(gate(atLeast="0.95", rule="fixed", sampleSize=59)) == 59
    assert clean_samples(gate(atLeast="0.95", rule="fixed", sampleSize=58)) is None
    assert clean_samples(gate(atLeast="0.99", rule="fixed", sampleSize=299)) == 299
    assert clean_samples(GOOD) == 74
    assert clean_samples(NONE) == 10
    assert clean_samples(gate(atLeast="0.95", minimumSamples=500)) == 500


@pytest.mark.parametrize(
    ("metric", "row"),
    [
        ("policy_match", Row("constrain", "mode_observe", decided=b"{}")),
        ("cost", Row("allow", "r", "executed", {"cost": "NaN"})),
        ("cost", Row("allow", "r", "executed", {"cost": "-1"})),
        ("cost", Row("allow", "r", "executed", {"cost": "much"})),
        ("latency", Row("allow", "r", "executed", {"latencyUs": -5})),
        ("time_to_decide", Row("queue_for_approval", "r", "approve", took_us=-5)),
    ],
)
def test_a_row_that_tells_nothing_is_no_sample(metric: str, row: Row) -> None:
    """No shadow, no number, a clock that went back: missing, never good."""
    assert METRICS[metric].hit(row, Decimal(1)) is None

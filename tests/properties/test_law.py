"""The law: enumerated in full, compared with a second reading, attacked at random."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov import Constraint, Decision, Effect, Mode, Verdict, decide
from openfeature_gov.decisions import clamps, merge
from openfeature_gov.verification import AXES, rule, size, state, verify_space
from tests.properties.reference import expected

TABLE = "2581424725014ef6ff352be426d704138325bef0a9d462d723b7f918976f9527"
"""The digest of the whole table. A change here is a change of what agents may do."""

LADDERS = st.frozensets(st.sampled_from(Mode)).map(lambda modes: modes | {Mode.OFF})
CONSTRAINTS = st.builds(
    Constraint,
    st.sampled_from(["records", "sources"]),
    st.none() | st.integers(0, 100),
    st.none() | st.frozensets(st.sampled_from("abc")),
)
VERDICTS = st.builds(
    Verdict,
    st.sampled_from("abcd"),
    st.sampled_from(Mode),
    st.sampled_from(["one", "two"]),
    st.sampled_from(Mode),
    st.tuples() | st.tuples(CONSTRAINTS),
    st.just({}),
    st.booleans(),
)


def test_space_is_enumerated_without_violation() -> None:
    """Every state of the space keeps every promise, and the table is the known one."""
    assert size() >= 100_000
    report = verify_space()
    assert report.violations == ()
    assert report.states == size()
    assert report.digest == TABLE


@pytest.mark.parametrize("seed", range(4))
def test_law_agrees_with_a_second_reading(seed: int) -> None:
    """10,000 random states a seed are decided as the design's table says."""
    chance = random.Random(seed)
    for _ in range(10_000):
        values = state(tuple(chance.randrange(len(axis)) for axis in AXES.values()))
        made = rule(values)
        found = (made.effect.value, made.mode.label, made.full)
        assert found == expected(values), values


@settings(max_examples=2000, deadline=None)
@given(st.lists(VERDICTS, max_size=6), st.sampled_from(Mode), LADDERS, st.booleans())
def test_decision_is_the_lowest_cap(
    verdicts: list[Verdict], need: Mode, listed: frozenset[Mode], approved: bool
) -> None:
    """The mode left is the minimum of the clamped caps; no verdict means off."""
    made = decide(verdicts, need=need, listed=listed, approved=approved)
    lowest = min((clamps(listed)[v.cap] for v in verdicts), default=Mode.OFF)
    if made.approved:
        assert lowest is Mode.APPROVAL_REQUIRED
        assert made.mode is Mode.AUTONOMOUS
    else:
        assert made.mode is lowest
    assert made.need == max([need, *(v.need for v in verdicts)])
    assert made.verdicts == tuple(verdicts)


@settings(max_examples=2000, deadline=None)
@given(
    st.lists(VERDICTS, min_size=1, max_size=5),
    VERDICTS,
    st.sampled_from(Mode),
    LADDERS,
    st.booleans(),
)
def test_another_verdict_never_widens(
    verdicts: list[Verdict],
    another: Verdict,
    need: Mode,
    listed: frozenset[Mode],
    approved: bool,
) -> None:
    """Adding a verdict never raises the mode, never lets more run, keeps limits."""
    before = decide(verdicts, need=need, listed=listed, approved=approved)
    after = decide([*verdicts, another], need=need, listed=listed, approved=approved)
    assert after.mode <= before.mode
    assert after.full <= before.full
    assert_tighter(after, before)


def assert_tighter(after: Decision, before: Decision) -> None:
    kept = {one.kind: one for one in after.constraints}
    for old in before.constraints:
        new = kept[old.kind]
        if old.limit is not None:
            assert new.limit is not None
            assert new.limit <= old.limit
        if old.among is not None:
            assert new.among is not None
            assert new.among <= old.among


@settings(max_examples=1000, deadline=None)
@given(st.lists(VERDICTS, max_size=6), st.sampled_from(Mode), LADDERS, st.randoms())
def test_order_never_matters(
    verdicts: list[Verdict],
    need: Mode,
    listed: frozenset[Mode],
    chance: random.Random,
) -> None:
    """Any order of the same verdicts leads to the same decision and reason."""
    shuffled = chance.sample(verdicts, len(verdicts))
    one = decide(verdicts, need=need, listed=listed)
    other = decide(shuffled, need=need, listed=listed)
    fields = ("effect", "mode", "need", "reason", "full", "constraints", "approved")
    assert all(getattr(one, name) == getattr(other, name) for name in fields)


@settings(max_examples=1000, deadline=None)
@given(st.lists(VERDICTS, max_size=6), st.sampled_from(Mode), LADDERS)
def test_denied_stays_denied_whatever_the_approval(
    verdicts: list[Verdict], need: Mode, listed: frozenset[Mode]
) -> None:
    """An approval changes nothing but a queued action, and lifts one rung only."""
    before = decide(verdicts, need=need, listed=listed)
    after = decide(verdicts, need=need, listed=listed, approved=True)
    if before.effect is Effect.QUEUE_FOR_APPROVAL:
        assert after.full
        assert after.approved
    elif not after.approved:
        assert after == before
    else:
        assert before.full


def test_silence_is_off() -> None:
    """Without any verdict nothing may run, not even with an approval."""
    made = decide([], need=Mode.OFF, listed=frozenset(Mode), approved=True)
    assert (made.effect, made.mode, made.reason) == (
        Effect.DENY,
        Mode.OFF,
        "no_verdict",
    )


def test_unlisted_mode_drops_to_the_next_lower_one() -> None:
    """A cap that the contract does not list becomes the next listed rung below."""
    listed = frozenset({Mode.OFF, Mode.SEARCH_ONLY, Mode.APPROVAL_REQUIRED})
    assert [mode.label for mode in clamps(listed)] == [
        "off",
        "off",
        "search_only",
        "search_only",
        "search_only",
        "approval_required",
        "approval_required",
    ]


def test_allow_under_constraints_is_constrain() -> None:
    """A constraint turns allow into constrain, and the tool may still run."""
    verdict = Verdict(
        "a", Mode.AUTONOMOUS, "r", constraints=(Constraint("records", 5),)
    )
    made = decide([verdict], need=Mode.AUTONOMOUS, listed=frozenset(Mode))
    assert (made.effect, made.full) == (Effect.CONSTRAIN, True)
    assert merge([Constraint("records", 9), Constraint("records", 5)]) == (
        Constraint("records", 5),
    )

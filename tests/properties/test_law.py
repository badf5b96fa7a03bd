"""The law: enumerated in full, compared with a second reading, attacked at random."""

from __future__ import annotations

import random
from itertools import combinations, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov import Constraint, Decision, Effect, Mode, Verdict, decide
from openfeature_gov.decisions import ceiling_of, clamps, merge, need_of
from openfeature_gov.ladder import Reversibility, RiskClass
from openfeature_gov.verification import AXES, FLAGS, rule, size, state, verify_space
from tests.full import share
from tests.properties.reference import expected

TABLE = "f03f8c53242c810f28411c8eb886e57fbdb44077e7284884472b32b7202420ed"
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


def test_law_agrees_around_full_autonomy() -> None:
    """So is every state in which at most two flags are not at their most permissive.

    Drawn blindly, those states are rare, and they are where authority is lost.
    """
    said = (*FLAGS, "freshness")
    near = [range(1) if name in said else range(len(AXES[name])) for name in AXES]
    for one, other in combinations([list(AXES).index(name) for name in said], 2):
        ranges = [*near]
        for place in (one, other):
            ranges[place] = range(len(tuple(AXES.values())[place]))
        for choice in product(*ranges):
            values = state(choice)
            made = rule(values)
            found = (made.effect.value, made.mode.label, made.full)
            assert found == expected(values), values


@settings(max_examples=share(2000, of=20))
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


@settings(max_examples=share(2000, of=20))
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


@settings(max_examples=share(1000, of=20))
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


@settings(max_examples=share(1000, of=20))
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


def test_merge_keeps_the_tightest_of_each_kind() -> None:
    """Limits take the smallest, sets what they share, in any order, kind by kind."""
    given = [
        Constraint("records", 9, frozenset("abc")),
        Constraint("records", 5),
        Constraint("records", 7, frozenset("bcd")),
        Constraint("sources", None, frozenset("x")),
        Constraint("sources", None, frozenset("y")),
    ]
    for order in permutations(given):
        assert merge(order) == (
            Constraint("records", 5, frozenset("bc")),
            Constraint("sources", None, frozenset()),
        )


def test_opt_in_opens_only_the_class_that_it_names() -> None:
    """What cannot be undone is irreversible, and an opt-in for admin_action is not."""
    admin, lasting = RiskClass.ADMIN_ACTION, RiskClass.IRREVERSIBLE
    for risk, named in product(RiskClass, (admin, lasting, None)):
        ceiling = ceiling_of(risk, Reversibility.NONE, (named,) if named else ())
        reads = risk in (RiskClass.SEARCH, RiskClass.SCOPED_READ)
        reads |= risk is RiskClass.SENSITIVE_READ
        free = reads or (named is lasting and risk is not admin)
        assert ceiling is (Mode.AUTONOMOUS if free else Mode.APPROVAL_REQUIRED)
    both = ceiling_of(admin, Reversibility.NONE, (admin, lasting))
    one = ceiling_of(admin, Reversibility.MANUAL, (admin,))
    assert both is one is Mode.AUTONOMOUS


def test_approval_lifts_only_a_queued_action() -> None:
    """An approval lifts approval_required, and neither a fallback nor a lower cap."""
    listed = frozenset(Mode)

    def effect(cap: Mode, *, fallback: bool, approved: bool) -> Decision:
        given = [Verdict("a", cap, "r", fallback=fallback)]
        return decide(given, need=Mode.AUTONOMOUS, listed=listed, approved=approved)

    for cap, fallback in product(Mode, (False, True)):
        before = effect(cap, fallback=fallback, approved=False)
        after = effect(cap, fallback=fallback, approved=True)
        lifted = cap is Mode.APPROVAL_REQUIRED and not fallback
        assert after.approved is lifted
        assert after.full is (lifted or before.full)
        assert lifted or after == before
        if fallback and Mode.OBSERVE < cap < Mode.AUTONOMOUS:
            assert before.effect is Effect.FALLBACK


def test_reason_is_that_of_the_strictest_verdict() -> None:
    """The lowest cap gives the reason, an incident before another; then by name."""
    low = Verdict("b", Mode.SCOPED_READ, "low")
    ties = [
        Verdict("z", Mode.SEARCH_ONLY, "incident", fallback=True),
        Verdict("a", Mode.SEARCH_ONLY, "first"),
        Verdict("b", Mode.SEARCH_ONLY, "second"),
    ]
    high = Verdict("a", Mode.AUTONOMOUS, "high")

    def reason(*given: Verdict, listed: frozenset[Mode] = frozenset(Mode)) -> str:
        return decide(given, need=Mode.AUTONOMOUS, listed=listed).reason

    assert reason(high, low) == "low"
    assert reason(high, low, *ties) == "incident"
    assert reason(high, *reversed(ties[1:])) == "first"
    bare = frozenset({Mode.OFF, Mode.SEARCH_ONLY})
    assert reason(high, listed=bare) == "high"
    assert reason(high, low, listed=bare) == "low"


def test_fallback_counts_where_the_clamp_put_it() -> None:
    """A fallback that drops to a listed rung is a fallback on that rung."""
    listed = frozenset({Mode.OFF, Mode.SEARCH_ONLY, Mode.AUTONOMOUS})
    given = [
        Verdict("a", Mode.SCOPED_READ, "incident", fallback=True),
        Verdict("b", Mode.SEARCH_ONLY, "mode"),
    ]
    made = decide(given, need=Mode.AUTONOMOUS, listed=listed)
    assert (made.effect, made.mode) == (Effect.FALLBACK, Mode.SEARCH_ONLY)


def test_verdict_raises_the_need() -> None:
    """The highest need counts, wherever it comes from."""
    given = [
        Verdict("a", Mode.APPROVAL_REQUIRED, "r", need=Mode.AUTONOMOUS),
        Verdict("b", Mode.APPROVAL_REQUIRED, "r"),
    ]
    made = decide(given, need=Mode.SEARCH_ONLY, listed=frozenset(Mode))
    assert (made.effect, made.need) == (Effect.QUEUE_FOR_APPROVAL, Mode.AUTONOMOUS)


def test_needs_are_those_of_the_design() -> None:
    """Each class with each reversibility needs the rung that the design's text says."""
    for risk, undo in product(RiskClass, Reversibility):
        rung = {"search": "search_only", "scoped_read": "scoped_read"}.get(risk)
        if (risk, undo) == ("reversible_write", "automatic"):
            rung = "draft_write"
        assert need_of(risk, undo).label == (rung or "autonomous")

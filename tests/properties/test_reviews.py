"""The rules of reviews: enumerated over every state, event, person and time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.steps import LONGEST_EXTENSION_US, TEXT_LIMIT, Denied
from openfeature_gov.reviews import steps
from openfeature_gov.reviews.ending import lost
from openfeature_gov.reviews.review import OnExpiry, Review, pack, unpack
from openfeature_gov.reviews.states import (
    BY_HAND,
    DUE,
    FINAL,
    TABLE,
    TIMED,
    UNDER_WAY,
    Event,
    State,
    follow,
    refusal,
)
from openfeature_gov.reviews.steps import UNDO_WAIT_US, Step
from tests.properties.test_approvals import SUBJECTS, People, reviewer

NOW, DEADLINE, LATER = 1_000_000_000, 2_000_000_000, 4_000_000_000
SILENCES: tuple[OnExpiry, ...] = ("undo", "keep", "handOver")


def review(state: State = State.OPEN, **changes: object) -> Review:
    made = Review(
        id="r",
        state=State.RUNNING,
        digest="d",
        binding="b",
        tool="pay",
        workflow="w",
        task="t",
        agent="agent-1",
        group="support",
        quorum=1,
        owner="team",
        created_us=0,
        deadline_us=DEADLINE,
        within_us=DEADLINE,
        on_expiry="undo",
        undoable=True,
        record_id="x",
        requesters=("user-1", "agent-1", "svc-1", "hop-1"),
        arguments=b"{}",
        facts={"consequence": "It is paid."},
    )
    return made.at(state, **changes)


def accepted(one: Review, subject: str = "bob", **changes: object) -> Step:
    given = {"now_us": NOW, "seen": "b", **changes}
    return steps.accept(one, reviewer(subject), People(), **given)  # type: ignore[arg-type] # a table of them


def refused(one: Review, subject: str = "bob", **changes: object) -> Step:
    given = {"now_us": NOW, "seen": "b", "reason": "no", **changes}
    return steps.refuse(one, reviewer(subject), People(), **given)  # type: ignore[arg-type] # a table of them


def extended(one: Review, subject: str = "bob", **changes: object) -> Step:
    given = {"now_us": NOW, "until_us": DEADLINE + 1, **changes}
    return steps.extend(one, reviewer(subject), People(), **given)  # type: ignore[arg-type] # a table of them


STEPS: dict[str, Callable[[Review], Step]] = {
    "ran": lambda one: steps.end(one, "executed", b"", NOW),
    "not run": lambda one: steps.end(one, "not_run", None, NOW),
    "tool refused": lambda one: steps.end(one, "refused", None, NOW),
    "failed": lambda one: steps.end(one, "failed", None, NOW),
    "cancelled": lambda one: steps.end(one, "cancelled", None, NOW),
    "unknown": lambda one: steps.end(one, "unknown", None, NOW),
    "accepted": accepted,
    "refused": refused,
    "extended": extended,
    "clock": lambda one: steps.expire(one, LATER),
    "handed over": lambda one: steps.hand_over(one, "kill_switch"),
    "undo begun": lambda one: steps.undo(one, "u"),
    "undone": lambda one: steps.undone(one, "executed"),
    "undo failed": lambda one: steps.undone(one, "failed"),
    "undo cancelled": lambda one: steps.undone(one, "cancelled"),
    "undo not run": lambda one: steps.undone(one, "not_run"),
    "died": steps.lose,
}
"""Everything that can happen to a review."""


def test_the_table_is_total_and_every_end_is_final() -> None:
    """Whatever is not in it may not happen; every other state has a way on."""
    assert frozenset(State) == FINAL | TIMED | UNDER_WAY
    for state, event in product(State, Event):
        assert (follow(state, event) is not None) == ((state, event) in TABLE)
        if state in FINAL:
            assert follow(state, event) is None
    assert {state for state, _ in TABLE} == TIMED | UNDER_WAY
    assert BY_HAND < FINAL
    assert State.ACCEPTED in FINAL


def test_an_undo_begins_once_and_only_where_it_is_due() -> None:
    """Nothing leads back to before it, and nothing reaches undone but by it."""
    into = {state for (state, _), to in TABLE.items() if to is State.UNDOING}
    assert into == DUE
    after = {to for (state, _), to in TABLE.items() if state is State.UNDOING}
    assert after == {State.UNDONE, State.UNDO_FAILED, State.HANDED_OVER}
    assert after <= FINAL
    for end in (State.UNDONE, State.UNDO_FAILED):
        assert [s for (s, _), to in TABLE.items() if to is end] == [State.UNDOING]


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("silence", SILENCES)
@pytest.mark.parametrize("undoable", [True, False])
def test_every_step_in_every_state(
    name: str, silence: OnExpiry, *, undoable: bool
) -> None:
    """It follows the table, or is denied by the name of the state that stays."""
    reached = set()
    for state in State:
        one = review(state, on_expiry=silence, undoable=undoable)
        step = STEPS[name](one)
        if isinstance(step, Denied):
            assert step == Denied(refusal(state), state)
            continue
        reached.add(step.state)
        assert (state, step.state) in {(s, to) for (s, _), to in TABLE.items()}
        assert (step.id, step.digest, step.record_id) == (one.id, "d", "x")
        if step.state in DUE:
            assert undoable
        if step.state is State.HANDED_OVER:
            assert step.why
            assert step.holder == "team"
        kept = step.state not in FINAL - BY_HAND
        assert (step.arguments == b"{}") == kept
    assert reached, "the step is possible somewhere"


def test_silence() -> None:
    """Means what the contract says, and an undo only where there is one."""
    ways = {
        (silence, undoable): steps.expire(
            review(on_expiry=silence, undoable=undoable), DEADLINE
        )
        for silence, undoable in product(SILENCES, (True, False))
    }
    states = {way: one.state for way, one in ways.items()}
    assert states == {
        ("undo", True): State.EXPIRED,
        ("undo", False): State.HANDED_OVER,
        ("keep", True): State.LAPSED,
        ("keep", False): State.LAPSED,
        ("handOver", True): State.HANDED_OVER,
        ("handOver", False): State.HANDED_OVER,
    }
    assert steps.expire(review(), DEADLINE - 1) == Denied("not_due", State.OPEN)


@pytest.mark.parametrize("state", sorted(DUE))
def test_an_undo_that_nobody_begins_is_handed_over(state: State) -> None:
    """Not before its time."""
    one = review(state, deadline_us=NOW + UNDO_WAIT_US)
    assert steps.expire(one, NOW + UNDO_WAIT_US - 1) == Denied("not_due", state)
    step = steps.expire(one, NOW + UNDO_WAIT_US)
    assert isinstance(step, Review)
    assert (step.state, step.why) == (State.HANDED_OVER, "undo_not_begun")


def test_nobody_answers_after_the_time() -> None:
    """Whether the clock's own step came first or not."""
    for answer, at in product((accepted, refused), (DEADLINE, LATER)):
        assert answer(review(), now_us=at) == Denied("deadline_passed", State.OPEN)
        assert isinstance(answer(review(), now_us=DEADLINE - 1), Review)


def test_time_counts_from_when_it_ran() -> None:
    """Not from when it was decided."""
    ran = steps.end(review(State.RUNNING), "executed", b"", NOW)
    assert isinstance(ran, Review)
    assert ran.deadline_us == NOW + DEADLINE


@given(st.sampled_from(SUBJECTS), st.frozensets(st.sampled_from(SUBJECTS)))
def test_nobody_behind_the_action_reviews_it(
    subject: str, behind: frozenset[str]
) -> None:
    """Not under another name of the same person either."""
    one = review(requesters=tuple(sorted(behind)))
    same = People().aliases(subject)
    for answer in (accepted, refused):
        step = answer(one, subject)
        if same & (behind | {"agent-1"}):
            assert step == Denied("self_approval", State.OPEN)
        else:
            assert isinstance(step, Review)


def test_only_who_was_asked_and_saw_it_says_anything() -> None:
    """A name alone, a stranger, and what was shown of another are no answer."""
    who = (Reviewer("bob"), Reviewer("", way="cli"), reviewer("eve"))
    codes = ("reviewer_unauthenticated",) * 2 + ("reviewer_not_asked",)
    for one, code in zip(who, codes, strict=True):
        for step in (
            steps.accept(review(), one, People(), now_us=NOW, seen="b"),
            steps.refuse(review(), one, People(), now_us=NOW, seen="b", reason="no"),
        ):
            assert step == Denied(code, State.OPEN)
    for answer in (accepted, refused):
        assert answer(review(), seen="x") == Denied("shown_something_else", State.OPEN)
    assert refused(review(), reason=" ") == Denied("reason_missing", State.OPEN)
    long = "x" * (TEXT_LIMIT + 1)
    for answer in (accepted, refused):
        said = answer(review(), reason=long)
        assert said == Denied("reason_too_long", State.OPEN)


def test_a_deadline_moves_later_by_a_day_in_all() -> None:
    """However often, and whoever does it: what nobody accepts does not stand for ever.

    Only who may answer moves it, while there is time; the votes stay.
    """
    day = LONGEST_EXTENSION_US
    one = review(votes={"ann": "fine"}, quorum=2)
    for until in (DEADLINE + 1, DEADLINE + day - 1, DEADLINE + day):
        step = extended(one, until_us=until)
        assert isinstance(step, Review)
        assert (step.state, step.deadline_us) == (State.OPEN, until)
        assert step.votes == one.votes
        one = step
    invalid = Denied("deadline_invalid", State.OPEN)
    for until in (0, DEADLINE - 1, DEADLINE, DEADLINE + day, DEADLINE + day + 1):
        assert extended(one, until_us=until) == invalid
    assert extended(review(), until_us=DEADLINE + day + 1) == invalid
    for subject, code in (("eve", "reviewer_not_asked"), ("user-1", "self_approval")):
        assert extended(review(), subject) == Denied(code, State.OPEN)
    late = extended(review(), now_us=DEADLINE)
    assert late == Denied("deadline_passed", State.OPEN)


@given(st.lists(st.sampled_from(("ann", "ann-2", "bob", "cy")), max_size=6))
def test_a_quorum_counts_people(order: list[str]) -> None:
    """Two names of one person are one voice; one refusal is enough."""
    one = review(quorum=3)
    for subject in order:
        step = accepted(one, subject)
        if isinstance(step, Review):
            one = step
    people = {"ann" if subject == "ann-2" else subject for subject in order}
    assert (one.state is State.ACCEPTED) == (len(people) == 3)
    if one.state is State.OPEN:
        step = refused(one)
        assert isinstance(step, Review)
        assert (step.state, step.refused) == (State.REFUSED, True)


def test_what_died_is_told_by_what_was_under_way() -> None:
    """The action by its decision, the undo by its own record; damage is passed over."""
    rows = [
        (pack(review(State.RUNNING, id="a")), 1),
        (pack(review(State.UNDOING, id="b", undo_id="u")), 4),
        (b"{", 1),
    ]
    found = lost(rows)
    assert {key: (one.after.id, one.after.why) for key, one in found.items()} == {
        "x": ("a", "action_unknown"),
        "u": ("b", "undo_unknown"),
    }
    assert {one.after.state for one in found.values()} == {State.HANDED_OVER}


@given(st.sampled_from(State), st.text(max_size=9))
def test_what_is_packed_is_unpacked(state: State, text: str) -> None:
    """Byte by byte; anything else is refused with the name of a field."""
    one = review(state, reason=text.encode("utf-8", "ignore").decode(), votes={"a": ""})
    assert unpack(pack(one)) == one
    with pytest.raises(ValueError, match="no packed review"):
        unpack(pack(one)[:-1])

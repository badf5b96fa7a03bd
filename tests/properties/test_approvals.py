"""The rules of approvals: enumerated, and for any people and any order of steps."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov.approvals import steps, turns
from openfeature_gov.approvals.people import Reviewer, objection
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import (
    FINAL,
    OPEN,
    TABLE,
    Event,
    State,
    follow,
    refusal,
)
from openfeature_gov.approvals.steps import Denied, Step
from openfeature_gov.decisions import Constraint

NOW, DEADLINE, LATER = 1_000_000_000, 2_000_000_000, 2_500_000_000
SUBJECTS = ("ann", "ann-2", "bob", "cy", "agent-1", "user-1", "svc-1", "hop-1")


class People:
    """Know two names of one person, and who is a reviewer now."""

    def __init__(self, reviewers: frozenset[str] = frozenset(SUBJECTS)) -> None:
        self.reviewers = reviewers
        self.duty = frozenset(SUBJECTS) - {"cy"}
        """Who may break the glass where a contract names the group ``duty``."""

    def groups(self, subject: str) -> frozenset[str]:
        told = {"support": self.reviewers, "duty": self.duty}
        return frozenset(name for name, people in told.items() if subject in people)

    def aliases(self, subject: str) -> frozenset[str]:
        same = frozenset({"ann", "ann-2"})
        return same if subject in same else frozenset({subject})


def request(state: State = State.PENDING, **changes: object) -> Request:
    made = Request(
        id="r",
        state=state,
        digest="d",
        binding="b",
        tool="refund",
        workflow="w",
        task="t",
        agent="agent-1",
        group="support",
        quorum=1,
        created_us=0,
        deadline_us=DEADLINE,
        call_id="c",
        record_id="x",
        requesters=("user-1", "agent-1", "svc-1", "hop-1"),
        escalation=("lead",),
        arguments=b"{}",
    )
    return made.at(state, **changes)


def reviewer(subject: str) -> Reviewer:
    return Reviewer(subject, frozenset({"support"}), "cli")


def approved(one: Request, subject: str = "bob", **changes: object) -> Step:
    given = {"now_us": NOW, "seen": "b", **changes}
    return steps.approve(one, reviewer(subject), People(), **given)  # type: ignore[arg-type] # a table of them


def released(*subjects: str, **changes: object) -> Request:
    """Return a request that bob, or *subjects*, released."""
    votes = dict.fromkeys(subjects or ("bob",), "")
    return request(State.APPROVED, votes=votes, **changes)


def consumed(one: Request, people: People | None = None, **changes: object) -> Step:
    given = {"binding": "b", "by": "e", "now_us": NOW, **changes}
    return steps.consume(one, people or People(), **given)  # type: ignore[arg-type] # a table of them


def test_terminal_states_are_final() -> None:
    """No event leaves them; every other state has a way on."""
    assert FINAL | OPEN | {State.CONSUMED} == frozenset(State)
    for state, event in product(State, Event):
        assert (follow(state, event) is not None) == ((state, event) in TABLE)
        if state in FINAL:
            assert follow(state, event) is None
    assert {state for state, _ in TABLE} == OPEN | {State.CONSUMED}


def test_only_a_release_can_be_used_and_only_once() -> None:
    """Nothing else leads to consumed, and nothing leads back."""
    into = [state for (state, _), to in TABLE.items() if to is State.CONSUMED]
    assert into == [State.APPROVED]
    assert not [
        1 for (state, _), to in TABLE.items() if to in OPEN and state not in OPEN
    ]
    assert {at for at, to in TABLE.items() if to is State.APPROVED} == {
        (State.PENDING, Event.APPROVE),
        (State.PENDING, Event.BREAK_GLASS),
    }


@pytest.mark.parametrize("state", sorted(set(State) - OPEN))
def test_an_answer_that_comes_late_changes_nothing(state: State) -> None:
    """And says what became of the request."""
    one = request(state)
    for answer in (
        approved(one),
        steps.refuse(one, reviewer("bob"), People(), now_us=NOW, reason="no"),
        steps.withdraw(one, "user-1"),
        steps.supersede(one, "flags_changed"),
        steps.expire(one, LATER, 1),
        consumed(one),
        steps.extend(one, reviewer("bob"), People(), now_us=NOW, until_us=DEADLINE + 1),
        turns.ask(one, reviewer("bob"), People(), now_us=NOW, text="?"),
        turns.answer(one, reviewer("bob"), People(), now_us=NOW, number=1, text="!"),
        passed(one, "lead"),
    ):
        assert answer == Denied(refusal(state), state)


def test_nobody_answers_after_the_deadline() -> None:
    """Whether the clock's own step came first or not."""
    for at in (DEADLINE, LATER):
        assert approved(request(), now_us=at) == Denied(
            "deadline_passed", State.PENDING
        )
        used = consumed(released(), now_us=at)
        assert used == Denied("approval_expired", State.APPROVED)
    assert isinstance(approved(request(), now_us=DEADLINE - 1), Request)


@given(st.sampled_from(SUBJECTS), st.frozensets(st.sampled_from(SUBJECTS)))
def test_nobody_behind_the_action_releases_it(
    subject: str, behind: frozenset[str]
) -> None:
    """Not under another name of the same person either, and only who was asked."""
    one = request(requesters=tuple(sorted(behind)))
    people = People()
    same = people.aliases(subject)
    step = approved(one, subject)
    if same & (behind | {"agent-1"}):
        assert step == Denied("self_approval", State.PENDING)
    else:
        assert isinstance(step, Request)
        assert step.state is State.APPROVED
    stranger = People(frozenset(SUBJECTS) - same)
    code = objection(one, reviewer(subject), stranger)
    assert code in ("self_approval", "reviewer_not_asked")


def test_who_is_not_authenticated_says_nothing() -> None:
    """A name alone is no reviewer."""
    for unknown in (Reviewer("bob"), Reviewer("", way="cli")):
        assert objection(request(), unknown, People()) == "reviewer_unauthenticated"


def test_who_saw_something_else_approves_nothing() -> None:
    """The flags, the contract or the arguments changed since the page was made."""
    assert approved(request(), seen="other") == Denied(
        "shown_something_else", State.PENDING
    )


@given(st.lists(st.sampled_from(("ann", "ann-2", "bob", "cy")), max_size=6))
def test_a_quorum_counts_people(order: list[str]) -> None:
    """Two names of one person are one voice, and nobody votes twice."""
    one = request(quorum=3)
    for subject in order:
        step = approved(one, subject)
        if one.state is State.APPROVED or subject in one.votes:
            assert isinstance(step, Request | Denied)
            if subject in one.votes:
                assert isinstance(step, Denied)
        if isinstance(step, Request):
            one = step
    people = {"ann" if subject == "ann-2" else subject for subject in order}
    assert (one.state is State.APPROVED) == (len(people) == 3)


def test_what_nobody_can_have_read_is_not_approved() -> None:
    """Neither right after it was asked, nor right after an answer to another one."""
    one = request(created_us=NOW, minimum_us=10)
    unread = Denied("approved_unread", State.PENDING)
    for now, busy, fine in (
        (NOW + 9, 0, False),
        (NOW + 10, 0, True),
        (NOW + 10, NOW + 1, False),
        (NOW + 11, NOW + 1, True),
        (NOW - 5, 0, False),
    ):
        step = approved(one, now_us=now, busy_us=busy)
        assert isinstance(step, Request) if fine else step == unread
    said = steps.refuse(one, reviewer("bob"), People(), now_us=NOW, reason="no")
    assert isinstance(said, Request)
    assert isinstance(approved(request(created_us=NOW), now_us=NOW), Request)


def test_a_reviewer_only_tightens() -> None:
    """A looser constraint than the one that holds changes nothing."""
    held = Constraint("amount", limit=50)
    one = request(constraints=(held,))
    for limit, kept in ((10, 10), (500, 50)):
        step = approved(one, constraints=(Constraint("amount", limit=limit),))
        assert isinstance(step, Request)
        assert step.constraints == (Constraint("amount", limit=kept),)


def test_an_approval_whose_reason_would_be_cut_is_refused() -> None:
    """What stands in the record is what the reviewer said."""
    long = "x" * (steps.TEXT_LIMIT + 1)
    assert approved(request(), reason=long) == Denied("reason_too_long", State.PENDING)
    step = approved(request(), reason=long[:-1])
    assert isinstance(step, Request)
    assert step.reason == long[:-1]


def test_a_refusal_needs_a_reason_and_takes_back_an_unused_release() -> None:
    """The agent gets it as its answer."""
    for state in OPEN:
        one = request(state)
        for text, why in TEXTS.items():
            said = steps.refuse(one, reviewer("bob"), People(), now_us=NOW, reason=text)
            assert said == Denied(f"reason_{why}", state)
        step = steps.refuse(one, reviewer("bob"), People(), now_us=NOW, reason="no")
        assert isinstance(step, Request)
        assert (step.state, step.reason) == (State.REFUSED, "no")


def test_silence_escalates_and_then_expires() -> None:
    """Labelled expired, by nobody; a late release expires at once."""
    one = request()
    assert steps.expire(one, DEADLINE - 1, 10) == Denied("not_due", State.PENDING)
    first = steps.expire(one, DEADLINE, 10)
    assert isinstance(first, Request)
    assert (first.state, first.holder, first.deadline_us) == (
        State.PENDING,
        "lead",
        DEADLINE + 10,
    )
    last = steps.expire(first, DEADLINE + 10, 10)
    assert isinstance(last, Request)
    assert (last.state, last.reviewer) == (State.EXPIRED, "")
    unused = steps.expire(request(State.APPROVED), DEADLINE, 10)
    assert isinstance(unused, Request)
    assert unused.state is State.EXPIRED


def test_a_deadline_moves_forward_by_a_day_at_most() -> None:
    """And only while it has not passed."""
    bob, people = reviewer("bob"), People()
    limit = NOW + steps.LONGEST_EXTENSION_US
    for until, fine in ((DEADLINE, False), (limit, True), (limit + 1, False)):
        step = steps.extend(request(), bob, people, now_us=NOW, until_us=until)
        assert isinstance(step, Request) is fine


def test_a_release_is_used_for_exactly_what_was_bound() -> None:
    """By one execution, whose name stays."""
    one = released()
    assert consumed(one, binding="x") == Denied("approval_superseded", State.APPROVED)
    used = consumed(one)
    assert isinstance(used, Request)
    assert (used.state, used.consumed_by) == (State.CONSUMED, "e")
    again = consumed(used, by="f")
    assert again == Denied("already_consumed", State.CONSUMED)
    done = steps.finish(used, Event.SUCCEED)
    assert isinstance(done, Request)
    assert done.state is State.EXECUTED


def test_whoever_released_it_must_still_be_a_reviewer() -> None:
    """At use as well; of a quorum each, and two names of one person are one."""
    gone = People(frozenset(SUBJECTS) - {"bob"})
    removed = Denied("approver_removed", State.APPROVED)
    assert consumed(released(), gone) == removed
    assert consumed(released("bob", "cy", quorum=2), gone) == removed
    assert consumed(released("ann", "ann-2", quorum=2)) == removed
    assert isinstance(consumed(released("bob", "cy"), gone), Request)
    assert isinstance(consumed(released("bob", "cy", quorum=2)), Request)


TEXTS = {"": "missing", " \n": "missing", "x" * (steps.TEXT_LIMIT + 1): "too_long"}


def test_a_question_is_answered_once_by_who_stands_behind() -> None:
    """It moves no deadline, and what is said changes nothing of what is bound."""
    bob, user = reviewer("bob"), reviewer("user-1")
    one = request()
    for text, why in TEXTS.items():
        said = turns.ask(one, bob, People(), now_us=NOW, text=text)
        assert said == Denied(f"question_{why}", State.PENDING)
    asked = turns.ask(one, bob, People(), now_us=NOW, text="which order?")
    assert isinstance(asked, Request)
    assert asked == replace(one, questions=asked.questions)

    def answered(caller: Reviewer, **changes: object) -> Step:
        given = {"now_us": NOW + 1, "number": 1, "text": "o-1", **changes}
        return turns.answer(asked, caller, People(), **given)  # type: ignore[arg-type] # a table of them

    for caller, changes, why in (
        (bob, {}, "not_the_requester"),
        (Reviewer("user-1"), {}, "caller_unauthenticated"),
        (user, {"number": 0}, "question_unknown"),
        (user, {"number": 2}, "question_unknown"),
        (user, {"text": " "}, "answer_missing"),
        (user, {"now_us": DEADLINE}, "deadline_passed"),
    ):
        assert answered(caller, **changes) == Denied(why, State.PENDING)
    done = answered(user)
    assert isinstance(done, Request)
    (question,) = done.questions
    assert (question.by, question.text) == ("bob", "which order?")
    assert (question.answer, question.answered_by) == ("o-1", "user-1")
    again = turns.answer(done, user, People(), now_us=NOW, number=1, text="o-2")
    assert again == Denied("question_answered", State.PENDING)
    released = approved(done)
    assert isinstance(released, Request)
    assert released.binding == one.binding


def test_nobody_asks_for_ever() -> None:
    """Nor does anybody who was not asked, or who is behind the action."""
    one: Step = request()
    for number in range(turns.MOST_QUESTIONS + 1):
        assert isinstance(one, Request)
        last, one = (
            one,
            turns.ask(one, reviewer("bob"), People(), now_us=NOW, text=f"{number}?"),
        )
    assert one == Denied("too_many_questions", State.PENDING)
    assert len(last.questions) == turns.MOST_QUESTIONS
    for who, why in (("user-1", "self_approval"), ("eve", "reviewer_not_asked")):
        said = turns.ask(request(), reviewer(who), People(), now_us=NOW, text="?")
        assert said == Denied(why, State.PENDING)


def passed(
    one: Request, to: str, by: str = "bob", people: People | None = None
) -> Step:
    return turns.reassign(
        one, reviewer(by), people or People(), now_us=NOW, to=to, reason="hers"
    )


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("lead", ""),
        ("sales", ""),
        ("cy", ""),
        ("support", "already_theirs"),
        ("interns", "reassign_not_allowed"),
        ("eve", "reassign_not_allowed"),
        ("", "reassign_not_allowed"),
        ("user-1", "self_approval"),
        ("USER-1", "self_approval"),
        ("agent-1", "self_approval"),
        ("hop-1", "self_approval"),
    ],
)
def test_a_request_is_passed_on_within_the_contract(to: str, why: str) -> None:
    """To a name of it or a member of such a group; never to who is behind it."""
    one = request(reassign_to=("sales",), created_us=NOW)
    step = passed(one, to)
    if why:
        assert step == Denied(why, State.PENDING)
        return
    assert isinstance(step, Request)
    assert (step.holder, step.deadline_us, step.level) == (to, DEADLINE, 0)
    for subject in ("cy", "bob"):
        assert objection(step, reviewer(subject), People()) is None


def test_passing_on_makes_nobody_else_a_reviewer() -> None:
    """Who was not asked passes nothing on; who is behind it answers nothing after."""
    one = request(reassign_to=("sales",))
    stranger = People(frozenset({"bob"}))
    for by, why in (
        ("user-1", "self_approval"),
        ("cy", "reviewer_not_asked"),
    ):
        assert passed(one, "lead", by, stranger) == Denied(why, State.PENDING)
    step = passed(one, "lead")
    assert isinstance(step, Request)
    assert approved(step, "user-1") == Denied("self_approval", State.PENDING)
    blank = turns.reassign(
        one, reviewer("bob"), People(), now_us=NOW, to="lead", reason=" "
    )
    assert blank == Denied("reason_missing", State.PENDING)


def test_silence_passes_on_whoever_holds_it() -> None:
    """The chain goes on where it was; whoever was asked meanwhile keeps a say."""
    step = passed(request(reassign_to=("sales",)), "sales")
    assert isinstance(step, Request)
    late = steps.expire(step, DEADLINE, 10)
    assert isinstance(late, Request)
    assert (late.holder, sorted(late.asked)) == ("lead", ["lead", "sales", "support"])


REACHED = NOW + steps.REACH_US


def called(one: Step, by: str, people: People | None = None, **changes: Any) -> Step:
    assert isinstance(one, Request)
    given = {"now_us": REACHED, "seen": "b", "reason": "nobody is there", **changes}
    return steps.break_glass(one, reviewer(by), people or People(), **given)


def glass() -> Request:
    return request(created_us=NOW, break_glass="duty")


def test_two_people_break_the_glass() -> None:
    """The second releases, for a short time; it is used as any release."""
    first = called(glass(), "bob")
    assert isinstance(first, Request)
    assert (first.state, first.glass_broken) == (State.PENDING, False)
    done = called(first, "ann")
    assert isinstance(done, Request)
    assert (done.state, done.glass_broken) == (State.APPROVED, True)
    assert done.callers == {"bob": "nobody is there", "ann": "nobody is there"}
    assert done.deadline_us == min(DEADLINE, REACHED + steps.GLASS_US)
    used = consumed(done, now_us=REACHED)
    assert isinstance(used, Request)
    assert used.state is State.CONSUMED


@pytest.mark.parametrize(
    ("by", "changes", "why"),
    [
        ("user-1", {}, "self_approval"),
        ("agent-1", {}, "self_approval"),
        ("hop-1", {}, "self_approval"),
        ("cy", {}, "reviewer_not_asked"),
        ("bob", {"reason": ""}, "reason_missing"),
        ("bob", {"seen": "x"}, "shown_something_else"),
        ("bob", {"now_us": REACHED - 1}, "break_glass_too_early"),
        ("bob", {"now_us": DEADLINE}, "deadline_passed"),
    ],
)
def test_not_everybody_breaks_the_glass(
    by: str, changes: dict[str, Any], why: str
) -> None:
    """Only people of its group, for what they were shown, once others had time."""
    assert called(glass(), by, **changes) == Denied(why, State.PENDING)
    assert called(called(glass(), "ann"), by, **changes) == Denied(why, State.PENDING)


def test_one_person_is_not_two() -> None:
    """Under no second name; nor do two call where the contract names no group."""
    first = called(glass(), "ann")
    for again in ("ann", "ann-2"):
        assert called(first, again) == Denied("already_called", State.PENDING)
    barred = Denied("break_glass_not_allowed", State.PENDING)
    assert called(request(), "bob") == barred


@pytest.mark.parametrize("state", sorted(set(State) - {State.PENDING}))
def test_no_glass_stands_before_an_answer(state: State) -> None:
    """What was refused or ended stays so."""
    assert called(glass().at(state), "bob") == Denied(refusal(state), state)


def test_whoever_broke_the_glass_must_still_be_on_duty() -> None:
    """When the release is used; a vote of one does not make up for it."""
    done = called(called(glass(), "bob"), "ann")
    assert isinstance(done, Request)
    people = People()
    people.duty -= {"ann"}
    people.reviewers = frozenset({"cy"})
    removed = Denied("approver_removed", State.APPROVED)
    assert consumed(done, people, now_us=REACHED) == removed


def test_only_the_requester_withdraws() -> None:
    """Nobody else can make a request disappear."""
    assert steps.withdraw(request(), "bob") == Denied(
        "not_the_requester", State.PENDING
    )
    assert isinstance(steps.withdraw(request(), "user-1"), Request)

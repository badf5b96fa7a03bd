"""Attacks on reviews: each is refused, by its own reason code, and in the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from openfeature_gov import Actor, CallContext, Effect, Governor, Outcome, ToolCall
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.steps import Denied
from openfeature_gov.reviews.review import Review, pack
from openfeature_gov.reviews.states import FINAL, TIMED, UNDER_WAY, State
from openfeature_gov.reviews.steps import Step
from tests.integration.test_approvals_attacks import ANN, BEHIND, CY, SPELT
from tests.test_governor_reviews import BOB, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Provide a tool whose every call runs at once and is reviewed."""
    one = Shop(tmp_path)
    yield one
    one.governor.close()


def denied(shop: Shop) -> list[str]:
    """Return the reasons that the log has for steps that were not taken."""
    return [one["denied"] for one in shop.log("review") if one["denied"]]


def both(shop: Shop, outcome: Outcome, by: Reviewer, seen: str = "") -> set[Step]:
    """Return what acceptance and refusal came to."""
    return {shop.accept(outcome, by, seen), shop.refuse(outcome, by, seen)}


@pytest.mark.parametrize("name", [*BEHIND, *SPELT])
def test_nobody_behind_it_reviews_it(shop: Shop, name: str) -> None:
    """Under no name of any of them, though all are reviewers."""
    shop.people.reviewers |= {*BEHIND, *SPELT}
    context = CallContext(actor=ANN, environment="test", task="task-1")
    outcome = shop.governor.run(ToolCall("pay", {"number": "n1"}, context))
    found = both(shop, outcome, Reviewer(name, way="cli"))
    assert found == {Denied("self_approval", State.OPEN)}
    assert denied(shop) == ["self_approval"] * 2


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (Reviewer("bob"), "reviewer_unauthenticated"),
        (Reviewer("", way="token"), "reviewer_unauthenticated"),
        (Reviewer("eve", frozenset({"support"}), "token"), "reviewer_not_asked"),
    ],
)
def test_only_who_was_asked_answers(shop: Shop, who: Reviewer, reason: str) -> None:
    """What a token claims about groups does not count."""
    outcome = shop.call()
    assert both(shop, outcome, who) == {Denied(reason, State.OPEN)}
    assert denied(shop) == [reason] * 2


def test_a_removed_reviewer_answers_nothing(shop: Shop) -> None:
    """From the moment of the removal."""
    outcome = shop.call()
    shop.people.reviewers -= {"bob"}
    assert both(shop, outcome, BOB) == {Denied("reviewer_not_asked", State.OPEN)}


def test_what_was_shown_of_another_is_no_answer(shop: Shop) -> None:
    """Each run has a binding of its own, though it is the same action."""
    first, second = shop.call(), shop.call()
    seen = shop.review(first).binding
    found = both(shop, second, BOB, seen)
    assert found == {Denied("shown_something_else", State.OPEN)}
    assert denied(shop) == ["shown_something_else"] * 2


def test_an_unknown_review_is_no_review(shop: Shop) -> None:
    """Nor is a request for approval one."""
    step = shop.reviews.accept("0" * 32, BOB, seen="x")
    assert step == Denied("review_unknown", State.VOID)


ANSWERS = {"accept": State.ACCEPTED, "refuse": State.REFUSED}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_not_replayed(shop: Shop, answer: str) -> None:
    """Nor turned into the other one; the undo runs once."""
    outcome = shop.call()
    assert isinstance(getattr(shop, answer)(outcome), Review)
    state = ANSWERS[answer]
    code = f"already_{state.value}"
    assert both(shop, outcome, BOB) == {Denied(code, state)}
    assert both(shop, outcome, CY) == {Denied(code, state)}
    shop.governor.settle_reviews()
    shop.governor.settle_reviews()
    assert len(shop.undone) == (answer == "refuse")
    assert denied(shop) == [code] * 4


def test_an_answer_after_the_time_counts_nothing(shop: Shop) -> None:
    """Whether the clock went round meanwhile or not."""
    outcome = shop.call()
    shop.review(outcome)
    shop.late_us += 3_600_000_000
    assert both(shop, outcome, BOB) == {Denied("deadline_passed", State.OPEN)}
    list(shop.reviews.tick())
    assert both(shop, outcome, BOB) == {Denied("already_expired", State.EXPIRED)}
    shop.governor.settle_reviews()
    assert both(shop, outcome, BOB) == {Denied("already_undone", State.UNDONE)}
    codes = ["deadline_passed", "already_expired", "already_undone"]
    assert denied(shop) == [one for code in codes for one in (code, code)]
    assert len(shop.undone) == 1


@pytest.mark.parametrize("_round", range(4))
def test_of_two_answers_at_once_one_counts(shop: Shop, _round: int) -> None:
    """The other hears which; an accepted action is never undone."""
    outcome = shop.call()
    shop.review(outcome)
    with ThreadPoolExecutor(2) as pool:
        yes = pool.submit(shop.accept, outcome, BOB)
        no = pool.submit(shop.refuse, outcome, CY)
    steps = [yes.result(), no.result()]
    (counted,) = [one for one in steps if isinstance(one, Review)]
    (late,) = [one for one in steps if isinstance(one, Denied)]
    assert late.reason == f"already_{counted.state.value}"
    shop.governor.settle_reviews()
    assert len(shop.undone) == (counted.state is State.REFUSED)
    assert denied(shop) == [late.reason]


def test_two_processes_undo_once(shop: Shop) -> None:
    """Whoever is faster; the other leaves it."""
    outcome = shop.call()
    shop.refuse(outcome)
    other = Governor.open(
        *(shop.desk.governance, shop.desk.flags, shop.desk.records),
        people=shop.people,
    )
    other._rounds.end()
    other.tool("pay", undo=shop.take_back)(shop._pay)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(one.settle_reviews) for one in (shop.governor, other)]
    assert sum(len(job.result()) for job in jobs) == 1
    assert len(shop.undone) == 1
    other.close()


def test_a_review_has_no_say_before_it_ran(shop: Shop) -> None:
    """An answer to what still runs would be one to something else."""
    outcome = shop.governor.decide(ToolCall("pay", {"number": "n1"}, shop_context()))
    found = both(shop, outcome, BOB)
    assert found == {Denied("not_open", State.RUNNING)}
    assert denied(shop) == ["not_open"] * 2
    assert shop.wait(10_000) == []


def shop_context() -> CallContext:
    return CallContext(actor=Actor(agent="agent-1"), environment="test", task="t")


def test_a_forged_refusal_is_still_denied_its_second_undo(shop: Shop) -> None:
    """Who can write the table cannot set back what was undone, nor take it away."""
    outcome = shop.call()
    shop.refuse(outcome)
    shop.governor.settle_reviews()
    review = shop.review(outcome)
    forged = pack(review.at(State.REFUSED, arguments=b'{"number":"n1"}'))
    back = (
        "UPDATE reviews SET state = 'refused', packed = ?, version = version + 1"
        " WHERE id = ?"
    )
    away = "DELETE FROM reviews WHERE id = ?"
    statements = ((back, (forged, review.id)), (away, (review.id,)))
    with closing(sqlite3.connect(shop.desk.records)) as connection:
        for statement, values in statements:
            with pytest.raises(sqlite3.IntegrityError, match="stay"):
                connection.execute(statement, values)
    assert shop.governor.settle_reviews() == []
    assert len(shop.undone) == 1


@pytest.mark.parametrize("state", sorted(State))
def test_the_database_itself_guards_the_ends(shop: Shop, state: State) -> None:
    """What ended stays; an undo that began only ends."""
    outcome = shop.call()
    review = shop.review(outcome)
    with closing(sqlite3.connect(shop.desk.records)) as connection:
        step = (
            "UPDATE reviews SET state = ?, version = version + 1 WHERE id = ?"
            " RETURNING state"
        )
        connection.execute(step, (state.value, review.id)).fetchall()
        for after in sorted(State):
            connection.execute("SAVEPOINT one")
            fine = state in TIMED | UNDER_WAY
            if state is State.UNDOING:
                fine = after in {State.UNDONE, State.UNDO_FAILED, State.HANDED_OVER}
            assert fine or state in FINAL | {State.UNDOING}
            try:
                connection.execute(step, (after.value, review.id)).fetchall()
            except sqlite3.IntegrityError:
                assert not fine, (state, after)
            else:
                assert fine, (state, after)
            connection.execute("ROLLBACK TO one")


def test_a_retry_of_what_was_refused_is_denied(shop: Shop) -> None:
    """Also in the moment before the undo has run, and by another task."""
    outcome = shop.call(call_id="c-1")
    shop.refuse(outcome)
    context = CallContext(
        actor=Actor(agent="agent-1", user="user-1"), environment="test", task="task-2"
    )
    for call in (
        ToolCall("pay", {"number": "n1"}, context),
        ToolCall("pay", {"number": "n1"}, context, call_id="c-1"),
    ):
        again = shop.governor.run(call)
        assert (again.effect, again.reason) == (Effect.DENY, "refused_by_person")
    assert shop.paid == ["n1"]

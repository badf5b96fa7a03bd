"""Questions, passing on and broken glass: recorded, and no way round any rule."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from openfeature_gov import Effect, Outcome
from openfeature_gov.approvals.health import measured
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.steps import REACH_US, Denied, Step
from openfeature_gov.evidence.records import Stamp
from tests.conftest import contract_yaml
from tests.integration.test_approvals_attacks import KILLS
from tests.test_governor_approvals import BOB, Waiting

ANN, CY = Reviewer("ann", way="token"), Reviewer("cy", way="token")
USER = Reviewer("user-1", way="cli")
RULES = contract_yaml(
    "mail",
    approval="{reviewerGroup: support, reassignTo: [sales], breakGlassGroup: duty}",
    rollback="{safestMode: observe, owner: team}",
)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    """Provide a tool whose every call waits for a person, and a group for alarms."""
    one = Waiting(tmp_path, RULES)
    yield one
    one.governor.close()


def queue(waiting: Waiting) -> ApprovalQueue:
    assert waiting.governor.approvals is not None
    return waiting.governor.approvals


def asked_long_ago(waiting: Waiting, to: str = "ann") -> Outcome:
    """Return a call that waits, when everybody had the time to answer it."""
    outcome = waiting.call(to)
    releases = waiting.governor._decider.releases
    assert releases is not None
    for one in (queue(waiting), releases):
        before = one._now
        one._now = lambda before=before: before() + REACH_US  # type: ignore[misc] # bound now
    return outcome


def called(waiting: Waiting, outcome: Outcome, by: Reviewer) -> Step:
    request = waiting.request(outcome)
    return queue(waiting).break_glass(
        request.id, by, seen=request.binding, reason=f"{by.subject} saw nobody"
    )


def log(waiting: Waiting) -> list[dict[str, Any]]:
    return waiting.log("approval")


def test_a_question_and_its_answer_are_recorded(waiting: Waiting) -> None:
    """With who said what; the words can be erased."""
    outcome = waiting.call()
    taken = queue(waiting)
    assert isinstance(taken.ask(outcome.approval_id, BOB, text="which ann?"), Request)
    answered = taken.answer(outcome.approval_id, USER, number=1, text="ann k.")
    assert isinstance(answered, Request)
    assert answered.deadline_us == waiting.request(outcome).deadline_us
    waiting.approve(outcome)
    assert waiting.call().value == "sent"
    asked, told, _ = log(waiting)
    assert (asked["event"], asked["reviewer"]) == ("ask", "bob")
    assert (asked["rationale"], asked["questions"]) == ("which ann?", 1)
    assert (told["event"], told["reviewer"], told["by"]) == ("answer", None, "user-1")
    assert told["rationale"] == "ann k."
    assert told["stateBefore"] == told["state"] == "pending"


def test_nobody_else_answers_for_the_requester(waiting: Waiting) -> None:
    """Neither a reviewer nor somebody who merely says a name."""
    outcome = waiting.call()
    taken = queue(waiting)
    taken.ask(outcome.approval_id, BOB, text="why?")
    for caller, why in (
        (CY, "not_the_requester"),
        (Reviewer("user-1"), "caller_unauthenticated"),
    ):
        step = taken.answer(outcome.approval_id, caller, number=1, text="so")
        assert step == Denied(why, State.PENDING)
    assert [one["denied"] for one in log(waiting)][1:] == [
        "not_the_requester",
        "caller_unauthenticated",
    ]


def test_a_request_is_passed_on(waiting: Waiting) -> None:
    """The record says to whom and why; the one it was passed to releases it."""
    outcome = waiting.call()
    step = queue(waiting).reassign(outcome.approval_id, BOB, to="cy", reason="hers")
    assert isinstance(step, Request)
    request = waiting.request(outcome)
    released = queue(waiting).approve(request.id, CY, seen=request.binding)
    assert isinstance(released, Request)
    assert waiting.call().value == "sent"
    passed, _ = log(waiting)
    assert (passed["event"], passed["holder"]) == ("reassign", "cy")
    assert (passed["reviewer"], passed["rationale"]) == ("bob", "hers")


def test_passing_on_is_no_way_round_self_approval(waiting: Waiting) -> None:
    """Neither to who asked, nor by who asked."""
    outcome = waiting.call()
    waiting.people.reviewers |= {"user-1"}
    taken = queue(waiting)
    for by, to in ((BOB, "user-1"), (BOB, "agent-1"), (USER, "cy")):
        step = taken.reassign(outcome.approval_id, by, to=to, reason="please")
        assert step == Denied("self_approval", State.PENDING)
    assert waiting.request(outcome).holder == "support"
    assert [one["denied"] for one in log(waiting)] == ["self_approval"] * 3


def test_two_who_break_the_glass_release_it(waiting: Waiting) -> None:
    """Once, recorded as what it was, with both and their reasons."""
    waiting.people.reviewers = frozenset()
    outcome = asked_long_ago(waiting)
    for by in (BOB, ANN):
        assert isinstance(called(waiting, outcome, by), Request)
    done = waiting.call()
    assert (done.value, done.approval_id) == ("sent", outcome.approval_id)
    assert waiting.call().effect is Effect.QUEUE_FOR_APPROVAL
    (finding,) = measured([waiting.request(outcome)], 0).findings
    assert finding.code == "glass_broken"
    first, second = log(waiting)
    assert (first["event"], first["state"], first["calls"]) == (
        "break_glass",
        "pending",
        1,
    )
    assert (second["event"], second["state"], second["calls"]) == (
        "break_glass",
        "approved",
        2,
    )
    assert [one["reviewer"] for one in (first, second)] == ["bob", "ann"]
    assert first["rationale"] == "bob saw nobody"
    ran = next(one for one in waiting.log("decision") if one["effect"] == "allow")
    (release,) = [one for one in ran["verdicts"] if one["control"] == "release"]
    assert release["reason"] == "break_glass"
    assert release["evidence"]["callers"] == ["ann", "bob"]


def test_one_alone_breaks_nothing(waiting: Waiting) -> None:
    """Nor does somebody twice, nor one who stands behind the action."""
    outcome = asked_long_ago(waiting)
    assert isinstance(called(waiting, outcome, ANN), Request)
    for by, why in (
        (ANN, "already_called"),
        (Reviewer("ann-2", way="cli"), "already_called"),
        (USER, "self_approval"),
        (CY, "reviewer_not_asked"),
        (Reviewer("bob"), "reviewer_unauthenticated"),
    ):
        assert called(waiting, outcome, by) == Denied(why, State.PENDING)
    assert waiting.call().effect is Effect.QUEUE_FOR_APPROVAL
    assert waiting.sent == []


@pytest.mark.parametrize("kill", KILLS)
def test_broken_glass_overrides_no_kill(waiting: Waiting, kill: str) -> None:
    """Neither a switch, nor a denylist, nor an incident."""
    outcome = asked_long_ago(waiting)
    for by in (BOB, ANN):
        assert isinstance(called(waiting, outcome, by), Request)
    values, reason = KILLS[kill]
    waiting.desk.set(approval=True, **values)
    killed = waiting.call()
    assert (killed.reason, killed.ran) == (reason, "")
    assert waiting.sent == []


def test_broken_glass_overrides_no_refusal(waiting: Waiting) -> None:
    """Neither one before it, nor one that takes the release back."""
    first = asked_long_ago(waiting)
    queue(waiting).refuse(first.approval_id, CY, reason="no")
    assert called(waiting, first, BOB) == Denied("already_refused", State.REFUSED)
    assert waiting.call().reason == "refused_by_person"
    second = asked_long_ago(waiting, "bert")
    for by in (BOB, ANN):
        assert isinstance(called(waiting, second, by), Request)
    assert isinstance(
        queue(waiting).refuse(second.approval_id, CY, reason="no"), Request
    )
    assert waiting.call("bert").reason == "refused_by_person"
    assert waiting.sent == []


def test_nobody_approves_unread(tmp_path: Path) -> None:
    """Where the contract says how long a reviewer has to have had."""
    rules = contract_yaml(
        "mail",
        approval="{reviewerGroup: support, minimumSeconds: 300}",
        rollback="{safestMode: observe, owner: team}",
    )
    one = Waiting(tmp_path, rules)
    try:
        outcome = one.call()
        request = one.request(outcome)
        step = queue(one).approve(request.id, BOB, seen=request.binding)
        assert step == Denied("approved_unread", State.PENDING)
        queue(one)._now = lambda: request.created_us + 300 * 1_000_000
        step = queue(one).approve(request.id, BOB, seen=request.binding)
        assert isinstance(step, Request)
        assert [told["denied"] for told in log(one)] == ["approved_unread", ""]
    finally:
        one.governor.close()


def test_nobody_reads_many_at_the_same_moment(tmp_path: Path) -> None:
    """Answers sent together count as one after the other: the first one alone."""
    text = "{reviewerGroup: support, minimumSeconds: 30}"
    safest = "{safestMode: observe, owner: team}"
    one = Waiting(tmp_path, contract_yaml("mail", approval=text, rollback=safest))
    asked = [one.request(one.call(f"u{number}")) for number in range(4)]
    now, shelf = queue(one)._now, queue(one)._shelf
    stamp, later = shelf.stamp, 31_000_000
    queue(one)._now = lambda: now() + later
    last, together = shelf.last_step_us, Barrier(2)

    def stamped() -> Stamp:
        made = stamp()
        return made._replace(at_us=made.at_us + later)

    def looked(reviewer: str, besides: str) -> int:
        found = last(reviewer, besides)
        with suppress(BrokenBarrierError):
            together.wait(0.5)
        return found

    shelf.last_step_us = looked  # type: ignore[method-assign] # makes them meet
    shelf.stamp = stamped  # type: ignore[method-assign] # one clock for both
    with ThreadPoolExecutor(4) as pool:
        steps = pool.map(
            lambda request: queue(one).approve(request.id, BOB, seen=request.binding),
            asked,
        )
        released = [step for step in steps if isinstance(step, Request)]
    one.governor.close()
    assert len(released) == 1


def test_without_a_group_for_it_there_is_no_glass(tmp_path: Path) -> None:
    """The contract has to name one."""
    one = Waiting(tmp_path)
    try:
        outcome = asked_long_ago(one)
        barred = Denied("break_glass_not_allowed", State.PENDING)
        assert called(one, outcome, BOB) == barred
    finally:
        one.governor.close()

"""Attacks on approvals: each is refused, by its own reason code, and in the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from openfeature_gov import Actor, CallContext, Effect, Outcome, ToolCall
from openfeature_gov.approvals.codec import pack
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import change
from openfeature_gov.approvals.showing import leaves, visible
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.steps import MINUTE_US, Denied, Step
from openfeature_gov.evidence.records import Stamp, note_record
from tests.conftest import CONTEXT
from tests.properties.test_approvals import SUBJECTS
from tests.properties.test_hostile import Colour
from tests.test_governor_approvals import BOB, Waiting

CY = Reviewer("cy", way="cli")
ANN = Actor(
    agent="agent-1",
    instance="pod-7",
    user="ann",
    service="svc-1",
    delegation=("hop-1", "hop-2"),
)
BEHIND = ("agent-1", "pod-7", "ann", "ann-2", "svc-1", "hop-1", "hop-2")
"""Every name of somebody behind what `ANN` does; ann-2 is another name of ann."""
SPELT = ("ANN", "\uff41\uff4e\uff4e", " ann ")
"""Names that read like ann's."""
SAME_TO_A_READER = {
    "composed": ("caf\u00e9", "cafe\u0301"),
    "cyrillic": ("paypal", "p\u0430ypal"),
    "fullwidth": ("ann", "\uff41nn"),
    "zero width": ("ann", "a\u200bnn"),
    "direction": ("ann", "\u202dann"),
    "blank": ("ann b", "ann\u00a0b"),
    "trailing": ("ann", "ann "),
    "case": ("ann", "Ann"),
    "null": ("ann", "ann\x00"),
    "integer and float": (1, 1.0),
    "integer and text": (1, "1"),
    "integer and truth": (1, True),
    "leading zero": ("1", "01"),
    "zeros": (0.0, -0.0),
    "exponent": (100, 1e2),
    "rounded": (0.1 + 0.2, 0.3),
    "missing and empty": (None, ""),
    "list and item": (["ann"], "ann"),
    "order of a list": (["a", "b"], ["b", "a"]),
}
SAME_AS_JSON: dict[str, tuple[Any, str]] = {
    "decimal": (Decimal(10), "10"),
    "date": (date(2026, 11, 21), "2026-11-21"),
    "uuid": (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "word": (Colour.RED, "red"),
}


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    """Provide a tool whose every call waits for a person."""
    one = Waiting(tmp_path)
    yield one
    one.governor.close()


def released(waiting: Waiting, **more: Any) -> Outcome:
    """Return a call that bob released."""
    outcome = waiting.call(**more)
    waiting.approve(outcome)
    return outcome


def refuse(waiting: Waiting, outcome: Outcome, by: Reviewer = BOB) -> Step:
    assert waiting.governor.approvals is not None
    return waiting.governor.approvals.refuse(outcome.approval_id, by, reason="no")


def approve(waiting: Waiting, outcome: Outcome, by: Reviewer = BOB) -> Step:
    request = waiting.request(outcome)
    assert waiting.governor.approvals is not None
    return waiting.governor.approvals.approve(request.id, by, seen=request.binding)


def later(waiting: Waiting, minutes: int) -> None:
    """Let *minutes* pass for everything that asks when it is."""
    releases = waiting.governor._decider.releases
    assert releases is not None
    for one in (releases, releases._queue):
        before = one._now
        one._now = lambda before=before: before() + minutes * MINUTE_US  # type: ignore[misc] # bound now


def decided(waiting: Waiting, outcome: Outcome) -> str:
    """Return the reason that the log has for *outcome*."""
    found = waiting.log("decision")
    (reason,) = [one["reason"] for one in found if one["id"] == outcome.record_id]
    return str(reason)


def denied(waiting: Waiting) -> list[str]:
    """Return the reasons that the log has for steps that were not taken."""
    return [one["denied"] for one in waiting.log("approval") if one["denied"]]


def ends(waiting: Waiting) -> list[tuple[str, str]]:
    """Return the steps of the log that ended a request, with their reasons."""
    found = waiting.log("approval")
    return [(one["state"], one["rationale"]) for one in found if not one["denied"]]


@pytest.mark.parametrize("which", SAME_TO_A_READER)
def test_what_looks_alike_is_another_action(waiting: Waiting, which: str) -> None:
    """It waits for a person of its own; the release is not touched."""
    shown, run = SAME_TO_A_READER[which]
    outcome = released(waiting, arguments={"text": shown})
    other = waiting.call(arguments={"text": run})
    assert (other.effect, other.reason) == (
        Effect.QUEUE_FOR_APPROVAL,
        "approval_required",
    )
    assert other.approval_id != outcome.approval_id
    assert waiting.request(outcome).state is State.APPROVED
    assert waiting.sent == []
    assert decided(waiting, other) == "approval_required"


@pytest.mark.parametrize("which", SAME_AS_JSON)
@pytest.mark.parametrize("deep", [False, True], ids=["plain", "in a list"])
def test_a_release_binds_the_types_of_arguments(
    waiting: Waiting, which: str, deep: bool
) -> None:
    """A tool that computes with one would get the other: another release is needed."""
    kind, text = ([one] if deep else one for one in SAME_AS_JSON[which])
    for shown, run in ((kind, text), (text, kind)):
        outcome = released(waiting, arguments={"text": shown})
        other = waiting.call(arguments={"text": run})
        assert other.effect is Effect.QUEUE_FOR_APPROVAL
        assert other.approval_id != outcome.approval_id
        assert waiting.request(outcome).state is State.SUPERSEDED
        assert waiting.sent == []
        waiting.approve(other)
        assert waiting.call(arguments={"text": run}).value == "sent"
        assert type(waiting.sent.pop()["text"]) is type(run)


@pytest.mark.parametrize("which", SAME_AS_JSON)
def test_a_refusal_holds_for_every_type_of_the_same_text(
    waiting: Waiting, which: str
) -> None:
    """As what it is, and as its text: nobody gets past a no by a type."""
    for place, pair in enumerate((SAME_AS_JSON[which], SAME_AS_JSON[which][::-1])):
        shown, run = ({"text": one, "to": f"ann-{place}"} for one in pair)
        refuse(waiting, waiting.call(arguments=shown))
        assert waiting.call(arguments=run).reason == "refused_by_person"
    assert waiting.sent == []


def test_the_order_of_keys_is_no_other_action(waiting: Waiting) -> None:
    """Deep inside as well; what runs is what was bound."""
    released(waiting, arguments={"text": {"a": {"x": 1, "y": 2}, "b": 3}})
    flipped = {"text": {"b": 3, "a": {"y": 2, "x": 1}}, "to": "ann"}
    assert waiting.governor.run(ToolCall("mail", flipped, CONTEXT)).value == "sent"


def test_a_changed_argument_is_another_action(waiting: Waiting) -> None:
    """Also when the agent repeats the id of the call that was released."""
    outcome = released(waiting, call_id="c-1")
    other = waiting.call("eve", call_id="c-1")
    assert other.effect is Effect.QUEUE_FOR_APPROVAL
    assert other.approval_id != outcome.approval_id
    assert waiting.sent == []
    assert decided(waiting, other) == "approval_required"


def test_a_release_is_not_replayed(waiting: Waiting) -> None:
    """Neither by the same call, nor by its id, nor by the id of the request."""
    outcome = released(waiting, call_id="c-1")
    assert waiting.call(call_id="c-1").value == "sent"
    again = waiting.call(call_id="c-1")
    assert (again.effect, again.reason) == (Effect.DENY, "call_already_ran")
    with waiting.governor.acting(CONTEXT):
        resumed = waiting.governor.resume(outcome.approval_id)
    assert (resumed.effect, resumed.reason) == (Effect.DENY, "call_already_ran")
    other = waiting.call(call_id="c-2")
    assert other.effect is Effect.QUEUE_FOR_APPROVAL
    assert other.approval_id != outcome.approval_id
    assert len(waiting.sent) == 1
    assert decided(waiting, again) == decided(waiting, resumed) == "call_already_ran"


STRANGERS = {
    "another user": Actor(agent="agent-1", user="user-2"),
    "another agent": Actor(agent="agent-2", user="user-1"),
    "nobody's": Actor(agent="agent-1"),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_a_resume_is_no_permission(waiting: Waiting, who: str) -> None:
    """Who knows the id of a request has nothing yet."""
    outcome = released(waiting)
    context = CallContext(actor=STRANGERS[who], environment="test", task="task-1")
    with waiting.governor.acting(context):
        resumed = waiting.governor.resume(outcome.approval_id)
    assert resumed.effect is Effect.QUEUE_FOR_APPROVAL
    assert resumed.approval_id != outcome.approval_id
    assert waiting.sent == []
    assert waiting.request(outcome).state is State.APPROVED, "it was burnt"
    with waiting.governor.acting(CONTEXT):
        assert waiting.governor.resume(outcome.approval_id).value == "sent"
    assert decided(waiting, resumed) == "approval_required"


def test_a_resume_before_the_answer_waits_on(waiting: Waiting) -> None:
    """However often it is tried, for the same request."""
    outcome = waiting.call()
    with waiting.governor.acting(CONTEXT):
        tries = [waiting.governor.resume(outcome.approval_id) for _ in range(3)]
    assert {one.approval_id for one in tries} == {outcome.approval_id}
    assert waiting.sent == []


def test_a_release_that_nobody_gave_is_none(waiting: Waiting) -> None:
    """Who can write the table still needs the vote of a reviewer."""
    outcome = waiting.call()
    request = waiting.request(outcome)
    forged = pack(request.at(State.APPROVED, votes={"agent-1": "ok", "eve": ""}))
    with sqlite3.connect(waiting.desk.records) as connection:
        connection.execute(
            "UPDATE approvals SET state = 'approved', packed = ?, version = version + 1"
            " WHERE id = ?",
            (forged, request.id),
        )
    connection.close()
    waiting.people.reviewers = frozenset(SUBJECTS)
    again = waiting.call()
    assert again.effect is Effect.QUEUE_FOR_APPROVAL
    assert waiting.sent == []
    assert ends(waiting) == [("superseded", "approver_removed")]


@pytest.mark.parametrize("name", [*BEHIND, *SPELT])
def test_nobody_behind_it_approves_it(waiting: Waiting, name: str) -> None:
    """Under no name of any of them, though all are reviewers."""
    waiting.people.reviewers |= {*BEHIND, *SPELT}
    context = CallContext(actor=ANN, environment="test", task="task-1")
    outcome = waiting.call(context=context)
    step = approve(waiting, outcome, Reviewer(name, way="cli"))
    assert step == Denied("self_approval", State.PENDING)
    assert waiting.call(context=context).effect is Effect.QUEUE_FOR_APPROVAL
    assert waiting.sent == []
    assert denied(waiting) == ["self_approval"]


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (Reviewer("bob"), "reviewer_unauthenticated"),
        (Reviewer("", way="token"), "reviewer_unauthenticated"),
        (Reviewer("eve", frozenset({"support"}), "token"), "reviewer_not_asked"),
    ],
)
def test_only_who_was_asked_answers(
    waiting: Waiting, who: Reviewer, reason: str
) -> None:
    """What a token claims about groups does not count."""
    outcome = waiting.call()
    assert approve(waiting, outcome, who) == Denied(reason, State.PENDING)
    assert refuse(waiting, outcome, who) == Denied(reason, State.PENDING)
    assert denied(waiting) == [reason] * 2


def test_a_removed_reviewer_answers_nothing(waiting: Waiting) -> None:
    """From the moment of the removal."""
    outcome = waiting.call()
    waiting.people.reviewers -= {"bob"}
    assert approve(waiting, outcome) == Denied("reviewer_not_asked", State.PENDING)
    assert denied(waiting) == ["reviewer_not_asked"]


def test_the_release_of_a_removed_reviewer_ends(waiting: Waiting) -> None:
    """Not used yet, it is none any more; the call waits for somebody else."""
    outcome = released(waiting)
    waiting.people.reviewers -= {"bob"}
    again = waiting.call()
    assert again.effect is Effect.QUEUE_FOR_APPROVAL
    assert again.approval_id != outcome.approval_id
    old = waiting.request(outcome)
    assert (old.state, old.reason) == (State.SUPERSEDED, "approver_removed")
    assert waiting.sent == []
    assert isinstance(approve(waiting, again, CY), Request)
    assert waiting.call().value == "sent"
    assert ends(waiting)[1] == ("superseded", "approver_removed")


def test_who_gave_the_release_is_not_behind_the_run(waiting: Waiting) -> None:
    """Not even when the reviewer joins the delegation after the answer."""
    outcome = released(waiting)
    joined = Actor(agent="agent-1", user="user-1", delegation=("bob",))
    context = CallContext(actor=joined, environment="test", task="task-1")
    again = waiting.call(context=context)
    assert again.effect is Effect.QUEUE_FOR_APPROVAL
    assert waiting.request(outcome).state is State.SUPERSEDED
    assert waiting.sent == []
    assert ends(waiting)[-1] == ("superseded", "approver_removed")


def test_a_release_that_ran_out_is_none(waiting: Waiting) -> None:
    """Though no clock went round meanwhile: the call itself looks."""
    outcome = released(waiting)
    later(waiting, 61)
    again = waiting.call()
    assert (again.reason, again.ran) == ("approval_expired", "draft_write")
    assert waiting.request(outcome).state is State.EXPIRED
    assert waiting.sent == []
    assert decided(waiting, again) == "approval_expired"
    assert ends(waiting)[-1][0] == "expired"


def test_an_answer_after_the_deadline_counts_nothing(waiting: Waiting) -> None:
    """The request is pending still, for nobody looked."""
    outcome = waiting.call()
    later(waiting, 61)
    assert approve(waiting, outcome) == Denied("deadline_passed", State.PENDING)
    assert refuse(waiting, outcome) == Denied("deadline_passed", State.PENDING)
    assert waiting.call().reason == "approval_expired"
    assert waiting.sent == []
    assert denied(waiting) == ["deadline_passed"] * 2


KILLS: dict[str, tuple[dict[str, Any], str]] = {
    "switch": ({"on": False}, "kill_switch"),
    "mode": ({"mode": "off"}, "mode_off"),
    "denylist": ({"denylist": ["mail"]}, "denylisted"),
    "incident": ({"fallback": True}, "incident_fallback"),
}


@pytest.mark.parametrize("kill", KILLS)
def test_a_kill_is_stronger_than_a_release(waiting: Waiting, kill: str) -> None:
    """And when it is over, the release binds flags that were there before it."""
    values, reason = KILLS[kill]
    released(waiting)
    waiting.desk.set(approval=True, **values)
    killed = waiting.call()
    assert (killed.reason, killed.ran) == (reason, "")
    assert waiting.sent == []
    assert decided(waiting, killed) == reason


def test_a_release_binds_the_flags_that_were_seen(waiting: Waiting) -> None:
    """Changed ones end it, though they would allow as much."""
    outcome = released(waiting)
    waiting.desk.set(approval=True, mode="approval_required")
    again = waiting.call()
    assert again.effect is Effect.QUEUE_FOR_APPROVAL
    assert again.approval_id != outcome.approval_id
    assert waiting.sent == []
    assert ends(waiting)[-1] == ("superseded", "flags_or_contract_changed")


def test_a_release_binds_the_contract_that_was_seen(waiting: Waiting) -> None:
    """Another revision of it ends the release, whatever it changed."""
    outcome = released(waiting)
    waiting.governor.close()
    governance = waiting.desk.governance
    text = governance.read_text().replace("owner: team", "owner: other", 1)
    governance.write_text(text)
    waiting.governor = waiting.opened()
    again = waiting.call()
    assert again.effect is Effect.QUEUE_FOR_APPROVAL
    assert again.approval_id != outcome.approval_id
    assert waiting.sent == []
    assert ends(waiting)[-1] == ("superseded", "flags_or_contract_changed")


def test_a_queue_that_nobody_could_see_takes_nothing(waiting: Waiting) -> None:
    """Where requests cannot be read a call is denied, not left to wait."""
    waiting.call()
    releases = waiting.governor._decider.releases
    assert releases is not None
    records = releases._shelf._records  # type: ignore[attr-defined] # of this shelf
    releases._shelf._records = records / "nowhere"  # type: ignore[attr-defined] # of this shelf
    outcome = waiting.call("bert")
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "approvals_unavailable")
    assert waiting.sent == []


def test_what_was_shown_before_the_flags_changed_is_no_answer(
    waiting: Waiting,
) -> None:
    """The page that the reviewer had open shows something else."""
    outcome = waiting.call()
    shown = waiting.request(outcome).binding
    waiting.desk.set(approval=True, mode="approval_required")
    again = waiting.call()
    assert waiting.governor.approvals is not None
    for one, reason in (
        (outcome, "already_superseded"),
        (again, "shown_something_else"),
    ):
        step = waiting.governor.approvals.approve(one.approval_id, BOB, seen=shown)
        assert isinstance(step, Denied)
        assert step.reason == reason
    assert waiting.sent == []
    assert denied(waiting) == ["already_superseded", "shown_something_else"]


def test_of_two_answers_at_once_the_refusal_holds(waiting: Waiting) -> None:
    """Whoever is first: nobody releases what was refused."""
    outcome = waiting.call()
    with ThreadPoolExecutor(2) as pool:
        yes = pool.submit(approve, waiting, outcome, BOB)
        no = pool.submit(refuse, waiting, outcome, CY)
    assert isinstance(no.result(), Request)
    step = yes.result()
    if isinstance(step, Denied):
        assert step.reason == "already_refused"
    again = waiting.call()
    assert (again.effect, again.reason) == (Effect.DENY, "refused_by_person")
    assert waiting.sent == []
    assert decided(waiting, again) == "refused_by_person"


def test_a_refusal_is_stronger_than_what_another_agent_got(waiting: Waiting) -> None:
    """For the same action of the same user, in whatever order they asked."""
    other = CallContext(
        actor=Actor(agent="agent-2", user="user-1"), environment="test", task="task-1"
    )
    first, second = waiting.call(), waiting.call(context=other)
    assert first.approval_id != second.approval_id
    assert isinstance(refuse(waiting, first), Request)
    waiting.approve(second)
    outcomes = [waiting.call(), waiting.call(context=other)]
    assert [one.reason for one in outcomes] == ["refused_by_person"] * 2
    assert waiting.sent == []
    assert decided(waiting, outcomes[1]) == "refused_by_person"


def test_one_call_made_many_times_at_once_runs_once(waiting: Waiting) -> None:
    """It may be asked twice: by its id it runs for one answer, and one no ends it."""

    def call(_: int) -> Outcome:
        return waiting.call(call_id="c-1")

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(call, range(16)))
    assert waiting.governor.approvals is not None
    for one in waiting.governor.approvals.waiting():
        step = waiting.governor.approvals.approve(one.id, BOB, seen=one.binding)
        assert isinstance(step, Request)
    assert {one.reason for one in outcomes} == {"approval_required"}
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(call, range(16)))
    assert len(waiting.sent) == 1


def test_an_action_that_ran_very_often_is_still_asked_about(waiting: Waiting) -> None:
    """The release of today counts, however many there were."""
    done = waiting.request(waiting.call())
    assert waiting.governor.approvals is not None
    assert isinstance(waiting.governor.approvals.withdraw(done.id, "user-1"), Request)
    records = waiting.governor.records
    for number in range(1_001):
        ran = replace(done, id=f"r{number}", state=State.EXECUTED, created_us=number)
        note = note_record(Stamp(f"n{number}", 0, records.writer), "note")
        records.append(note._replace(change=change(ran, 0)))
    outcome = released(waiting)
    assert waiting.call().value == "sent"
    assert waiting.request(outcome).state is State.EXECUTED


def test_an_answer_to_what_was_withdrawn_counts_nothing(waiting: Waiting) -> None:
    """Nor one to what was answered."""
    first, second = waiting.call(), waiting.call("bert")
    assert waiting.governor.approvals is not None
    step = waiting.governor.approvals.withdraw(first.approval_id, "user-1")
    assert isinstance(step, Request)
    gone = Denied("already_withdrawn", State.WITHDRAWN)
    assert approve(waiting, first) == refuse(waiting, first) == gone
    waiting.approve(second)
    again = approve(waiting, second, CY)
    assert again == Denied("already_approved", State.APPROVED)
    assert waiting.sent == []
    assert denied(waiting) == ["already_withdrawn"] * 2 + ["already_approved"]


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else 1


REFUSED: dict[str, tuple[object, str]] = {
    "oversized": ("x" * 70_000, "arguments_too_large"),
    "oversized when escaped": ("\x00" * 20_000, "arguments_too_large"),
    "deep": (nested(500), "arguments_too_large"),
    "no text": ("\ud800", "arguments_invalid"),
    "no number": (float("nan"), "arguments_invalid"),
    "too large a number": (2**70, "arguments_invalid"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_card_could_show_is_not_asked(waiting: Waiting, what: str) -> None:
    """Denied with its reason; nobody is asked about a part of it."""
    value, reason = REFUSED[what]
    outcome = waiting.call(arguments={"text": value})
    assert (outcome.effect, outcome.reason) == (Effect.DENY, reason)
    assert waiting.governor.approvals is not None
    assert waiting.governor.approvals.waiting() == []
    assert decided(waiting, outcome) == reason


ACTING = (
    "\x1b[2J\x1b[1;1HAPPROVED",
    "ok\r\nfrom: bob",
    "\u202egnp.exe",
    "a\u200bb\ufeffc\u2060d",
    "\x00\x07\x08\x7f\x9b",
    "</script><script>alert(1)</script>",
    '","to":"eve',
    "\\u0000",
)


@pytest.mark.parametrize("text", ACTING, ids=ascii)
def test_what_could_act_is_shown_and_run_as_it_is(waiting: Waiting, text: str) -> None:
    """The reviewer reads every character; the tool gets exactly those."""
    outcome = waiting.call(arguments={"text": text})
    request = waiting.request(outcome)
    shown = dict(leaves(request.arguments))
    assert shown == {"text": text, "to": "ann"}
    line = visible(shown["text"])
    assert line.isprintable()
    assert ("\\" in line) == (line != text or "\\" in text)
    waiting.approve(outcome)
    assert waiting.call(arguments={"text": text}).value == "sent"
    assert waiting.sent == [{"to": "ann", "text": text}]

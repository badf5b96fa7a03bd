"""What waits for a person: asked once, bound to what runs, used once, never lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov import Effect, Extractors, Governor, Outcome, ToolCall
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.steps import Denied
from openfeature_gov.contracts import Actor, CallContext
from openfeature_gov.controls import Controls
from openfeature_gov.decisions import Constraint, Verdict
from openfeature_gov.ladder import Mode
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, contract_yaml
from tests.properties.test_approvals import People

BOB = Reviewer("bob", way="cli")
RULES = contract_yaml(
    "mail",
    approval="{reviewerGroup: support, timeoutFallback: draft_write}",
    rollback="{safestMode: observe, owner: team}",
)


class Waiting:
    """A Governor whose calls wait for people, with what its tool did."""

    def __init__(self, folder: Path, rules: str = RULES) -> None:
        self.desk = Desk(folder, rules, None)
        self.desk.governor.close()
        self.people, self.sent = People(), list[dict[str, Any]]()
        self.governor = self.opened()
        self.desk.governor = self.governor
        self.desk.set(approval=True)

    def opened(self) -> Governor:
        one = self.desk
        governor = Governor.open(
            one.governance, one.flags, one.records, people=self.people
        )
        self.gated = governor.tool(
            "mail",
            consequence=lambda a: f"{a['to']} gets a mail.",
            narrow=lambda a, _: {**a, "text": "short"},
            draft=self.draft,
        )(self.mail)
        return governor

    def mail(self, to: str, text: object = "") -> str:
        self.sent.append({"to": to, "text": text})
        return "sent"

    def draft(self, to: str, text: object = "") -> str:
        del to, text
        return "drafted"

    def call(self, to: str = "ann", **more: Any) -> Outcome:
        """Ask the tool to do something; *more* replaces parts of the call."""
        arguments = {"to": to, **more.pop("arguments", {})}
        context = more.pop("context", CONTEXT)
        return self.governor.run(ToolCall("mail", arguments, context, **more))

    def request(self, outcome: Outcome) -> Request:
        assert self.governor.approvals is not None
        self.governor.records.flush()  # type: ignore[attr-defined] # of this store
        found = self.governor.approvals.get(outcome.approval_id)
        assert found is not None
        return found

    def approve(self, outcome: Outcome, **more: Any) -> Request:
        assert self.governor.approvals is not None
        request = self.request(outcome)
        step = self.governor.approvals.approve(
            request.id, BOB, seen=request.binding, **more
        )
        assert isinstance(step, Request)
        return step

    def log(self, kind: str) -> list[dict[str, Any]]:
        self.governor.records.close()
        return history.records(self.desk.records, kind=kind)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    """Provide a tool whose every call waits for a person."""
    one = Waiting(tmp_path)
    yield one
    one.governor.close()


def test_a_queued_call_becomes_a_request(waiting: Waiting) -> None:
    """It says what happens, to whom, why it waits, and what silence means."""
    outcome = waiting.call()
    assert outcome.effect is Effect.QUEUE_FOR_APPROVAL
    assert outcome.approval_id in outcome.message
    request = waiting.request(outcome)
    assert request.state is State.PENDING
    assert request.record_id == outcome.record_id
    assert request.arguments == b'{"text":"","to":"ann"}'
    assert request.facts["consequence"] == "ann gets a mail."
    assert request.facts["reason"] == "approval_required"
    assert request.facts["timeout"] == "draft_write"
    assert {one["kind"] for one in request.facts["flags"]} >= {"mode", "approval"}
    assert set(request.requesters) == {"user-1", "agent-1"}
    assert waiting.sent == []


def test_the_same_call_asks_once(waiting: Waiting) -> None:
    """A retry meets the request that is open; another call another one."""
    first, again, other = waiting.call(), waiting.call(), waiting.call("bert")
    assert first.approval_id == again.approval_id != other.approval_id


def test_an_approved_call_runs_once(waiting: Waiting) -> None:
    """The same call again, and the one after that asks anew."""
    outcome = waiting.call()
    waiting.approve(outcome)
    done = waiting.call()
    assert (done.value, done.approval_id) == ("sent", outcome.approval_id)
    assert done.decision.approved
    assert waiting.request(outcome).state is State.EXECUTED
    assert waiting.request(outcome).consumed_by == done.record_id
    again = waiting.call()
    assert again.effect is Effect.QUEUE_FOR_APPROVAL
    assert again.approval_id != outcome.approval_id
    assert len(waiting.sent) == 1


def test_a_request_is_resumed_in_another_process(waiting: Waiting) -> None:
    """By its id, for the same user and agent, with the arguments that were bound."""
    outcome = waiting.call()
    waiting.approve(outcome)
    waiting.governor.close()
    waiting.governor = waiting.opened()
    with waiting.governor.acting(CONTEXT):
        assert waiting.governor.resume(outcome.approval_id).value == "sent"
        assert waiting.governor.resume(outcome.approval_id).value is None
    assert waiting.sent == [{"to": "ann", "text": ""}]
    with (
        waiting.governor.acting(CONTEXT),
        pytest.raises(ValueError, match="no such request"),
    ):
        waiting.governor.resume("0" * 32)
    refusal = waiting.log("decision")[-1]
    assert (refusal["effect"], refusal["reason"]) == ("deny", "approval_unknown")
    assert refusal["detail"] == "0" * 32
    assert refusal["context"]["agent"] == "agent-1"


def test_what_is_no_id_of_a_request_is_not_repeated(waiting: Waiting) -> None:
    """It may be anything, and records are kept."""
    with pytest.raises(ValueError, match="no id of a request") as told:
        waiting.governor.resume("alice@corp.example")
    assert "alice" not in str(told.value)
    refusal = waiting.log("decision")[-1]
    assert refusal["reason"] == "approval_unknown"
    assert "alice" not in str(refusal)


def test_nobody_else_resumes_it(waiting: Waiting) -> None:
    """A wake-up that names a request is no permission."""
    outcome = waiting.call()
    waiting.approve(outcome)
    for actor in (
        Actor(agent="agent-1", user="user-2"),
        Actor(agent="agent-2", user="user-1"),
    ):
        other = CallContext(actor=actor, environment="test", task="task-1")
        with waiting.governor.acting(other):
            resumed = waiting.governor.resume(outcome.approval_id)
        assert resumed.effect is Effect.QUEUE_FOR_APPROVAL
        assert resumed.approval_id != outcome.approval_id
    assert waiting.sent == []


def test_another_agent_of_the_same_user_asks_for_itself(waiting: Waiting) -> None:
    """While the request of the first one waits, the second has one of its own."""
    first = waiting.call()
    second = waiting.call(
        context=replace(CONTEXT, actor=replace(CONTEXT.actor, agent="agent-2"))
    )
    assert second.effect is Effect.QUEUE_FOR_APPROVAL
    assert second.approval_id not in ("", first.approval_id)


CHANGED: dict[str, Callable[[Waiting], Outcome]] = {
    "argument": lambda w: w.call("ann "),
    "look-alike": lambda w: w.call("аnn"),  # noqa: RUF001 - that is the point
    "number": lambda w: w.call(arguments={"text": 1}),
    "account": lambda w: w.call(
        context=CallContext(actor=CONTEXT.actor, account="other", environment="test")
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_something_else_is_not_released(waiting: Waiting, what: str) -> None:
    """Neither other bytes nor another place."""
    outcome = waiting.call()
    waiting.approve(outcome)
    assert CHANGED[what](waiting).effect is Effect.QUEUE_FOR_APPROVAL
    assert waiting.sent == []
    assert waiting.request(outcome).state is State.APPROVED


def test_a_release_holds_in_the_region_that_was_seen(waiting: Waiting) -> None:
    """Also where the flags say the same of both."""

    def at(region: str) -> CallContext:
        return replace(CONTEXT, region=region)

    outcome = waiting.call(context=at("eu"))
    assert waiting.request(outcome).facts["region"] == "eu"
    waiting.approve(outcome)
    elsewhere = waiting.call(context=at("us"))
    assert elsewhere.effect is Effect.QUEUE_FOR_APPROVAL
    assert elsewhere.approval_id != outcome.approval_id
    assert waiting.sent == []


def test_the_order_of_keys_is_no_difference(waiting: Waiting) -> None:
    """The same action however it is written."""
    outcome = waiting.call(arguments={"text": "x"})
    waiting.approve(outcome)
    flipped = {"text": "x", "to": "ann"}
    done = waiting.governor.run(ToolCall("mail", flipped, CONTEXT))
    assert done.value == "sent"


KILLS: dict[str, dict[str, Any]] = {
    "switch": {"on": False},
    "mode": {"mode": "off"},
    "denylist": {"denylist": ["mail"]},
    "fallback": {"fallback": True},
}


@pytest.mark.parametrize("kill", KILLS)
def test_no_release_overrides_a_kill(waiting: Waiting, kill: str) -> None:
    """And when the kill is over, the flags are not those that the reviewer saw."""
    outcome = waiting.call()
    waiting.approve(outcome)
    waiting.desk.set(approval=True, **KILLS[kill])
    assert waiting.call().effect is not Effect.ALLOW
    assert waiting.sent == []


def test_changed_flags_supersede_a_release(waiting: Waiting) -> None:
    """A new request is asked; the old one says why it ended."""
    outcome = waiting.call()
    waiting.approve(outcome)
    waiting.desk.set(approval=True, mode="approval_required")
    again = waiting.call()
    assert again.effect is Effect.QUEUE_FOR_APPROVAL
    old = waiting.request(outcome)
    assert (old.state, old.reason) == (State.SUPERSEDED, "flags_or_contract_changed")
    assert again.approval_id != outcome.approval_id
    assert waiting.sent == []


def test_a_refusal_holds(waiting: Waiting) -> None:
    """For this very action, whatever the flags say later about approval."""
    outcome = waiting.call()
    assert waiting.governor.approvals is not None
    step = waiting.governor.approvals.refuse(outcome.approval_id, BOB, reason="no")
    assert isinstance(step, Request)
    again = waiting.call()
    assert (again.effect, again.reason) == (Effect.DENY, "refused_by_person")
    assert waiting.call("bert").effect is Effect.QUEUE_FOR_APPROVAL
    assert waiting.sent == []


def test_a_refusal_beats_a_flag_that_allows_later(waiting: Waiting) -> None:
    """Nobody has to approve any more, and still a person said no to this action."""
    outcome = waiting.call()
    assert waiting.governor.approvals is not None
    waiting.governor.approvals.refuse(outcome.approval_id, BOB, reason="no")
    waiting.desk.set(approval=False)
    again = waiting.call()
    assert (again.effect, again.reason) == (Effect.DENY, "refused_by_person")
    assert waiting.call("bert").effect is Effect.ALLOW
    context = CallContext(
        actor=Actor(agent="agent-2", user="user-1"), environment="test", task="t"
    )
    assert waiting.call(context=context).reason == "refused_by_person"
    assert [one["to"] for one in waiting.sent] == ["bert"]


def test_a_tighter_release_narrows_what_runs(waiting: Waiting) -> None:
    """Under the reviewer's constraints or not at all."""
    outcome = waiting.call(arguments={"text": "long"})
    waiting.approve(outcome, constraints=(Constraint("text", limit=5),))
    done = waiting.call(arguments={"text": "long"})
    assert done.effect is Effect.CONSTRAIN
    assert waiting.sent == [{"to": "ann", "text": "short"}]


def test_a_refusal_holds_for_what_a_call_is_narrowed_to(waiting: Waiting) -> None:
    """Nobody runs the very action that a person refused by asking for more."""
    refused = waiting.call(arguments={"text": "short"})
    assert waiting.governor.approvals is not None
    waiting.governor.approvals.refuse(refused.approval_id, BOB, reason="no")
    outcome = waiting.call(arguments={"text": "long"})
    waiting.approve(outcome, constraints=(Constraint("text", limit=5),))
    again = waiting.call(arguments={"text": "long"})
    assert (again.effect, again.reason) == (Effect.DENY, "refused_by_person")
    assert waiting.sent == []


def test_silence_leads_to_the_lower_mode(waiting: Waiting) -> None:
    """Labelled expired; another task may ask again."""
    outcome = waiting.call()
    queue = waiting.governor.approvals
    assert queue is not None
    queue._now = lambda: waiting.request(outcome).deadline_us
    assert [one.state for one in queue.tick()] == [State.EXPIRED]
    later = waiting.call()
    assert (later.reason, later.value) == ("approval_expired", "drafted")
    other = CallContext(actor=CONTEXT.actor, environment="test", task="task-2")
    assert waiting.call(context=other).effect is Effect.QUEUE_FOR_APPROVAL
    assert waiting.sent == []


def test_a_retry_of_a_call_that_ran_does_not_run(waiting: Waiting) -> None:
    """By the framework's own id of the call."""
    outcome = waiting.call(call_id="c-1")
    waiting.approve(outcome)
    assert waiting.call(call_id="c-1").value == "sent"
    again = waiting.call(call_id="c-1")
    assert (again.effect, again.reason) == (Effect.DENY, "call_already_ran")
    assert len(waiting.sent) == 1


def test_the_agent_does_not_approve_itself(waiting: Waiting) -> None:
    """Nor does its user."""
    request = waiting.request(waiting.call())
    assert waiting.governor.approvals is not None
    for subject in ("agent-1", "user-1"):
        step = waiting.governor.approvals.approve(
            request.id, Reviewer(subject, way="cli"), seen=request.binding
        )
        assert step == Denied("self_approval", State.PENDING)


def test_what_nobody_can_explain_is_not_asked(waiting: Waiting) -> None:
    """A consequential call without a consequence is denied, not queued blind."""
    tool = waiting.governor._decider.tools["mail"]
    for silent in (
        None,
        lambda _: " ",
        lambda a: a["missing"],
        lambda _: 5,
        lambda _: "\ud800",
    ):
        object.__setattr__(tool, "consequence", silent)
        outcome = waiting.call()
        assert (outcome.effect, outcome.reason) == (Effect.DENY, "consequence_missing")
    assert waiting.governor.approvals is not None
    assert waiting.governor.approvals.waiting() == []


def test_one_agent_cannot_flood_the_reviewers(waiting: Waiting) -> None:
    """Beyond a hundred open requests its calls are denied; another agent's are not."""
    outcomes = [waiting.call(f"u{number}") for number in range(101)]
    assert outcomes[99].effect is Effect.QUEUE_FOR_APPROVAL
    assert outcomes[100].reason == "too_many_requests"
    other = CallContext(actor=Actor(agent="agent-2", user="u"), environment="test")
    assert waiting.call(context=other).effect is Effect.QUEUE_FOR_APPROVAL


def test_of_many_at_once_one_runs(waiting: Waiting) -> None:
    """The others wait for another release."""
    outcome = waiting.call()
    waiting.approve(outcome)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: waiting.call(), range(24)))
    assert sum(one.value == "sent" for one in outcomes) == 1
    assert len(waiting.sent) == 1
    rest = [one.effect for one in outcomes if one.value != "sent"]
    assert set(rest) == {Effect.QUEUE_FOR_APPROVAL}


def test_of_many_that_ask_at_once_one_request_is_made(waiting: Waiting) -> None:
    """Without an id of the call as well: no copy of it waits beside it."""
    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(lambda _: waiting.call(), range(36)))
    assert {one.effect for one in outcomes} == {Effect.QUEUE_FOR_APPROVAL}
    (request_id,) = {one.approval_id for one in outcomes}
    queue = waiting.governor.approvals
    assert queue is not None
    assert [one.id for one in queue.waiting()] == [request_id]


def test_a_tool_that_fails_burns_its_release_loudly(waiting: Waiting) -> None:
    """One approval is one execution, also of one that fails."""

    def broken(**_: object) -> str:
        raise OSError("no network")

    outcome = waiting.call()
    waiting.approve(outcome)
    object.__setattr__(waiting.governor._decider.tools["mail"], "function", broken)
    with pytest.raises(OSError, match="no network"):
        waiting.call()
    assert waiting.request(outcome).state is State.FAILED
    assert [one["status"] for one in waiting.log("outcome")] == ["failed"]


def test_more_than_json_is_not_resumed(waiting: Waiting) -> None:
    """A date would come back as text: the call has to be made again."""
    arguments = {"text": date(2026, 11, 21)}
    outcome = waiting.call(arguments=arguments)
    waiting.approve(outcome)
    with pytest.raises(ValueError, match="call it again"):
        waiting.governor.resume(outcome.approval_id)
    with pytest.raises(ValueError, match="call it again"):
        asyncio.run(waiting.governor.aresume(outcome.approval_id))
    assert waiting.call(arguments=arguments).value == "sent"
    assert waiting.sent[0]["text"] == date(2026, 11, 21)
    reasons = [(one["tool"], one["reason"]) for one in waiting.log("decision")]
    assert reasons[1:3] == [("mail", "approval_not_resumable")] * 2


def test_a_ticket_keeps_its_release(waiting: Waiting) -> None:
    """`enforce` uses the release; the tool's own function runs under it, once."""
    outcome = waiting.call()
    waiting.approve(outcome)
    released = waiting.governor.enforce(ToolCall("mail", {"to": "ann"}, CONTEXT))
    assert released.ran == "tool"
    assert waiting.request(outcome).state is State.CONSUMED
    with waiting.governor.acting(CONTEXT):
        assert waiting.gated(to="ann") == "sent"
        assert "waiting for a person" in waiting.gated(to="ann")
    assert waiting.request(outcome).state is State.EXECUTED
    assert len(waiting.sent) == 1


def test_what_nobody_saw_end_is_unknown(waiting: Waiting) -> None:
    """Never executed, and never used up for ever without an end."""
    outcome, other = waiting.call(), waiting.call("bert")
    for one in (outcome, other):
        waiting.approve(one)
    done = waiting.governor.decide(ToolCall("mail", {"to": "ann"}, CONTEXT))
    assert waiting.request(outcome).consumed_by == done.record_id
    waiting.governor.close()
    waiting.governor = waiting.opened()
    assert waiting.request(outcome).state is State.UNKNOWN
    assert waiting.request(other).state is State.APPROVED
    assert [one["status"] for one in waiting.log("outcome")] == ["unknown"]


def test_waiting_holds_no_thread(waiting: Waiting) -> None:
    """A coroutine hears of the answer; the loop goes on meanwhile."""
    outcome = waiting.call()
    ticks = 0

    async def wait() -> Request:
        nonlocal ticks
        answer = asyncio.create_task(
            waiting.governor.answered(outcome.approval_id, every_s=0.01)
        )
        while not answer.done():
            ticks += 1
            if ticks == 5:
                threading.Thread(target=waiting.approve, args=(outcome,)).start()
            await asyncio.sleep(0.01)
        done = await answer
        with waiting.governor.acting(CONTEXT):
            assert (await waiting.governor.aresume(done.id)).value == "sent"
        return done

    assert asyncio.run(wait()).state is State.APPROVED
    assert ticks >= 5


def test_waiting_ends_with_the_deadline(waiting: Waiting) -> None:
    """Although no clock goes round anywhere: nobody waits for ever."""
    outcome = waiting.call()
    assert waiting.governor.approvals is not None
    deadline = waiting.request(outcome).deadline_us
    waiting.governor.approvals._now = lambda: deadline

    async def wait() -> Request:
        answer = waiting.governor.answered(outcome.approval_id, every_s=0.01)
        return await asyncio.wait_for(answer, 60)

    assert asyncio.run(wait()).state is State.EXPIRED


def test_a_lowered_amount_is_obeyed_or_nothing_runs(waiting: Waiting) -> None:
    """A tool that does not know the limit does not run beyond it."""
    tool = waiting.governor._decider.tools["mail"]
    object.__setattr__(tool, "extractors", Extractors(amount=lambda a: a["text"]))
    object.__setattr__(tool, "narrow", lambda arguments, _: arguments)
    outcome = waiting.call(arguments={"text": 500})
    waiting.approve(outcome, constraints=(Constraint("amount", limit=10),))
    done = waiting.call(arguments={"text": 500})
    assert (done.effect, done.reason) == (Effect.DENY, "constraint_ignored")
    assert waiting.sent == []
    object.__setattr__(tool, "narrow", lambda a, _: {**a, "text": 10})
    assert waiting.call(arguments={"text": 500}).value == "sent"
    assert waiting.sent == [{"to": "ann", "text": 10}]


def test_every_step_is_in_the_log(waiting: Waiting) -> None:
    """Who released what, and the decision that used it, refer to each other."""
    outcome = waiting.call()
    waiting.approve(outcome, reason="checked with the customer")
    done = waiting.call()
    decisions = waiting.log("decision")
    (answer,) = waiting.log("approval")
    assert [one["effect"] for one in decisions] == ["queue_for_approval", "allow"]
    assert answer["ref"] == outcome.record_id
    assert (answer["reviewer"], answer["rationale"]) == (
        "bob",
        "checked with the customer",
    )
    (release,) = [
        one for one in decisions[1]["verdicts"] if one["control"] == "release"
    ]
    assert release["evidence"]["approval"] == done.approval_id
    assert release["evidence"]["reviewer"] == "bob"


def test_whether_people_could_be_asked_is_no_decision(waiting: Waiting) -> None:
    """Only what the law lets wait; nothing is recorded, and nobody is asked."""
    queues = waiting.governor.aqueues
    given = [
        ToolCall("mail", {"to": "ann"}, CONTEXT),
        ToolCall("mail", {"to": "ann"}),
        ToolCall("mail", {"nonsense": 1}, CONTEXT),
        ToolCall("no_such_tool", {}, CONTEXT),
    ]
    found = [asyncio.run(queues(call)) for call in given]
    assert found == [True, False, False, False]
    assert waiting.log("decision") == []
    assert waiting.governor.approvals is not None
    assert waiting.governor.approvals.waiting() == []


RAISED = Verdict("ours", Mode.AUTONOMOUS, "needs_human", need=Mode.AUTONOMOUS)
GUARDED = "[{kind: custom, function: ask, cap: approval_required}]"
WAITS = [
    ({}, {}, {}, {}, False),
    ({"riskClass": "scoped_read"}, {}, {}, {}, False),
    ({"riskClass": "sensitive_read"}, {}, {}, {}, True),
    ({"riskClass": "reversible_write"}, {}, {}, {}, True),
    (
        {"riskClass": "reversible_write", "reversibility": "automatic"},
        *({}, {}, {}),
        False,
    ),
    ({"approval": "{reviewerGroup: all, requiredFor: [search]}"}, {}, {}, {}, True),
    ({"guardrails": GUARDED}, {"functions": {"ask": lambda *_: False}}, {}, {}, True),
    ({"guardrails": GUARDED}, {"functions": {"ask": lambda *_: True}}, {}, {}, False),
    ({}, {"guardrails": (("ours", lambda *_: RAISED),)}, {}, {}, True),
    ({}, {"authorizer": lambda *_: RAISED}, {}, {}, True),
    ({}, {}, {"risk": lambda _: "external_effect"}, {}, True),
    ({}, {}, {"risk": lambda _: "search"}, {}, False),
    ({}, {}, {}, {"riskClass": "sensitive_read"}, True),
    ({}, {}, {}, {"riskClass": "search"}, False),
]
"""What the contract says, the controls, the extractors, the agent; whether it waits."""


@pytest.mark.parametrize(
    ("says", "controls", "extract", "claims", "waits"), WAITS, ids=map(str, count())
)
def test_whether_people_could_be_asked_is_what_the_law_says(
    tmp_path: Path,
    says: dict[str, str],
    controls: dict[str, Any],
    extract: dict[str, Any],
    claims: dict[str, str],
    waits: bool,
) -> None:
    """However much of it need not be looked at: all that makes a read wait counts."""
    rules = contract_yaml("look", **{"riskClass": "search", **says})
    desk = Desk(tmp_path, rules, Controls(**controls))
    desk.governor.close()
    desk.serve(approval=True)
    files = desk.governance, desk.flags, desk.records
    with Governor.open(*files, controls=Controls(**controls), people=People()) as one:
        one.tool("look", extract=Extractors(**extract))(lambda query: query)
        call = ToolCall("look", {"query": "x"}, replace(CONTEXT, claims=claims))
        assert asyncio.run(one.aqueues(call)) is waits
        assert (one.plan(call).effect is Effect.QUEUE_FOR_APPROVAL) is waits


def test_people_are_asked_without_running_anything(waiting: Waiting) -> None:
    """Once, whether sync or async; nothing is asked about what waits for nobody."""
    call = ToolCall("mail", {"to": "ann"}, CONTEXT)
    asked = waiting.governor.request_approval(call)
    again = asyncio.run(waiting.governor.arequest_approval(call))
    assert asked.approval_id == again.approval_id != ""
    assert waiting.governor.approvals is not None
    assert len(waiting.governor.approvals.waiting()) == 1

    waiting.approve(asked)
    released = waiting.governor.request_approval(call)
    assert (released.effect, released.record_id) == (Effect.ALLOW, "")
    assert waiting.sent == []
    with waiting.governor.acting(CONTEXT):
        assert waiting.governor.resume(asked.approval_id).value == "sent"

    waiting.desk.set(approval=False)
    before = len(waiting.log("decision"))
    assert waiting.governor.request_approval(call).approval_id == ""
    assert len(waiting.log("decision")) == before
    assert len(waiting.sent) == 1

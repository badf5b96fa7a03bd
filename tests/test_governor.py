"""The Governor: what runs, what does not, and what the caller is told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from openfeature_gov import (
    Controls,
    Effect,
    Extractors,
    Mode,
    Status,
    ToolCall,
    Verdict,
)
from openfeature_gov.contracts import Actor, CallContext
from openfeature_gov.ladder import MODES
from tests.conftest import CONTEXT, Make, contract_yaml
from tests.mailing import MAIL, call, log

SAFE = "{safestMode: search_only, owner: team}"


def test_each_mode_runs_what_it_may(desk: Make) -> None:
    """Off denies, observe records, lower modes run their handler, then queue, run."""
    one = desk(MAIL)
    ran: list[str] = []

    @one.governor.tool(
        search=lambda to: ran.append("search"), draft=lambda to: ran.append("draft")
    )
    def mail(to: str) -> None:
        ran.append("tool")

    seen = {}
    for mode in MODES:
        one.set(mode=mode)
        ran.clear()
        outcome = one.governor.run(call(to="x"))
        seen[mode] = (outcome.effect.value, outcome.status.value, list(ran))
    assert seen == {
        "off": ("deny", "not_run", []),
        "observe": ("constrain", "not_run", []),
        "search_only": ("constrain", "executed", ["search"]),
        "scoped_read": ("constrain", "executed", ["search"]),
        "draft_write": ("constrain", "executed", ["draft"]),
        "approval_required": ("queue_for_approval", "not_run", []),
        "autonomous": ("allow", "executed", ["tool"]),
    }


def test_fallback_runs_the_fallback_handler(desk: Make) -> None:
    """In an incident a consequential call falls back; a look-up still runs."""
    one = desk(
        contract_yaml("mail", defaultMode="search_only", rollback=SAFE)
        + "---\n"
        + contract_yaml(
            "look",
            riskClass="search",
            reversibility="automatic",
            defaultMode="search_only",
            rollback=SAFE,
        )
    )
    one.governor.tool("mail", fallback=lambda to: "told a person")(lambda to: "sent")
    one.governor.tool("look")(lambda to: "found")
    one.set(fallback=True)
    outcome = one.governor.run(call(to="x"))
    assert (outcome.effect, outcome.value) == (Effect.FALLBACK, "told a person")
    looked = one.governor.run(call("look", to="x"))
    assert (looked.effect, looked.value) == (Effect.ALLOW, "found")


def test_kill_reaches_a_running_governor(desk: Make) -> None:
    """After a denylist entry or the global switch, the next decision denies."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    assert one.governor.run(call(to="x")).status is Status.EXECUTED
    one.set(denylist=["MAIL "])
    assert one.governor.run(call(to="x")).reason == "denylisted"
    one.set(on=False)
    assert one.governor.run(call(to="x")).reason == "kill_switch"
    assert len(one.calls) == 1


def test_plan_has_no_effect(desk: Make) -> None:
    """A plan says what would happen and leaves no record and no ticket."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    planned = one.governor.plan(call(to="x"))
    assert (planned.effect, planned.status, planned.record_id) == (
        Effect.ALLOW,
        Status.PLANNED,
        "",
    )
    one.set(mode="off")
    with one.governor.acting(CONTEXT):
        assert "denied" in tool(to="x")
    assert [r["effect"] for r in log(one, "decision")] == ["deny"]


def test_unknown_tools_and_unknown_actors_are_denied(desk: Make) -> None:
    """No registration, no look-alike and no missing context leads to a run."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    for name in ("nope", "Mail", "mail ", "m\u0430il", "mail\0", "", "\u202email"):
        assert one.governor.run(call(name, to="x")).reason == "tool_unknown"
    hostile: Any = ["mail"]
    assert one.governor.run(ToolCall(hostile, {}, CONTEXT)).reason == "tool_unknown"
    assert one.governor.run(ToolCall("mail", {"to": 1})).reason == "context_missing"
    assert one.calls == []
    assert len(log(one, "decision")) == 9


def test_garbage_in_place_of_a_context_is_denied(desk: Make) -> None:
    """A context of the wrong type is our caller's mistake and still a decision."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    for garbage in ("user", 5, {"actor": "root"}, object()):
        wrong: Any = garbage
        outcome = one.governor.run(ToolCall("mail", {"to": "x"}, wrong))
        assert (outcome.effect, outcome.reason) == (Effect.DENY, "internal_error")
    assert one.calls == []


def test_hard_boundary_comes_first(desk: Make) -> None:
    """Without the service identity and the scope, no flag lets the action run."""
    boundary = "{serviceIdentity: svc, apiScope: 'mail:send', blockedScopes: [admin]}"
    one = desk(contract_yaml("mail", hardBoundary=boundary))
    one.governor.tool("mail")(one.spy)

    def reason(**actor: Any) -> str:
        context = CallContext(actor=Actor(agent="a", **actor))
        return one.governor.plan(ToolCall("mail", {"to": "x"}, context)).reason

    assert reason() == "service_identity_mismatch"
    assert reason(service="svc") == "scope_missing"
    held = frozenset({"mail:send"})
    assert reason(service="svc", scopes=held) != "scope_missing"
    assert reason(service="svc", scopes=held | {"admin"}) == "blocked_scope_held"


@pytest.mark.parametrize("answer", [None, "allow", True, RuntimeError("x")])
def test_a_guardrail_that_fails_says_off(answer: Any, desk: Make) -> None:
    """A guardrail that raises or answers nonsense denies, and others still count."""

    def guardrail(*_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    one = desk(MAIL, Controls(guardrails=(("mine", guardrail),)))
    one.governor.tool("mail")(one.spy)
    outcome = one.governor.run(call(to="x"))
    assert outcome.effect is Effect.DENY
    assert outcome.reason.startswith("control_")
    assert len(outcome.decision.verdicts) == 11


def test_conditions_need_a_human_unless_someone_says_no(desk: Make) -> None:
    """A named condition counts as true until a registered predicate says False."""
    approval = "{requiredFor: [vip]}"
    rules = contract_yaml(
        "look", riskClass="search", reversibility="automatic", approval=approval
    )

    def effect(*predicates: Any) -> Effect:
        named = dict(zip(["vip"], predicates, strict=False))
        made = desk(rules, Controls(predicates=named))
        made.governor.tool("look")(made.spy)
        made.set(mode="approval_required")
        return made.governor.plan(call("look")).effect

    def fail(_: Any) -> bool:
        raise RuntimeError

    assert effect() is Effect.QUEUE_FOR_APPROVAL
    assert effect(lambda _: True) is Effect.QUEUE_FOR_APPROVAL
    assert effect(lambda _: None) is Effect.QUEUE_FOR_APPROVAL
    assert effect(fail) is Effect.QUEUE_FOR_APPROVAL
    assert effect(lambda _: False) is Effect.ALLOW


def test_without_reviewers_nobody_is_said_to_be_asked(desk: Make) -> None:
    """A queued call that no person will see says so, to `run` and at the gate."""
    one = desk(MAIL)

    @one.governor.tool()
    def mail(to: str) -> str:
        one.calls.append({"to": to})
        return "sent"

    one.set(mode="approval_required")
    queued = one.governor.run(call(to="x"))
    assert (queued.effect, queued.approval_id) == (Effect.QUEUE_FOR_APPROVAL, "")
    with one.governor.acting(CONTEXT):
        told = queued.message, mail(to="x"), one.governor.decide(call(to="x")).message
    for text in told:
        assert "nobody to ask here" in text
        assert "waiting" not in text
        assert "will review" not in text
    assert queued.record_id in queued.message
    assert one.calls == []


def test_message_tells_the_model_what_to_do(desk: Make) -> None:
    """A blocked call says that it was not executed and not to retry, and no rule."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    for mode, word in (("off", "denied"), ("approval_required", "approval")):
        one.set(mode=mode)
        message = one.governor.run(call(to="x")).message
        assert "Not executed" in message
        assert "Do not retry" in message
        assert word in message
        assert "gov." not in message


def test_printed_outcomes_tell_no_argument_and_nobodys_id(desk: Make) -> None:
    """What lands in a host's log says how a call ended, not about what or whom."""

    def seen(*_: Any) -> Verdict:
        return Verdict("seen", Mode.AUTONOMOUS, "ok", evidence={"to": "canary"})

    one = desk(MAIL, Controls(guardrails=(("seen", seen),)))
    one.governor.tool(
        "mail",
        extract=Extractors(
            amount=lambda a: a["amount"], record=lambda _: "canary", currency="EUR"
        ),
    )(lambda to, amount: f"sent to {to}")
    context = replace(CONTEXT, actor=replace(CONTEXT.actor, user="canary-user"))
    given = {"to": "canary", "amount": 4711}
    asked = ToolCall("mail", given, context, call_id="canary-call")
    ran = one.governor.run(asked)
    assert repr(ran) == (
        "Outcome(effect='allow', reason='approval_waived', status='executed', "
        f"record_id='{ran.record_id}', approval_id='')"
    )
    for shown in (repr(ran), repr(ran.decision), repr(ran.contract)):
        assert "canary" not in shown
        assert "4711" not in shown

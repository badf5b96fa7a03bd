"""Tickets: a decision lets exactly one call run, here, now, and for whom it was."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading

import pytest

from openfeature_gov import Status
from openfeature_gov.contracts import Actor, CallContext
from openfeature_gov.controls import Controls
from openfeature_gov.decisions import Verdict
from openfeature_gov.ladder import Mode
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, Make, contract_yaml
from tests.mailing import MAIL, SEARCH, call, log


def test_ticket_lets_exactly_this_call_run_once(desk: Make) -> None:
    """After enforce, the tool runs once for the decided arguments without deciding."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    with one.governor.acting(CONTEXT):
        assert one.governor.enforce(call(to="x")).status is Status.RELEASED
        assert tool(to="x") == "ran"
        one.set(mode="off")
        assert "denied" in tool(to="x")
    assert one.calls == [{"to": "x"}]
    assert [r["effect"] for r in log(one, "decision")] == ["allow", "deny"]


def decided(desk: Desk) -> list[str]:
    """Return the effects of all decisions; a run under a ticket adds none."""
    return [r["effect"] for r in log(desk, "decision")]


def test_late_edit_of_the_arguments_meets_a_decision(desk: Make) -> None:
    """A ticket for one set of arguments does not fit another."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    with one.governor.acting(CONTEXT):
        one.governor.enforce(call(to="x"))
        assert tool(to="y") == "ran"
        assert tool(to="x") == "ran"
    assert one.calls == [{"to": "y"}, {"to": "x"}]
    assert len(decided(one)) == 2


def test_ticket_is_for_one_tool(desk: Make) -> None:
    """A ticket for one tool does not open another that takes the same arguments."""
    one = desk(MAIL + "---\n" + SEARCH)
    tool = one.governor.tool("mail")(one.spy)
    other = one.governor.tool("look")(one.spy)
    with one.governor.acting(CONTEXT):
        one.governor.enforce(call("look", to="x"))
        assert tool(to="x") == "ran"
        assert other(to="x") == "ran"
    assert [record["tool"] for record in log(one, "decision")] == ["look", "mail"]


def test_a_kill_between_decision_and_run_is_obeyed(desk: Make) -> None:
    """A ticket is worth nothing once the action would be denied."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    with one.governor.acting(CONTEXT):
        one.governor.enforce(call(to="x"))
        one.set(denylist=["mail"])
        assert "denied" in tool(to="x")
        one.set()
        assert tool(to="x") == "ran"
    assert len(one.calls) == 1
    assert decided(one) == ["allow", "deny", "allow"]
    assert [r["status"] for r in history.records(one.records, kind="outcome")] == [
        "not_run",
        "executed",
    ]


def test_ticket_is_for_the_one_decided_about(desk: Make) -> None:
    """Somebody else's session does not run under this session's decision."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    other = CallContext(actor=Actor(agent="agent-2"), task="task-2")
    with one.governor.acting(CONTEXT):
        one.governor.enforce(call(to="x"))
        with one.governor.acting(other):
            assert tool(to="x") == "ran"
    tasks = [r["context"]["task"] for r in log(one, "decision")]
    assert tasks == ["task-1", "task-2"]


def test_ticket_is_for_one_governor(desk: Make) -> None:
    """Another Governor's gate does not take it, however alike tool and arguments."""
    one, two = desk(MAIL), desk(MAIL)
    one.governor.tool("mail")(one.spy)
    gate = two.governor.tool("mail")(two.spy)
    with one.governor.acting(CONTEXT):
        one.governor.enforce(call(to="x"))
        assert gate(to="x") == "ran"
    assert (one.calls, two.calls) == ([], [{"to": "x"}])
    assert decided(two) == ["allow"]


def test_ticket_is_for_one_process(desk: Make) -> None:
    """A fork copies the ticket; the child meets a decision of its own."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    with one.governor.acting(CONTEXT):
        one.governor.enforce(call(to="x"))
        child = os.fork()
        if child == 0:
            code = 1
            try:
                tool(to="x")
                one.governor.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        tool(to="x")
    records = history.records(one.records)
    refs = [r["ref"] for r in records if r["kind"] == "outcome"]
    assert len(refs) == len(set(refs))
    assert len([r for r in records if r["kind"] == "decision"]) == 2


def test_ticket_is_single_use_across_threads(desk: Make) -> None:
    """Copies of the context that race for one ticket: one runs under it."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    with one.governor.acting(CONTEXT):
        one.governor.enforce(call(to="x"))
        ready = threading.Barrier(8)

        def race() -> None:
            ready.wait()
            tool(to="x")

        copies = [contextvars.copy_context() for _ in range(8)]
        threads = [threading.Thread(target=one.run, args=(race,)) for one in copies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(one.calls) == 8
    records = log(one)
    refs = [r["ref"] for r in records if r["kind"] == "outcome"]
    assert len(refs) == len(set(refs)) == 8
    assert len([r for r in records if r["kind"] == "decision"]) == 8


def test_ticket_expires(desk: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a ticket that was not used in time, a call meets its own decision."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    monkeypatch.setattr("openfeature_gov.tickets.LIFETIME_NS", 0)
    with one.governor.acting(CONTEXT):
        one.governor.enforce(call(to="x"))
        assert tool(to="x") == "ran"
    assert len(log(one, "decision")) == 2


def alive(*_: object) -> Verdict:
    """Say autonomous as long as the event loop goes on meanwhile."""
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), LOOPS[-1]).result(20)
    return Verdict("alive", Mode.AUTONOMOUS, "fine")


LOOPS: list[asyncio.AbstractEventLoop] = []


@pytest.mark.parametrize("way", ["gate", "rate", "run"])
def test_a_control_of_the_host_never_holds_the_loop_up(desk: Make, way: str) -> None:
    """Not where a ticket is old, nor where a call is judged again for its rate."""
    rate = {"rateLimits": "[{rate: 1/day}]"} if way == "rate" else {}
    controls = Controls(guardrails=(("alive", alive),), budget_ms=60_000)
    one = desk(contract_yaml("mail", **rate), controls)

    async def mail(to: str) -> str:
        return one.spy(to=to)

    tool = one.governor.tool("mail")(mail)

    async def calls() -> None:
        LOOPS.append(asyncio.get_running_loop())
        if way == "gate":
            with one.governor.acting(CONTEXT):
                await one.governor.aenforce(call(to="x"))
                await tool(to="x")
        else:
            await one.governor.arun(call(to="x"))
            await one.governor.arun(call(to="x"))

    asyncio.run(calls())
    effects = ["allow"] if way == "gate" else ["allow", "allow"]
    assert [record["effect"] for record in log(one, "decision")] == (
        ["allow", "deny"] if way == "rate" else effects
    )
    assert len(one.calls) == (2 if way == "run" else 1)
    assert "control_failed" not in str(log(one, "decision"))


def test_direct_call_without_context_is_denied(desk: Make) -> None:
    """Whoever calls the function itself, outside any session, gets a refusal."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    assert "denied" in tool(to="x")
    assert one.calls == []

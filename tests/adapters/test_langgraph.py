"""LangChain and LangGraph, really: the suite, and what is theirs alone."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest

pytest.importorskip("langgraph", reason="run python -m tests.adapters langgraph")

from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from openfeature_gov.adapters.langgraph import Governed, wake
from openfeature_gov.contracts import Actor, CallContext
from openfeature_gov.testing.conformance import (
    BOTH,
    LARGE,
    SMALL,
    AdapterSuite,
    Opened,
)
from openfeature_gov.testing.rigs import Call
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.langgraph_rig import LangGraphRig, played, scripted, tools
from tests.conftest import CONTEXT, Make, contract_yaml

GO: dict[str, Any] = {"messages": [HumanMessage("go")]}


class TestLangGraph(AdapterSuite):
    """The suite."""

    rig = LangGraphRig

    def test_no_checkpointer_no_pause(self, place: Workplace) -> None:
        """The model is told, and the identical call runs once when it was agreed."""
        for ran in (0, 1, 1):
            agent = create_agent(
                scripted([LARGE]), tools(place), middleware=[_ours(place)]
            )
            result = agent.invoke(GO)
            assert "__interrupt__" not in result
            assert len(place.ran()) == ran
            if ran == 0:
                (request,) = place.waiting()
                assert request.id in played(result, "").answers["call-1"]
                place.approve(request)

    def test_a_scalar_resume_is_only_a_wake_up(self, place: Workplace) -> None:
        """Whatever it says, the store is asked."""
        agent = create_agent(
            scripted([LARGE]),
            tools(place),
            middleware=[_ours(place)],
            checkpointer=InMemorySaver(),
        )
        config: Any = {"configurable": {"thread_id": "t-1"}}
        agent.invoke(GO, config)
        agent.invoke(Command(resume={"decision": "approve"}), config)
        assert place.ran() == []
        place.approve(place.waiting()[0])
        agent.invoke(Command(resume="reject"), config)
        assert len(place.ran()) == 1

    @pytest.mark.parametrize("outside", [True, False])
    def test_retries(self, place: Workplace, outside: bool) -> None:
        """Each attempt is decided about, wherever the retry stands."""
        retry = ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False)
        ours = _ours(place)
        agent = create_agent(
            scripted([Call("charge", {"order": "o-1"})]),
            tools(place),
            middleware=[retry, ours] if outside else [ours, retry],
        )
        agent.invoke(GO)
        assert len(place.ran("charge")) == 3
        assert len(place.log("decision")) == 3
        assert [one["status"] for one in place.log("outcome")] == ["failed"] * 3

    def test_an_error_answer_is_a_failure(self, place: Workplace) -> None:
        """What LangChain's own validation refuses did not succeed."""
        agent = create_agent(
            scripted([Call("fetch", {})]), tools(place), middleware=[_ours(place)]
        )
        agent.invoke(GO)
        assert place.ran() == []
        assert [one["status"] for one in place.log("outcome")] == ["failed"]

    def test_only_registered_tools_are_shown(self, place: Workplace) -> None:
        """Hiding is for the model's sake; it is no enforcement."""
        model, seen = scripted(), list[str]()

        def bind_tools(tools: Any, **_: Any) -> Any:
            seen.extend(map(_name, tools))
            return model

        object.__setattr__(model, "bind_tools", bind_tools)
        create_agent(model, tools(place), middleware=[_ours(place)]).invoke(GO)
        assert set(seen) == {*place.tools, "fetch"}

    def test_who_acts_comes_from_the_runtime(self, place: Workplace) -> None:
        """User from the context, session from the thread; never from the model."""
        agent = create_agent(
            scripted([SMALL]),
            tools(place),
            middleware=[_ours(place)],
            checkpointer=InMemorySaver(),
            context_schema=dict,
        )
        config: Any = {"configurable": {"thread_id": "t-1"}}
        agent.invoke(GO, config, context={"user_id": "customer-7"})
        (decision,) = place.log("decision")
        assert (decision["user"], decision["session"]) == ("customer-7", "t-1")

    def test_a_user_that_is_no_id_is_nobody(self, place: Workplace) -> None:
        """An e-mail address is refused, and nobody else's identity stands in."""
        agent = create_agent(
            scripted([SMALL]),
            tools(place),
            middleware=[_ours(place)],
            context_schema=dict,
        )
        with place.governor.acting(WHO):
            agent.invoke(GO, context={"user_id": "ann@example.com"})
        assert place.ran() == []
        assert place.log("decision")[0]["reason"] == "context_missing"

    def test_who_may_be_a_function(self, place: Workplace) -> None:
        """It reads the framework's own request."""

        def who(request: Any) -> CallContext:
            return CallContext(actor=Actor(agent=f"agent-{request.tool.name}"))

        agent = create_agent(
            scripted([SMALL]), tools(place), middleware=[Governed(place.governor, who)]
        )
        agent.invoke(GO)
        assert place.log("decision")[0]["context"]["agent"] == "agent-refund"

    @BOTH
    def test_a_hand_off(self, place: Workplace, asynchronous: bool) -> None:
        """It is a tool call itself, and the agent behind it is governed and pauses."""
        desk = _desk(place, [_ours(place)], InMemorySaver())
        config: Any = {"configurable": {"thread_id": "t-1"}}
        paused = _invoked(desk, GO, config, asynchronous)
        assert [one.value["tool"] for one in paused["__interrupt__"]] == ["refund"]
        assert [one["tool"] for one in place.log("decision")] == ["fetch", "refund"]
        assert [one["status"] for one in place.log("outcome")] == ["executed"]
        for ran in (0, 1):
            _invoked(desk, wake(desk.get_state(config)), config, asynchronous)
            assert len(place.ran("refund")) == ran
            if ran == 0:
                place.approve(place.waiting()[0])

    @BOTH
    def test_a_hand_off_to_an_agent_without_an_adapter(
        self, place: Workplace, asynchronous: bool
    ) -> None:
        """The gate decides, and nobody acts: an agent of its own has no parent."""
        _invoked(_desk(place, []), GO, {}, asynchronous)
        assert place.ran() == []
        _, decision = place.log("decision")
        assert (decision["tool"], decision["reason"]) == ("refund", "context_missing")

    @BOTH
    def test_a_hand_off_that_is_denied(
        self, place: Workplace, asynchronous: bool
    ) -> None:
        """Nobody is handed anything."""
        place.serve("fetch.mode", "off")
        result = _invoked(_desk(place, [_ours(place)]), GO, {}, asynchronous)
        assert [one["tool"] for one in place.log("decision")] == ["fetch"]
        assert "denied" in played(result, "").answers["call-0"]
        assert place.waiting() == []

    def test_prefixed_names_are_one_tool(self, opened: Opened, tmp_path: Path) -> None:
        """A prefix of the framework is mapped; without the map the tool is unknown."""
        place = opened()
        prefixed = [one for one in tools(place) if one.name == "refund"]
        prefixed[0].name = "bank_refund"
        call = Call("bank_refund", SMALL.arguments)
        for names, ran in ((None, 0), ({"bank_refund": "refund"}, 1)):
            ours = Governed(place.governor, WHO, names)
            create_agent(scripted([call]), prefixed, middleware=[ours]).invoke(GO)
            assert len(place.ran("refund")) == ran


def _ours(place: Workplace) -> Governed:
    return Governed(place.governor, WHO)


def _desk(place: Workplace, second: list[Any], saver: Any = None) -> Any:
    """Return two agents; the first hands over to one that has *second* before it."""

    def transfer(call: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Hand over."""
        answer = {"messages": [ToolMessage("handed over", tool_call_id=call)]}
        return Command(goto="second", graph=Command.PARENT, update=answer)

    ours = Governed(place.governor, WHO, {"transfer": "fetch"})
    hand_off = StructuredTool.from_function(transfer)
    first = scripted([Call("transfer", {}, "call-0")])
    graph = StateGraph(MessagesState)
    graph.add_node("first", create_agent(first, [hand_off], middleware=[ours]))
    behind = create_agent(scripted([LARGE]), tools(place), middleware=second)
    graph.add_node("second", behind)
    graph.add_edge(START, "first")
    return graph.compile(checkpointer=saver)


def _invoked(graph: Any, given: Any, config: Any, asynchronous: bool) -> Any:
    if asynchronous:
        return asyncio.run(graph.ainvoke(given, config))
    return graph.invoke(given, config)


def _name(tool: Any) -> str:
    return str(tool.name)


def test_a_tool_computes_with_what_it_asked_for(desk: Make) -> None:
    """The model writes JSON; LangChain makes a Decimal of it, for the tool."""
    one, got = desk(contract_yaml("pay")), list[Any]()

    def pay(amount: Decimal, due: date) -> str:
        """Pay *amount* when it is *due*."""
        got.append((amount * 2, due))
        return "paid"

    tool = StructuredTool.from_function(one.governor.tool("pay")(pay))
    given = {"amount": "10.50", "due": "2026-11-22"}
    ours = Governed(one.governor, CONTEXT)
    agent = create_agent(scripted([Call("pay", given)]), [tool], middleware=[ours])
    result = agent.invoke(GO)
    assert played(result, "").answers["call-1"] == "paid"
    assert got == [(Decimal("21.00"), date(2026, 11, 22))]

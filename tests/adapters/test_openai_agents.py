"""The OpenAI Agents SDK, really: the suite, and what is its alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("agents", reason="run python -m tests.adapters openai-agents")

from agents import CustomTool, Runner, RunState, WebSearchTool, handoff

from openfeature_gov import RegistrationError
from openfeature_gov.adapters.openai_agents import govern, wake
from openfeature_gov.testing.conformance import AdapterSuite
from openfeature_gov.testing.rigs import Call
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.openai_agents_rig import OpenAIAgentsRig, bare


class TestOpenAIAgents(AdapterSuite):
    """The suite."""

    rig = OpenAIAgentsRig

    def test_wake_leaves_what_waits(self, place: Workplace) -> None:
        """Only a call whose request was answered goes on."""
        calls = [
            Call("refund", {"order": "o-1", "amount": 500}, "call-1"),
            Call("refund", {"order": "o-2", "amount": 500}, "call-2"),
        ]
        paused = self.rig().play(place, calls, asynchronous=True)
        first = next(one for one in place.waiting() if one.call_id == "call-1")
        place.approve(first)
        agent = bare(place, [])
        agent = govern(agent, place.governor, WHO)

        async def run() -> Any:
            state = await RunState.from_string(agent, paused.state)
            return await Runner.run(agent, wake(state, place.governor))

        result = asyncio.run(run())
        assert [one["arguments"]["order"] for one in place.ran()] == ["o-1"]
        assert [one.call_id for one in result.interruptions] == ["call-2"]

    def test_hand_overs_are_governed(self, place: Workplace) -> None:
        """Also where agents hand over to each other in a circle."""
        second = bare(place, [Call("fetch", {"url": "u"}), Call("hidden", {}, "c-2")])
        first = bare(place, [Call("transfer_to_second", {}, "c-0")])
        second.name, second.handoffs, first.handoffs = "second", [first], [second]
        governed = govern(first, place.governor, WHO)
        assert governed.handoffs[0].handoffs[0] is governed
        asyncio.run(Runner.run(governed, "go"))
        assert [one["tool"] for one in place.ran()] == ["fetch"]
        assert len(place.log("decision")) == 2

    def test_a_hand_off_object_is_governed(self, place: Workplace) -> None:
        """Whatever agent it returns, and governed once if it was so before."""
        calls = [Call("fetch", {"url": "u"}), Call("hidden", {}, "c-2")]
        for before in (False, True):
            second = bare(place, calls)
            second.name = "second"
            if before:
                second = govern(second, place.governor, WHO)
            first = bare(place, [Call("transfer_to_second", {}, "c-0")])
            first.handoffs = [handoff(second)]
            asyncio.run(Runner.run(govern(first, place.governor, WHO), "go"))
        assert [one["tool"] for one in place.ran()] == ["fetch", "fetch"]
        assert len(place.log("decision")) == 4

    def test_a_resume_finds_the_agent_behind_a_hand_off_object(
        self, place: Workplace
    ) -> None:
        """And finds the governed one: a yes of the framework runs nothing."""

        def pair(*calls: Call) -> Any:
            second = bare(place, calls)
            second.name = "second"
            first = bare(place, [Call("transfer_to_second", {}, "c-0")])
            first.handoffs = [handoff(second)]
            return govern(first, place.governor, WHO)

        large = Call("fetch", {"url": "u"}, "c-1")
        place.serve("fetch.approval", "true")

        async def run() -> Any:
            paused = await Runner.run(pair(large), "go")
            again = pair()
            state = await RunState.from_string(again, paused.to_state().to_string())
            for item in state.get_interruptions():
                state.approve(item)
            return paused, await Runner.run(again, state)

        paused, _ = asyncio.run(run())
        assert len(paused.interruptions) == 1
        assert place.ran() == []

    def test_what_nobody_would_decide_about_is_refused(self, place: Workplace) -> None:
        """Unless the author says that it may stay, also behind a hand-off."""

        async def shell(_ctx: Any, _raw: str) -> str:
            return place.hidden("orders")

        agent, outer = bare(place, []), bare(place, [])
        custom = CustomTool(name="shell", description="runs", on_invoke_tool=shell)
        agent.tools += [WebSearchTool(), custom]
        outer.handoffs = [handoff(agent)]
        for one in (agent, outer):
            with pytest.raises(RegistrationError, match="about shell, web_search"):
                govern(one, place.governor, WHO)
        with pytest.raises(RegistrationError, match="about shell;"):
            govern(agent, place.governor, WHO, uncovered=["web_search"])
        govern(agent, place.governor, WHO, uncovered=["web_search", "shell"])

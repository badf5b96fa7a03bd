"""The OpenAI Agents SDK, really: the suite, and what is its alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("agents", reason="run python -m tests.adapters openai-agents")

from agents import Runner, RunState

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

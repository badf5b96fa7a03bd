"""Microsoft Agent Framework, really: the suite, and what is its alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip(
    "agent_framework", reason="run python -m tests.adapters agent-framework"
)

from agent_framework import Agent, AgentSession
from agent_framework_orchestrations import HandoffBuilder

from openfeature_gov.adapters.agent_framework import Governed, wake
from openfeature_gov.testing.conformance import BOTH, LARGE, AdapterSuite
from openfeature_gov.testing.rigs import Call
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.agent_framework_rig import AgentFrameworkRig, scripted, tools


class TestAgentFramework(AdapterSuite):
    """The suite."""

    rig = AgentFrameworkRig

    @BOTH
    def test_malformed_arguments(self, place: Workplace, asynchronous: bool) -> None:
        """What the tool cannot take does not run; the framework drops a surplus."""
        for arguments in ({"order": "o-1", "amount": "lots"}, {"amount": 5}):
            call = Call("refund", arguments)
            self.rig().play(place, [call], asynchronous=asynchronous)
        assert place.ran() == []
        surplus = Call("refund", {"order": "o-1", "amount": 5, "to": "me"})
        self.rig().play(place, [surplus], asynchronous=asynchronous)
        assert [one["arguments"] for one in place.ran()] == [
            {"order": "o-1", "amount": 5, "note": ""}
        ]

    def test_another_session_wakes_up_nothing(self, place: Workplace) -> None:
        """The framework knows no request there; ours is still waiting."""
        paused = self.rig().play(place, [LARGE], asynchronous=True)
        place.approve(place.waiting()[0])
        held = json.loads(paused.state)
        held["session"] = AgentSession().to_dict()
        self.rig().wake(place, json.dumps(held), asynchronous=True)
        assert place.ran() == []

    @pytest.mark.parametrize("answered", [False, True])
    def test_a_hand_off(self, place: Workplace, answered: bool) -> None:
        """It is a tool call itself, and the agent behind it is governed and pauses."""

        async def run() -> None:
            desk = _desk(place, [Governed(place.governor, WHO)])
            paused = await desk.run("go")
            effects = [(one["tool"], one["effect"]) for one in place.log("decision")]
            assert effects == [("fetch", "allow"), ("refund", "queue_for_approval")]
            assert [one["status"] for one in place.log("outcome")] == ["unknown"]
            if answered:
                place.approve(place.waiting()[0])
            waiting = paused.get_request_info_events()
            await desk.run(
                responses={one.request_id: wake(one.data) for one in waiting}
            )
            assert len(place.ran("refund")) == answered

        asyncio.run(run())

    def test_a_hand_off_to_an_agent_without_an_adapter(self, place: Workplace) -> None:
        """The gate decides, and nobody acts: an agent of its own has no parent."""
        asyncio.run(_desk(place, []).run("go"))
        assert place.ran() == []
        _, decision = place.log("decision")
        assert (decision["tool"], decision["reason"]) == ("refund", "context_missing")

    def test_a_hand_off_that_is_denied(self, place: Workplace) -> None:
        """Nobody is handed anything."""
        place.serve("fetch.mode", "off")
        asyncio.run(_desk(place, [Governed(place.governor, WHO)]).run("go"))
        assert [one["tool"] for one in place.log("decision")] == ["fetch"]
        assert place.waiting() == []


def _desk(place: Workplace, middleware: list[Any]) -> Any:
    """Return two agents; the first hands over to one that has *middleware*."""

    def agent(name: str, call: Call, before: list[Any], given: list[Any]) -> Any:
        return Agent(
            scripted([call]),
            id=name,
            name=name,
            tools=given,
            middleware=before,
            require_per_service_call_history_persistence=True,
        )

    ours = Governed(place.governor, WHO, {"handoff_to_second": "fetch"})
    first = agent("first", Call("handoff_to_second", {}, "call-0"), [ours], [])
    second = agent("second", LARGE, middleware, tools(place))
    built = HandoffBuilder(name="desk", participants=[first, second])
    return built.with_start_agent(first).build()

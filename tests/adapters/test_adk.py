"""Google ADK, really: the suite, and what is its alone."""

from __future__ import annotations

import pytest

pytest.importorskip("google.adk", reason="run python -m tests.adapters adk")

import asyncio

from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.runners import InMemoryRunner
from google.adk.tools.agent_tool import AgentTool

from openfeature_gov.adapters.adk import Governed
from openfeature_gov.testing.conformance import AdapterSuite
from openfeature_gov.testing.rigs import Call
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.adk_rig import ADKRig, scripted, tools


class TestADK(AdapterSuite):
    """The suite."""

    rig = ADKRig

    @pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")
    def test_an_agent_as_a_tool(self, place: Workplace) -> None:
        """The plugin covers its tools too, also those without a gate."""
        turn = [Call("hidden", {"table": "t"}), Call("fetch", {"url": "u"}, "call-2")]
        helper = LlmAgent(name="helper", model=scripted(turn), tools=tools(place))
        asks = scripted([Call("helper", {"request": "go"}, "call-0")])
        desk = LlmAgent(name="desk", model=asks, tools=[AgentTool(helper)])
        ours = Governed(place.governor, WHO, {"helper": "fetch"})
        runner = InMemoryRunner(app=App(name="a", root_agent=desk, plugins=[ours]))
        asyncio.run(runner.run_debug("go", quiet=True))
        assert [one["tool"] for one in place.ran()] == ["fetch"]
        tried = sorted(one["tool"] for one in place.log("decision"))
        assert tried == ["fetch", "fetch", "hidden"]

    @pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")
    @pytest.mark.parametrize("known", [False, True])
    def test_a_hand_over(self, place: Workplace, known: bool) -> None:
        """A transfer is a tool call, and so are those of who takes over."""
        turn = [
            Call("drop_table", {"table": "t"}),
            Call("hidden", {"table": "t"}, "call-2"),
        ]
        helper = LlmAgent(name="helper", model=scripted(turn), tools=tools(place))
        to = {"agent_name": "helper"}
        asks = scripted([Call("transfer_to_agent", to, "call-0")])
        desk = LlmAgent(name="desk", model=asks, sub_agents=[helper])
        names = {"transfer_to_agent": "fetch"} if known else {}
        ours = Governed(place.governor, WHO, names)
        runner = InMemoryRunner(app=App(name="a", root_agent=desk, plugins=[ours]))
        asyncio.run(runner.run_debug("go", quiet=True))
        assert place.ran() == []
        tried = sorted(one["tool"] for one in place.log("decision"))
        covered = ["drop_table", "fetch", "hidden"]
        assert tried == (covered if known else ["transfer_to_agent"])

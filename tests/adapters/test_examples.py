"""The example and the README's section of each framework, where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.testing.conformance import SMALL
from openfeature_gov.testing.workplace import WHO, Workplace

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FRAMEWORKS = {
    "langgraph": "langgraph",
    "fastmcp": "fastmcp",
    "mcp": "mcp_types",
    "openai_agents": "agents",
    "pydantic_ai": "pydantic_ai",
    "claude_agent": "claude_agent_sdk",
    "agent_framework": "agent_framework",
    "adk": "google.adk",
    "crewai": "crewai",
}
"""The package that each adapter needs."""


def installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False


def needed(name: str) -> None:
    if not installed(FRAMEWORKS[name]):
        pytest.skip(f"run python -m tests.adapters {name.replace('_', '-')}")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_example_keeps_its_promises(name: str) -> None:
    """One command, offline; it checks what was paid itself."""
    needed(name)
    command = [sys.executable, f"examples/{name}_refund.py"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line.split()[0] for line in done.stdout.splitlines()]
    for word in ("allow", "constrain", "queue", "approved", "deny", "fallback"):
        assert word in told


def section(name: str) -> str:
    blocks = re.findall(r"^```py\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (found,) = (one for one in blocks if f"openfeature_gov.adapters.{name} " in one)
    return found


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_section_is_short(name: str) -> None:
    """At most ten lines a framework."""
    assert len(section(name).splitlines()) <= 10


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_section_governs(name: str, tmp_path: Path) -> None:
    """What it says is run, with a model of ours, and lets a governed tool run once."""
    needed(name)
    place = Workplace(tmp_path)
    try:
        known: dict[str, Any] = {
            "governor": place.governor,
            "context": WHO,
            "refund": place.tools["refund"],
            "model": model(name),
            "place": place,
        }
        if name == "claude_agent":
            from tests.adapters.claude_agent_rig import bare

            known["server"] = bare(place).mcp_servers["shop"]
        exec(section(name), known)  # noqa: S102 - the README's own words
        used(name, known)
        assert [one["arguments"]["amount"] for one in place.ran()] == [50]
        assert len(place.log("decision")) == 1
    finally:
        place.close()


def model(name: str) -> Any:
    if name == "langgraph":
        from tests.adapters.langgraph_rig import scripted

        return scripted([SMALL])
    if name == "openai_agents":
        from agents.testing import ScriptedModel, assistant_message, function_call

        call = function_call(SMALL.tool, SMALL.arguments, call_id=SMALL.id)
        return ScriptedModel([[call], [assistant_message("done")]])
    if name == "crewai":
        from tests.adapters.crewai_rig import scripted as scripted_crew

        return scripted_crew([SMALL])
    if name == "adk":
        from tests.adapters.adk_rig import scripted as scripted_llm

        return scripted_llm([SMALL])
    if name == "agent_framework":
        from tests.adapters.agent_framework_rig import scripted as scripted_client

        return scripted_client([SMALL])
    if name == "pydantic_ai":
        from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
        from pydantic_ai.models.function import FunctionModel

        call = ToolCallPart(SMALL.tool, SMALL.arguments, SMALL.id)
        turns = iter([[call], [TextPart("done")]])
        return FunctionModel(lambda *_: ModelResponse(parts=next(turns)))
    return None


def used(name: str, known: dict[str, Any]) -> None:
    if name == "langgraph":
        config = {"configurable": {"thread_id": "t-1"}}
        known["agent"].invoke({"messages": [("user", "go")]}, config)
    elif name == "openai_agents":
        from agents import Runner, set_tracing_disabled

        set_tracing_disabled(True)
        asyncio.run(Runner.run(known["agent"], "go"))
    elif name in ("pydantic_ai", "agent_framework"):
        asyncio.run(known["agent"].run("go"))
    elif name == "crewai":
        try:
            known["crew"].kickoff()
        finally:
            known["ours"].unregister()
    elif name == "adk":
        asyncio.run(known["runner"].run_debug("go", quiet=True))
    elif name == "claude_agent":
        from tests.adapters.claude_agent_rig import asked

        asked(known["place"], known["options"], [SMALL], asynchronous=True)
    else:
        package = importlib.import_module(name)

        async def call() -> None:
            async with package.Client(known["server"]) as client:
                await client.call_tool(SMALL.tool, SMALL.arguments)

        asyncio.run(call())

"""Time a tool call in each installed framework, bare and governed, in one run.

    python -m tests.benchmarks.adapters [--quick] [--json]

Times the frameworks that are installed, such as in ``.adapters/langgraph-latest``; *no
framework* is what every adapter does by itself, without the framework's hooks. Bare
and governed calls take turns, as does ``decide``; what counts is the difference of
medians in the same run, in processor time of the calling thread. The tool only reads,
as most calls of an agent do: one that changes something waits for the disk as well.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.adapters.shape import Asked, Door
from openfeature_gov.contracts import ToolCall
from openfeature_gov.governor import Governor
from openfeature_gov.testing.workplace import WHO
from tests.conftest import contract_yaml, flag_document

ALLOWED_US, WARM_UP = 50, 50
TOOL, ARGUMENTS = "look_up", {"query": "kettles"}
Timed = Callable[[], Awaitable[int]]


def no_framework(governor: Governor, tool: Any, *, ours: bool) -> Timed:
    """Return what every adapter does, without a framework around it."""
    door = Door(governor, WHO)

    async def body(arguments: dict[str, Any]) -> Any:
        return await tool(**arguments)

    async def timed() -> int:
        started = time.thread_time_ns()
        if ours:
            admitted = await door.aadmit(Asked(tool=TOOL, arguments=ARGUMENTS))
            await admitted.arun(body)
        else:
            await body(ARGUMENTS)
        return time.thread_time_ns() - started

    return timed


def langgraph(governor: Governor, tool: Any, *, ours: bool) -> Timed:
    from langchain_core.messages import AIMessage
    from langchain_core.tools import StructuredTool
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode

    from openfeature_gov.adapters.langgraph import Governed

    made = StructuredTool.from_function(coroutine=tool)
    wrap = Governed(governor, WHO).awrap_tool_call if ours else None
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([made], awrap_tool_call=wrap))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    compiled = graph.compile()
    call = {"name": TOOL, "args": ARGUMENTS, "id": "c", "type": "tool_call"}
    given: Any = {"messages": [AIMessage("", tool_calls=[call])]}

    async def timed() -> int:
        started = time.thread_time_ns()
        await compiled.ainvoke(given)
        return time.thread_time_ns() - started

    return timed


def mcp(governor: Governor, tool: Any, *, ours: bool) -> Timed:
    from mcp import Client
    from mcp.server.mcpserver import MCPServer

    from openfeature_gov.adapters.mcp import Governed

    middleware: list[Any] = [Governed(governor, WHO)] if ours else []
    server = MCPServer("bench", middleware=middleware)
    server.add_tool(tool, name=TOOL)
    return _served(Client(server))


def fastmcp(governor: Governor, tool: Any, *, ours: bool) -> Timed:
    from fastmcp import Client, FastMCP

    from openfeature_gov.adapters.fastmcp import Governed

    middleware: list[Any] = [Governed(governor, WHO)] if ours else []
    server: FastMCP = FastMCP("bench", middleware=middleware)
    server.tool(tool, name=TOOL)
    return _served(Client(server))


def _served(client: Any) -> Timed:
    async def timed() -> int:
        if not opened:
            opened.append(await client.__aenter__())
        started = time.thread_time_ns()
        await client.call_tool(TOOL, ARGUMENTS)
        return time.thread_time_ns() - started

    opened: list[Any] = []
    return timed


def openai_agents(governor: Governor, tool: Any, *, ours: bool) -> Timed:
    from agents import Agent, function_tool
    from agents.tool_context import ToolContext

    from openfeature_gov.adapters.openai_agents import govern

    agent: Any = Agent(name="bench", tools=[function_tool(tool)])
    made = (govern(agent, governor, WHO) if ours else agent).tools[0]
    raw = json.dumps(ARGUMENTS)

    async def timed() -> int:
        context: Any = ToolContext(
            None, tool_name=TOOL, tool_call_id="c", tool_arguments=raw
        )
        started = time.thread_time_ns()
        await made.needs_approval(context, ARGUMENTS, "c") if ours else None
        await made.on_invoke_tool(context, raw)
        return time.thread_time_ns() - started

    return timed


def pydantic_ai(governor: Governor, tool: Any, *, ours: bool) -> Timed:
    from pydantic_ai import Agent, Tool
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    from openfeature_gov.adapters.pydantic_ai import Governed

    def model(messages: Any, _info: Any) -> ModelResponse:
        done = any(isinstance(one, ModelResponse) for one in messages)
        call = ToolCallPart(TOOL, ARGUMENTS, "c")
        return ModelResponse(parts=[TextPart("done") if done else call])

    capabilities: list[Any] = [Governed(governor, WHO)] if ours else []
    agent = Agent(FunctionModel(model), tools=[Tool(tool)], capabilities=capabilities)

    async def timed() -> int:
        started = time.thread_time_ns()
        await agent.run("go")
        return time.thread_time_ns() - started

    return timed


FRAMEWORKS: dict[str, tuple[str, Callable[..., Timed]]] = {
    "no framework": ("openfeature_gov", no_framework),
    "langgraph": ("langgraph", langgraph),
    "fastmcp": ("fastmcp", fastmcp),
    "mcp": ("mcp", mcp),
    "openai_agents": ("agents", openai_agents),
    "pydantic_ai": ("pydantic_ai", pydantic_ai),
}


async def measured(name: str, governor: Governor, rounds: int) -> dict[str, float]:
    """Return the medians of *rounds* turns of each, in microseconds."""

    async def look_up(query: str, limit: int = 100) -> str:
        """Find documents."""
        return f"{query} {limit}"

    make, gated = FRAMEWORKS[name][1], governor.tool(TOOL)(look_up)
    turns = {
        "bare": make(governor, look_up, ours=False),
        "governed": make(governor, gated, ours=True),
        "decide": _decide(governor),
    }
    found: dict[str, list[int]] = {key: [] for key in turns}
    for at in range(rounds + WARM_UP):
        for key, turn in turns.items():
            took = await turn()
            if at >= WARM_UP:
                found[key].append(took)
    return {key: statistics.median(times) / 1000 for key, times in found.items()}


def _decide(governor: Governor) -> Timed:
    async def timed() -> int:
        call = ToolCall(TOOL, dict(ARGUMENTS), WHO, "c")
        started = time.thread_time_ns()
        await governor.adecide(call)
        return time.thread_time_ns() - started

    return timed


def measure(*, quick: bool) -> dict[str, dict[str, float]]:
    """Return by installed framework what a call takes, in microseconds."""
    found = {}
    for name, (package, _) in FRAMEWORKS.items():
        if importlib.util.find_spec(package) is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            contracts, flags = Path(folder, "governance.yaml"), Path(folder, "f.json")
            contracts.write_text(contract_yaml(TOOL, riskClass="search"))
            write_document(flags, flag_document())
            records = Path(folder, "records.db")
            with Governor.open(contracts, flags, records) as governor:
                run = measured(name, governor, 50 if quick else 1_500)
                times = asyncio.run(run)
        times["added"] = times["governed"] - times["bare"]
        times["beyond decide"] = times["added"] - times["decide"]
        found[name] = times
    return found


def main() -> int:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(quick=options.quick)
    if options.json:
        print(json.dumps(result, indent=2))
        return 0
    names = [*next(iter(result.values()))]
    print(f"{'microseconds a call':<20}" + "".join(f"{one:>15}" for one in names))
    for name, times in result.items():
        print(f"{name:<20}" + "".join(f"{times[one]:>15.0f}" for one in names))
    print(f"at most {ALLOWED_US} beyond decide")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One tool call in each framework: bare, with a hook of no or little use, governed.

Each function returns what times a call with the processor time of its thread. The
model, where there is one, is scripted and takes its share of all three alike.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any

from openfeature_gov.adapters.shape import Asked, Door
from openfeature_gov.contracts import ToolCall
from openfeature_gov.governor import Governor
from openfeature_gov.testing.workplace import WHO

TOOL, ARGUMENTS = "look_up", {"query": "kettles"}
Timed = Callable[[], Awaitable[int]]


class How(StrEnum):
    """Say what stands before the tool.

    Nothing, a hook that hands on a copy of the arguments, as one must that lets nobody
    edit them later, one that calls ``decide`` as well and no more, or ours.
    """

    BARE = "bare"
    HOOK = "hook"
    DECIDE = "hook that decides"
    OURS = "governed"


def asking(governor: Governor, how: How) -> Callable[[], Awaitable[None]]:
    """Return what a hook does that is not ours."""

    async def nothing() -> None:
        pass

    async def decide() -> None:
        await governor.adecide(ToolCall(TOOL, dict(ARGUMENTS), WHO, "c"))

    return decide if how is How.DECIDE else nothing


def no_framework(governor: Governor, tool: Any, how: How) -> Timed:
    """Return what every adapter does, without a framework around it."""
    door, ask = Door(governor, WHO), asking(governor, how)

    async def body(arguments: dict[str, Any]) -> Any:
        return await tool(**arguments)

    async def timed() -> int:
        started = time.thread_time_ns()
        if how is How.OURS:
            admitted = await door.aadmit(Asked(tool=TOOL, arguments=ARGUMENTS))
            await admitted.arun(body)
        else:
            await ask()
            await body(ARGUMENTS)
        return time.thread_time_ns() - started

    return timed


def langgraph(governor: Governor, tool: Any, how: How) -> Timed:
    """Return a graph with one node of tools; its hook is an async function."""
    from langchain_core.messages import AIMessage
    from langchain_core.tools import StructuredTool
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode

    from openfeature_gov.adapters.langgraph import Governed

    ask = asking(governor, how)

    async def plain(request: Any, handler: Any) -> Any:
        await ask()
        given = {**request.tool_call, "args": {**request.tool_call["args"]}}
        return await handler(request.override(tool_call=given))

    ours = Governed(governor, WHO).awrap_tool_call
    wrap = _hook(how, plain, ours)
    made = StructuredTool.from_function(coroutine=tool)
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([made], awrap_tool_call=wrap))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    compiled = graph.compile()
    call = {"name": TOOL, "args": ARGUMENTS, "id": "c", "type": "tool_call"}
    given: Any = {"messages": [AIMessage("", tool_calls=[call])]}
    return _timed(lambda: compiled.ainvoke(given))


def mcp(governor: Governor, tool: Any, how: How) -> Timed:
    """Return a server and its client in process; its hook is a middleware."""
    from mcp import Client
    from mcp.server.mcpserver import MCPServer

    from openfeature_gov.adapters.mcp import Governed

    ask = asking(governor, how)

    async def plain(ctx: Any, call_next: Any) -> Any:
        if ctx.method == "tools/call":
            await ask()
            given = {**ctx.params, "arguments": {**ctx.params["arguments"]}}
            ctx = replace(ctx, params=given)
        return await call_next(ctx)

    hook = _hook(how, plain, Governed(governor, WHO))
    server = MCPServer("bench", middleware=[hook] if hook else [])
    server.add_tool(tool, name=TOOL)
    return _served(Client(server))


def fastmcp(governor: Governor, tool: Any, how: How) -> Timed:
    """Return a server and its client in process; its hook is a middleware."""
    from fastmcp import Client, FastMCP
    from fastmcp.server.middleware import Middleware

    from openfeature_gov.adapters.fastmcp import Governed

    ask = asking(governor, how)

    class Plain(Middleware):
        async def on_call_tool(self, context: Any, call_next: Any) -> Any:
            await ask()
            given = {"arguments": {**context.message.arguments}}
            message = context.message.model_copy(update=given)
            return await call_next(context.copy(message=message))

    hook = _hook(how, Plain(), Governed(governor, WHO))
    server: FastMCP = FastMCP("bench", middleware=[hook] if hook else [])
    server.tool(tool, name=TOOL)
    return _served(Client(server))


def openai_agents(governor: Governor, tool: Any, how: How) -> Timed:
    """Return the two steps of the SDK's runner: it asks, and it calls."""
    from agents import Agent, function_tool
    from agents.tool_context import ToolContext

    from openfeature_gov.adapters.openai_agents import govern

    agent: Any = Agent(name="bench", tools=[function_tool(tool)])
    made = (govern(agent, governor, WHO) if how is How.OURS else agent).tools[0]
    raw, ask = json.dumps(ARGUMENTS), asking(governor, how)
    if how in (How.HOOK, How.DECIDE):
        made, inner = copy.copy(made), made.on_invoke_tool

        async def plain(context: Any, raw: str) -> Any:
            await ask()
            return await inner(context, json.dumps(json.loads(raw)))

        async def nobody(_context: Any, _arguments: Any, _call_id: str) -> bool:
            return False

        made.on_invoke_tool, made.needs_approval = plain, nobody

    async def timed() -> int:
        context: Any = ToolContext(
            None, tool_name=TOOL, tool_call_id="c", tool_arguments=raw
        )
        started = time.thread_time_ns()
        if callable(made.needs_approval):
            await made.needs_approval(context, ARGUMENTS, "c")
        await made.on_invoke_tool(context, raw)
        return time.thread_time_ns() - started

    return timed


def pydantic_ai(governor: Governor, tool: Any, how: How) -> Timed:
    """Return an agent's run of two turns; its hook is a capability with a toolset."""
    from pydantic_ai import Agent, Tool
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.toolsets import WrapperToolset

    from openfeature_gov.adapters.pydantic_ai import Governed

    ask = asking(governor, how)

    class Toolset(WrapperToolset[Any]):
        async def call_tool(self, *given: Any) -> Any:
            await ask()
            return await super().call_tool(*given)

    class Plain(AbstractCapability[Any]):
        def get_wrapper_toolset(self, toolset: Any) -> Any:
            return Toolset(toolset)

    def model(messages: Any, _info: Any) -> ModelResponse:
        done = any(isinstance(one, ModelResponse) for one in messages)
        call = ToolCallPart(TOOL, ARGUMENTS, "c")
        return ModelResponse(parts=[TextPart("done") if done else call])

    hook = _hook(how, Plain(), Governed(governor, WHO))
    capabilities = [hook] if hook else []
    agent = Agent(FunctionModel(model), tools=[Tool(tool)], capabilities=capabilities)
    return _timed(lambda: agent.run("go", conversation_id="s-1"))


def agent_framework(governor: Governor, tool: Any, how: How) -> Timed:
    """Return an agent's run of two turns; its hook is a function middleware."""
    from agent_framework import Agent, FunctionMiddleware, FunctionTool

    from openfeature_gov.adapters.agent_framework import Governed
    from openfeature_gov.testing.rigs import Call
    from tests.adapters.agent_framework_rig import scripted

    ask = asking(governor, how)

    class Plain(FunctionMiddleware):
        async def process(self, context: Any, call_next: Any) -> None:
            await ask()
            await call_next()

    hook = _hook(how, Plain(), Governed(governor, WHO))
    turn, model = [Call(TOOL, ARGUMENTS)], scripted()
    made = FunctionTool(name=TOOL, description=TOOL, func=tool)
    agent = Agent(model, tools=[made], middleware=[hook] if hook else [])

    async def timed() -> int:
        model.script([turn])
        started = time.thread_time_ns()
        await agent.run("go")
        return time.thread_time_ns() - started

    return timed


def adk(governor: Governor, tool: Any, how: How) -> Timed:
    """Return a runner's answer of two turns; its hook is a plugin."""
    from google.adk.agents import LlmAgent
    from google.adk.apps import App
    from google.adk.plugins.base_plugin import BasePlugin
    from google.adk.runners import InMemoryRunner
    from google.adk.tools import FunctionTool
    from google.genai.types import Content, Part

    from openfeature_gov.adapters.adk import Governed
    from openfeature_gov.testing.rigs import Call
    from tests.adapters.adk_rig import scripted

    ask = asking(governor, how)

    class Plain(BasePlugin):
        async def before_tool_callback(self, **_: Any) -> None:
            await ask()

        async def after_tool_callback(self, **_: Any) -> None:
            return None

    hook = _hook(how, Plain(name="plain"), Governed(governor, WHO))
    model, turn = scripted(), [Call(TOOL, ARGUMENTS)]
    agent = LlmAgent(name="desk", model=model, tools=[FunctionTool(tool)])
    app = App(name="bench", root_agent=agent, plugins=[hook] if hook else [])
    runner = InMemoryRunner(app=app)
    given = Content(role="user", parts=[Part(text="go")])

    async def timed() -> int:
        one: Any = {"app_name": "bench", "user_id": "user", "session_id": "s-1"}
        await runner.session_service.delete_session(**one)
        await runner.session_service.create_session(**one)
        model.turns = iter([turn])
        started = time.thread_time_ns()
        async for _ in runner.run_async(
            user_id="user", session_id="s-1", new_message=given
        ):
            pass
        return time.thread_time_ns() - started

    return timed


def claude_agent(governor: Governor, _tool: Any, how: How) -> Timed:
    """Return the hooks before and after a tool of the SDK's CLI, a process apart."""
    from claude_agent_sdk import ClaudeAgentOptions

    from openfeature_gov.adapters.claude_agent import govern

    ask = asking(governor, how)

    async def asked(_given: Any, _id: Any, _context: Any) -> dict[str, Any]:
        await ask()
        return {}

    async def heard(_given: Any, _id: Any, _context: Any) -> dict[str, Any]:
        return {}

    before, after = asked, heard
    if how is How.OURS:
        hooks: Any = govern(ClaudeAgentOptions(), governor, WHO).hooks
        before, after = (
            hooks[one][0].hooks[0] for one in ("PreToolUse", "PostToolUse")
        )
    given = {
        "tool_name": TOOL,
        "tool_input": ARGUMENTS,
        "tool_use_id": "c",
        "session_id": "s-1",
        "tool_response": "done",
    }

    async def called() -> None:
        if how is not How.BARE:
            await before(given, "c", {})
            await after(given, "c", {})

    return _timed(called)


def crewai(governor: Governor, tool: Any, how: How) -> Timed:
    """Return the step of CrewAI's executor that calls a tool, with hooks around it."""
    from tests.adapters.crewai_rig import called, crew, scripted, tool_of

    # That one first: it sets what CrewAI reads when it is imported.
    # isort: split
    from crewai.events.event_bus import crewai_event_bus
    from crewai.hooks import register_hook, unregister_hook
    from crewai.utilities.agent_utils import (
        convert_tools_to_openai_schema,
        execute_single_native_tool_call,
    )

    from openfeature_gov.adapters.crewai import AFTER, BEFORE, Governed
    from openfeature_gov.testing.rigs import Call

    made, call = tool_of(TOOL, tool), called(Call(TOOL, ARGUMENTS))
    desk = crew(scripted(), [made])
    ours, deciding = Governed(governor, WHO), how is How.DECIDE

    def before(_context: Any) -> None:
        if deciding:
            governor.decide(ToolCall(TOOL, dict(ARGUMENTS), WHO, "c"))

    def after(_context: Any) -> None:
        pass

    def hooked(change: Any) -> None:
        if how is not How.BARE:
            change(BEFORE, before)
            change(AFTER, after)

    given: dict[str, Any] = {
        "available_functions": convert_tools_to_openai_schema([made])[1],
        "original_tools": [made],
        "structured_tools": [made.to_structured_tool()],
        "tools_handler": desk.agents[0].tools_handler,
        "agent": desk.agents[0],
        "task": desk.tasks[0],
        "crew": desk,
        "event_source": desk,
    }

    async def timed() -> int:
        ours.register() if how is How.OURS else hooked(register_hook)
        started = time.thread_time_ns()
        answer = execute_single_native_tool_call(call, **given)
        took = time.thread_time_ns() - started
        ours.unregister() if how is How.OURS else hooked(unregister_hook)
        crewai_event_bus.flush()  # what handlers do with it in threads of their own
        assert answer.result == "kettles 100", answer.result
        return took

    return timed


FRAMEWORKS: dict[str, tuple[str, Callable[..., Timed]]] = {
    "no framework": ("openfeature_gov", no_framework),
    "no framework, cold": ("openfeature_gov", no_framework),
    "langgraph": ("langgraph", langgraph),
    "fastmcp": ("fastmcp", fastmcp),
    "mcp": ("mcp.server.mcpserver", mcp),
    "openai_agents": ("agents", openai_agents),
    "pydantic_ai": ("pydantic_ai", pydantic_ai),
    "agent_framework": ("agent_framework", agent_framework),
    "adk": ("google.adk", adk),
    "claude_agent": ("claude_agent_sdk", claude_agent),
    "crewai": ("crewai", crewai),
}
COLD = frozenset({"no framework, cold"})
"""What begins with caches that hold nothing of it."""
SYNC = frozenset({"crewai"})
"""Where the tool is no coroutine function."""
FOREIGN = frozenset({"claude_agent"})
"""Where the tool is timed as one of somebody else, which has no gate."""


def _hook(how: How, plain: Any, ours: Any) -> Any:
    """Return what stands before the tool; None for nothing."""
    return {How.BARE: None, How.OURS: ours}.get(how, plain)


def _timed(call: Callable[[], Awaitable[Any]]) -> Timed:
    async def timed() -> int:
        started = time.thread_time_ns()
        await call()
        return time.thread_time_ns() - started

    return timed


def _served(client: Any) -> Timed:
    async def timed() -> int:
        if not opened:
            opened.append(await client.__aenter__())
        started = time.thread_time_ns()
        await client.call_tool(TOOL, ARGUMENTS)
        return time.thread_time_ns() - started

    opened: list[Any] = []
    return timed

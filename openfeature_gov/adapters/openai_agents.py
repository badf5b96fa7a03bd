"""The OpenAI Agents SDK: its function tools, wrapped (extra ``openai-agents``).

    agent = govern(Agent(name="desk", tools=[refund], handoffs=[...]), governor, who)

The agents behind hand-offs are governed with it. Who acts comes from *who*; user and
session from ``user_id`` and ``session_id`` of the run's context where that leaves them
open: a mapping or an object.

| what | how |
|---|---|
| five outcomes, parallel calls, streaming | covered: the wrapper is the last code |
| waiting for a person | ``needs_approval``; ``RunState`` resumes it in any process |
| a sticky or forged approval of the SDK | only a wake-up: the store is asked again |
| agents in ``handoffs`` | governed too; a ``Handoff`` object must be given governed |
| an agent behind ``as_tool`` | the gate decides, for the actor of the parent |
| a tool without a gate | `Governor.foreign`; ``failure_error_function=None`` shows |
|  | its failures, which else are text and count as executed |
| hosted tools | not covered |
| tools of ``mcp_servers`` | not covered: put `gov mcp-gateway` before the server |
| hiding tools | not done: a call of a hidden tool would end the run |
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from agents import Agent, FunctionTool

from openfeature_gov.adapters.shape import Asked, Door, Who, told, waits
from openfeature_gov.governor import Governor


def govern(
    agent: Any, governor: Governor, who: Who, names: Mapping[str, str] | None = None
) -> Any:
    """Return a copy of *agent*, and of those it hands over to, with governed tools.

    *names* maps names of the agents' tools to those of the registry.
    """
    return _governed(agent, Door(governor, who, names), {})


def wake(state: Any, governor: Governor) -> Any:
    """Approve in *state*, a ``RunState``, each call that waits for no person any more.

    That only wakes it up. A call whose request is refused is told so.
    """
    queue = governor.approvals
    waiting = {one.call_id for one in queue.waiting()} if queue is not None else set()
    for item in state.get_interruptions():
        if getattr(item, "call_id", None) not in waiting:
            state.approve(item)
    return state


def _governed(agent: Any, door: Door, seen: dict[int, Any]) -> Any:
    if id(agent) in seen:
        return seen[id(agent)]
    tools = [
        _wrapped(one, door) if isinstance(one, FunctionTool) else one
        for one in agent.tools
    ]
    made = seen[id(agent)] = agent.clone(tools=tools)
    made.handoffs = [
        _governed(one, door, seen) if isinstance(one, Agent) else one
        for one in agent.handoffs
    ]
    return made


def _wrapped(tool: Any, door: Door) -> Any:
    inner, governed = tool.on_invoke_tool, copy.copy(tool)

    async def on_invoke_tool(ctx: Any, raw: str) -> Any:
        async def body(arguments: dict[str, Any]) -> Any:
            return await inner(ctx, json.dumps(arguments, default=str))

        asked = _asked(ctx, tool.name, _parsed(raw), ctx.tool_call_id)
        outcome = await (await door.aadmit(asked)).arun(body)
        text = told(outcome)
        if outcome.ran != "tool":
            return text
        return f"{text}\n{outcome.value}" if text else outcome.value

    async def needs_approval(ctx: Any, arguments: Any, call_id: str) -> bool:
        asked = _asked(ctx, tool.name, arguments, call_id)
        return waits(await door.aask(asked))

    governed.on_invoke_tool, governed.needs_approval = on_invoke_tool, needs_approval
    return governed


def _parsed(raw: str) -> Any:
    """Return the arguments; what is no JSON object is refused with the decision."""
    try:
        return json.loads(raw or "{}")
    except ValueError:
        return raw


def _asked(ctx: Any, tool: str, arguments: Any, call_id: str) -> Asked:
    return Asked(
        tool=tool,
        arguments=arguments,
        call_id=call_id,
        user=_held(ctx.context, "user_id"),
        session=_held(ctx.context, "session_id"),
        native=ctx,
    )


def _held(context: Any, name: str) -> str:
    if isinstance(context, Mapping):
        return str(context.get(name) or "")
    return str(getattr(context, name, None) or "")

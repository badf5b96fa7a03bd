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
| agents in ``handoffs`` | governed too, also behind ``Handoff`` objects |
| an agent behind ``as_tool`` | the gate decides, for the actor of the parent |
| a tool without a gate | `Governor.foreign`; ``failure_error_function=None`` shows |
|  | its failures, which else are text and count as executed |
| hosted tools, shells, computers, custom tools | not covered: refused unless named |
| tools of ``mcp_servers`` | not covered, refused too: use `gov mcp-gateway` |
| a tool that is added to the agent afterwards | not covered: govern it again |
| hiding tools | not done: a call of a hidden tool would end the run |
"""

from __future__ import annotations

import copy
import json
import weakref
from collections.abc import Collection, Mapping
from typing import Any

import orjson
from agents import Agent, FunctionTool, Handoff

from openfeature_gov.adapters.shape import Asked, Door, Who, told
from openfeature_gov.errors import RegistrationError
from openfeature_gov.governor import Governor

OURS = "__gov_governed__"
"""What marks a wrapped tool: governed twice, it would be decided about twice."""


class _Door(Door):
    """Know as well what may run without a decision."""

    uncovered: frozenset[str] = frozenset()


def govern(
    agent: Any,
    governor: Governor,
    who: Who,
    names: Mapping[str, str] | None = None,
    *,
    uncovered: Collection[str] = (),
) -> Any:
    """Return a copy of *agent*, and of those it hands over to, with governed tools.

    *names* maps names of the agents' tools to those of the registry. *uncovered* names
    what may stay although nothing decides about it: the tools that are no function
    tools, such as ``web_search``, and MCP servers.

    Raises:
        RegistrationError: for an agent with such a tool or server that is not named.

    """
    door = _Door(governor, who, names)
    door.uncovered = frozenset(uncovered)
    return _governed(agent, door, {})


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


Seen = dict[int, tuple[Any, Any]]
"""Each agent by its id, held so that no other takes the id, and its governed copy."""


def _governed(agent: Any, door: _Door, seen: Seen) -> Any:
    if id(agent) in seen:
        return seen[id(agent)][1]
    _refuse(agent, door.uncovered)
    tools = [
        _wrapped(one, door) if isinstance(one, FunctionTool) else one
        for one in agent.tools
    ]
    made = agent.clone(tools=tools)
    seen[id(agent)] = agent, made
    made.handoffs = [_handed(one, door, seen) for one in agent.handoffs]
    return made


def _refuse(agent: Any, uncovered: frozenset[str]) -> None:
    strange = [one.name for one in agent.tools if not isinstance(one, FunctionTool)]
    missing = {*strange, *(one.name for one in agent.mcp_servers)} - uncovered
    if missing:
        raise RegistrationError(
            f"{agent.name}: nothing would decide about {', '.join(sorted(missing))}; "
            "take it from the agent, or name it in uncovered="
        )


def _handed(one: Any, door: _Door, seen: Seen) -> Any:
    """Return the hand-off *one*, an agent or a ``Handoff``, to governed agents."""
    if isinstance(one, Agent):
        return _governed(one, door, seen)
    if not isinstance(one, Handoff):
        raise RegistrationError(f"{type(one).__name__} is no hand-off that is known")
    inner, made = one.on_invoke_handoff, copy.copy(one)

    async def on_invoke_handoff(ctx: Any, raw: str) -> Any:
        # It may have been made just now: only what was there before is kept.
        return _governed(await inner(ctx, raw), door, dict(seen))

    made.on_invoke_handoff = on_invoke_handoff
    kept: Any = getattr(one, "_agent_ref", None)
    agent = None if kept is None else kept()
    if agent is not None:  # where a resumed run finds the agent by its name
        made._agent_ref = weakref.ref(_governed(agent, door, seen))  # noqa: SLF001
    return made


def _wrapped(tool: Any, door: Door) -> Any:
    inner, governed = tool.on_invoke_tool, copy.copy(tool)
    if hasattr(inner, OURS):
        return tool

    async def on_invoke_tool(ctx: Any, raw: str) -> Any:
        async def body(arguments: dict[str, Any]) -> Any:
            return await inner(ctx, orjson.dumps(arguments, default=str).decode())

        asked = _asked(ctx, tool.name, _parsed(raw), ctx.tool_call_id)
        outcome = await (await door.aadmit(asked)).arun(body)
        text = told(outcome)
        if outcome.ran != "tool":
            return text
        return f"{text}\n{outcome.value}" if text else outcome.value

    async def needs_approval(ctx: Any, arguments: Any, call_id: str) -> bool:
        asked = _asked(ctx, tool.name, arguments, call_id)
        return await door.aask(asked) is not None

    setattr(on_invoke_tool, OURS, True)
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

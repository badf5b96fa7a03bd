"""A governed agent of the Claude Agent SDK at a refund desk, offline.

    pip install 'openfeature-gov[claude-agent]'
    python examples/claude_agent_refund.py

The SDK's own command line runs; only the model behind it is scripted. What waits for a
person is deferred, its session lies on disk; it is approved in another process, and
resumes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from claude_agent_sdk import (
    ClaudeAgentOptions,
    ResultMessage,
    SdkMcpTool,
    create_sdk_mcp_server,
    query,
)
from pydantic import TypeAdapter

from openfeature_gov.adapters.claude_agent import govern
from openfeature_gov.demo.refund_desk import WHO, Desk, main
from openfeature_gov.testing.rigs import Call, Played
from openfeature_gov.testing.scripted_messages import scripted


def options(desk: Desk) -> ClaudeAgentOptions:
    """Return options with the desk's tools on a server in this process, governed."""
    server = create_sdk_mcp_server("desk", tools=[*map(tool, desk.tools.values())])
    plain = ClaudeAgentOptions(
        mcp_servers={"desk": server}, allowed_tools=["mcp__desk"], setting_sources=[]
    )
    return govern(plain, desk.governor, WHO)


def tool(function: Callable[..., Any]) -> SdkMcpTool[Any]:
    """Return *function* as the SDK wants its tools."""
    kind: Any = function
    schema = TypeAdapter(kind).json_schema()

    async def handler(arguments: dict[str, Any]) -> dict[str, Any]:
        text = str(function(**arguments))
        return {"content": [{"type": "text", "text": text}]}

    return SdkMcpTool(function.__name__, function.__doc__ or "", schema, handler)


def play(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    """Run the agent until it is done or waits."""
    return _run(desk, options(desk), turns)


def resume(desk: Desk, state: str) -> Played:
    """Wake up what waits; whether it may run, the store knows."""
    return _run(desk, replace(options(desk), resume=state), [])


def _run(desk: Desk, given: Any, turns: Sequence[Sequence[Call]]) -> Played:
    named = [
        [replace(one, tool=f"mcp__desk__{one.tool}") for one in turn] for turn in turns
    ]
    folder = desk.flags.parent / "claude"
    folder.mkdir(exist_ok=True)

    async def run() -> Any:
        messages = query(prompt="go", options=given)
        return [one async for one in messages if isinstance(one, ResultMessage)][-1]

    with scripted(named) as model:
        given = replace(given, env=model.environment(folder), cwd=folder)
        result = asyncio.run(run())
    deferred = result.deferred_tool_use
    return Played(
        answers=model.answers,
        paused=(deferred.id,) if deferred else (),
        state=result.session_id,
    )


if __name__ == "__main__":
    sys.exit(main(play, resume))

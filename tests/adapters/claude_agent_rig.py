"""The Claude Agent SDK and its own CLI, against a scripted model, for the suite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from claude_agent_sdk import (
    ClaudeAgentOptions,
    ClaudeSDKClient,
    HookMatcher,
    ResultMessage,
    SdkMcpTool,
    create_sdk_mcp_server,
    query,
)
from pydantic import TypeAdapter

from openfeature_gov.adapters.claude_agent import govern
from openfeature_gov.testing.rigs import Call, Edit, Played, Rig
from openfeature_gov.testing.scripted_messages import scripted
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.turns import NO_RETRY, delegation

PREFIX = "mcp__shop__"


class ClaudeAgentRig(Rig):
    """A query whose session waits on disk; the client where it is not async.

    The span is that of an in-process server; the SDK's own process has others.
    """

    span = "tools/call"

    lacks = NO_RETRY

    def play(
        self,
        place: Workplace,
        calls: Sequence[Call],
        *,
        asynchronous: bool = False,
        late: Edit | None = None,
        sub: bool = False,
        streams: bool = False,
        retries: bool = False,
    ) -> Played:
        turn = list(calls)
        if sub:
            turn = delegation(
                place,
                lambda: json.dumps(
                    asked(place, bare(place), calls, asynchronous=asynchronous).answers
                ),
            )
        options = govern(bare(place, late), place.governor, WHO)
        options.include_partial_messages = streams
        return asked(place, options, turn, asynchronous=asynchronous)

    def wake(
        self,
        place: Workplace,
        state: str,
        *,
        asynchronous: bool = False,
        late: Edit | None = None,
        retries: bool = False,
    ) -> Played:
        options = govern(bare(place, late), place.governor, WHO)
        options.resume = state
        return asked(place, options, [], asynchronous=asynchronous)


def bare(place: Workplace, late: Edit | None = None) -> ClaudeAgentOptions:
    """Return options with the tools of *place*, and no adapter."""
    every = {**place.tools, "hidden": place.hidden, "fetch": place.fetch}
    tools = [served(name, one) for name, one in every.items()]

    async def edit(given: Any, _id: Any, _context: Any) -> Any:
        answer = {"permissionDecision": "allow"}
        assert late is not None
        edited = {"updatedInput": late(given["tool_input"])}
        return {
            "hookSpecificOutput": {"hookEventName": "PreToolUse", **answer, **edited}
        }

    return ClaudeAgentOptions(
        mcp_servers={"shop": create_sdk_mcp_server("shop", tools=tools)},
        allowed_tools=[f"{PREFIX}{name}" for name in every],
        setting_sources=[],
        hooks={"PreToolUse": [HookMatcher(hooks=[edit])]} if late else None,
    )


def served(name: str, function: Callable[..., Any]) -> SdkMcpTool[Any]:
    """Return *function* as the SDK wants its tools."""
    kind: Any = function

    async def handler(arguments: dict[str, Any]) -> dict[str, Any]:
        value = await asyncio.to_thread(function, **arguments)
        return {"content": [{"type": "text", "text": str(value)}]}

    schema = TypeAdapter(kind).json_schema()
    return SdkMcpTool(name, function.__doc__ or name, schema, handler)


def asked(
    place: Workplace,
    options: ClaudeAgentOptions,
    turn: Sequence[Call],
    *,
    asynchronous: bool,
) -> Played:
    """Ask the CLI once, whose model makes the calls of *turn* and then ends."""
    named = [
        replace(one, tool=one.tool if one.tool[0].isupper() else PREFIX + one.tool)
        for one in turn
    ]
    folder = place.folder / "claude"
    folder.mkdir(exist_ok=True)
    with scripted([named] if named else []) as model:
        options = replace(options, env=model.environment(folder), cwd=folder)
        run = queried if asynchronous else conversed
        result = asyncio.run(run(options))
        answers = dict(model.answers)
    deferred = result.deferred_tool_use
    call_id = deferred.id if deferred else None
    return Played(
        answers=answers,
        paused=tuple(one.id for one in place.waiting() if one.call_id == call_id),
        state=result.session_id,
    )


async def queried(options: ClaudeAgentOptions) -> ResultMessage:
    """Return how a single query ended."""
    found = [
        one
        async for one in query(prompt="go", options=options)
        if isinstance(one, ResultMessage)
    ]
    return found[-1]


async def conversed(options: ClaudeAgentOptions) -> ResultMessage:
    """Return how one turn of a conversation ended."""
    async with ClaudeSDKClient(options) as client:
        await client.query("go")
        found = [
            one
            async for one in client.receive_response()
            if isinstance(one, ResultMessage)
        ]
    return found[-1]

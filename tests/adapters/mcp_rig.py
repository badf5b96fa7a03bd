"""The official MCP SDK with its own client in process, for the suite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from mcp import Client
from mcp.server.mcpserver import MCPServer

from openfeature_gov.adapters.mcp import Governed
from openfeature_gov.testing.rigs import Call, Edit, Played
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.turns import Stateless, delegation


class MCPRig(Stateless):
    """A server in process; MCP has no pause and no stable session."""

    span = "tools/call"
    lacks = {  # noqa: RUF012 - as the base class has it
        "test_a_streamed_run": "a server answers a call once; it streams no run",
    }

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
            bare = server(place)
            turn = delegation(place, lambda: str(called(bare, calls).answers))
        middleware: list[Any] = [Governed(place.governor, WHO)]
        after = [*([Late(late)] if late else []), *([twice] if retries else [])]
        return called(server(place, *middleware, *after), turn)


class Late:
    """Edit the arguments of every call, after ours decided."""

    def __init__(self, edit: Edit) -> None:
        self._edit = edit

    async def __call__(self, ctx: Any, call_next: Any) -> Any:
        if ctx.method == "tools/call":
            edited = self._edit(ctx.params["arguments"])
            ctx = replace(ctx, params={**ctx.params, "arguments": edited})
        return await call_next(ctx)


async def twice(ctx: Any, call_next: Any) -> Any:
    """Make a call that failed again, after ours decided; the SDK has no retry."""
    result = await call_next(ctx)
    failed = result.get("isError") if isinstance(result, dict) else result.is_error
    if ctx.method == "tools/call" and failed:
        return await call_next(ctx)
    return result


def called(served: MCPServer, calls: Sequence[Call]) -> Played:
    """Make *calls* at once from a client of *served*."""

    async def run() -> dict[str, str]:
        async with Client(served) as client:
            await client.list_tools()
            done = await asyncio.gather(
                *(client.call_tool(one.tool, one.arguments) for one in calls)
            )
            return {
                one.id: " ".join(getattr(part, "text", "") for part in got.content)
                for one, got in zip(calls, done, strict=True)
            }

    state = json.dumps([asdict(one) for one in calls])
    return Played(answers=asyncio.run(run()), state=state)


def server(place: Workplace, *middleware: Any) -> MCPServer:
    """Return a server with the tools of *place*, with and without a gate."""
    made = MCPServer("shop", middleware=list(middleware))
    for tool in place.tools.values():
        made.add_tool(tool)
    made.add_tool(place.hidden, name="hidden")
    made.add_tool(place.fetch, name="fetch")
    return made

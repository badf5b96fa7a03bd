"""FastMCP with its own client in process, for the suite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from fastmcp import Client, FastMCP
from fastmcp.server.middleware import Middleware
from fastmcp.server.middleware.error_handling import RetryMiddleware

from openfeature_gov.adapters.fastmcp import Governed
from openfeature_gov.testing.rigs import Call, Edit, Played
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.turns import Stateless, delegation


class Late(Middleware):
    """Edit the arguments of every call, after ours decided."""

    def __init__(self, edit: Edit) -> None:
        self._edit = edit

    async def on_call_tool(self, context: Any, call_next: Any) -> Any:
        edited = {"arguments": self._edit(context.message.arguments)}
        message = context.message.model_copy(update=edited)
        return await call_next(context.copy(message=message))


class FastMCPRig(Stateless):
    """A server in process; MCP has no pause and no stable session."""

    span = "tools/call"
    mode = "auto"
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
        if sub:
            bare, asked = server(place), list(calls)
            calls = delegation(place, lambda: str(self._called(bare, asked).answers))
        ours: list[Any] = [Governed(place.governor, WHO)]
        again = [_retry()] if retries else []
        # Before ours and after it: both orders are there.
        around = [*again, *ours] if asynchronous else [*ours, *again]
        middleware = [*around, *([Late(late)] if late else [])]
        return self._called(server(place, *middleware), calls)

    def _called(self, served: FastMCP, calls: Sequence[Call]) -> Played:
        async def run() -> dict[str, str]:
            async with Client(served, mode=self.mode) as client:
                await client.list_tools()
                done = await asyncio.gather(
                    *(
                        client.call_tool(one.tool, one.arguments, raise_on_error=False)
                        for one in calls
                    )
                )
                return {
                    one.id: " ".join(getattr(part, "text", "") for part in got.content)
                    for one, got in zip(calls, done, strict=True)
                }

        state = json.dumps(
            [{"tool": o.tool, "arguments": o.arguments, "id": o.id} for o in calls]
        )
        return Played(answers=asyncio.run(run()), state=state)


def _retry() -> RetryMiddleware:
    every = (Exception,)
    return RetryMiddleware(max_retries=1, base_delay=0.001, retry_exceptions=every)


def server(place: Workplace, *middleware: Any) -> FastMCP:
    """Return a server with the tools of *place*, with and without a gate."""
    made: FastMCP = FastMCP("shop", middleware=list(middleware))
    for tool in place.tools.values():
        made.tool(tool)
    made.tool(place.hidden, name="hidden")
    made.tool(place.fetch, name="fetch")
    return made

"""FastMCP servers and proxies: a middleware (extra ``fastmcp``).

    server = FastMCP("shop", middleware=[..., Governed(governor, who)])

It goes last: what stands after it sees the arguments that were decided, and a response
cache before it answers without a decision. Who acts comes from *who*; the user from
the subject of the access token where that leaves it open.

| what | how |
|---|---|
| five outcomes, parallel calls, mounted servers, proxies | covered (hooks are async) |
| waiting for a person | no pause: an error result; the identical call runs once |
| a session | MCP has no stable one: approvals are for user, agent and arguments |
| elicitation | not used: it asks the one who asks, which is no approval |
| arguments edited by a middleware after this one | the gate of the tool decides |
| a tool without a gate (a proxied server's) | later edits and repeats not seen |
| an output schema | a handler's value is converted like the tool's own |
| a response cache before this one | not covered: it answers without a decision |
| resources and prompts | not covered: they are no tool calls |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastmcp.server.dependencies import get_access_token
from fastmcp.server.middleware import Middleware
from fastmcp.tools.base import ToolResult
from mcp_types import TextContent

from openfeature_gov.adapters.shape import (
    RECALL,
    Asked,
    Door,
    ToolFailedError,
    Who,
    facts,
    told,
    waits,
)
from openfeature_gov.governor import Governor
from openfeature_gov.outcomes import Outcome, Status


class Governed(Middleware):
    """Govern every tool call of one server; give it as the last middleware.

    *names* maps names of the server's tools, such as those with the prefix of a mount,
    to those of the registry. Tools that are not registered are neither listed nor run.
    """

    def __init__(
        self, governor: Governor, who: Who, names: Mapping[str, str] | None = None
    ) -> None:
        self._door = Door(governor, who, names)

    async def on_call_tool(
        self, context: Any, call_next: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """Decide, and run what may run or say why not."""

        async def body(arguments: dict[str, Any]) -> Any:
            message = context.message.model_copy(update={"arguments": arguments})
            result = await call_next(context.copy(message=message))
            if getattr(result, "is_error", False):
                raise ToolFailedError(result)
            return result

        admitted = await self._door.aadmit(_asked(context))
        try:
            outcome = await admitted.arun(body)
        except ToolFailedError as failed:
            return failed.answer
        return await _native(context, outcome)

    async def on_list_tools(
        self, context: Any, call_next: Callable[[Any], Awaitable[Sequence[Any]]]
    ) -> Sequence[Any]:
        """List only tools of the registry; that is no enforcement."""
        return [one for one in await call_next(context) if self._door.known(one.name)]


def _asked(context: Any) -> Asked:
    token = get_access_token()
    claims = {} if token is None else (getattr(token, "claims", None) or {})
    return Asked(
        tool=context.message.name,
        arguments=context.message.arguments or {},
        user=str(claims.get("sub") or ""),
        native=context,
    )


async def _native(context: Any, outcome: Outcome) -> Any:
    text = told(outcome)
    if outcome.ran == "tool":
        return _noted(outcome.value, text) if text else outcome.value
    if outcome.status is not Status.EXECUTED:
        said = f"{text} {RECALL}" if waits(outcome) else text
        return ToolResult(content=said, meta=facts(outcome), is_error=True)
    server = context.fastmcp_context.fastmcp
    tool = await server.get_tool(context.message.name)
    result = (
        ToolResult(content=text) if tool is None else tool.convert_result(outcome.value)
    )
    result.meta = {**(result.meta or {}), **facts(outcome)}
    return _noted(result, outcome.message)


def _noted(result: Any, note: str) -> Any:
    content = [TextContent(type="text", text=note), *result.content]
    return result.model_copy(update={"content": content})

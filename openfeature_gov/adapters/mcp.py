"""Servers of the official MCP SDK: a middleware (extra ``mcp``).

    server = MCPServer("shop", middleware=[..., Governed(governor, who)])

It goes last. The SDK calls its middleware provisional. Who acts comes from *who*; the
user from the subject of the access token where that leaves it open.

| what | how |
|---|---|
| five outcomes, parallel calls | covered (hooks are async) |
| waiting for a person | no pause: an error result; the identical call runs once |
| a session | MCP has no stable one: approvals are for user, agent and arguments |
| elicitation | not used: it asks the one who asks, which is no approval |
| arguments edited by a middleware after this one | the gate of the tool decides |
| a tool without a gate | later edits and repeats not seen |
| an output schema | a handler's value is wrapped as the SDK wraps the tool's own |
| resources and prompts | not covered: they are no tool calls |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp_types import CallToolResult, TextContent

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

Next = Callable[[Any], Awaitable[Any]]


class Governed:
    """Govern every tool call of one server; give it as the last middleware.

    *names* maps names of the server's tools to those of the registry. Tools that are
    not registered are neither listed nor run.
    """

    def __init__(
        self, governor: Governor, who: Who, names: Mapping[str, str] | None = None
    ) -> None:
        self._door = Door(governor, who, names)

    async def __call__(self, ctx: Any, call_next: Next) -> Any:
        """Decide about a tool call, shorten a list of tools, pass on anything else."""
        if ctx.method == "tools/call":
            return await self._call(ctx, call_next)
        result = await call_next(ctx)
        return self._listed(result) if ctx.method == "tools/list" else result

    async def _call(self, ctx: Any, call_next: Next) -> Any:
        async def body(arguments: dict[str, Any]) -> Any:
            params = {**ctx.params, "arguments": arguments}
            result = await call_next(replace(ctx, params=params))
            if _failed(result):
                raise ToolFailedError(result)
            return result

        admitted = await self._door.aadmit(self._asked(ctx))
        try:
            outcome = await admitted.arun(body)
        except ToolFailedError as failed:
            return failed.answer
        return self._answer(outcome)

    def _asked(self, ctx: Any) -> Asked:
        """Return what a call asks for; nothing has checked its parameters yet."""
        params = ctx.params if isinstance(ctx.params, Mapping) else {}
        token = get_access_token()
        return Asked(
            tool=str(params.get("name")),
            arguments=params.get("arguments") or {},
            user=str(getattr(token, "subject", None) or ""),
            native=ctx,
        )

    def _answer(self, outcome: Outcome) -> Any:
        return _native(outcome)

    def _listed(self, result: Any) -> Any:
        listed = _wire(result)
        shown = [one for one in listed["tools"] if self._door.known(one["name"])]
        return {**listed, "tools": shown}


def _failed(result: Any) -> bool:
    if isinstance(result, Mapping):
        return result.get("isError") is True
    return getattr(result, "is_error", False) is True


def _wire(result: Any) -> dict[str, Any]:
    """Return *result* as it goes over the wire, whether it is a model or already so."""
    if isinstance(result, Mapping):
        return dict(result)
    wire: dict[str, Any] = result.model_dump(
        by_alias=True, mode="json", exclude_none=True
    )
    return wire


def _native(outcome: Outcome) -> Any:
    text = told(outcome)
    if outcome.ran == "tool":
        return _noted(_wire(outcome.value), text) if text else outcome.value
    if outcome.status is not Status.EXECUTED:
        said = f"{text} {RECALL}" if waits(outcome) else text
        return _result(said, outcome, is_error=True)
    value = orjson.loads(orjson.dumps(outcome.value, default=str))
    structured = value if isinstance(value, dict) else {"result": value}
    return _result(text, outcome, structured_content=structured)


def _result(text: str, outcome: Outcome, **more: Any) -> Any:
    content = [TextContent(type="text", text=text)]
    return CallToolResult(content=content, _meta=facts(outcome), **more)


def _noted(result: dict[str, Any], note: str) -> dict[str, Any]:
    return {**result, "content": [{"type": "text", "text": note}, *result["content"]]}

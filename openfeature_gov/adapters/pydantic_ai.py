"""Pydantic AI: a capability whose toolset stands inside every hook.

    agent = Agent(
        model, tools=[refund], capabilities=[Governed(governor, who)],
        output_type=[str, DeferredToolRequests],
    )

The extra is ``pydantic-ai``. Who acts comes from *who*; the user from ``user_id`` of
the run's metadata, the session from its conversation id where that leaves them open.

| what | how |
|---|---|
| five outcomes, sync and async, parallel calls | covered, also for MCP toolsets |
| waiting for a person | ``ApprovalRequired``, if the output may be deferred requests |
| ``DeferredToolResults`` of any kind | only a wake-up: the store is asked again |
| arguments edited by a hook, in any order | seen: this stands inside all hooks |
| a sub-agent without this capability | the gate decides, for the parent's actor |
| a tool without a gate | `Governor.foreign` |
| output tools, tools that the provider runs | not covered: they are no toolset's |
| parameters that are models | refused: arguments must be plain JSON values |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_ai import ApprovalRequired, DeferredToolResults, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.toolsets import AbstractToolset, WrapperToolset

from openfeature_gov.adapters.shape import Asked, Door, Who, card, told
from openfeature_gov.governor import Governor
from openfeature_gov.outcomes import Status


class Governed(AbstractCapability[Any]):
    """Govern every tool call of one agent.

    *names* maps names of the agent's tools to those of the registry. Without *pauses*
    a call that waits is told so, and the identical call runs once it is approved.
    """

    def __init__(
        self,
        governor: Governor,
        who: Who,
        names: Mapping[str, str] | None = None,
        *,
        pauses: bool = True,
    ) -> None:
        self._door, self._pauses = Door(governor, who, names), pauses

    def get_wrapper_toolset(
        self, toolset: AbstractToolset[Any]
    ) -> AbstractToolset[Any]:
        """Return *toolset* behind the door."""
        return _Toolset(toolset, door=self._door, pauses=self._pauses)


def wake(requests: Any) -> Any:
    """Return the results that wake up every call of *requests*, which are deferred.

    One whose request is not answered yet is deferred again.
    """
    return DeferredToolResults(
        approvals={one.tool_call_id: True for one in requests.approvals}
    )


@dataclass(kw_only=True)
class _Toolset(WrapperToolset[Any]):
    door: Door
    pauses: bool

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: Any
    ) -> Any:
        inner = super().call_tool

        async def body(arguments: dict[str, Any]) -> Any:
            return await inner(name, arguments, ctx, tool)

        admitted = await self.door.aadmit(_asked(name, tool_args, ctx))
        if self.pauses and admitted.waits:
            raise ApprovalRequired(metadata=card(admitted.outcome))
        outcome = await admitted.arun(body)
        text = told(outcome)
        if outcome.ran == "tool":
            return {"note": text, "result": outcome.value} if text else outcome.value
        if outcome.status is Status.EXECUTED:
            return text
        raise ToolFailed(text)


def _asked(name: str, arguments: dict[str, Any], ctx: RunContext[Any]) -> Asked:
    metadata = ctx.metadata or {}
    return Asked(
        tool=name,
        arguments=arguments,
        call_id=ctx.tool_call_id or "",
        user=str(metadata.get("user_id") or ""),
        session=str(ctx.conversation_id or ""),
        native=ctx,
    )

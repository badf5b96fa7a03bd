"""A recipe for AutoGen: a governed workbench at a refund desk, offline.

    pip install openfeature-gov autogen-agentchat==0.7.5 autogen-ext==0.7.5
    python examples/autogen_refund.py

AutoGen gets no more features, so there is no adapter to install: copy the class below.
It has no pause. What waits is told so, and the identical call runs once it is approved.
A workbench governs its own agent; an agent without it meets the gate of each tool.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ToolCallExecutionEvent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_core.tools import (
    FunctionTool,
    StaticWorkbench,
    TextResultContent,
    ToolResult,
    Workbench,
)
from autogen_ext.models.replay import ReplayChatCompletionClient

from openfeature_gov.adapters.shape import (
    RECALL,
    Asked,
    Door,
    ToolFailedError,
    told,
    waits,
)
from openfeature_gov.demo.refund_desk import WHO, Desk, main
from openfeature_gov.outcomes import Status
from openfeature_gov.testing.rigs import Call, Played

MODEL = {
    "function_calling": True,
    "json_output": False,
    "vision": False,
    "structured_output": False,
    "family": "unknown",
}


class Governed(Workbench):
    """Govern every call of *inner*; list those of its tools that are registered."""

    component_type = "workbench"

    def __init__(self, inner: Workbench, door: Door) -> None:
        self._inner, self._door = inner, door

    async def start(self) -> None:
        """Start what is governed."""
        await self._inner.start()

    async def stop(self) -> None:
        """Stop what is governed."""
        await self._inner.stop()

    async def reset(self) -> None:
        """Reset what is governed."""
        await self._inner.reset()

    async def save_state(self) -> Mapping[str, Any]:
        """Return the state of what is governed."""
        return await self._inner.save_state()

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Give a state to what is governed."""
        await self._inner.load_state(state)

    def _to_config(self) -> Any:
        raise NotImplementedError("a governed workbench is built in code")

    @classmethod
    def _from_config(cls, config: Any) -> Any:
        raise NotImplementedError("a governed workbench is built in code")

    async def list_tools(self) -> list[Any]:
        """List what is registered; that is no enforcement."""
        every = await self._inner.list_tools()
        return [one for one in every if self._door.known(one["name"])]

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: Any = None,
        call_id: str | None = None,
    ) -> ToolResult:
        """Decide, and run what may run."""

        async def body(given: dict[str, Any]) -> Any:
            result = await self._inner.call_tool(
                name, given, cancellation_token, call_id
            )
            if result.is_error:
                raise ToolFailedError(result)
            return result

        # AutoGen's ids do not outlive a run: a request is for the action, not the call.
        admitted = await self._door.aadmit(Asked(tool=name, arguments=arguments or {}))
        try:
            outcome = await admitted.arun(body)
        except ToolFailedError as failed:
            return failed.answer
        text = told(outcome) + (f" {RECALL}" if waits(outcome) else "")
        result = outcome.value if outcome.ran == "tool" else None
        parts = [TextResultContent(content=text)] if text else []
        return ToolResult(
            name=name,
            result=[*parts, *(result.result if result else [])],
            is_error=outcome.status is not Status.EXECUTED,
        )


def in_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function* as one that is async, for its gate has to see the decision.

    AutoGen runs others in threads that know nothing of it: the gate denies there.
    """

    @functools.wraps(function)
    async def run(**arguments: Any) -> Any:
        return await asyncio.to_thread(function, **arguments)

    return run


def play(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    """Run the agent once a turn, and tell what its tools answered."""
    return asyncio.run(_run(desk, turns))


def resume(desk: Desk, state: str) -> Played:
    """Make the same calls again; whether they may run, the store knows."""
    return play(desk, [[Call(**one) for one in turn] for turn in json.loads(state)])


async def _run(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    tools = [
        FunctionTool(in_context(one), one.__doc__ or "") for one in desk.tools.values()
    ]
    workbench = Governed(StaticWorkbench(tools), Door(desk.governor, WHO))
    usage = RequestUsage(prompt_tokens=0, completion_tokens=0)
    script: list[Any] = [
        CreateResult(
            finish_reason="function_calls",
            content=[
                FunctionCall(one.id, json.dumps(one.arguments), one.tool)
                for one in turn
            ],
            usage=usage,
            cached=False,
        )
        for turn in turns
    ]
    agent = AssistantAgent(
        "desk",
        ReplayChatCompletionClient(script, model_info=MODEL),
        workbench=workbench,
    )
    answers: dict[str, str] = {}
    for _ in turns:
        for event in (await agent.run(task="go")).messages:
            if isinstance(event, ToolCallExecutionEvent):
                answers |= {one.call_id: one.content for one in event.content}
    state = json.dumps([[asdict(one) for one in turn] for turn in turns])
    return Played(answers=answers, state=state)


if __name__ == "__main__":
    sys.exit(main(play, resume))

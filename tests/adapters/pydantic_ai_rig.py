"""Pydantic AI with its own function model, for the suite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, Tool
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelResponse,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.tools import DeferredToolResults

from openfeature_gov.adapters.pydantic_ai import Governed
from openfeature_gov.testing.rigs import Call, Edit, Played, Rig
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.loops import in_own_loop
from tests.adapters.turns import delegation


class Late(AbstractCapability[Any]):
    """Edit the arguments of every call, in a hook."""

    def __init__(self, edit: Edit) -> None:
        self._edit = edit

    async def before_tool_execute(self, ctx: Any, *, args: Any, **_: Any) -> Any:
        return self._edit(args)


class Again(AbstractCapability[Any]):
    """Make a call that failed again; the framework leaves that to the model."""

    async def wrap_tool_execute(
        self, ctx: Any, *, args: Any, handler: Any, **_: Any
    ) -> Any:
        try:
            return await handler(args)
        except ValueError:
            return await handler(args)


class PydanticAIRig(Rig):
    """An agent whose messages are its state."""

    span = "execute_tool"

    @contextmanager
    def instrumented(self) -> Iterator[None]:
        """Let every agent emit spans."""
        Agent.instrument_all()
        try:
            yield
        finally:
            Agent.instrument_all(False)

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
            turn = delegation(place, lambda: _delegated(place, calls))
        made = agent(place, turn, late, retries=retries)
        if streams:
            return played(asyncio.run(_streamed(made)))
        if asynchronous:
            return played(asyncio.run(made.run("go")))
        return played(in_own_loop(lambda: made.run_sync("go")))

    def wake(
        self,
        place: Workplace,
        state: str,
        *,
        asynchronous: bool = False,
        late: Edit | None = None,
        retries: bool = False,
    ) -> Played:
        held = json.loads(state)
        given: Any = {
            "message_history": ModelMessagesTypeAdapter.validate_json(held["messages"]),
            "deferred_tool_results": DeferredToolResults(
                approvals=dict.fromkeys(held["ids"], True)
            ),
        }
        made = agent(place, [], late, retries=retries)
        if asynchronous:
            return played(asyncio.run(made.run(**given)))
        return played(in_own_loop(lambda: made.run_sync(**given)))


def agent(
    place: Workplace,
    turn: Sequence[Call],
    late: Edit | None = None,
    *,
    bare: bool = False,
    retries: bool = False,
) -> Any:
    """Return an agent whose model makes the calls of *turn* and then ends."""

    def model(messages: Any, info: Any) -> ModelResponse:
        del info
        asked = any(isinstance(one, ModelResponse) for one in messages)
        if asked or not turn:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(
            parts=[ToolCallPart(one.tool, one.arguments, one.id) for one in turn]
        )

    async def stream(messages: Any, info: Any) -> Any:
        for at, part in enumerate(model(messages, info).parts):
            if isinstance(part, TextPart):
                yield part.content
            else:
                said = {"name": part.tool_name, "json_args": json.dumps(part.args)}
                yield {at: DeltaToolCall(**said, tool_call_id=part.tool_call_id)}

    ours: list[Any] = [] if bare else [Governed(place.governor, WHO)]
    return Agent(
        FunctionModel(model, stream_function=stream),
        tools=tools(place),
        capabilities=[
            *ours,
            *([Late(late)] if late else []),
            *([Again()] if retries else []),
        ],
        output_type=[str, DeferredToolRequests],
    )


async def _streamed(made: Any) -> Any:
    async with made.run_stream_events("go") as events:
        found = [one async for one in events]
    return found[-1].result


def _delegated(place: Workplace, turn: Sequence[Call]) -> str:
    async def run() -> Any:
        return await agent(place, turn, bare=True).run("go")

    return json.dumps(played(asyncio.run(run())).answers)


def tools(place: Workplace) -> list[Any]:
    """Return the tools of *place*, with and without a gate."""
    every = [Tool(one) for one in place.tools.values()]
    more = {"hidden": place.hidden, "fetch": place.fetch}
    return every + [Tool(one, name=name) for name, one in more.items()]


def played(result: Any) -> Played:
    """Return what *result* came to."""
    answers = {
        part.tool_call_id: part.model_response_str()
        for message in result.all_messages()
        for part in message.parts
        if part.part_kind == "tool-return"
    }
    deferred = (
        result.output if isinstance(result.output, DeferredToolRequests) else None
    )
    ids = [] if deferred is None else [one.tool_call_id for one in deferred.approvals]
    waiting = [] if deferred is None else list(deferred.metadata.values())
    state = {"messages": result.all_messages_json().decode(), "ids": ids}
    return Played(
        answers=answers,
        paused=tuple(one["approval_id"] for one in waiting),
        state=json.dumps(state),
    )

"""A governed Pydantic AI agent at a refund desk, offline with a function model.

    pip install 'openfeature-gov[pydantic-ai]'
    python examples/pydantic_ai_refund.py

What waits for a person ends the run with a deferred request; its messages are the
state. It is approved in another process, and resumes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, Tool
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelResponse,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models.function import FunctionModel

from openfeature_gov.adapters.pydantic_ai import Governed
from openfeature_gov.demo.refund_desk import WHO, Desk, main
from openfeature_gov.testing.rigs import Call, Played


def agent(desk: Desk, turns: Sequence[Sequence[Call]]) -> Any:
    """Return an agent whose model makes the calls of each turn, and then ends."""
    script = iter(turns)

    def model(messages: Any, info: Any) -> ModelResponse:
        del messages, info
        calls = [ToolCallPart(one.tool, one.arguments, one.id) for one in _next(script)]
        return ModelResponse(parts=calls or [TextPart("done")])

    return Agent(
        FunctionModel(model),
        tools=[Tool(one) for one in desk.tools.values()],
        capabilities=[Governed(desk.governor, WHO)],
        output_type=[str, DeferredToolRequests],
    )


def _next(script: Any) -> Sequence[Call]:
    turn: Sequence[Call] = next(script, ())
    return turn


def play(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    """Run the agent until it is done or waits."""
    return _played(asyncio.run(agent(desk, turns).run("go")))


def resume(desk: Desk, state: str) -> Played:
    """Wake up what waits; whether it may run, the store knows."""
    results = DeferredToolResults(approvals={"call-1": True})
    history = ModelMessagesTypeAdapter.validate_json(state)
    run = agent(desk, []).run(message_history=history, deferred_tool_results=results)
    return _played(asyncio.run(run))


def _played(result: Any) -> Played:
    deferred = isinstance(result.output, DeferredToolRequests)
    parts = [part for one in result.all_messages() for part in one.parts]
    told = [part for part in parts if part.part_kind == "tool-return"]
    return Played(
        answers={part.tool_call_id: part.model_response_str() for part in told},
        paused=tuple(result.output.metadata) if deferred else (),
        state=result.all_messages_json().decode(),
    )


if __name__ == "__main__":
    sys.exit(main(play, resume))

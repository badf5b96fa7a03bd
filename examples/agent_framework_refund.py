"""A governed agent of Microsoft Agent Framework at a refund desk, offline.

    pip install 'openfeature-gov[agent-framework]'
    python examples/agent_framework_refund.py

What waits for a person is an approval request of the framework; session and request
are JSON. It is approved in another process, and resumes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from agent_framework import (
    Agent,
    AgentSession,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    Message,
)

from openfeature_gov.adapters.agent_framework import Governed, wake
from openfeature_gov.demo.refund_desk import WHO, Desk, main
from openfeature_gov.testing.rigs import Call, Played


class Scripted(BaseChatClient):
    """Make the calls of each turn, and then end."""

    turns: Any
    told: dict[str, str]

    async def _inner_get_response(self, *, messages: Any, **_: Any) -> Any:
        for part in (part for one in messages for part in one.contents):
            if part.type == "function_result":
                self.told[part.call_id] = str(part.result)
        calls = [
            Content.from_function_call(one.id, one.tool, arguments=one.arguments)
            for one in next(self.turns, ())
        ]
        said = calls or [Content.from_text("done")]
        return ChatResponse(messages=[Message(role="assistant", contents=said)])


class Model(FunctionInvocationLayer, ChatMiddlewareLayer, Scripted):
    """Call functions as every client of the framework does."""


def play(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    """Run the agent until it is done or waits."""
    return asyncio.run(_run(desk, turns, "go", AgentSession()))


def resume(desk: Desk, state: str) -> Played:
    """Wake up what waits; whether it may run, the store knows."""
    held = json.loads(state)
    woken = [wake(Content.from_dict(one)) for one in held["requests"]]
    given = Message(role="user", contents=woken)
    return asyncio.run(_run(desk, [], given, AgentSession.from_dict(held["session"])))


async def _run(
    desk: Desk, turns: Sequence[Sequence[Call]], given: Any, session: Any
) -> Played:
    model: Any = Model()
    model.turns, model.told = iter(turns), {}
    ours = Governed(desk.governor, WHO)
    agent = Agent(model, tools=[*desk.tools.values()], middleware=[ours])
    waiting = (await agent.run(given, session=session)).user_input_requests
    requests = [one.to_dict() for one in waiting]
    return Played(
        answers=model.told,
        paused=tuple(one.id for one in waiting),
        state=json.dumps({"session": session.to_dict(), "requests": requests}),
    )


if __name__ == "__main__":
    sys.exit(main(play, resume))

"""Microsoft Agent Framework with a scripted chat client, for the suite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from agent_framework import (
    Agent,
    AgentSession,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    FunctionMiddleware,
    FunctionTool,
    Message,
)
from agent_framework.observability import enable_instrumentation

from openfeature_gov.adapters.agent_framework import Governed, wake
from openfeature_gov.testing.rigs import Call, Edit, Played, Rig
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.turns import delegation


class _Model(BaseChatClient):
    def script(self, turns: Sequence[Sequence[Call]]) -> None:
        self._turns = iter(turns)
        self.answers: dict[str, str] = {}

    def _inner_get_response(
        self, *, messages: Any, stream: bool, options: Any, **_: Any
    ) -> Any:
        for message in messages:
            for part in message.contents:
                if part.type == "function_result":
                    self.answers[part.call_id] = _text(part)
        contents = [
            Content.from_function_call(one.id, one.tool, arguments=one.arguments)
            for one in next(self._turns, ())
        ] or [Content.from_text("done")]
        if not stream:
            return _once(Message(role="assistant", contents=contents))

        async def updates() -> Any:
            yield ChatResponseUpdate(role="assistant", contents=contents)

        return self._build_response_stream(updates())


class Model(FunctionInvocationLayer, ChatMiddlewareLayer, _Model):
    """Make the calls of each turn, then say that it is done."""


def scripted(*turns: Sequence[Call]) -> Any:
    """Return a model that makes the calls of each turn, and then ends."""
    model: Any = Model()
    model.script(turns)
    return model


async def _once(message: Message) -> ChatResponse:
    return ChatResponse(messages=[message])


def _text(part: Any) -> str:
    items = [one.text or "" for one in part.items or ()]
    return " ".join(items) or str(part.result)


class Late(FunctionMiddleware):
    """Edit the arguments of every call, after ours decided."""

    def __init__(self, edit: Edit) -> None:
        self._edit = edit

    async def process(self, context: Any, call_next: Any) -> None:
        context.arguments = self._edit(dict(context.arguments))
        await call_next()


class Again(FunctionMiddleware):
    """Make a call that failed again, after ours decided; nothing else does."""

    async def process(self, context: Any, call_next: Any) -> None:
        try:
            await call_next()
        except Exception:
            await call_next()


class AgentFrameworkRig(Rig):
    """An agent whose session is its state; it streams where it is not async.

    The span of a tool's own call begins only after the decision.
    """

    span = "invoke_agent"

    @contextmanager
    def instrumented(self) -> Iterator[None]:
        """Emit spans, as the framework's later versions do anyhow."""
        enable_instrumentation()
        yield

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
        session = AgentSession()
        way = {"streams": streams or not asynchronous, "retries": retries}
        return _run(place, [turn], late, "go", session, **way)

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
        session = AgentSession.from_dict(held["session"])
        requests = [Content.from_dict(one) for one in held["requests"]]
        given = Message(role="user", contents=[wake(one) for one in requests])
        way = {"streams": not asynchronous, "retries": retries}
        return _run(place, [], late, given, session, **way)


def _run(
    place: Workplace,
    turns: Sequence[Sequence[Call]],
    late: Edit | None,
    given: Any,
    session: Any,
    *,
    streams: bool,
    retries: bool,
) -> Played:
    client = scripted(*turns)
    after = [*([Late(late)] if late else []), *([Again()] if retries else [])]
    middleware = [Governed(place.governor, WHO), *after]
    made = Agent(client, tools=tools(place), middleware=middleware)
    return asyncio.run(played(made, client, given, session, streams=streams))


async def played(
    made: Any, client: Any, given: Any, session: Any, *, streams: bool
) -> Played:
    """Return what a run of *made* came to."""
    if streams:
        stream = made.run(given, session=session, stream=True)
        async for _ in stream:
            pass
        result = await stream.get_final_response()
    else:
        result = await made.run(given, session=session)
    requests = result.user_input_requests
    held = {
        "session": session.to_dict(),
        "requests": [one.to_dict() for one in requests],
    }
    cards = [one.additional_properties.get("gov_approval") for one in requests]
    return Played(
        answers=dict(client.answers),
        paused=tuple(one["approval_id"] for one in cards if one),
        state=json.dumps(held),
    )


def _delegated(place: Workplace, turn: Sequence[Call]) -> str:
    client = scripted(turn)
    made = Agent(client, tools=tools(place))
    run = played(made, client, "go", AgentSession(), streams=False)
    return json.dumps(asyncio.run(run).answers)


def tools(place: Workplace) -> list[Any]:
    """Return the tools of *place*, with and without a gate."""
    every: dict[str, Callable[..., Any]] = {
        **place.tools,
        "hidden": place.hidden,
        "fetch": place.fetch,
    }
    return [
        FunctionTool(name=name, description=name, func=one)
        for name, one in every.items()
    ]

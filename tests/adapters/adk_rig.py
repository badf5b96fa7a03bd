"""Google ADK with a scripted model, for the suite."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.apps import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.reflect_retry_tool_plugin import ReflectAndRetryToolPlugin
from google.adk.runners import Runner
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.adk.tools import FunctionTool
from google.genai.types import Content, FunctionCall, FunctionResponse, Part

from openfeature_gov.adapters.adk import Governed
from openfeature_gov.testing.rigs import Call, Edit, Played, Rig
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.loops import in_own_loop
from tests.adapters.turns import delegation

CONFIRM = "adk_request_confirmation"
USER = "customer-7"


class Scripted(BaseLlm):
    """Make the calls of each turn, then say that it is done."""

    turns: Any
    answers: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it

    async def generate_content_async(
        self, llm_request: Any, stream: bool = False
    ) -> Any:
        for content in llm_request.contents:
            for part in content.parts or ():
                if (answer := part.function_response) and answer.name != CONFIRM:
                    self.answers[answer.id] = json.dumps(answer.response)
        calls = [
            FunctionCall(id=one.id, name=one.tool, args=one.arguments)
            for one in next(self.turns, ())
        ]
        said = [Part(function_call=one) for one in calls] or [Part(text="done")]
        yield LlmResponse(content=Content(role="model", parts=said))


def scripted(*turns: Sequence[Call]) -> Any:
    """Return a model that makes the calls of each turn, and then ends."""
    return Scripted(model="scripted", turns=iter(turns))


class ADKRig(Rig):
    """A runner whose sessions lie in the place's folder."""

    span = "execute_tool"

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
        given = Content(role="user", parts=[Part(text="go")])
        turns = [turn, [replace(one, id=f"{one.id}-again") for one in turn]]
        model = scripted(*turns[: 2 if retries else 1])
        how = {"streams": streams, "retries": retries}
        return _run(place, model, late, given, "", asynchronous, **how)

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
        given, how = yes(held["ids"]), {"streams": False, "retries": retries}
        session = held["session"]
        return _run(place, scripted(), late, given, session, asynchronous, **how)


def yes(ids: Sequence[str]) -> Content:
    """Return the client's confirmation of the requests *ids*."""
    parts = [
        Part(
            function_response=FunctionResponse(
                id=one, name=CONFIRM, response={"confirmed": True}
            )
        )
        for one in ids
    ]
    return Content(role="user", parts=parts)


def _run(
    place: Workplace,
    model: Any,
    late: Edit | None,
    given: Content,
    session: str,
    asynchronous: bool,
    *,
    streams: bool,
    retries: bool,
) -> Played:
    again = [ReflectAndRetryToolPlugin(max_retries=1)] if retries else []
    plugins = [*again, Governed(place.governor, WHO)]
    run = asked(place, model, plugins, given, session, late, streams=streams)
    if asynchronous:
        return asyncio.run(run)
    return in_own_loop(lambda: asyncio.get_event_loop().run_until_complete(run))


async def asked(
    place: Workplace,
    model: Any,
    plugins: list[Any],
    given: Content,
    session: str = "",
    late: Edit | None = None,
    *,
    streams: bool = False,
) -> Played:
    """Return what one message to an agent with the tools of *place* came to."""

    async def edit(tool: Any, args: dict[str, Any], tool_context: Any) -> None:
        if late is not None:
            args.update(late(dict(args)))

    agent = LlmAgent(
        name="desk", model=model, tools=tools(place), before_tool_callback=edit
    )
    service = SqliteSessionService(str(place.folder / "sessions.db"))
    app = App(name="shop", root_agent=agent, plugins=plugins)
    runner = Runner(app=app, session_service=service)
    if not session:
        made = await service.create_session(app_name="shop", user_id=USER)
        session = made.id
    ids, waiting = [], []
    async for event in runner.run_async(
        user_id=USER,
        session_id=session,
        new_message=given,
        run_config=RunConfig(
            streaming_mode=StreamingMode.SSE if streams else StreamingMode.NONE
        ),
    ):
        for call in event.get_function_calls():
            if call.name == CONFIRM:
                ids.append(call.id)
                waiting.append(call.args["toolConfirmation"]["payload"])
    await runner.close()
    return Played(
        answers=dict(model.answers),
        paused=tuple(one["approval_id"] for one in waiting),
        state=json.dumps({"session": session, "ids": ids}),
    )


def _delegated(place: Workplace, turn: Sequence[Call]) -> str:
    """Run an agent without a plugin in a thread of its own, for ours has a loop."""
    given = Content(role="user", parts=[Part(text="go")])
    here = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        run = asked(place, scripted(turn), [], given)
        return json.dumps(pool.submit(here.run, asyncio.run, run).result().answers)


def tools(place: Workplace) -> list[Any]:
    """Return the tools of *place*, with and without a gate."""
    more: dict[str, Callable[..., Any]] = {"hidden": place.hidden, "fetch": place.fetch}
    made = [FunctionTool(one) for one in (*place.tools.values(), *more.values())]
    for tool, name in zip(made[-2:], more, strict=True):
        tool.name = name
    return made

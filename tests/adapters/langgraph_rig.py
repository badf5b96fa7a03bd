"""LangGraph with its own fake model, for the suite."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ToolRetryMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from openfeature_gov.adapters.langgraph import Governed, wake
from openfeature_gov.testing.rigs import Call, Edit, Played, Rig
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.turns import delegation


class Model(GenericFakeChatModel):
    """Say what the script says, whatever the tools."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def scripted(*turns: Sequence[Call]) -> Model:
    """Return a model that makes the calls of each turn, and then ends."""
    messages = [
        AIMessage(
            "",
            tool_calls=[
                {"name": one.tool, "args": one.arguments, "id": one.id} for one in turn
            ],
        )
        for turn in turns
    ]
    return Model(messages=iter([*messages, AIMessage("done"), AIMessage("done")]))


class Late(AgentMiddleware):
    """Edit the arguments of every call, after ours decided."""

    def __init__(self, edit: Edit) -> None:
        super().__init__()
        self._edit = edit

    def _edited(self, request: Any) -> Any:
        call = request.tool_call
        return request.override(tool_call={**call, "args": self._edit(call["args"])})

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(self._edited(request))

    async def awrap_tool_call(
        self, request: Any, handler: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        return await handler(self._edited(request))


class LangGraphRig(Rig):
    """An agent of ``create_agent`` with a checkpointer in the folder."""

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
        thread = f"thread-{len(list(place.folder.glob('thread-*')))}"
        (place.folder / thread).touch()
        turn = list(calls)
        if sub:
            turn = delegation(place, lambda: _delegated(place, calls))
        given = {"messages": [HumanMessage("go")]}
        how = {"streams": streams, "retries": retries}
        model = scripted(turn)
        return self._run(place, model, given, thread, asynchronous, late, **how)

    def wake(
        self,
        place: Workplace,
        state: str,
        *,
        asynchronous: bool = False,
        late: Edit | None = None,
        retries: bool = False,
    ) -> Played:
        how = {"streams": False, "retries": retries}
        return self._run(place, scripted(), None, state, asynchronous, late, **how)

    def _run(
        self,
        place: Workplace,
        model: Model,
        given: Any,
        thread: str,
        asynchronous: bool,
        late: Edit | None,
        *,
        streams: bool,
        retries: bool,
    ) -> Played:
        ours: list[Any] = [Governed(place.governor, WHO)]
        # An older one makes a message even of a pause, unless it is to raise.
        retry = ToolRetryMiddleware(max_retries=1, initial_delay=0, on_failure="error")
        again = [retry] if retries else []
        # Before ours and after it: both orders are there.
        around = [*again, *ours] if asynchronous else [*ours, *again]
        middleware = [*around, *([Late(late)] if late else [])]
        config: Any = {"configurable": {"thread_id": thread}}

        def agent(saver: Any) -> Any:
            return create_agent(
                model, tools(place), middleware=middleware, checkpointer=saver
            )

        async def run() -> Any:
            async with asaver(place) as saver:
                one = agent(saver)
                start = wake(await one.aget_state(config)) if given is None else given
                if not streams:
                    return await one.ainvoke(start, config)
                async for state in one.astream(start, config, stream_mode="values"):
                    last = state
                return last

        if asynchronous:
            return played(asyncio.run(run()), thread)
        with saver(place) as kept:
            one = agent(kept)
            start = wake(one.get_state(config)) if given is None else given
            if streams:
                *_, last = one.stream(start, config, stream_mode="values")
                return played(last, thread)
            return played(one.invoke(start, config), thread)


def _delegated(place: Workplace, turn: Sequence[Call]) -> str:
    agent = create_agent(scripted(turn), tools(place))
    result = agent.invoke({"messages": [HumanMessage("go")]})
    return json.dumps(played(result, "").answers)


def tools(place: Workplace) -> list[Any]:
    """Return the tools of *place*, with and without a gate."""
    every = [StructuredTool.from_function(one) for one in place.tools.values()]
    more = {"hidden": place.hidden, "fetch": place.fetch}
    return every + [
        StructuredTool.from_function(one, name=name) for name, one in more.items()
    ]


@contextmanager
def saver(place: Workplace) -> Iterator[Any]:
    connection = sqlite3.connect(place.folder / "threads.db", check_same_thread=False)
    try:
        yield SqliteSaver(connection)
    finally:
        connection.close()


@asynccontextmanager
async def asaver(place: Workplace) -> Any:
    async with AsyncSqliteSaver.from_conn_string(
        str(place.folder / "threads.db")
    ) as kept:
        yield kept


def played(result: dict[str, Any], thread: str) -> Played:
    """Return what *result* came to."""
    answers = {
        one.tool_call_id: str(one.content)
        for one in result["messages"]
        if isinstance(one, ToolMessage)
    }
    waiting = tuple(one.value["approval_id"] for one in result.get("__interrupt__", ()))
    return Played(answers=answers, paused=waiting, state=thread)

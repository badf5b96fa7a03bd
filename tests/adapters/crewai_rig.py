"""CrewAI with a scripted model, for the suite."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true",
    # One version of CrewAI cannot read what another one stored about its last crew.
    CREWAI_STORAGE_DIR=f"openfeature_gov-crewai-{version('crewai')}",
    CREWAI_TESTING="true",
    CREWAI_TRACING_ENABLED="false",
)

from crewai import Agent, Crew, Task
from crewai.hooks import register_hook, unregister_hook
from crewai.llms.base_llm import BaseLLM
from crewai.tools.base_tool import BaseTool, Tool
from pydantic import PrivateAttr

from openfeature_gov.adapters.crewai import BEFORE, Governed
from openfeature_gov.testing.rigs import Call, Edit, Played
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.turns import Stateless, delegation


class Scripted(BaseLLM):
    """Make the calls of each turn, then say that it is done."""

    _turns: Any = PrivateAttr(default_factory=lambda: iter(()))
    _answers: dict[str, str] = PrivateAttr(default_factory=dict)
    _asked: str = PrivateAttr(default="")

    def call(self, messages: Any, *_: Any, **__: Any) -> Any:
        for message in messages if isinstance(messages, list) else ():
            if message.get("role") == "tool":
                self._answers[message["tool_call_id"]] = str(message["content"])
        turn = next(self._turns, ())
        return [called(one) for one in turn] or "Final Answer: done"

    async def acall(self, messages: Any, *args: Any, **more: Any) -> Any:
        return self.call(messages, *args, **more)

    def supports_function_calling(self) -> bool:
        return True

    def supports_stop_words(self) -> bool:
        return False

    def get_context_window_size(self) -> int:
        return 1_000_000

    def get_input_tokens_count(self, *_: Any, **__: Any) -> int:
        return 1


def called(one: Call) -> dict[str, Any]:
    """Return *one* as a model writes it."""
    said = {"name": one.tool, "arguments": json.dumps(one.arguments)}
    return {"id": one.id, "type": "function", "function": said}


def scripted(*turns: Sequence[Call]) -> Any:
    """Return a model that makes the calls of each turn, and then ends."""
    model = Scripted(model="scripted")
    model._turns = iter(turns)
    return model


class Texting(Scripted):
    """Write each call as text, as models without function calling do.

    CrewAI goes another way then: it calls a tool that failed again by itself.
    """

    def call(self, messages: Any, *_: Any, **__: Any) -> Any:
        self._answers[self._asked] = str(messages)
        for one in next(self._turns, ()):
            self._asked = one.id
            said = f"Action: {one.tool}\nAction Input: {json.dumps(one.arguments)}"
            return f"Thought: I act\n{said}"
        return "Thought: I know\nFinal Answer: done"

    def supports_function_calling(self) -> bool:
        return False


def texting(turn: Sequence[Call]) -> Any:
    """Return a model that writes one call of *turn* after another."""
    model = Texting(model="scripted")
    model._turns = iter([[one] for one in turn])
    return model


class CrewAIRig(Stateless):
    """A crew of one; CrewAI has no pause and no sessions."""

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
            turn = delegation(
                place, lambda: json.dumps(kicked_off(place, calls).answers)
            )
        how = {"streams": streams, "texts": retries}
        with governed(place, late):
            return kicked_off(place, turn, asynchronous=asynchronous, **how)


@contextmanager
def governed(place: Workplace, late: Edit | None = None) -> Iterator[None]:
    """Register our hooks, and one after them that edits arguments."""

    def edit(context: Any) -> None:
        assert late is not None
        context.tool_input.update(late(dict(context.tool_input)))

    ours = Governed(place.governor, WHO)
    ours.register()
    if late is not None:
        register_hook(BEFORE, edit)
    try:
        yield
    finally:
        ours.unregister()
        unregister_hook(BEFORE, edit)


def kicked_off(
    place: Workplace,
    turn: Sequence[Call],
    *,
    asynchronous: bool = False,
    streams: bool = False,
    texts: bool = False,
) -> Played:
    """Return what a crew came to whose model makes the calls of *turn*."""
    model = texting(turn) if texts else scripted(turn)
    made = crew(model, tools(place), stream=streams)

    async def run() -> None:
        output = await made.akickoff()
        if streams:
            async for _ in output:
                pass

    if asynchronous:
        asyncio.run(run())
    else:
        output = made.kickoff()
        list(output if streams else ())
    state = json.dumps([asdict(one) for one in turn])
    return Played(answers=dict(model._answers), state=state)


def crew(model: Any, tools: Sequence[BaseTool], **more: Any) -> Any:
    """Return a crew of one agent with *tools*, and one task."""
    agent = Agent(
        role="desk", goal="help", backstory="-", llm=model, tools=[*tools], cache=False
    )
    task = Task(description="go", expected_output="-", agent=agent)
    return Crew(agents=[agent], tasks=[task], cache=False, **more)


def tools(place: Workplace) -> list[BaseTool]:
    """Return the tools of *place*, with and without a gate."""
    every = {**place.tools, "hidden": place.hidden, "fetch": place.fetch}
    return [tool_of(name, one) for name, one in every.items()]


def tool_of(name: str, function: Any) -> BaseTool:
    """Return *function* as CrewAI's decorator makes a tool of it."""
    return Tool.from_langchain(_Named(name, function))


class _Named:
    """Hold what CrewAI reads of a tool that somebody else made."""

    def __init__(self, name: str, func: Any) -> None:
        self.name, self.func = name, func
        self.description = func.__doc__ or name

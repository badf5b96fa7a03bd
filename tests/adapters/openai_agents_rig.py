"""The OpenAI Agents SDK with its own scripted model, for the suite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from agents import Agent, Runner, RunState, function_tool, set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message, function_call

from openfeature_gov.adapters.openai_agents import govern
from openfeature_gov.testing.rigs import Call, Edit, Played, Rig
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.loops import in_own_loop
from tests.adapters.turns import NO_RETRY, delegation

set_tracing_disabled(True)
CONTEXT = {"user_id": "customer-7", "session_id": "session-1"}


class OpenAIAgentsRig(Rig):
    """An agent whose run state is a text."""

    lacks = {  # noqa: RUF012 - as the base class has it
        "test_a_late_edit": "nothing can stand between the wrapper and the tool",
        **NO_RETRY,
    }

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
        agent = _agent(place, turn)
        if streams:
            result = asyncio.run(_streamed(agent))
        elif asynchronous:
            result = asyncio.run(Runner.run(agent, "go", context=CONTEXT))
        else:
            result = in_own_loop(lambda: Runner.run_sync(agent, "go", context=CONTEXT))
        return played(result, place)

    def wake(
        self,
        place: Workplace,
        state: str,
        *,
        asynchronous: bool = False,
        late: Edit | None = None,
        retries: bool = False,
    ) -> Played:
        agent = _agent(place, [])

        async def run() -> Any:
            woken = await RunState.from_string(agent, state)
            for item in woken.get_interruptions():
                woken.approve(item, always_approve=True)
            return await Runner.run(agent, woken)

        return played(asyncio.run(run()), place)


def bare(place: Workplace, turn: Sequence[Call]) -> Any:
    """Return an agent with no adapter whose model makes the calls of *turn*."""
    calls: list[Any] = [
        function_call(one.tool, one.arguments, call_id=one.id) for one in turn
    ]
    end: list[Any] = [assistant_message("done")]
    script = [calls, end, end] if calls else [end, end]
    return Agent(name="desk", tools=tools(place), model=ScriptedModel(script))


def _agent(place: Workplace, turn: Sequence[Call]) -> Any:
    return govern(bare(place, turn), place.governor, WHO)


async def _streamed(agent: Any) -> Any:
    result = Runner.run_streamed(agent, "go", context=CONTEXT)
    async for _ in result.stream_events():
        pass
    return result


def _delegated(place: Workplace, turn: Sequence[Call]) -> str:
    async def run() -> Any:
        return await Runner.run(bare(place, turn), "go")

    return json.dumps(played(asyncio.run(run()), place).answers)


def tools(place: Workplace) -> list[Any]:
    """Return the tools of *place*, with and without a gate."""
    every = [function_tool(one) for one in place.tools.values()]
    more = {"hidden": place.hidden, "fetch": place.fetch}
    return every + [
        function_tool(one, name_override=name, failure_error_function=None)
        for name, one in more.items()
    ]


def played(result: Any, place: Workplace) -> Played:
    """Return what *result* came to."""
    answers = {
        one.raw_item["call_id"]: str(one.output)
        for one in result.new_items
        if one.type == "tool_call_output_item"
    }
    calls = {one.call_id for one in result.interruptions}
    waiting = [one.id for one in place.waiting() if one.call_id in calls]
    return Played(
        answers=answers,
        paused=tuple(waiting),
        state=result.to_state().to_string(),
    )

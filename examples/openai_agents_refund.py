"""A governed agent of the OpenAI Agents SDK at a refund desk, offline.

    pip install 'openfeature-gov[openai-agents]'
    python examples/openai_agents_refund.py

What waits for a person interrupts the run, whose state is a text; it is approved in
another process, and resumes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from agents import Agent, Runner, RunState, function_tool, set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message, function_call

from openfeature_gov.adapters.openai_agents import govern, wake
from openfeature_gov.demo.refund_desk import WHO, Desk, main
from openfeature_gov.testing.rigs import Call, Played

set_tracing_disabled(True)


def agent(desk: Desk, turns: Sequence[Sequence[Call]]) -> Any:
    """Return an agent whose model makes the calls of each turn, and then ends."""
    script: list[Any] = [
        [function_call(one.tool, one.arguments, call_id=one.id) for one in turn]
        for turn in turns
    ]
    made = Agent(
        name="refund-agent",
        tools=[function_tool(one) for one in desk.tools.values()],
        model=ScriptedModel([*script, [assistant_message("done")]]),
    )
    return govern(made, desk.governor, WHO)


def play(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    """Run the agent until it is done or waits."""
    return _played(asyncio.run(Runner.run(agent(desk, turns), "go")))


def resume(desk: Desk, state: str) -> Played:
    """Wake up what waits; whether it may run, the store knows."""
    made = agent(desk, [])

    async def run() -> Any:
        woken = wake(await RunState.from_string(made, state), desk.governor)
        return await Runner.run(made, woken)

    return _played(asyncio.run(run()))


def _played(result: Any) -> Played:
    outputs = [one for one in result.new_items if one.type == "tool_call_output_item"]
    return Played(
        answers={one.raw_item["call_id"]: str(one.output) for one in outputs},
        paused=tuple(one.call_id for one in result.interruptions),
        state=result.to_state().to_string(),
    )


if __name__ == "__main__":
    sys.exit(main(play, resume))

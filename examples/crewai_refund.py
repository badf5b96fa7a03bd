"""A governed crew of CrewAI at a refund desk, offline with a scripted model.

    pip install 'openfeature-gov[crewai]'
    python examples/crewai_refund.py

CrewAI cannot pause at a tool: what waits for a person is told so, and the identical
call runs once when it was approved.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true",
    CREWAI_TESTING="true",
    CREWAI_TRACING_ENABLED="false",
    OTEL_SDK_DISABLED="true",
)

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool
from pydantic import PrivateAttr

from openfeature_gov.adapters.crewai import Governed
from openfeature_gov.demo.refund_desk import WHO, Desk, main
from openfeature_gov.testing.rigs import Call, Played


class Scripted(BaseLLM):
    """Make the calls of each turn, and then end."""

    _turns: Any = PrivateAttr(default=())
    _told: dict[str, str] = PrivateAttr(default_factory=dict)

    def call(self, messages: Any, *_: Any, **__: Any) -> Any:
        """Answer with the next turn, and note what tools told."""
        for message in messages if isinstance(messages, list) else ():
            if message["role"] == "tool":
                self._told[message["tool_call_id"]] = message["content"]
        made = [
            {
                "id": one.id,
                "type": "function",
                "function": {"name": one.tool, "arguments": json.dumps(one.arguments)},
            }
            for one in next(self._turns, ())
        ]
        return made or "Final Answer: done"

    def supports_function_calling(self) -> bool:
        """Say yes: calls are no text."""
        return True

    def get_input_tokens_count(self, *_: Any, **__: Any) -> int:
        """Say that there is room."""
        return 1


def play(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    """Run a crew of one whose model makes the calls of *turns*."""
    model = Scripted(model="scripted")
    model._turns = iter(turns)  # noqa: SLF001 - our own
    tools = [tool(one) for one in desk.tools.values()]
    about: dict[str, Any] = {"goal": "help", "backstory": "A refund desk."}
    agent = Agent(role="desk", llm=model, tools=tools, **about)
    task = Task(description="Help.", expected_output="An answer.", agent=agent)
    ours = Governed(desk.governor, WHO)
    ours.register()
    try:
        Crew(agents=[agent], tasks=[task], cache=False).kickoff()
    finally:
        ours.unregister()
    state = json.dumps([[asdict(call) for call in turn] for turn in turns])
    return Played(answers=dict(model._told), state=state)  # noqa: SLF001 - our own


def resume(desk: Desk, state: str) -> Played:
    """Make the same calls again."""
    return play(desk, [[Call(**call) for call in turn] for turn in json.loads(state)])


if __name__ == "__main__":
    sys.exit(main(play, resume))

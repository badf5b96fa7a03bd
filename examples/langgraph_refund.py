"""A governed LangGraph agent at a refund desk, offline with a scripted model.

    pip install 'openfeature-gov[langgraph]'
    python examples/langgraph_refund.py

What waits for a person pauses the graph, is approved in another process, and resumes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from openfeature_gov.adapters.langgraph import Governed, wake
from openfeature_gov.demo.refund_desk import WHO, Desk, main
from openfeature_gov.testing.rigs import Call, Played

SAVER = InMemorySaver()  # yours: one that survives the process
THREADS = iter(range(1_000))


class Model(GenericFakeChatModel):
    """Say what the script says; it needs no tools for that."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        """Return the model itself."""
        del tools
        return self


def agent(desk: Desk, turns: Sequence[Sequence[Call]]) -> Any:
    """Return an agent whose model makes the calls of each turn, and then ends."""
    calls = [
        [{"name": one.tool, "args": one.arguments, "id": one.id} for one in turn]
        for turn in turns
    ]
    script = [AIMessage("", tool_calls=turn) for turn in calls]
    return create_agent(
        Model(messages=iter([*script, AIMessage("done")])),
        tools=[StructuredTool.from_function(one) for one in desk.tools.values()],
        middleware=[Governed(desk.governor, WHO)],
        checkpointer=SAVER,
    )


def play(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    """Run the agent until it is done or waits."""
    thread = f"thread-{next(THREADS)}"
    given = {"messages": [HumanMessage("go")]}
    return _played(agent(desk, turns).invoke(given, _config(thread)), thread)


def resume(desk: Desk, thread: str) -> Played:
    """Wake up what waits; whether it may run, the store knows."""
    one = agent(desk, [])
    state = one.get_state(_config(thread))
    return _played(one.invoke(wake(state), _config(thread)), thread)


def _config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def _played(result: dict[str, Any], thread: str) -> Played:
    told = [one for one in result["messages"] if isinstance(one, ToolMessage)]
    waits = [one.value["approval_id"] for one in result.get("__interrupt__", ())]
    return Played(
        answers={one.tool_call_id: str(one.content) for one in told},
        paused=tuple(waits),
        state=thread,
    )


if __name__ == "__main__":
    sys.exit(main(play, resume))

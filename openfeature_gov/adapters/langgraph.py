"""LangChain and LangGraph: a middleware of ``create_agent`` (extra ``langgraph``).

    agent = create_agent(model, tools, middleware=[..., Governed(governor, who)])

It goes last, so that it stands next to the tool. Who acts comes from *who*; the user
from ``user_id`` of the runtime's context where that leaves it open, and session and
task from ``thread_id``.

| what | how |
|---|---|
| five outcomes, sync and async, parallel calls | covered |
| waiting for a person | ``interrupt``; a checkpointer resumes it in any process |
| no checkpointer | no pause: a message; the identical call runs once approved |
| arguments edited by a middleware after this one | the gate of the tool decides |
| a sub-agent without this middleware | the gate decides, for the parent's actor |
| a tool without a gate (a library's, MCP's) | later edits and repeats not seen |
| a tool that the provider itself runs | not covered: there is no hook |
| a retry of an approved call that failed | a new request: an approval is for one run |
| a retry middleware before this one | ``on_failure="error"``: older ones make a |
|  | message even of a pause: nothing runs then, and the run does not pause |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import ToolMessage
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command, interrupt

from openfeature_gov.adapters.shape import (
    Admitted,
    Asked,
    Door,
    ToolFailedError,
    Who,
    card,
    told,
)
from openfeature_gov.governor import Governor
from openfeature_gov.outcomes import Outcome, Status

Answer: TypeAlias = ToolMessage | Command[Any]
CHECKPOINTER = "__pregel_checkpointer"


class Governed(AgentMiddleware):
    """Govern every tool call of one agent; give it as the last middleware.

    *names* maps names of the agent's tools to those of the registry. Tools that are
    not registered are neither shown to the model nor run.
    """

    def __init__(
        self, governor: Governor, who: Who, names: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self._door = Door(governor, who, names)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Answer]
    ) -> Answer:
        """Decide, pause where a person must answer, and run what may run."""
        asked = _asked(request)
        admitted = self._door.admit(asked)
        while _pauses(request, admitted):
            # What the resume carries is never looked at: the store alone knows.
            interrupt(card(admitted.outcome))
            admitted = self._door.admit(asked)
        try:
            outcome = admitted.run(lambda args: _checked(handler(_with(request, args))))
        except ToolFailedError as failed:
            return _answer(failed)
        return _native(request, outcome)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[Answer]],
    ) -> Answer:
        """Decide and run what may run; the async twin of `wrap_tool_call`."""

        async def body(arguments: dict[str, Any]) -> Answer:
            return _checked(await handler(_with(request, arguments)))

        asked = _asked(request)
        admitted = await self._door.aadmit(asked)
        while _pauses(request, admitted):
            interrupt(card(admitted.outcome))
            admitted = await self._door.aadmit(asked)
        try:
            outcome = await admitted.arun(body)
        except ToolFailedError as failed:
            return _answer(failed)
        return _native(request, outcome)

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Show the model only tools of the registry; that is no enforcement."""
        return handler(request.override(tools=self._shown(request.tools)))

    async def awrap_model_call(
        self, request: Any, handler: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """Show the model only tools of the registry; the async twin."""
        return await handler(request.override(tools=self._shown(request.tools)))

    def _shown(self, tools: list[Any]) -> list[Any]:
        return [one for one in tools if self._door.known(getattr(one, "name", ""))]


def wake(state: Any, value: Any = "wake up") -> Command[Any]:
    """Return the command that wakes every call of *state* that waits for a person.

    *state* is what ``agent.get_state(config)`` returned. A call whose request is not
    answered yet pauses again.
    """
    return Command(
        resume={
            one.id: value
            for task in state.tasks
            for one in task.interrupts
            if isinstance(one.value, dict) and one.value.get("type") == "gov_approval"
        }
    )


def _asked(request: ToolCallRequest) -> Asked:
    call, runtime = request.tool_call, request.runtime
    context = getattr(runtime, "context", None)
    if isinstance(context, Mapping):
        user = context.get("user_id")
    else:
        user = getattr(context, "user_id", None)
    return Asked(
        tool=call["name"],
        arguments=call["args"],
        call_id=call["id"] or "",
        user=user or "",
        session=str(_configured(request).get("thread_id") or ""),
        native=request,
    )


def _configured(request: ToolCallRequest) -> Mapping[str, Any]:
    config = getattr(request.runtime, "config", None) or {}
    return config.get("configurable") or {}


def _pauses(request: ToolCallRequest, admitted: Admitted) -> bool:
    return admitted.waits and _configured(request).get(CHECKPOINTER) is not None


def _with(request: ToolCallRequest, arguments: dict[str, Any]) -> ToolCallRequest:
    return request.override(tool_call={**request.tool_call, "args": arguments})


def _checked(answer: Answer) -> Answer:
    if isinstance(answer, ToolMessage) and answer.status == "error":
        raise ToolFailedError(answer)
    return answer


def _answer(failed: ToolFailedError) -> Answer:
    answer: Answer = failed.answer
    return answer


def _native(request: ToolCallRequest, outcome: Outcome) -> Answer:
    text = told(outcome)
    if outcome.ran != "tool":
        done = outcome.status is Status.EXECUTED
        return ToolMessage(
            text,
            name=request.tool_call["name"],
            tool_call_id=request.tool_call["id"] or "",
            status="success" if done else "error",
        )
    answer: Answer = outcome.value
    if not text or not isinstance(answer, ToolMessage):
        return answer
    given = answer.content
    parts = [{"type": "text", "text": given}] if isinstance(given, str) else given
    content = f"{text}\n{given}" if isinstance(given, str) else [text, *parts]
    return answer.model_copy(update={"content": content})

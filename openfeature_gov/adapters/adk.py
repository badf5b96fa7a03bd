"""Google ADK: a plugin of the runner (extra ``adk``).

    runner = Runner(app=App(name="desk", root_agent=agent, plugins=[..., ours]), ...)

where ``ours = Governed(governor, who)``, the last plugin. Who acts comes from *who*;
user and session from ADK's session where that leaves them open.

| what | how |
|---|---|
| five outcomes, parallel calls, streaming | covered (hooks are async) |
| waiting for a person | a confirmation request; the session resumes in any process |
| a confirmation of the client | only a wake-up: the store is asked again |
| sub-agents, agents as tools | covered: plugins are the runner's; an agent as a |
|  | tool, and ``transfer_to_agent``, is a tool of its own, `Governor.foreign` |
| arguments edited by a callback of an agent | the gate of the tool decides |
| a tool without a gate | `Governor.foreign`; no later edits seen |
| a callback that answers instead of a gated tool | its outcome is "unknown" |
| live mode, tools that the model's side runs | not covered |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.adk.plugins.base_plugin import BasePlugin

from openfeature_gov.adapters.shape import RECALL, Asked, Door, Who, card, told, waits
from openfeature_gov.governor import Governor
from openfeature_gov.outcomes import Outcome, Status

Running = tuple[Callable[..., None], str]


class Governed(BasePlugin):
    """Govern every tool call of one runner; give it as the last plugin.

    *names* maps names of the agents' tools to those of the registry. Without *pauses*
    a call that waits is told so, and the identical call runs once it is approved.
    """

    def __init__(
        self,
        governor: Governor,
        who: Who,
        names: Mapping[str, str] | None = None,
        *,
        pauses: bool = True,
    ) -> None:
        super().__init__(name="gov")
        self._door, self._pauses = Door(governor, who, names), pauses
        self._running: dict[int, Running] = {}

    async def before_tool_callback(
        self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any
    ) -> dict[str, Any] | None:
        """Decide; return what is told instead, or nothing where the tool may run."""
        self._running.pop(id(tool_context), None)  # of a context that is gone
        admitted = await self._door.aadmit(_asked(tool, tool_args, tool_context))
        outcome = admitted.outcome
        if outcome.ran != "tool":
            if waits(outcome):
                return self._wait(outcome, tool_context)
            return _answer(await admitted.arun(_nothing))
        tool_args.clear()
        tool_args.update(outcome.arguments)
        # ADK runs tool and callbacks of one call in one task, with this context object.
        self._running[id(tool_context)] = admitted.begin(), told(outcome)
        return None

    async def after_tool_callback(
        self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any, result: Any
    ) -> dict[str, Any] | None:
        """Record that the tool ran, and note with what."""
        del tool, tool_args
        end, note = self._running.pop(id(tool_context), (None, ""))
        if end is None:
            return None
        end(result)
        return {"note": note, "result": result} if note else None

    async def on_tool_error_callback(
        self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any, error: Any
    ) -> dict[str, Any] | None:
        """Record that the tool failed; what comes of that is ADK's."""
        del tool, tool_args
        end, _ = self._running.pop(id(tool_context), (None, ""))
        if end is not None:
            end(error=error)
        return None

    def _wait(self, outcome: Outcome, tool_context: Any) -> dict[str, Any]:
        if not self._pauses:
            return {"error": f"{outcome.message} {RECALL}"}
        tool_context.request_confirmation(hint=outcome.message, payload=card(outcome))
        tool_context.actions.skip_summarization = True
        return {"error": outcome.message}


def _asked(tool: Any, arguments: dict[str, Any], tool_context: Any) -> Asked:
    return Asked(
        tool=tool.name,
        arguments=dict(arguments),
        call_id=tool_context.function_call_id or "",
        user=tool_context.user_id,
        session=tool_context.session.id,
        native=tool_context,
    )


def _answer(outcome: Outcome) -> dict[str, Any]:
    executed = outcome.status is Status.EXECUTED
    return {"result" if executed else "error": told(outcome)}


async def _nothing(_arguments: dict[str, Any]) -> None:
    raise AssertionError("a tool that ADK runs")

"""Microsoft Agent Framework: a function middleware (extra ``agent-framework``).

    agent = Agent(client, tools=[refund], middleware=[..., Governed(governor, who)])

It goes last. Who acts comes from *who*; the user from ``user_id`` of the run's function
arguments, the session from the ``AgentSession`` where that leaves them open.

| what | how |
|---|---|
| five outcomes, parallel calls, streaming | covered (the framework is async) |
| waiting for a person | an approval request; the session, as JSON, resumes anywhere |
| an approval response of the framework | only a wake-up: the store is asked again |
| arguments edited by a middleware after this one | the gate of the tool decides |
| a sub-agent without this middleware | the gate decides, for the parent's actor |
| hand-offs of a workflow | a tool each, ``handoff_to_NAME``: `Governor.foreign` |
| a workflow woken up before the answer | runs nothing, and does not ask again |
| a middleware after this one that ends a call | its outcome is "unknown", and so is |
|  | that of a hand-off, which one of the framework's answers |
| a tool without a gate | `Governor.foreign`; no later edits seen |
| an argument that the tool does not have | dropped by the framework before this |
| hosted tools | not covered: the provider runs them |
| ``approval_mode="always_require"`` | the framework asks too, before this is asked |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent_framework import (
    Content,
    FunctionInvocationContext,
    FunctionMiddleware,
    MiddlewareTermination,
)

from openfeature_gov.adapters.shape import Asked, Door, Who, card, told, waits
from openfeature_gov.decisions import Effect
from openfeature_gov.governor import Governor
from openfeature_gov.outcomes import Outcome

Next = Callable[[], Awaitable[None]]


class Governed(FunctionMiddleware):
    """Govern every function call of one agent; give it as the last middleware.

    *names* maps names of the agent's tools to those of the registry. Without *pauses*
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
        self._door, self._pauses = Door(governor, who, names), pauses

    async def process(
        self, context: FunctionInvocationContext, call_next: Next
    ) -> None:
        """Decide, pause where a person must answer, and run what may run."""
        admitted = await self._door.aadmit(_asked(context))
        outcome = admitted.outcome
        if self._pauses and waits(outcome):
            context.result = _request(context, outcome)
            raise MiddlewareTermination(outcome.message)
        if outcome.ran != "tool":
            context.result = told(await admitted.arun(_nothing))
            return
        # Of what a person approved the framework takes no other form.
        if outcome.effect is Effect.CONSTRAIN:
            context.arguments = outcome.arguments
        end = admitted.begin()
        try:
            await call_next()
        except MiddlewareTermination:
            # A middleware after this one answered, as one does that hands over.
            end(context.result, known=False)
            raise
        except BaseException as error:
            end(error=error)
            raise
        end(context.result)
        if text := told(outcome):
            context.result = _noted(context.result, text)


def wake(request: Any) -> Any:
    """Return what wakes up the call of *request*; the store knows whether it may run.

    Send it as a user's message in the same session.
    """
    return request.to_function_approval_response(approved=True)


async def _nothing(_arguments: dict[str, Any]) -> None:
    raise AssertionError("a tool that the framework runs")


def _asked(context: Any) -> Asked:
    arguments, session = context.arguments, context.session
    if not isinstance(arguments, Mapping):
        arguments = arguments.model_dump(mode="json")
    return Asked(
        tool=context.function.name,
        arguments=dict(arguments),
        call_id=str(context.metadata.get("call_id") or ""),
        user=str(context.kwargs.get("user_id") or ""),
        session="" if session is None else session.session_id,
        native=context,
    )


def _request(context: Any, outcome: Outcome) -> Any:
    call_id = context.metadata["call_id"]
    occurrence = context.metadata.get("function_call_occurrence_id") or call_id
    call = Content.from_function_call(
        call_id=call_id,
        name=context.function.name,
        arguments=dict(context.arguments),
        id=occurrence,
    )
    return Content.from_function_approval_request(
        id=occurrence,
        function_call=call,
        additional_properties={"gov_approval": card(outcome)},
    )


def _noted(result: Any, note: str) -> Any:
    parts = result if isinstance(result, list) else [result]
    return [Content.from_text(note), *(_content(one) for one in parts)]


def _content(part: Any) -> Any:
    return part if isinstance(part, Content) else Content.from_text(str(part))

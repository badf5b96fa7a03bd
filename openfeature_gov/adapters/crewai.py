"""CrewAI: hooks before and after every tool call of the process (extra ``crewai``).

    Governed(governor, who).register()

Do it after every other hook that stands before tools: ours is the last of those. It is
the first of those that stand after a tool, so that none of them can hide how a call
ended. Who acts comes from *who*, for CrewAI knows no user and no session; it gets
CrewAI's hook context, which has agent, task and crew. CrewAI makes names of tools lower
case with underscores.

| what | how |
|---|---|
| five outcomes, parallel calls, streaming | covered, in all crews of the process |
| async kick-offs | covered; hooks are sync, so the loop waits for a decision |
| waiting for a person | no pause: a message; the identical call runs once approved |
| a policy or a hook of ours that fails | ``HookAborted``: nothing runs. CrewAI runs |
|  | the tool after any other exception of a hook |
| agents that get work delegated, flows | covered; delegation is itself a tool: |
|  | ``Governor.foreign("delegate_work_to_coworker")`` |
| arguments edited by a hook after this one | the gate of the tool decides |
| a hook after tools that aborts | ours stood before it: the outcome is recorded |
| a tool without a gate | `Governor.foreign`; denied while a hook follows this one |
| a tool without a gate, model without function calling | CrewAI itself calls it again |
|  | when it fails, unseen: give it a gate, ``tool._run = governor.tool(name)(...)`` |
| an answer from CrewAI's cache, a used-up ``max_usage_count`` | decided; its outcome |
|  | is "unknown" and costs what a run costs: set ``cache=False`` |
| what a tool without a gate answers | never believed: how it ended is what CrewAI's |
|  | events say and its counts of uses; where they cannot tell, "unknown" |
| ``tool.run()``, ``LLM.call(available_functions=)`` | no hook; the gate decides |
| async handlers of lower modes | not run: hooks are sync |
| tools that the model's provider runs | not covered: there is no hook |
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from crewai.events.event_context import get_current_parent_id
from crewai.events.stream_context import add_stream_sink, reset_stream_sinks
from crewai.events.types.hook_events import HookDispatchedEvent
from crewai.events.types.tool_usage_events import (
    ToolUsageErrorEvent,
    ToolUsageFinishedEvent,
)
from crewai.hooks import (
    HookAborted,
    InterceptionPoint,
    get_hooks,
    register_hook,
    unregister_hook,
)
from crewai.hooks.dispatch import get_global_hook_list, get_scoped_hooks

from openfeature_gov.adapters.shape import (
    RECALL,
    REMEMBERED,
    Asked,
    Door,
    Who,
    told,
    waits,
)
from openfeature_gov.governor import Governor
from openfeature_gov.outcomes import Outcome

BEFORE, AFTER = InterceptionPoint.PRE_TOOL_CALL, InterceptionPoint.POST_TOOL_CALL
NOT_LAST = "Not executed: another hook stands between the decision and this tool."
BROKEN = "Not executed: the step before this tool failed."
_ENDS = (ToolUsageErrorEvent, ToolUsageFinishedEvent)
logger = logging.getLogger(__name__)


class _Watch:
    """See what CrewAI does with the call of *context*, once it is let through.

    A hook is shown a text alone, and the text is the tool's. CrewAI's events tell what
    failed: a sink of its streams is called where and when they are emitted, which the
    handlers of its bus are not.
    """

    def __init__(self, context: Any) -> None:
        self._name, self._given = context.tool_name, context.tool_input
        self._tool = getattr(context.tool, "_original_tool", None) or context.tool
        self._counted = (context.tool, self._tool)
        handler = getattr(context.agent, "tools_handler", None)
        self._cache = getattr(handler, "cache", None)
        self._limited = getattr(self._tool, "max_usage_count", None) is not None
        self.doubted = False
        self.blocked: bool | None = None
        self.error: BaseException | None = None

    def begin(self) -> None:
        """Look on from here; *doubted* is what is in the cache already."""
        # What ends while this looks is either still among the calls or in the cache.
        self._uses = self._count()
        if self._cache is not None:
            text = json.dumps(self._given) if self._given else ""
            kept = self._cache.read(tool=self._name, input=text)
            if kept is not None:
                self.doubted = True
        self._around = get_current_parent_id()
        self._token = add_stream_sink(self._see)

    def end(self) -> None:
        """Look no more; nothing is sure if that is not where this began to look."""
        try:
            reset_stream_sinks(self._token)
        except (AttributeError, ValueError):  # it never began, or elsewhere
            self.doubted = True

    @property
    def ran(self) -> bool:
        """Say whether the tool ran, which CrewAI counts, and for this call."""
        return not self.doubted and self._count() != self._uses

    def mixes(self, other: _Watch) -> bool:
        """Say whether one of two calls at once may be taken for the other."""
        twins = self._cache is not None and self._given == other._given
        return self._tool is other._tool and (self._limited or twins)

    def _count(self) -> list[int]:
        return [getattr(one, "current_usage_count", 0) for one in self._counted]

    def _see(self, _source: Any, event: Any) -> None:
        """Take note of *event* if it is of this call, not of one below it."""
        if isinstance(event, HookDispatchedEvent):
            ours = event.interception_point == BEFORE.value
            if ours and self.blocked is None and event.parent_event_id == self._around:
                self.blocked = event.outcome == "aborted"
        elif isinstance(event, _ENDS) and self._ends(event):
            # The last of them counts: a text agent's failed call is made again.
            failed = isinstance(event, ToolUsageErrorEvent)
            self.error = _raised(event.error) if failed else None

    def _ends(self, event: Any) -> bool:
        # CrewAI opens a call's scope before our hook, or after it for a text agent.
        scopes = event.started_event_id, event.parent_event_id
        return event.tool_name == self._name and self._around in scopes


@dataclass(frozen=True, slots=True)
class _Begun:
    """Hold what the hook after a call has to do: to say *text*, to *end* a run."""

    text: str
    end: Callable[..., None] | None = None
    watch: _Watch | None = None

    def close(self, value: Any = None, *, heard: bool = True) -> None:
        """Record how the run ended; *heard* says whether its answer is here."""
        if self.end is None or self.watch is None:
            return
        if heard:
            self.watch.end()
        if self.watch.blocked:  # by a hook after ours
            self.end(error=asyncio.CancelledError())
        elif self.watch.error is not None:
            self.end(error=self.watch.error)
        else:
            self.end(value, known=heard and self.watch.ran)

    def cancel(self) -> None:
        """Record that the run was stopped before it began."""
        if self.end is not None and self.watch is not None:
            self.watch.end()
            self.end(error=asyncio.CancelledError())


class _Calls:
    """Hold what began, by the dict of its arguments. Safe to share.

    CrewAI shows the hook after a call the dict that it showed the one before; it has no
    id of a call. The dict is held as well: while it is, no other is at its place.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: dict[int, tuple[Any, _Begun]] = {}

    def add(self, given: Any, begun: _Begun) -> None:
        """Keep *begun*; give up what it takes the place of, and the oldest."""
        lost = [self.pop(given)]
        with self._lock:
            if begun.watch is not None:
                self._mark(begun.watch)
            self._begun[id(given)] = given, begun
            if len(self._begun) > REMEMBERED:
                lost.append(self._begun.pop(next(iter(self._begun)))[1])
        for one in lost:
            if one is not None:
                one.close(heard=False)

    def _mark(self, watch: _Watch) -> None:
        """Doubt every call that may be taken for the one of *watch*."""
        for _, one in self._begun.values():
            if one.watch is not None and watch.mixes(one.watch):
                watch.doubted = one.watch.doubted = True

    def pop(self, given: Any) -> _Begun | None:
        """Return what began with *given*, once."""
        with self._lock:
            return self._begun.pop(id(given), (None, None))[1]


class Governed:
    """Govern every tool call of this process; register it as the last hook.

    *names* maps names of tools, as CrewAI writes them, to those of the registry.
    """

    def __init__(
        self, governor: Governor, who: Who, names: Mapping[str, str] | None = None
    ) -> None:
        self._door = Door(governor, who, names)
        self._begun = _Calls()

    def register(self) -> None:
        """Stand before every tool from now on, in every crew of this process."""
        register_hook(BEFORE, self.before)
        # A hook that aborts ends the list: the outcome would be lost behind it.
        get_global_hook_list(AFTER).insert(0, self.after)

    def unregister(self) -> None:
        """Stand before no tool any more; idempotent."""
        unregister_hook(BEFORE, self.before)
        unregister_hook(AFTER, self.after)

    def before(self, context: Any) -> None:
        """Decide, and let the tool run with what may run, or nothing.

        Raises:
            HookAborted: whenever the tool may not run, also by a fault of ours.

        """
        # INVARIANT: whatever fails here, nothing runs; all that may is in the block.
        begun = broken = _Begun(BROKEN)
        try:
            begun = self._decided(context)
            self._begun.add(context.tool_input, begun)
            if begun.watch is not None:
                begun.watch.begin()
        except Exception as error:  # noqa: BLE001 - CrewAI would run the tool
            stopped, begun = begun, broken
            with suppress(Exception):
                stopped.cancel()
            with suppress(Exception):
                logger.warning("a call was not let through: %s", type(error).__name__)
                self._begun.add(context.tool_input, broken)
        if begun.end is None:
            raise HookAborted(begun.text, source="openfeature_gov")

    def after(self, context: Any) -> str | None:
        """Record how the tool ended, and say what ran instead or why nothing did."""
        begun = self._begun.pop(context.tool_input)
        if begun is None:
            return None
        if begun.end is None:
            return begun.text
        begun.close(context.raw_tool_result)
        if begun.watch is not None and begun.watch.blocked:
            return None
        return f"{begun.text}\n{context.tool_result}" if begun.text else None

    def _decided(self, context: Any) -> _Begun:
        asked = Asked(
            tool=context.tool_name, arguments=dict(context.tool_input), native=context
        )
        admitted = self._door.admit(asked)
        outcome = admitted.outcome
        if outcome.ran != "tool":
            again = f" {RECALL}" if waits(outcome) else ""
            return _Begun(told(admitted.run(_nothing)) + again)
        if not self._sure(outcome, context):
            admitted.leave()
            return _Begun(NOT_LAST)
        context.tool_input.clear()
        context.tool_input.update(outcome.arguments)
        watch = _Watch(context)
        return _Begun(told(outcome), admitted.begin(), watch)

    def _sure(self, outcome: Outcome, context: Any) -> bool:
        """Say whether what was decided is what runs, where no gate sees to it."""
        tool = self._door.governor.registered(self._door.name(context.tool_name))
        if tool is None or not tool.foreign:
            return True
        # An empty dict may be one that CrewAI made for the hooks alone.
        if outcome.arguments and not context.tool_input:
            return False
        return [*get_hooks(BEFORE), *get_scoped_hooks(BEFORE)][-1] == self.before


def _raised(error: Any) -> BaseException:
    return error if isinstance(error, Exception) else RuntimeError("as CrewAI says")


def _nothing(_arguments: dict[str, Any]) -> None:
    raise AssertionError("a tool that CrewAI runs")

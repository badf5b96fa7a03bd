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
| an answer from CrewAI's cache | decided; its outcome is "unknown": ``cache=False`` |
| ``tool.run()``, ``LLM.call(available_functions=)`` | no hook; the gate decides |
| async handlers of lower modes | not run: hooks are sync |
| tools that the model's provider runs | not covered: there is no hook |
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

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
BLOCKED = "Tool execution blocked by hook"
FAILED = ("Error executing tool: ", "\nI encountered an error while trying to use")
"""How CrewAI's own texts begin; it shows a hook no exception."""
NOT_LAST = "Not executed: another hook stands between the decision and this tool."
BROKEN = "Not executed: the step before this tool failed."
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Begun:
    """Hold what the hook after a call has to do: to say *text*, to *end* a run."""

    text: str
    end: Callable[..., None] | None = None

    def abandon(self) -> None:
        """End a run of which nothing more will be heard."""
        if self.end is not None:
            with suppress(Exception):  # of another call than the one at hand
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
            self._begun[id(given)] = given, begun
            while len(self._begun) > REMEMBERED:
                lost.append(self._begun.pop(next(iter(self._begun)))[1])
        for one in lost:
            if one is not None:
                one.abandon()

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
        except Exception as error:  # noqa: BLE001 - CrewAI would run the tool
            begun.abandon()
            begun = broken
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
        result = str(context.tool_result)
        if result.startswith(BLOCKED):  # by a hook after this one
            begun.end(error=asyncio.CancelledError())
            return None
        failed = result.startswith(FAILED)
        begun.end(
            context.raw_tool_result, RuntimeError("as CrewAI says") if failed else None
        )
        return f"{begun.text}\n{result}" if begun.text else None

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
        return _Begun(told(outcome), admitted.begin())

    def _sure(self, outcome: Outcome, context: Any) -> bool:
        """Say whether what was decided is what runs, where no gate sees to it."""
        tool = self._door.governor.registered(self._door.name(context.tool_name))
        if tool is None or not tool.foreign:
            return True
        # An empty dict may be one that CrewAI made for the hooks alone.
        if outcome.arguments and not context.tool_input:
            return False
        return [*get_hooks(BEFORE), *get_scoped_hooks(BEFORE)][-1] == self.before


def _nothing(_arguments: dict[str, Any]) -> None:
    raise AssertionError("a tool that CrewAI runs")

"""The last gate: what stands before a tool's own function, whoever calls it.

Arguments edited after the decision, direct calls and sub-agents that no hook covers
find no ticket for what they ask, so they meet a decision of their own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from openfeature_gov.contracts import ToolCall
from openfeature_gov.outcomes import Status
from openfeature_gov.running import Ran, Runner, heard
from openfeature_gov.ticketing import Ticketing
from openfeature_gov.tools import Tool


def gated(
    tool: Tool,
    tickets: Ticketing,
    runner: Runner,
) -> Callable[..., Any]:
    """Return *tool*'s function behind a gate, with its signature and docstring.

    It returns the function's value, or a text for the model when it did not run.
    """
    if inspect.iscoroutinefunction(tool.function):

        @functools.wraps(tool.function)
        async def agate(*args: Any, **kwargs: Any) -> Any:
            call, extra = _arrived(tool, args, kwargs)
            found = await tickets.ahonoured(tool, call)
            return _answer(await runner.aran(found or call, extra))

        return agate

    @functools.wraps(tool.function)
    def gate(*args: Any, **kwargs: Any) -> Any:
        call, extra = _arrived(tool, args, kwargs)
        return _answer(runner.ran(tickets.honoured(tool, call) or call, extra))

    return gate


def _arrived(
    tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[ToolCall, dict[str, Any]]:
    """Return the call that *args* and *kwargs* make, and the injected parameters.

    Arguments that no call of the function could take make no arguments at all: the
    decision then refuses them, with a record.
    """
    if not args and not tool.injected:  # as frameworks call
        return ToolCall(tool.name, kwargs), {}
    named: dict[str, Any] = dict(zip(tool.positions, args, strict=False))
    surplus = len(args) > len(tool.positions) or named.keys() & kwargs.keys()
    named |= kwargs
    extra = {name: named.pop(name) for name in tool.injected & named.keys()}
    given: Any = None if surplus else named
    return ToolCall(tool.name, given), extra


def _answer(ran: Ran) -> Any:
    executed = ran.status is Status.EXECUTED
    return ran.value if executed else heard(*ran).message

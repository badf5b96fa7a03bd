"""The Claude Agent SDK: its hooks and its in-process tools (extra ``claude-agent``).

    options = govern(ClaudeAgentOptions(mcp_servers={"shop": server}), governor, who)

Who acts comes from *who*, for the SDK knows no user; the session is the SDK's where
that leaves it open. A tool of an in-process server has its own name in the registry,
any other the SDK's: ``Bash``, ``mcp__github__create_issue``; *names* maps either.

| what | how |
|---|---|
| five outcomes of in-process tools | covered: decided where the server runs them |
| five outcomes of all other tools | covered before they run: what ran instead is told |
|  | as the reason of a denial; how they end comes from the SDK's later hooks |
| waiting for a person | the hook defers; ``resume`` of the session, in any process |
| a policy that fails or takes too long | ``on_failure="block"``: nothing runs |
| ``allowed_tools``, ``can_use_tool``, a mode | no way around: hooks come before them |
| sub-agents of the SDK | governed by the same hooks |
| input edited by another hook, in-process tool | seen: decided about as it arrives |
| input edited by another hook, any other tool | not seen: let no other hook edit it |
| a narrowed call of another tool | the hook allows it, so the SDK asks nobody |
| an output schema of an in-process tool | not covered: the SDK's own tools have none |
| built-in tools, servers of others | `Governor.foreign`, or they are denied |
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, HookMatcher

from openfeature_gov.adapters import mcp
from openfeature_gov.adapters.shape import (
    RECALL,
    REMEMBERED,
    Asked,
    Door,
    Who,
    told,
    waits,
)
from openfeature_gov.decisions import Effect
from openfeature_gov.governor import Governor
from openfeature_gov.outcomes import Outcome

CALL_ID = "claudecode/toolUseId"


def govern(
    options: ClaudeAgentOptions,
    governor: Governor,
    who: Who,
    names: Mapping[str, str] | None = None,
    *,
    pauses: bool = True,
) -> ClaudeAgentOptions:
    """Return a copy of *options* under which every tool call is decided about first.

    Give no hook that edits input after it. Without *pauses* a call that waits is told
    so, and the identical call runs once it is approved.
    """
    given = options.mcp_servers if isinstance(options.mcp_servers, Mapping) else {}
    own = {key: one for key, one in given.items() if one.get("type") == "sdk"}
    doors = {key: Door(governor, who, _within(key, names or {})) for key in own}
    hooks = _Hooks(Door(governor, who, names), doors, pauses=pauses)
    servers = {key: _behind(one, doors[key], hooks) for key, one in own.items()}
    every: dict[Any, list[HookMatcher]] = {**(options.hooks or {})}
    for event, hook in (
        ("PreToolUse", hooks.before),
        ("PostToolUse", hooks.after),
        ("PostToolUseFailure", hooks.failed),
    ):
        ours = HookMatcher(hooks=[hook], on_failure="block")
        every[event] = [*every.get(event, []), ours]
    replaced: Any = {**given, **servers} if own else options.mcp_servers
    return replace(options, mcp_servers=replaced, hooks=every)


class _Hooks:
    """Decide before a tool runs, and hear how those of others ended."""

    def __init__(self, door: Door, doors: Mapping[str, Door], *, pauses: bool) -> None:
        self._door, self._doors, self._pauses = door, doors, pauses
        self._open: dict[str, Callable[..., None]] = {}
        self.sessions: dict[str, str] = {}

    async def before(self, given: Any, _id: Any, _context: Any) -> dict[str, Any]:
        """Decide; what an in-process server will run is only asked about."""
        asked = Asked(
            tool=given["tool_name"],
            arguments=given["tool_input"],
            call_id=given["tool_use_id"],
            session=given["session_id"],
            native=given,
        )
        for key, door in self._doors.items():
            if asked.tool.startswith(_prefix(key)):
                tool = asked.tool.removeprefix(_prefix(key))
                return await self._ask(door, asked._replace(tool=tool))
        return await self._decide(asked)

    async def _ask(self, door: Door, asked: Asked) -> dict[str, Any]:
        self.sessions[asked.call_id] = asked.session
        while len(self.sessions) > REMEMBERED:
            self.sessions.pop(next(iter(self.sessions)))
        outcome = await door.aask(asked) if self._pauses else None
        return {} if outcome is None else _answer("defer", outcome.message)

    async def _decide(self, asked: Asked) -> dict[str, Any]:
        admitted = await self._door.aadmit(asked)
        outcome = admitted.outcome
        if self._pauses and waits(outcome):
            return _answer("defer", outcome.message)
        if outcome.ran != "tool":
            ended = await admitted.arun(_nothing)
            again = f" {RECALL}" if waits(outcome) else ""
            return _answer("deny", told(ended) + again)
        self._open[asked.call_id] = admitted.begin()
        if outcome.effect is not Effect.CONSTRAIN:
            return {}
        return _answer("allow", told(outcome), updatedInput=outcome.arguments)

    async def after(self, given: Any, _id: Any, _context: Any) -> dict[str, Any]:
        """Record that a tool of somebody else ran."""
        if end := self._open.pop(given["tool_use_id"], None):
            end(given.get("tool_response"))
        return {}

    async def failed(self, given: Any, _id: Any, _context: Any) -> dict[str, Any]:
        """Record that a tool of somebody else failed."""
        if end := self._open.pop(given["tool_use_id"], None):
            end(error=RuntimeError(str(given.get("error", ""))))
        return {}


class _Server(mcp.Governed):
    """Govern an in-process server, which knows the call and by that its session."""

    def __init__(self, door: Door, hooks: _Hooks) -> None:
        self._door, self._hooks = door, hooks

    def _asked(self, ctx: Any) -> Asked:
        meta = ctx.params.get("_meta") if isinstance(ctx.params, Mapping) else None
        call_id = str((meta or {}).get(CALL_ID) or "")
        session = self._hooks.sessions.get(call_id, "")
        return super()._asked(ctx)._replace(call_id=call_id, session=session)

    def _answer(self, outcome: Outcome) -> Any:
        """Return text alone where there is a note: beside a value it is not shown."""
        answer = super()._answer(outcome)
        if not told(outcome):
            return answer
        if isinstance(answer, Mapping):
            return {k: v for k, v in answer.items() if k != "structuredContent"}
        return answer.model_copy(update={"structured_content": None})


def _behind(server: Any, door: Door, hooks: _Hooks) -> Any:
    instance = copy.copy(server["instance"])
    instance.middleware = [*instance.middleware, _Server(door, hooks)]
    return {**server, "instance": instance}


def _within(server: str, names: Mapping[str, str]) -> dict[str, str]:
    """Return *names* as the in-process *server* has them."""
    return {
        tool.removeprefix(_prefix(server)): name
        for tool, name in names.items()
        if tool.startswith(_prefix(server))
    }


def _prefix(server: str) -> str:
    return f"mcp__{server}__"


def _answer(decision: str, reason: str, **more: Any) -> dict[str, Any]:
    said = {"permissionDecision": decision, "permissionDecisionReason": reason, **more}
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **said}}


async def _nothing(_arguments: dict[str, Any]) -> None:
    raise AssertionError("a tool that the SDK runs")

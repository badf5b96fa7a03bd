"""A gateway: one MCP server in front of another, which it governs without touching it.

What the other server says of its tools (``readOnlyHint`` and the like) is a hint from
whom we do not trust: it can raise the risk class of the governance contract and never
lower it. A tool without a contract is neither listed nor run, whatever it says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastmcp import Client, FastMCP
from fastmcp.exceptions import ResourceError
from fastmcp.server import create_proxy

from openfeature_gov.adapters.fastmcp import Governed
from openfeature_gov.adapters.shape import Who
from openfeature_gov.decisions import need_of
from openfeature_gov.extracting import Extractors
from openfeature_gov.governor import Governor
from openfeature_gov.ladder import SEVERITY, Reversibility, RiskClass

HINTS = ("readOnlyHint", "destructiveHint", "openWorldHint", "idempotentHint")
UNDECIDED = ("resources/", "prompts/", "completion/")


@dataclass(frozen=True, slots=True)
class Offered:
    """Hold what a server says of one of its tools: nothing of it is believed."""

    name: str
    hints: dict[str, bool]

    @property
    def least(self) -> RiskClass:
        """Return the mildest class that fits what the server admits.

        Only what it says outright counts: silence is no admission. Source: MCP,
        schema 2026-07-28, ToolAnnotations.
        """
        if self.hints.get("destructiveHint") is True:
            return RiskClass.IRREVERSIBLE
        if self.hints.get("readOnlyHint") is True:
            return RiskClass.SEARCH
        if self.hints.get("openWorldHint") is True:
            return RiskClass.EXTERNAL_EFFECT
        if self.hints.get("readOnlyHint") is False:
            return RiskClass.REVERSIBLE_WRITE
        return RiskClass.SEARCH


def offered(tools: Iterable[Any]) -> list[Offered]:
    """Return what MCP's own *tools* say of themselves."""
    return [
        Offered(
            one.name,
            {
                name: value
                for name, value in _annotated(one).items()
                if name in HINTS and type(value) is bool
            },
        )
        for one in tools
    ]


def counted(stated: RiskClass, tool: Offered) -> RiskClass:
    """Return the class that *tool* counts as, whose contract has the class *stated*."""
    undo = Reversibility.NONE
    return max(stated, tool.least, key=lambda one: (need_of(one, undo), SEVERITY[one]))


async def listed(target: Any) -> list[Offered]:
    """Return the tools of the server at *target*, a transport or a URL."""
    async with Client(target) as client:
        return offered(await client.list_tools())


def gateway(
    governor: Governor, who: Who, target: Any, tools: Sequence[Offered]
) -> FastMCP:
    """Return a server that governs the *tools* of the server at *target*.

    Only those that have a governance contract of the same name are registered.
    """
    floors: dict[str, RiskClass] = {}
    for tool in tools:
        if tool.name in governor.governance:
            floors[tool.name] = tool.least
            governor.foreign(
                tool.name,
                extract=Extractors(risk=partial(_floor, floors, tool.name)),
                consequence=partial(_consequence, tool.name),
            )
    served: FastMCP = create_proxy(target, name="gov-mcp-gateway")
    served.add_middleware(_Raising(governor, who, floors))
    return served


def _floor(floors: dict[str, RiskClass], name: str, _arguments: object) -> RiskClass:
    return floors[name]


def _consequence(name: str, _arguments: object) -> str:
    return f"{name} runs on the MCP server behind the gateway."


class _Raising(Governed):
    """Govern a proxied server, and keep the worst that it says of each tool."""

    def __init__(
        self, governor: Governor, who: Who, floors: dict[str, RiskClass]
    ) -> None:
        super().__init__(governor, who)
        self._floors = floors

    async def on_list_tools(
        self, context: Any, call_next: Callable[[Any], Awaitable[Sequence[Any]]]
    ) -> Sequence[Any]:
        """List tools of the registry; what is said now can only raise their class."""
        shown = await super().on_list_tools(context, call_next)
        for tool in offered(shown):
            self._floors[tool.name] = counted(self._floors[tool.name], tool)
        return shown

    async def on_request(
        self, context: Any, call_next: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """List no resources and prompts, and read none: nothing would decide."""
        method = str(context.method)
        if not method.startswith(UNDECIDED):
            return await call_next(context)
        if method.endswith("/list"):
            return []
        raise ResourceError("the gateway passes on tools alone")


def _annotated(tool: Any) -> dict[str, Any]:
    annotations = getattr(tool, "annotations", None)
    if annotations is None:
        return {}
    given: dict[str, Any] = annotations.model_dump(by_alias=True)
    return given

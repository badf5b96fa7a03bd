"""`gov mcp-gateway`: govern any MCP server without touching it."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.cli import output
from openfeature_gov.cli.options import (
    CONTRACTS,
    FLAGS,
    RECORDS,
    Contracts,
    Flags,
    Records,
)
from openfeature_gov.contracts import Actor, CallContext
from openfeature_gov.embedded import load_governance
from openfeature_gov.governor import Governor
from openfeature_gov.targets import UnreachableError

if TYPE_CHECKING:
    from openfeature_gov.adapters.mcp_gateway import Offered
    from openfeature_gov.governance import Governance

NEEDED = "gov mcp-gateway needs {0}: pip install 'openfeature-gov[cli,fastmcp]'"
TOKEN = "GOV_MCP_TOKEN"  # noqa: S105 - the name of a variable
OWN_TOKEN = "GOV_GATEWAY_TOKEN"  # noqa: S105 - the name of a variable
PATH = "/mcp"


def mcp_gateway(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND...", help="The server to run, over stdio."),
    ] = None,
    *,
    url: Annotated[
        str, typer.Option(help=f"The server's URL instead; its token is in {TOKEN}.")
    ] = "",
    governance: Contracts = Path(CONTRACTS),
    flags: Flags = Path(FLAGS),
    records: Records = RECORDS,
    reviewers: Annotated[
        Path | None,
        typer.Option(
            "--reviewers",
            envvar="GOV_REVIEWERS",
            help="Who may approve.",
            readable=False,
        ),
    ] = None,
    agent: Annotated[str, typer.Option(help="Who calls: an id that you issue.")] = "",
    user: Annotated[str, typer.Option(help="On whose behalf.")] = "",
    environment: Annotated[str, typer.Option(help="Opaque id.")] = "",
    env: Annotated[
        list[str] | None,
        typer.Option(help="Variable that the server may see; repeat."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="Speak streamable HTTP on this port of 127.0.0.1; 0 takes a free "
            f"one. Callers must show the token in {OWN_TOKEN} as bearer.",
        ),
    ] = None,
    without_token: Annotated[
        bool,
        typer.Option(
            "--without-token", help="On HTTP, let everybody on this machine call."
        ),
    ] = False,
    inspect: Annotated[
        bool, typer.Option("--inspect", help="List the server's tools, and end.")
    ] = False,
    as_json: output.Json = None,
) -> None:
    """Stand before an MCP server: its tools are governed and recorded, one by one.

    Speaks MCP over stdio. A tool without a governance contract is neither listed nor
    run. What the server says of its tools can raise their risk and never lowers it.
    Whoever reaches the gateway acts as --agent. On HTTP it answers loopback alone, no
    page of another origin, and only those who show the token; without a token it does
    not start, unless --without-token says so.
    """
    token = _token(port, without=without_token)
    try:
        from openfeature_gov.adapters import mcp_gateway as gateways  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UnreachableError(NEEDED.format(error.name)) from None
    target = partial(_target, command or [], url, env or [])
    tools = _listed(gateways.listed, target(), url or shlex.join(command or []))
    if inspect:
        contracts = load_governance(governance) if governance.exists() else None
        _report(tools, contracts, as_json=as_json)
        return
    if not agent:
        raise typer.BadParameter("say who calls", param_hint="'--agent'")
    who = CallContext(actor=Actor(agent=agent, user=user), environment=environment)
    people = None if reviewers is None else ReviewerDirectory(reviewers)
    with Governor.open(governance, flags, records, people=people) as governor:
        served = gateways.gateway(governor, who, target(), tools)
        asyncio.run(_served(served, port, token))


def _token(port: int | None, *, without: bool) -> str:
    """Return what callers on HTTP must show; nothing only where that was asked for."""
    token = "" if port is None else os.environ.get(OWN_TOKEN, "").strip()
    if token and without:
        raise typer.BadParameter(
            f"{OWN_TOKEN} is set; unset it, or leave the option out",
            param_hint="'--without-token'",
        )
    if port is not None and not token and not without:
        raise typer.BadParameter(
            f"put a token into {OWN_TOKEN}, which callers must show, or say "
            "--without-token: then everybody on this machine acts as the agent",
            param_hint="'--port'",
        )
    return token


def _target(command: Sequence[str], url: str, env: Sequence[str]) -> Any:
    """Return the transport to the server; it sees no variable that was not named."""
    from fastmcp.client.transports import (  # noqa: PLC0415 - the extra
        StdioTransport,
        StreamableHttpTransport,
    )

    if bool(command) is bool(url):
        raise typer.BadParameter("name the server: either --url or -- COMMAND")
    if url:
        return StreamableHttpTransport(url, auth=os.environ.get(TOKEN))
    given = {name: os.environ[name] for name in env if name in os.environ}
    return StdioTransport(command[0], list(command[1:]), env=given or None)


def _listed(listed: Any, target: Any, name: str) -> list[Offered]:
    try:
        found: list[Offered] = asyncio.run(listed(target))
    except Exception as error:  # noqa: BLE001 - whatever a stranger's server does
        why = f"{type(error).__name__}: {output.safe(str(error)[:200])}"
        raise UnreachableError(f"{name}: no MCP server answers ({why})") from None
    return found


async def _served(served: Any, port: int | None, token: str) -> None:
    if port is None:
        await served.run_async(
            transport="stdio", show_banner=False, log_level="WARNING"
        )
        return
    import uvicorn  # noqa: PLC0415 - comes with the extra

    from openfeature_gov.adapters.mcp_entrance import entrance  # noqa: PLC0415

    listening = socket.create_server(("127.0.0.1", port))
    with closing(listening):
        taken = listening.getsockname()[1]
        where = f"http://127.0.0.1:{taken}{PATH}"
        output.paper(stderr=True).print(
            Text.assemble(("gov: ", "dim"), f"the gateway is at {where}"),
            soft_wrap=True,
        )
        app = entrance(served.http_app(path=PATH), taken, token)
        config = uvicorn.Config(app, log_level="warning")
        await uvicorn.Server(config).serve(sockets=[listening])


def _report(
    tools: Sequence[Offered], governance: Governance | None, *, as_json: bool | None
) -> None:
    from openfeature_gov.adapters.mcp_gateway import counted  # noqa: PLC0415

    rows = []
    for tool in tools:
        contract = None if governance is None else governance.get(tool.name)
        stated = None if contract is None else contract.risk_class
        rows.append(
            {
                "tool": tool.name,
                "hints": tool.hints,
                "contract": stated,
                "countsAs": "unknown" if stated is None else counted(stated, tool),
                "listed": contract is not None,
            }
        )
    missing = [str(row["tool"]) for row in rows if not row["listed"]]
    data = {"tools": rows, "withoutContract": missing}

    def render(console: Console) -> None:
        names = ("TOOL", "THE SERVER SAYS", "CONTRACT", "COUNTS AS")
        cells = [
            (
                output.safe(str(row["tool"])),
                _said(row["hints"]),
                str(row["contract"] or "none: not listed, denied"),
                str(row["countsAs"]),
            )
            for row in rows
        ]
        console.print(output.columns(*names, rows=cells, fold=frozenset(names)))
        if missing:
            console.print(Text("\nTo govern those without a contract:\n", "dim"))
            drafts = " ".join(f"{output.safe(one)}:irreversible" for one in missing)
            command = f"  gov init {drafts} --workflow NAME --owner NAME"
            console.print(command, soft_wrap=True, markup=False)

    output.show(data, render, as_json=as_json)


def _said(hints: Any) -> str:
    said = [name if value else f"not {name}" for name, value in hints.items()]
    return ", ".join(one.replace("Hint", "") for one in said) or "nothing"

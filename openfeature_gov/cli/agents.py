"""`gov agents`: the API keys of agents: made, listed, rotated, revoked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.identity.agent_keys import AgentKey, AgentKeys

AGENTS = "agents.json"
DAY_S, HOUR_S = 86_400, 3_600
app = typer.Typer(no_args_is_help=True, help="Keys by which agents say who they are.")
File = Annotated[
    Path,
    typer.Option(
        "--agents",
        envvar="GOV_AGENTS",
        help="File with the keys of agents.",
        readable=False,
    ),
]
Agent = Annotated[str, typer.Argument(help="Id of the agent.")]


@app.callback()
def _group() -> None:
    """Keys by which agents say who they are."""


@app.command("add")
def add(
    agent: Agent,
    *,
    service: Annotated[
        str, typer.Option(help="Service identity that the key stands for.")
    ] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope that the key holds; repeat it.")
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=3_650, help="After how many days the key ends.")
    ] = 90,
    file: File = Path(AGENTS),
    as_json: output.Json = None,
) -> None:
    """Make a key for AGENT and print it, this once."""
    with _usage():
        made, text = _keys(file).add(
            agent, service=service, scopes=scope or (), lifetime_s=days * DAY_S
        )
    _told(made, text, as_json=as_json)


@app.command("rotate")
def rotate(
    agent: Agent,
    *,
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=720, help="How long the old keys still count.")
    ] = 24,
    file: File = Path(AGENTS),
    as_json: output.Json = None,
) -> None:
    """Make a key for AGENT like its newest and print it; the old ones end."""
    with _usage():
        made, text = _keys(file).rotate(agent, overlap_s=overlap_hours * HOUR_S)
    _told(made, text, as_json=as_json)


@app.command("revoke")
def revoke(
    name: Annotated[
        str, typer.Argument(help="Id of a key, or of an agent: all of its.")
    ],
    *,
    file: File = Path(AGENTS),
    as_json: output.Json = None,
) -> None:
    """Let a key, or every key of an agent, count no more: from the next call on."""
    with _usage():
        done = _keys(file).revoke(name)
    _listed(done, as_json=as_json)


@app.command("list")
def listed(*, file: File = Path(AGENTS), as_json: output.Json = None) -> None:
    """List the keys: whose they are, what they hold, when they end. No secret."""
    _listed(_keys(file).every(), as_json=as_json)


def _keys(file: Path) -> AgentKeys:
    return AgentKeys(file, _now)


def _now() -> int:
    return time.time_ns() // 1000


@contextmanager
def _usage() -> Iterator[None]:
    """Let a name that is none be wrong usage."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _about(key: AgentKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "agent": key.agent,
        "service": key.service or "",
        "scopes": list(key.scopes),
        "createdUs": key.created_us,
        "expiresUs": key.expires_us,
        "revokedUs": key.revoked_us,
        "counts": not key.ended(_now()),
    }


def _told(made: AgentKey, text: str, *, as_json: bool | None) -> None:
    def render(console: Console) -> None:
        console.print(Text(text), soft_wrap=True)
        until = output.moment(made.expires_us, day=True) or "it is revoked"
        said = f"The key of {made.agent} until {until}. It is shown this once."
        console.print(Text(said, "dim"), soft_wrap=True)

    output.show({**_about(made), "key": text}, render, as_json=as_json)


def _listed(keys: list[AgentKey], *, as_json: bool | None) -> None:
    about = [_about(key) for key in keys]

    def render(console: Console) -> None:
        names = ("id", "agent", "service", "scopes", "ends", "counts")
        rows = [
            (
                key.id,
                key.agent,
                output.styled(key.service),
                output.styled(" ".join(key.scopes)),
                output.styled(output.moment(key.expires_us)),
                output.styled(key.ended(_now()) or "yes"),
            )
            for key in keys
        ]
        console.print(output.columns(*names, rows=rows, fold=frozenset({"scopes"})))

    output.show({"keys": about}, render, as_json=as_json)

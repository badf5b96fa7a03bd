"""Options that say what is called, with what, and by whom: one name, one meaning."""

from __future__ import annotations

from typing import Annotated

import typer

ToolName = Annotated[str, typer.Argument(metavar="TOOL", help="Name of the tool.")]
Args = Annotated[
    str,
    typer.Option("--args", help="Arguments: a JSON object, @FILE, or - for stdin."),
]
Agent = Annotated[str, typer.Option("--agent", help="Who calls.")]
User = Annotated[str, typer.Option("--user", help="On whose behalf.")]
Service = Annotated[str, typer.Option("--service", help="Identity behind the tool.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="Scope of its credential; repeat."),
]
Confidence = Annotated[
    float | None,
    typer.Option("--confidence", min=0, max=1, help="What the evaluators say."),
]
Id = Annotated[str, typer.Option(help="Opaque id.")]

"""`gov audit`: ask the record log, and prove that it is whole."""

from __future__ import annotations

import typer

app = typer.Typer(
    no_args_is_help=True, help="Ask the record log, and prove that it is whole."
)

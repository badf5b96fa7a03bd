"""`gov rates`: the counters of rate limits that processes share."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from openfeature_gov.cli import output

app = typer.Typer(no_args_is_help=True, help="Tend the shared counters of rates.")

Url = Annotated[
    str,
    typer.Argument(
        envvar="GOV_RATES",
        metavar="URL",
        help="Redis or Valkey, such as redis://HOST:PORT/DB.",
        show_default=False,
    ),
]


@app.callback()
def _group() -> None:
    """Tend the shared counters of rates."""


@app.command("begin")
def begin(*, url: Url, as_json: output.Json = None) -> None:
    """Say that the server at URL is new, so that the first start need not wait.

    It cannot be told from one that was emptied, which is not believed for one window,
    or until a bucket would be full. Said of one that was, every limit begins anew.
    """
    try:
        from openfeature_gov.allowances.shared import (  # noqa: PLC0415 - the extra
            RedisRates,
        )

        shared = RedisRates(url, timeout_s=5)
    except ImportError as error:
        needed = "pip install 'openfeature-gov[redis]'"
        raise typer.BadParameter(f"needs the extra redis: {needed}") from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with closing(shared):
        shared.begin()

    def render(console: Console) -> None:
        console.print("The server counts from now on.")

    output.show({"begun": True}, render, as_json=as_json)

"""`gov budgets`: what was taken of each budget, window by window, from the ledger."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from openfeature_gov.cli import output
from openfeature_gov.cli.options import RECORDS, Records
from openfeature_gov.cli.runs import reachable
from openfeature_gov.controls.budget import text
from openfeature_gov.stores import ledger
from openfeature_gov.stores.logs import opened

app = typer.Typer(no_args_is_help=True, help="Look at the ledger of budgets.")


@app.callback()
def _group() -> None:
    """Look at the ledger of budgets."""


@app.command("list")
def listed(
    *,
    records: Records = RECORDS,
    limit: Annotated[int, typer.Option(min=1, help="How many windows.")] = 50,
    as_json: output.Json = None,
) -> None:
    """Show the latest windows: whose, since when, what was taken, what is still held.

    What is held belongs to calls whose end is not known yet, and to processes that set
    it aside for when the ledger is away; it counts as taken.
    """
    with opened(reachable(records)) as log:
        found = ledger.windows(log.rows, limit)
    data = {
        "windows": [
            {
                "budget": one.name,
                "of": one.scope,
                "task": one.task,
                "beginsUs": one.begins_us or None,
                "unit": one.unit,
                "taken": text(one.taken),
                "held": text(one.held),
            }
            for one in found
        ]
    }

    def render(console: Console) -> None:
        rows = [
            (
                output.styled(one.name, "bold"),
                output.styled(one.scope),
                output.styled(one.task or output.moment(one.begins_us)),
                output.styled(one.unit),
                text(one.taken),
                text(one.held) if one.held else output.styled(""),
            )
            for one in found
        ]
        names = ("BUDGET", "OF", "TASK OR SINCE (UTC)", "UNIT", "TAKEN", "HELD")
        console.print(output.columns(*names, rows=rows, fold=frozenset({"OF"})))

    output.show(data, render, as_json=as_json)

"""`gov verify`: check the law over its whole decision space."""

from __future__ import annotations

import sys
from dataclasses import asdict

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.cli.exits import Exit
from openfeature_gov.verification import Report, verify_space


def verify(*, as_json: output.Json = None) -> None:
    """Enumerate every combination of risk, modes and flags and check the law on each.

    Exit 0 when every invariant holds in every state, else 4.
    """
    with _bar() as bar:
        task = bar.add_task("states")
        report = verify_space(
            lambda done, total: bar.update(task, completed=done, total=total)
        )
    tell(report, as_json=as_json)


def tell(report: Report, *, as_json: bool | None) -> None:
    """Print *report*.

    Raises:
        typer.Exit: with 4 when an invariant is broken, or nothing was looked at.

    """
    holds = not report.violations and report.states > 0

    def render(console: Console) -> None:
        word, style = ("✔ verified", "green") if holds else ("✖ broken", "red")
        console.print(Text(word, f"bold {style}"), f"{report.states:,} states")
        for invariant in report.invariants:
            console.print("  ", Text("·", "dim"), output.safe(invariant))
        output.facts(console, [("digest", report.digest)])
        for violation in report.violations:
            console.print(Text(f"  ✖ {output.safe(violation)}", "red"))

    output.show({"holds": holds, **asdict(report)}, render, as_json=as_json)
    if not holds:
        raise typer.Exit(Exit.REFUSED)


def _bar() -> Progress:
    """Return a progress bar on standard error that leaves nothing behind."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        console=output.paper(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )

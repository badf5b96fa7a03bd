"""`gov audit`: ask the record log, and prove that it is whole.

``verify`` is the same program as the file that stands alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import archiving, exporting, output, roles, sealing
from openfeature_gov.cli.evidence import Checkpoints, evidence_of, held_in
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.options import RECORDS
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Evidence, Proof, Report
from openfeature_gov.stores.opening import SCHEMES

app = typer.Typer(
    no_args_is_help=True, help="Ask the record log, and prove that it is whole."
)


@app.command("verify")
def verify(
    evidence: Annotated[
        list[str] | None,
        typer.Argument(
            help="Record databases (files or a URL), bundles or proofs.",
            show_default=RECORDS,
        ),
    ] = None,
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="GOV_AUDIT_KEY",
            help="The key that you pinned, name+hash+base64; repeatable.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Checkpoints = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also write each record anew and compare.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only hashes and signatures.")
    ] = False,
    sealed: Annotated[
        bool, typer.Option("--sealed", help="Nothing may follow the last checkpoint.")
    ] = False,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="A bundle may end before your newest checkpoint."
        ),
    ] = False,
    archives: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the bundles of archived records: verified in their place."
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1, help="How many processes share a large file.", show_default="cores"
        ),
    ] = os.cpu_count() or 1,
    as_json: output.Json = None,
) -> None:
    """Verify records against a pinned key and the checkpoints that you hold.

    Exit 4 when anything was changed. The evidence vouches for itself in nothing: key
    and checkpoint must come from where it cannot be edited.
    """
    if not key or not checkpoint:
        raise typer.BadParameter(
            "--key and --checkpoint are needed: what gov audit key show printed, and a "
            "file of checkpoints, both kept where nobody who writes records can reach"
        )
    try:
        reports = gov_verify.verify(
            _opened(evidence or [RECORDS]),
            key,
            held_in(checkpoint),
            deep=deep,
            quick=quick,
            sealed=sealed,
            partial=partial,
            archives=archives,
            jobs=jobs,
        )
    except gov_verify.UsageError as error:
        raise typer.BadParameter(str(error)) from None
    summary = gov_verify.summary(reports)
    output.show(summary, lambda console: _draw(console, reports), as_json=as_json)
    if not summary["verified"]:
        raise typer.Exit(Exit.REFUSED)


def _draw(console: Console, reports: list[Report]) -> None:
    for report in reports:
        first, *lines = gov_verify.told(report).splitlines()
        style = "bold green" if report.verified else "bold red"
        console.print(Text(first, style), soft_wrap=True)
        for line in lines:
            console.print(Text(output.safe(line)), soft_wrap=True)


def _opened(evidence: list[str]) -> dict[str, Callable[[], Evidence | Proof]]:
    """Return what is to be verified: each file, and each log of a database."""
    opened: dict[str, Callable[[], Evidence | Proof]] = {}
    for one in evidence:
        database = one.startswith(SCHEMES)
        opened |= evidence_of(one) if database else gov_verify.files([Path(one)])
    return opened


app.command("export")(exporting.export)
app.command("prove")(exporting.prove)
app.command("seal")(sealing.seal)
app.command("roles")(roles.roles)
app.command("archive")(archiving.archive)
app.command("hold")(archiving.hold)
app.command("release")(archiving.release)
app.add_typer(sealing.app, name="key")

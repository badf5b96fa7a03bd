"""`gov audit`: ask the record log, and prove that it is whole.

``verify`` is the same program as the file that stands alone; ``export`` and ``prove``
write what it reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.moments import microseconds
from openfeature_gov.cli.options import RECORDS, Records
from openfeature_gov.cli.runs import there
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence import bundles, keys
from openfeature_gov.evidence.sealing import Sealer, Sealing
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Evidence, Report
from openfeature_gov.stores import sealed
from openfeature_gov.stores.sqlite import SqliteStore

app = typer.Typer(
    no_args_is_help=True, help="Ask the record log, and prove that it is whole."
)
keys_app = typer.Typer(no_args_is_help=True, help="The key that seals a record log.")
app.add_typer(keys_app, name="key")
Checkpoints = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint",
        envvar="GOV_AUDIT_CHECKPOINT",
        help="File with checkpoints that you hold; repeatable.",
        show_default=False,
    ),
]


@app.command("verify")
def verify(
    evidence: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Record databases, bundles or proofs.", show_default=RECORDS
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
    as_json: output.Json = None,
) -> None:
    """Verify records against a pinned key and the checkpoints that you hold.

    Exit 4 when anything was changed. The evidence vouches for itself in nothing: key
    and checkpoint must come from where it cannot be edited.
    """
    if not key or not checkpoint:
        raise typer.BadParameter("--key and --checkpoint are needed")
    try:
        held = gov_verify.held_in(checkpoint)
        reports = gov_verify.verify(
            gov_verify.files(evidence or [Path(RECORDS)]),
            key,
            held,
            deep=deep,
            quick=quick,
            sealed=sealed,
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


@app.command("export")
def export(
    *,
    bundle: Annotated[Path, typer.Option(help="The file to write.")],
    since: Annotated[
        str | None, typer.Option("--from", help="Since this time (UTC), or 24h.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Before this time (UTC).")
    ] = None,
    checkpoint: Checkpoints = None,
    records: Records = Path(RECORDS),
    as_json: output.Json = None,
) -> None:
    """Write the records of a time as a bundle that anyone can verify.

    It also holds what the checkpoints need that its receiver may hold. Records that no
    checkpoint covers yet stay out: seal the log first.
    """
    start, end = (
        microseconds(since, option="--from"),
        microseconds(until, option="--to"),
    )
    with _evidence(records) as evidence:
        wanted = bundles.span(evidence, start, end)
        held = _held(checkpoint)
        span = bundles.export(evidence, wanted, bundle, held=held)
    data = {
        "bundle": str(bundle),
        "firstSeq": span.first,
        "lastSeq": span.last,
        "unsealed": wanted.last - span.last,
    }
    _tell(data, f"{bundle}: records {span.first} to {span.last}", as_json)
    if span != wanted:
        output.warn(
            f"records {span.last + 1} to {wanted.last} are not in it: no checkpoint"
            " covers them yet"
        )


@app.command("prove")
def prove(
    record: Annotated[str, typer.Argument(metavar="RECORD_ID")],
    *,
    proof: Annotated[
        Path | None, typer.Option(help="The file to write, else print it.")
    ] = None,
    checkpoint: Checkpoints = None,
    records: Records = Path(RECORDS),
) -> None:
    """Prove that one record is in the log, below a checkpoint that the reader holds.

    The proof holds the record; it is verified as a bundle is. Without --checkpoint it
    is for the last checkpoint of the log.
    """
    with _evidence(records) as evidence:
        text = bundles.prove(evidence, record, _held(checkpoint))
    if proof is None:
        typer.echo(text, nl=False)
    else:
        proof.write_text(text, "utf-8")


KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="GOV_AUDIT_KEY_FILE",
        help="File of the signing key (default: RECORDS.key beside the records).",
        show_default=False,
    ),
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint-file",
        envvar="GOV_AUDIT_CHECKPOINT_FILE",
        help="File to publish to (default: RECORDS.checkpoints beside the records).",
        show_default=False,
    ),
]


@app.command("seal")
def seal(
    *,
    records: Records = Path(RECORDS),
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Sign a checkpoint over all records now, publish it, and print it.

    The checkpoint is a line of text that you can send to whoever will verify.
    """
    with _sealer(records, key_file, checkpoint_file) as sealer:
        sealer.seal()
    with _evidence(records) as evidence:
        note = evidence.stored[-1]
    made = gov_verify.parse_checkpoint(gov_verify.parse_note(note))
    data = {"origin": made.origin, "size": made.size, "checkpoint": note}
    _tell(data, note.rstrip("\n"), as_json)


@keys_app.command("show")
def show_key(
    *,
    records: Records = Path(RECORDS),
    key_file: KeyFile = None,
    as_json: output.Json = None,
) -> None:
    """Print the public key to pin: hand it over before there is anything to hide."""
    vkey = keys.read_key(key_file or sealed.key_file(records)).vkey
    _tell({"key": vkey}, vkey, as_json)


@keys_app.command("rotate")
def rotate_key(
    *,
    records: Records = Path(RECORDS),
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Seal with a new key from now on; the old one names it in the log itself.

    Whoever pinned the old key goes on with it: verification follows the rotation.
    """
    with _sealer(records, key_file, checkpoint_file) as sealer:
        vkey = sealed.rotate(sealer, key_file or sealed.key_file(records))
    _tell({"key": vkey}, vkey, as_json)


@contextmanager
def _sealer(
    records: Path, key_file: Path | None, checkpoint_file: Path | None
) -> Iterator[Sealer]:
    """Open *records* as one more writer, and lend what seals them.

    Raises:
        RecordStoreError: when it is no record log, or could not be sealed.

    """
    sealing = Sealing(key=key_file, checkpoints=checkpoint_file)
    try:
        with closing(SqliteStore(there(records), sealing=sealing)) as store:
            if store.sealer is None:
                raise RecordStoreError(f"{records}: is not sealed")
            yield store.sealer
    except sqlite3.Error as error:
        raise RecordStoreError(f"{records}: {error}") from None


def _tell(data: dict[str, Any], text: str, as_json: bool | None) -> None:
    """Print *data*, or *text* to people, who may copy its lines."""

    def render(console: Console) -> None:
        for line in text.split("\n"):
            console.print(output.safe(line), soft_wrap=True)

    output.show(data, render, as_json=as_json)


def _held(checkpoint: list[Path] | None) -> list[str]:
    try:
        return gov_verify.held_in(checkpoint or ())
    except gov_verify.UsageError as error:
        raise typer.BadParameter(str(error)) from None


@contextmanager
def _evidence(records: Path) -> Iterator[Evidence]:
    """Open the record log at *records* for reading.

    Raises:
        RecordStoreError: when it is none, or a row of it cannot be read.

    """
    try:
        with closing(gov_verify.Database(there(records))) as evidence:
            yield evidence
    except (gov_verify.Refused, sqlite3.Error) as error:
        raise RecordStoreError(f"{records}: {error}") from None

"""`gov audit export` and `prove`: what others verify with one file alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from openfeature_gov.cli import output
from openfeature_gov.cli.evidence import (
    Checkpoints,
    evidence_of,
    held_in,
    reading,
    tell,
)
from openfeature_gov.cli.moments import microseconds
from openfeature_gov.cli.options import RECORDS, Records
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence import bundles
from openfeature_gov.evidence.bundles import Span
from openfeature_gov.evidence.standalone.gov_verify import Evidence
from openfeature_gov.stores.opening import shown

LEDGER = "ledger"
"""The log that holds the checkpoints of the others; it is always exported whole."""


def export(
    *,
    bundle: Annotated[
        Path, typer.Option(help="File to write; for PostgreSQL one for each log.")
    ],
    since: Annotated[
        str | None, typer.Option("--from", help="Since this time (UTC), or 24h.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Before this time (UTC).")
    ] = None,
    checkpoint: Checkpoints = None,
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """Write the records of a time as a bundle that anyone can verify.

    It also holds what the checkpoints need that its receiver may hold. Records that no
    checkpoint covers yet stay out: seal the log first.
    """
    start = microseconds(since, option="--from")
    end = microseconds(until, option="--to")
    held, logs = held_in(checkpoint), evidence_of(records)
    with reading(records):
        if len(logs) == 1:
            (opener,) = logs.values()
            with closing(opener()) as evidence:
                wanted = bundles.span(evidence, start, end)
                if wanted is None:
                    raise RecordStoreError(f"{shown(records)}: no record of that time")
                done = [_export(evidence, wanted, bundle, held, ())]
        else:
            done = _export_all(logs, start, end, bundle, held)
    lines = [f"{one['bundle']}: {one['records']} records" for one in done]
    tell({"bundles": done}, "\n".join(lines), as_json)


def _export_all(
    logs: dict[str, Callable[[], Evidence]],
    start: int | None,
    end: int | None,
    bundle: Path,
    held: list[str],
) -> list[dict[str, Any]]:
    """Write one bundle a log: to be verified, all of them must be there."""
    rotations: list[bytes] = []
    for opener in logs.values():
        with closing(opener()) as evidence:
            rotations += evidence.rotations()
    done = []
    for name, opener in logs.items():
        writer = name.rpartition("#")[2]
        target = bundle.with_name(f"{bundle.stem}-{writer}{bundle.suffix}")
        bounds = (None, None) if writer == LEDGER else (start, end)
        with closing(opener()) as evidence:
            if evidence.stored:
                wanted = bundles.span(evidence, *bounds)
                done.append(_export(evidence, wanted, target, held, rotations))
            else:
                output.warn(f"{target} was not written: no checkpoint covers that log")
    return done


def _export(
    evidence: Evidence,
    wanted: Span | None,
    target: Path,
    held: list[str],
    rotations: Iterable[bytes],
) -> dict[str, Any]:
    """Write one bundle, and warn of what is not in it."""
    span = bundles.export(evidence, wanted, target, held=held, rotations=rotations)
    missing = 0 if wanted is None else wanted.last - span.last
    if missing:
        output.warn(
            f"{target}: records {span.last + 1} to {span.last + missing} are not in it:"
            " no checkpoint covers them yet"
        )
    count = span.last - span.first + 1
    facts = {"firstSeq": span.first, "lastSeq": span.last, "unsealed": missing}
    return {"bundle": str(target), "records": count, **facts}


def prove(
    record: Annotated[str, typer.Argument(metavar="RECORD_ID")],
    *,
    proof: Annotated[
        Path | None, typer.Option(help="The file to write, else print it.")
    ] = None,
    checkpoint: Checkpoints = None,
    records: Records = RECORDS,
) -> None:
    """Prove that one record is in the log, below a checkpoint that the reader holds.

    The proof holds the record; it is verified as a bundle is. Without --checkpoint it
    is for the last checkpoint of its log.
    """
    held = held_in(checkpoint)
    with reading(records):
        text = _proof(records, record, held)
    if proof is None:
        typer.echo(text, nl=False)
    else:
        proof.write_text(text, "utf-8")


def _proof(records: str, record: str, held: list[str]) -> str:
    for opener in evidence_of(records).values():
        with closing(opener()) as evidence:
            if bundles.find(evidence, record) is not None:
                return bundles.prove(evidence, record, held)
    raise RecordStoreError(f"{shown(records)}: no record {record!r}")

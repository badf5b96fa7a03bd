"""`gov audit forward`: send records to an OpenTelemetry collector as log events."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_never,
    wait_exponential,
)

from openfeature_gov.cli import output, runs
from openfeature_gov.cli.exits import text_of
from openfeature_gov.cli.options import RECORDS, Records
from openfeature_gov.evidence import otlp
from openfeature_gov.stores import queries
from openfeature_gov.stores.opening import SCHEMES

POLL_S = 1.0
LONGEST_S = 60.0


def forward(
    *,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Full URL for logs, such as http://collector:4318/v1/logs (default:"
            " what the OTEL_EXPORTER_OTLP_ variables say; headers come from there).",
            show_default=False,
        ),
    ] = None,
    cursor: Annotated[
        Path | None,
        typer.Option(
            help="File that says where to go on (default: RECORDS.forwarded beside the"
            " file); for a database, which has many logs, the start of their names.",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Go on with what comes, until interrupted."
        ),
    ] = False,
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """Send records to an OpenTelemetry collector, in order, each at least once.

    The event's body is the record's bytes, without personal parts. Exit 3 when the
    collector does not take them; with --follow it is asked again until it does.
    """
    runs.reachable(records)
    if cursor is None and records.startswith(SCHEMES):
        raise typer.BadParameter("say where to keep it", param_hint="'--cursor'")
    kept = cursor or Path(f"{records}.forwarded")
    send = otlp.sender(endpoint)
    asking = Retrying(
        retry=retry_if_exception_type(ConnectionError),
        wait=wait_exponential(max=LONGEST_S),
        stop=stop_never if follow else stop_after_attempt(1),
        before_sleep=_warn,
        reraise=True,
    )
    while True:
        sent = asking(_forward, records, kept, send)
        if sent or not follow:
            _tell(sent, as_json)
        if not follow:
            return
        time.sleep(POLL_S)


def _tell(sent: int, as_json: bool | None) -> None:
    line = f"{sent} records sent"
    output.show({"sent": sent}, lambda console: console.print(line), as_json=as_json)
    sys.stdout.flush()


def _forward(records: str, kept: Path, send: otlp.Send) -> int:
    """Send what is new in each log of *records*; return how many records."""
    sent = 0
    for writer in queries.writers(records):
        read = partial(queries.stored, records, writer=writer)
        cursor = kept if writer is None else kept.with_name(f"{kept.name}.{writer}")
        sent += otlp.forward(read, cursor, send)
    return sent


def _warn(state: RetryCallState) -> None:
    failed = state.outcome and state.outcome.exception()
    if isinstance(failed, Exception):
        output.warn(text_of(failed))

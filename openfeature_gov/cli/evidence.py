"""Where the evidence of `gov audit` comes from: a file, or the logs of a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from openfeature_gov.cli import output
from openfeature_gov.cli.runs import there
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Evidence
from openfeature_gov.stores.opening import SCHEMES, shown

Checkpoints = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint",
        envvar="GOV_AUDIT_CHECKPOINT",
        help="File with checkpoints that you hold; repeatable.",
        show_default=False,
    ),
]


def held_in(files: list[Path] | None) -> list[str]:
    """Return the checkpoints in *files*.

    Raises:
        typer.BadParameter: when one of them holds none.
        OSError: when one cannot be read.

    """
    try:
        return gov_verify.held_in(files or ())
    except gov_verify.UsageError as error:
        raise typer.BadParameter(str(error)) from None


def evidence_of(records: str) -> dict[str, Callable[[], Evidence]]:
    """Return the logs of *records*, a file or a URL, each with what opens it.

    Raises:
        OSError: when there is no such file.
        RecordStoreError: when the database cannot be read.

    """
    if not records.startswith(SCHEMES):
        return {records: partial(gov_verify.Database, there(Path(records)))}
    try:
        from openfeature_gov.stores import (  # noqa: PLC0415 - the extra
            postgres_evidence,
        )
    except ImportError as error:
        raise RecordStoreError(
            f"records in PostgreSQL need {error.name}; run"
            " pip install 'openfeature-gov[sql]'"
        ) from error
    return {**postgres_evidence.logs(records)}


@contextmanager
def reading(records: str) -> Iterator[None]:
    """Turn what *records* says against being read into one error.

    Raises:
        RecordStoreError: when it holds no log, or a row cannot be read.

    """
    faults: tuple[type[Exception], ...] = (gov_verify.Refused, sqlite3.Error)
    if records.startswith(SCHEMES):
        import psycopg  # noqa: PLC0415 - the extra

        faults = (gov_verify.Refused, psycopg.Error)
    try:
        yield
    except faults as error:
        raise RecordStoreError(f"{shown(records)}: {error}") from None


def tell(data: dict[str, Any], text: str, as_json: bool | None) -> None:
    """Print *data*, or *text* to people, who may copy its lines."""

    def render(console: Console) -> None:
        for line in text.split("\n"):
            console.print(output.safe(line), soft_wrap=True)

    output.show(data, render, as_json=as_json)

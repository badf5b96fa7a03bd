"""Options that several commands share: one name, one meaning, one default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import Governance, parse

CONTRACTS = "governance.yaml"
FLAGS = "flags.json"
RECORDS = "records.db"

Contracts = Annotated[
    Path,
    typer.Option("--governance", envvar="GOV_GOVERNANCE", help="Governance contracts."),
]
BesideContracts = Annotated[
    Path | None,
    typer.Option(
        "--governance",
        envvar="GOV_GOVERNANCE",
        help=f"Governance contracts (default: {CONTRACTS} beside the flag file).",
    ),
]
Flags = Annotated[
    Path,
    typer.Option("--flags", envvar="GOV_FLAGS", help="Flag file (FeatBit data-sync)."),
]
Records = Annotated[
    Path, typer.Option("--records", envvar="GOV_RECORDS", help="Record database.")
]
BesideRecords = Annotated[
    Path | None,
    typer.Option(
        "--records",
        envvar="GOV_RECORDS",
        help=f"Record database (default: {RECORDS} beside the flag file, if there).",
    ),
]


def governance_of(path: Path) -> Governance:
    """Return the governance contracts of *path*.

    Raises:
        InvalidContractError: when the file was refused.
        OSError: when it cannot be read.

    """
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """Return the text of the governance file *path*.

    Raises:
        InvalidContractError: when it is not UTF-8.
        OSError: when it cannot be read.

    """
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 at byte {error.start}"
        raise InvalidContractError(str(path), [(0, "", problem)]) from None


def one_line(value: str, *, name: str, limit: int) -> str:
    """Return *value* without outer blanks if it is one printable line.

    Raises:
        typer.BadParameter: when it is empty, too long or holds control characters.

    """
    text = value.strip()
    if not 1 <= len(text) <= limit or not text.isprintable():
        raise typer.BadParameter(
            f"{name} must be one line of 1 to {limit} printable characters"
        )
    return text


__all__ = [
    "CONTRACTS",
    "FLAGS",
    "RECORDS",
    "BesideContracts",
    "BesideRecords",
    "Contracts",
    "Flags",
    "Records",
    "governance_of",
    "one_line",
    "text_of",
]

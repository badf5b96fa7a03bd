"""Options that several commands share: one name, one meaning, one default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from openfeature_gov.evidence.sealing import Sealing

CONTRACTS = "governance.yaml"
FLAGS = "flags.json"
RECORDS = "records.db"

Contracts = Annotated[
    Path,
    typer.Option(
        "--governance",
        envvar="GOV_GOVERNANCE",
        help="Governance contracts.",
        readable=False,
    ),
]
BesideContracts = Annotated[
    Path | None,
    typer.Option(
        "--governance",
        envvar="GOV_GOVERNANCE",
        readable=False,
        help=f"Governance contracts (default: {CONTRACTS} beside the flag file).",
    ),
]
Flags = Annotated[
    Path,
    typer.Option(
        "--flags",
        envvar="GOV_FLAGS",
        help="Flag file (FeatBit data-sync).",
        readable=False,
    ),
]
FeatBit = Annotated[
    bool, typer.Option("--featbit", help="In FeatBit itself instead of a flag file.")
]
ApiUrl = Annotated[
    str,
    typer.Option(
        "--api-url",
        envvar="GOV_FEATBIT_API_URL",
        help="URL of FeatBit's API server.",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        readable=False,
        help="File with the access token (default: environment GOV_FEATBIT_TOKEN).",
    ),
]
Project = Annotated[
    str,
    typer.Option(
        "--project",
        envvar="GOV_FEATBIT_PROJECT",
        help="Key of the FeatBit project.",
        show_default=False,
    ),
]
Env = Annotated[
    str,
    typer.Option(
        "--env",
        envvar="GOV_FEATBIT_ENV",
        help="Key of the FeatBit environment.",
        show_default=False,
    ),
]
StreamingUrl = Annotated[
    str,
    typer.Option(
        "--streaming-url",
        envvar="GOV_FEATBIT_STREAMING_URL",
        help="URL of FeatBit's evaluation server, wss://...",
        show_default=False,
    ),
]
EventUrl = Annotated[
    str,
    typer.Option(
        "--event-url",
        envvar="GOV_FEATBIT_EVENT_URL",
        help="URL of FeatBit's evaluation server, https://...",
        show_default=False,
    ),
]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        readable=False,
        help="File with the server secret (default: environment GOV_FEATBIT_SECRET).",
    ),
]
Records = Annotated[
    str,
    typer.Option(
        "--records",
        envvar="GOV_RECORDS",
        help="Record database: a file, or a postgresql:// URL.",
    ),
]
RecordFile = Annotated[
    Path,
    typer.Option("--records", envvar="GOV_RECORDS", help="Record database: a file."),
]
BesideRecords = Annotated[
    str | None,
    typer.Option(
        "--records",
        envvar="GOV_RECORDS",
        help="Record database: a file, or a postgresql:// URL (default: "
        f"{RECORDS} beside the flags).",
    ),
]
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


def sealing_of(key: Path | None, checkpoints: Path | None) -> Sealing | None:
    """Return what seals the records as the two options say, None as usual.

    As usual, a file is sealed with what lies beside it, and a database is not sealed.
    """
    from openfeature_gov.evidence.sealing import (  # noqa: PLC0415 - few commands seal
        Sealing,
    )

    return Sealing(key=key, checkpoints=checkpoints) if key or checkpoints else None


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

"""`gov audit erase`: forget a user, an account or a record; proofs stay whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.cli.carrying import By, DryRun, signed
from openfeature_gov.cli.options import (
    RECORDS,
    CheckpointFile,
    KeyFile,
    Records,
    sealing_of,
)
from openfeature_gov.evidence import erasure
from openfeature_gov.evidence.erasure import Erased, Subject
from openfeature_gov.stores import erasing
from openfeature_gov.stores.opening import SCHEMES, open_store
from openfeature_gov.targets import RefusedError, Signed

SHOWN = 20


def erase(
    *,
    user: Annotated[str, typer.Option(help="Everything about this user.")] = "",
    account: Annotated[str, typer.Option(help="About this account.")] = "",
    target_record: Annotated[
        str, typer.Option("--record", help="About this record that tools acted on.")
    ] = "",
    reason: Annotated[
        str,
        typer.Option(help="Why; stays, so without the key. At most 256 characters."),
    ],
    actor: By = None,
    dry_run: DryRun = False,
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Erase what is personal in records about one user, account or target record.

    What was decided stays, and every proof of it; a record says that parts were
    erased, not about whom, signed with the key of the log: a log that is sealed needs
    it here. Requests for approval and reviews are emptied once they have ended. Bundles
    and backups are not reached: erase there too. What is held stays: exit 4 says by
    whom and why.
    """
    subject = _subject(user, account, target_record)
    by = signed(actor, reason, records, sealing_of(key_file, checkpoint_file))
    if not records.startswith(SCHEMES):
        Path(records).stat()
    erased = _tried(records, subject) if dry_run else _erased(records, subject, by)
    data = {
        "by": subject.by,
        "erased": not dry_run,
        "records": list(erased.records),
        "requests": list(erased.requests),
        "evidence": list(erased.evidence),
        "traceless": None if dry_run else erased.traceless,
    }
    output.show(
        data, lambda console: _render(console, erased, dry=dry_run), as_json=as_json
    )
    if not erased.traceless:
        output.warn(
            "the files of the database still hold older copies: for a reader, which "
            "you may close before you run this again, or until PostgreSQL uses the "
            "place again (VACUUM FULL records)"
        )


def _subject(user: str, account: str, record: str) -> Subject:
    subjects = (
        Subject("user", user),
        Subject("account", account),
        Subject("targetRecord", record),
    )
    given = [subject for subject in subjects if subject.key]
    if len(given) != 1:
        raise typer.BadParameter("give one of --user, --account and --record")
    return given[0]


def _tried(records: str, subject: Subject) -> Erased:
    """Return what would be erased."""
    if not records.startswith(SCHEMES):
        path = Path(records)
        parts, ended = erasing.parts(path), erasing.ended(path)
    else:
        from openfeature_gov.stores import postgres_erasing  # noqa: PLC0415 - the extra

        parts = postgres_erasing.parts(records)
        ended = postgres_erasing.ended(records)
    ids = erasure.about(parts, subject)
    about = erasure.asked_about(ended, subject, ids)
    return Erased(ids, requests=tuple(one.id for one in about))


def _erased(records: str, subject: Subject, by: Signed) -> Erased:
    store = open_store(records, sealing=by.sealing)
    try:
        return erasure.erase(store, subject, actor=by.actor, reason=by.reason)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except erasure.HeldError as error:
        raise RefusedError(str(error)) from None
    finally:
        store.close()


def _render(console: Console, erased: Erased, *, dry: bool) -> None:
    verb = "would be erased in" if dry else "erased in"
    console.print(Text(f"{verb} {len(erased.records)} records", "bold"))
    for one in erased.records[:SHOWN]:
        console.print(Text(f"  {output.safe(one)}"))
    if len(erased.records) > SHOWN:
        console.print(Text(f"  and {len(erased.records) - SHOWN} more", "dim"))
    if erased.requests:
        count = len(erased.requests)
        console.print(Text(f"  and {count} requests and reviews", "dim"))
    for one in erased.evidence:
        console.print(Text(f"  recorded as {output.safe(one)}", "dim"))

"""`gov audit archive`, `hold` and `release`: what leaves the log, and what must not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.cli.carrying import (
    By,
    DryRun,
    ShortReason,
    reason_of,
    signed_by,
)
from openfeature_gov.cli.evidence import reading, tell
from openfeature_gov.cli.moments import microseconds
from openfeature_gov.cli.options import RECORDS, CheckpointFile, KeyFile, Records
from openfeature_gov.cli.runs import there
from openfeature_gov.evidence import archives, keys
from openfeature_gov.evidence.archives import END_US, Asked, Hold
from openfeature_gov.evidence.records import Record
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.evidence.texts import FIELD_LIMIT
from openfeature_gov.stores import (
    archiving,
    cursors,
    keeping,
    seals,
    sqlite_archiving,
)
from openfeature_gov.stores.archiving import Done
from openfeature_gov.stores.keeping import Source, Stop
from openfeature_gov.stores.opening import SCHEMES, open_store, shown
from openfeature_gov.targets import RefusedError

DAYS = 90
DAY_US = 86_400_000_000


def archive(
    *,
    to: Annotated[Path, typer.Option(help="Folder for the bundles.")],
    reason: ShortReason,
    before: Annotated[
        str | None, typer.Option(help="Records from before this time (UTC).")
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option(min=0, help=f"Or older than so many days (default {DAYS})."),
    ] = None,
    cursor: Annotated[
        list[Path] | None,
        typer.Option(
            help="What --cursor of forward or notify says, where it is not beside the"
            " file: what they have not sent stays; repeatable.",
            show_default=False,
        ),
    ] = None,
    actor: By = None,
    dry_run: DryRun = False,
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Move the oldest records into bundles that anyone can verify.

    Each bundle is written, read back and recorded before its records leave the log,
    where their hashes stay. It stops before the first record that is held, needed, not
    sealed or not forwarded, and says so.
    """
    before_us = _before(before, older_than)
    asked = _asked(actor, reason, records)
    sealing = _sealing(records, key_file, checkpoint_file)
    if not dry_run:
        open_store(records, sealing=sealing).close()  # seals, and settles what died
    with reading(records):
        sources = _sources(records, sealing)
        stops = [
            keeping.stop(
                source, before_us, cursors.sent(records, source.log, cursor or ())
            )
            for source in sources
        ]
    done: list[Done] = []
    if not dry_run and any(stop.last >= stop.first for stop in stops):
        to.mkdir(parents=True, exist_ok=True)
        with reading(records):
            done = [*_archived(records, sealing, sources, stops, to, asked)]
    data = {
        "beforeUs": before_us,
        "dryRun": dry_run,
        "archived": [_facts(one) for one in done],
        "stops": [stop._asdict() for stop in stops],
    }
    output.show(data, lambda console: _render(console, stops, done), as_json=as_json)
    for one in stops:
        if one.why:
            output.warn(f"{_named(one.log)}stops behind record {one.last}: {one.why}")


def hold(
    *,
    reason: ShortReason,
    task: Annotated[str, typer.Option(help="All records of this task.")] = "",
    since: Annotated[
        str | None, typer.Option("--from", help="Records since this time (UTC).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Records before this time (UTC).")
    ] = None,
    actor: By = None,
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Hold records: they are neither archived nor erased until they are released."""
    start = microseconds(since, option="--from")
    end = microseconds(until, option="--to")
    timed = start is not None or end is not None
    if bool(task) is timed:
        raise typer.BadParameter("give --task, or --from and --to")
    last = END_US if end is None else min(end, END_US)
    wanted = Hold(task) if task else Hold("", max(start or 0, 0), last)
    asked = _asked(actor, reason, records)
    sealing = _sealing(records, key_file, checkpoint_file)
    with closing(open_store(records, sealing=sealing)) as store:
        try:
            record = archives.hold_record(store.stamp(), wanted, asked)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        store.commit(record)
    _tell(record, f"held: {wanted.ref()}, until gov audit release {record.id}", as_json)


def release(
    what: Annotated[str, typer.Argument(metavar="HOLD_ID")],
    *,
    reason: ShortReason,
    actor: By = None,
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Release what a hold is on. Exit 4 where it is no hold in force."""
    asked = _asked(actor, reason, records)
    sealing = _sealing(records, key_file, checkpoint_file)
    if not keeping.in_force(records, what):
        raise RefusedError(f"{shown(records)}: no hold {what!r} is in force")
    with closing(open_store(records, sealing=sealing)) as store:
        record = archives.release_record(store.stamp(), what, asked)
        store.commit(record)
    _tell(record, f"released: {what}", as_json)


def _archived(
    records: str,
    sealing: Sealing,
    sources: list[Source],
    stops: list[Stop],
    folder: Path,
    asked: Asked,
) -> Iterator[Done]:
    vkeys = archiving.signers(records, _vkey(records, sealing))
    with closing(open_store(records, sealing=sealing)) as store:
        for source, stop in zip(sources, stops, strict=True):
            if stop.last >= stop.first:
                yield from archiving.archive(source, stop, folder, store, asked, vkeys)


def _before(before: str | None, older_than: int | None) -> int:
    if before is not None and older_than is not None:
        raise typer.BadParameter("give --before or --older-than")
    found = microseconds(before, option="--before")
    if found is not None:
        return found
    days = DAYS if older_than is None else older_than
    return time.time_ns() // 1000 - days * DAY_US


def _asked(actor: str | None, reason: str, records: str) -> Asked:
    by = Asked(signed_by(actor), reason_of(reason, longest=FIELD_LIMIT))
    if not records.startswith(SCHEMES):
        there(Path(records))
    return by


def _sealing(records: str, key: Path | None, checkpoints: Path | None) -> Sealing:
    if not records.startswith(SCHEMES):
        path = Path(records).absolute()
        return Sealing(
            key=key or seals.key_file(path),
            checkpoints=checkpoints or seals.checkpoint_file(path),
        )
    if key is None or checkpoints is None:
        raise typer.BadParameter(
            "a database needs --key-file and --checkpoint-file: nothing lies beside it"
        )
    return Sealing(key=key, checkpoints=checkpoints)


def _vkey(records: str, sealing: Sealing) -> str:
    if not isinstance(sealing.key, Path):
        raise typer.BadParameter(f"{shown(records)}: the key must be in a file")
    return keys.read_key(sealing.key).vkey


def _sources(records: str, sealing: Sealing) -> list[Source]:
    published = sealing.checkpoints or seals.checkpoint_file(Path(records))
    if not records.startswith(SCHEMES):
        return [sqlite_archiving.source(Path(records).absolute(), published)]
    from openfeature_gov.stores import postgres_archiving  # noqa: PLC0415 - the extra

    return postgres_archiving.sources(records, published)


def _facts(one: Done) -> dict[str, Any]:
    return {
        "log": one.log,
        "firstSeq": one.span.first,
        "lastSeq": one.span.last,
        "bundle": one.bundle,
        "sha256": one.sha256,
        "record": one.record,
    }


def _render(console: Console, stops: list[Stop], done: list[Done]) -> None:
    for stop in stops:
        count = stop.last - stop.first + 1
        what = f"records {stop.first} to {stop.last}" if count else "nothing"
        console.print(Text(f"{_named(stop.log)}{what} can be archived", "bold"))
    for one in done:
        span = f"{one.span.first} to {one.span.last}"
        text = f"  {_named(one.log)}{span} in {one.bundle}, recorded as {one.record}"
        console.print(Text(output.safe(text)), soft_wrap=True)


def _named(log: str) -> str:
    return f"{output.safe(log)}: " if log else ""


def _tell(record: Record, text: str, as_json: bool | None) -> None:
    tell({"record": record.id, "kind": record.kind, "on": record.ref}, text, as_json)

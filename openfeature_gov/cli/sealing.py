"""`gov audit seal` and `key`: checkpoints on demand, and the key that signs them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import typer

from openfeature_gov.cli import output
from openfeature_gov.cli.evidence import evidence_of, tell
from openfeature_gov.cli.options import (
    RECORDS,
    CheckpointFile,
    KeyFile,
    RecordFile,
    Records,
)
from openfeature_gov.cli.runs import there
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence import keys
from openfeature_gov.evidence.sealing import Sealer, Sealing
from openfeature_gov.evidence.standalone.gov_verify import parse_checkpoint, parse_note
from openfeature_gov.stores import seals
from openfeature_gov.stores.opening import SCHEMES, open_store, shown
from openfeature_gov.stores.sqlite import SqliteStore

LEDGER = "ledger"
"""The log of a database that holds the checkpoints of the others."""
app = typer.Typer(no_args_is_help=True, help="The key that seals a record log.")


def seal(
    *,
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Sign a checkpoint over all records now, publish it, and print it.

    The checkpoint is a line of text that you can send to whoever will verify. For
    PostgreSQL it is that of the ledger, over the logs of all writers that have ended.
    """
    sealing = Sealing(key=key_file, checkpoints=checkpoint_file)
    if records.startswith(SCHEMES):
        note = _seal_database(records, sealing)
    else:
        with _sealer(Path(records), sealing) as sealer:
            sealer.seal()
        note = _last(records, records)
    made = parse_checkpoint(parse_note(note))
    data = {"origin": made.origin, "size": made.size, "checkpoint": note}
    tell(data, note.rstrip("\n"), as_json)


def _seal_database(url: str, sealing: Sealing) -> str:
    """Open *url* as one more writer and close it: that seals."""
    if sealing.key is None or sealing.checkpoints is None:
        raise typer.BadParameter(
            "a database needs --key-file and --checkpoint-file: nothing lies beside it"
        )
    before = _last(url, LEDGER)
    open_store(url, sealing=sealing).close()
    note = _last(url, LEDGER)
    if note == before:
        raise RecordStoreError(f"{shown(url)}: could not be sealed; the log says why")
    return note


def _last(records: str, log: str) -> str:
    """Return the last checkpoint of *log* in *records*, empty where there is none."""
    for name, opener in evidence_of(records).items():
        if name == log or name.endswith(f"#{log}"):
            with closing(opener()) as evidence:
                return evidence.stored[-1] if evidence.stored else ""
    return ""


@app.command("show")
def show_key(
    *,
    records: RecordFile = Path(RECORDS),
    key_file: KeyFile = None,
    as_json: output.Json = None,
) -> None:
    """Print the public key to pin: hand it over before there is anything to hide."""
    vkey = keys.read_key(key_file or seals.key_file(records)).vkey
    tell({"key": vkey}, vkey, as_json)


@app.command("rotate")
def rotate_key(
    *,
    records: RecordFile = Path(RECORDS),
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Seal with a new key from now on; the old one names it in the log itself.

    Whoever pinned the old key goes on with it: verification follows the rotation.
    """
    sealing = Sealing(key=key_file, checkpoints=checkpoint_file)
    with _sealer(records, sealing) as sealer:
        vkey = seals.rotate(sealer, key_file or seals.key_file(records))
    tell({"key": vkey}, vkey, as_json)


@contextmanager
def _sealer(records: Path, sealing: Sealing) -> Iterator[Sealer]:
    """Open *records* as one more writer, and lend what seals them.

    Raises:
        RecordStoreError: when it is no record log, or could not be sealed.

    """
    try:
        with closing(SqliteStore(there(records), sealing=sealing)) as store:
            if store.sealer is None:
                raise RecordStoreError(f"{records}: is not sealed")
            yield store.sealer
    except sqlite3.Error as error:
        raise RecordStoreError(f"{records}: {error}") from None

"""How far the records of a log were sent on, as the files of its cursors say.

`gov audit forward` and `gov approvals notify` keep them: beside a record file by
default, else where ``--cursor`` said. Where every writer has a log, each has a file of
that name with the writer's id behind it, and notices one more for every channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from glob import escape
from pathlib import Path

from openfeature_gov.evidence.otlp import read_cursor
from openfeature_gov.stores.opening import SCHEMES

NOT = (".reminded", ".new")
"""The endings of files of that name that hold no place in a log."""


def sent(records: str, log: str, given: Iterable[Path] = ()) -> dict[str, int]:
    """Return up to which record of *log* was sent, by the file that says so.

    *given* are the names that ``--cursor`` had, to be looked at besides those beside a
    file. One of which there is no file yet has sent nothing: 0.

    Raises:
        RecordStoreError: when a file holds something else.

    """
    found = {path: read_cursor(path).seq for path in _usual(records)}
    for name in given:
        files = [*_files(name, log)]
        found |= {path: read_cursor(path).seq for path in files} or {name: 0}
    return {str(path): seq for path, seq in found.items()}


def _usual(records: str) -> Iterator[Path]:
    if not records.startswith(SCHEMES):
        forwarded = Path(f"{records}.forwarded")
        if forwarded.is_file():
            yield forwarded
        yield from _files(Path(f"{records}.notified"), "")


def _files(name: Path, log: str) -> Iterator[Path]:
    """Yield the files of the cursor *name* that are about *log*, of any channel.

    In a file all writers share one log, of no name.
    """
    end = f".{log}" if log else ""
    own = name.with_name(f"{name.name}{end}")
    if own.is_file():
        yield own
    for path in sorted(name.parent.glob(f"{escape(name.name)}.*{end}")):
        if path.is_file() and path != own and not path.name.endswith(NOT):
            yield path

"""Look for what does not add up in a record log. Read-only; reads all of it, once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from openfeature_gov.evidence.findings import NOTED, Entry, Finding, noted, read
from openfeature_gov.stores.history import personal_part
from openfeature_gov.stores.queries import opened, recorded

ENDED = (
    "EXISTS (SELECT 1 FROM records e WHERE e.ref = {0}.writer"
    " AND e.kind IN ('stop', 'reconciled'))"
)
MISSING = f"""
SELECT d.seq, d.id, {ENDED.format("d")}, d.tool FROM records d
WHERE d.kind = 'decision' AND d.executes = 1 AND NOT EXISTS
  (SELECT 1 FROM records o WHERE o.ref = d.id AND o.kind = 'outcome')
"""  # noqa: S608 - constants
UNMATCHED = """
SELECT o.seq, o.id, o.ref FROM records o WHERE o.kind = 'outcome' AND NOT EXISTS
  (SELECT 1 FROM records d WHERE d.id = o.ref AND d.kind = 'decision')
"""
REPEATED = """
SELECT seq, id, ref, reason FROM (
  SELECT seq, id, ref, reason, row_number() OVER (PARTITION BY ref ORDER BY seq) place
  FROM records WHERE kind = 'outcome' AND ref IS NOT NULL)
WHERE place > 1
"""
FORBIDDEN = """
SELECT o.seq, o.id, o.ref, o.reason FROM records o JOIN records d ON d.id = o.ref
WHERE o.kind = 'outcome' AND d.kind = 'decision' AND d.executes = 0
  AND o.reason <> 'not_run'
"""
UNKNOWN = """
SELECT seq, id, ref FROM records WHERE kind = 'outcome' AND reason = 'unknown'
"""
UNFINISHED = f"""
SELECT s.seq, s.id, s.writer FROM records s
WHERE s.kind = 'start' AND s.kind NOT IN ('decision', 'outcome')
  AND NOT {ENDED.format("s")}
"""  # noqa: S608 - constants
NOTES = (*NOTED, "policy_change")


def findings(path: Path | str) -> list[Finding]:
    """Return what does not add up in the log at *path*, in the order of the log.

    Raises:
        RecordStoreError: when there is no such log, or a record cannot be read.

    """
    with opened(path) as connection:
        # One snapshot: what is appended meanwhile must not look half done.
        connection.execute("BEGIN")
        found = [*_outcomes(connection), *_notes(connection), *_read(connection)]
    return sorted(found, key=lambda one: (one.seq, one.name))


def _outcomes(connection: sqlite3.Connection) -> Iterator[Finding]:
    for seq, identity, ended, tool in connection.execute(MISSING):
        name = "outcome_missing" if ended else "outcome_pending"
        yield Finding(name, seq, identity, f"tool {tool}")
    for seq, identity, ref in connection.execute(UNMATCHED):
        yield Finding("outcome_unmatched", seq, identity, f"decision {ref}")
    for seq, identity, ref, status in connection.execute(REPEATED):
        yield Finding("outcome_repeated", seq, identity, f"decision {ref}: {status}")
    for seq, identity, ref, status in connection.execute(FORBIDDEN):
        yield Finding("outcome_forbidden", seq, identity, f"decision {ref}: {status}")
    for seq, identity, ref in connection.execute(UNKNOWN):
        yield Finding("outcome_unknown", seq, identity, f"decision {ref}")
    for seq, identity, writer in connection.execute(UNFINISHED):
        yield Finding("writer_unfinished", seq, identity, f"writer {writer}")


def _notes(connection: sqlite3.Connection) -> Iterator[Finding]:
    kinds = ", ".join(f"'{kind}'" for kind in NOTES)
    where = f"kind IN ({kinds}) AND kind NOT IN ('decision', 'outcome') ORDER BY +seq"
    for record in recorded(connection, where, {}):
        yield from noted(record)


def _read(connection: sqlite3.Connection) -> Iterator[Finding]:
    where = "kind = 'erasure' AND kind NOT IN ('decision', 'outcome')"
    erasures = recorded(connection, where, {})
    erased = frozenset(one for body in erasures for one in body.get("records") or ())
    rows = connection.execute(
        "SELECT seq, id, kind, at_us, writer, body,"  # noqa: S608 - constants
        f" {personal_part(connection)} FROM records ORDER BY seq"
    )
    return read(map(Entry._make, rows), erased)

"""Look for what does not add up in a record log. Read-only; reads all of it, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openfeature_gov.evidence.findings import NOTED, Entry, Finding, noted, read
from openfeature_gov.stores.logs import Log, opened

ENDED = (
    "EXISTS (SELECT 1 FROM records e WHERE e.ref = {0}.writer"
    " AND e.kind IN ('stop', 'reconciled') AND NOT EXISTS (SELECT 1 FROM records r"
    " WHERE r.kind = 'resumed' AND r.kind NOT IN ('decision', 'outcome')"
    " AND r.writer = {0}.writer AND r.at_us >= e.at_us))"
)
"""A writer that was taken for dead may come back: then it has not ended."""
MISSING = f"""
SELECT d.seq, d.id, {ENDED.format("d")}, d.tool FROM records d
WHERE d.executes = 1 AND NOT EXISTS
  (SELECT 1 FROM records o WHERE o.ref = d.id AND o.kind = 'outcome')
"""  # noqa: S608 - constants
UNMATCHED = """
SELECT o.seq, o.id, o.ref FROM records o WHERE o.kind = 'outcome' AND NOT EXISTS
  (SELECT 1 FROM records d WHERE d.id = o.ref AND d.kind IN ('decision', 'undo'))
"""
REPEATED = """
SELECT seq, id, ref, reason FROM (
  SELECT seq, id, ref, reason,
    row_number() OVER (PARTITION BY ref ORDER BY {0}) AS place
  FROM records WHERE kind = 'outcome' AND ref IS NOT NULL) AS counted
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


def findings(records: Path | str) -> list[Finding]:
    """Return what does not add up in the log *records*, in the order of the log.

    Raises:
        RecordStoreError: when there is no such log, or a record cannot be read.

    """
    with opened(records) as log:
        found = [*_outcomes(log), *_notes(log), *_read(log)]
    return sorted(found, key=lambda one: (one.seq, one.name))


def _outcomes(log: Log) -> Iterator[Finding]:
    for seq, identity, ended, tool in log.rows(MISSING, {}):
        name = "outcome_missing" if ended else "outcome_pending"
        yield Finding(name, seq, identity, f"tool {tool}" if tool else "an undo")
    carried = {one for body in _archives(log) for one in body["carried"]}
    for seq, identity, ref in log.rows(UNMATCHED, {}):
        if ref in carried:
            continue
        yield Finding("outcome_unmatched", seq, identity, f"decision {ref}")
    repeated = REPEATED.format(log.ordered("ASC"))
    for seq, identity, ref, status in log.rows(repeated, {}):
        yield Finding("outcome_repeated", seq, identity, f"decision {ref}: {status}")
    for seq, identity, ref, status in log.rows(FORBIDDEN, {}):
        yield Finding("outcome_forbidden", seq, identity, f"decision {ref}: {status}")
    for seq, identity, ref in log.rows(UNKNOWN, {}):
        yield Finding("outcome_unknown", seq, identity, f"decision {ref}")
    for seq, identity, writer in log.rows(UNFINISHED, {}):
        yield Finding("writer_unfinished", seq, identity, f"writer {writer}")


def _notes(log: Log) -> Iterator[Finding]:
    kinds = ", ".join(f"'{kind}'" for kind in NOTES)
    order = log.ordered("ASC", narrow=True)
    where = f"kind IN ({kinds}) AND kind NOT IN ('decision', 'outcome')"
    for record in log.recorded(f"{where} ORDER BY {order}"):
        yield from noted(record)


def _archives(log: Log) -> list[dict[str, Any]]:
    """Return what records tell of archives: decisions whose outcomes were left here."""
    return log.recorded("kind = 'archive' AND kind NOT IN ('decision', 'outcome')")


def archived(log: Log) -> dict[str, int]:
    """Return the last number that was archived, by writer; of one log by no name."""
    if not log.archives:
        return {}
    name = "''" if log.one_log else "writer"
    query = f"SELECT {name}, max(last_seq) FROM archives GROUP BY 1"  # noqa: S608 - constants
    return dict(log.rows(query, {}))


def _read(log: Log) -> Iterator[Finding]:
    erasures = log.recorded("kind = 'erasure' AND kind NOT IN ('decision', 'outcome')")
    erased = frozenset(one for body in erasures for one in body.get("records") or ())
    rows = log.rows(
        "SELECT seq, id, kind, at_us, writer, body,"  # noqa: S608 - constants
        f" {log.personal} FROM records ORDER BY {', '.join(log.place)}",
        {},
    )
    entries = map(Entry._make, rows)
    return read(entries, erased, one_log=log.one_log, archived=archived(log))

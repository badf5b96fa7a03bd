"""Read record logs wherever they are: in a SQLite file, or in PostgreSQL.

The queries of this package are written once. What the two say differently stands in a
`Log`: how records are ordered, and how a filter is said in this version of the schema.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import merged
from openfeature_gov.stores.bundled import is_bundle, unpacked
from openfeature_gov.stores.history import personal_part, reading
from openfeature_gov.stores.opening import SCHEMES

Rows = Iterator[tuple[Any, ...]]
Values = Mapping[str, Any]
NOTHING: Values = MappingProxyType({})
COLUMNS = ("kind", "agent", "task", "tool", "effect", "reason", "writer", "at_us")
"""The columns, of those that filters ask for, that every version of the schema has."""
BODY = "CAST(body AS TEXT)"
DERIVED: Mapping[str, str] = {
    "target": f"NULLIF(json_extract({BODY}, '$.targetSystem'), '')",
    "reviewer": f"NULLIF(json_extract({BODY}, '$.reviewer'), '')",
    "variant": f"(SELECT json_extract(value, '$.variant') FROM json_each({BODY},"  # noqa: S608 - constants
    " '$.flags') WHERE json_extract(value, '$.kind') = 'mode')",
    "amount": f"CAST(json_extract({BODY}, '$.amount') AS REAL)",
}
"""The columns that only version 2 has, and how version 1 finds what they hold."""
SERVED = (
    f"EXISTS (SELECT 1 FROM json_each({BODY}, '$.flags')"  # noqa: S608 - constants
    " WHERE json_extract(value, '$.key') = :{0}"
    " AND json_extract(value, '$.variant') = :{1})"
)
ENDED = (
    "CROSS JOIN records o{0} ON o.ref = d.id AND o.kind = 'outcome' AND d.executes = 1"
)
"""Lets the decisions lead the search."""
COSTED = f'{ENDED} AND instr(o.body, CAST(\'"cost":"\' AS BLOB)) > 0'
"""Few outcomes say what they cost; an index leads to them, in version 2."""
LAST = (
    "SELECT {keys}, count(*), min(d.at_us), max(d.at_us), max(d.seq) FROM {decisions}"
    " GROUP BY {keys}"
)
CACHE_KB = 128_000
"""Outcomes are looked up in the order of their groups: that needs an index at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Hold an open log, read-only; lives as long as `opened` lends it.

    *rows* runs a query with named parameters (``:name``); *order* are the columns that
    order records, of which *place* alone tells them apart. *said* is how a filter is
    said, *served* how a flag's key and variant are asked for; *by* marks a column that
    shall not lead the search, *last* counts groups and tells the last of each, *ended*
    joins outcomes to decisions that ran, *costed* those that say what it cost.
    *archives* says that this version of the schema can tell what was archived.
    """

    rows: Callable[[str, Values], Rows]
    order: tuple[str, ...] = ("seq",)
    place: tuple[str, ...] = ("seq",)
    said: Mapping[str, str]
    served: str = SERVED
    personal: str = "personal"
    by: str = "+"
    last: str = LAST
    ended: str = ENDED.format("")
    costed: str
    one_log: bool = True
    archives: bool = True

    def ordered(self, direction: str, *, narrow: bool = False) -> str:
        """Return the order of the log; *narrow* says that an index finds the records.

        Going through the log in its order would read all of it for a rare value.
        """
        by = self.by if narrow else ""
        return ", ".join(f"{by}{name} {direction}" for name in self.order)

    def beyond(self, cursor: str | None, sign: str) -> tuple[str, dict[str, Any]]:
        """Return the condition for what comes after *cursor*, with its parameters.

        Raises:
            ValueError: for a cursor that is of no such log.

        """
        if cursor is None:
            return "", {}
        parts = cursor.split(":")
        if len(parts) != len(self.order):
            raise ValueError(f"{cursor!r} is no cursor of this log")
        values = {
            f"after_{name}": part if name == "writer" else int(part)
            for name, part in zip(self.order, parts, strict=True)
        }
        marks = ", ".join(f":{name}" for name in values)
        return f" AND ({', '.join(self.order)}) {sign} ({marks})", values

    def recorded(self, where: str, values: Values = NOTHING) -> list[dict[str, Any]]:
        """Return the records for which *where* holds, an SQL condition of ours."""
        query = f"SELECT seq, body, {self.personal} FROM records WHERE {where}"  # noqa: S608 - constants
        return [
            {"seq": seq, **merged(body, personal)}
            for seq, body, personal in self.rows(query, values)
        ]

    def named(self, column: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the records whose *column* is one of *values*, in the log's order."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(values), MARKS):
            named = {
                f"v{n}": one for n, one in enumerate(values[start : start + MARKS])
            }
            marks = ", ".join(f":{one}" for one in named)
            where = f"{column} IN ({marks}) ORDER BY {self.ordered('ASC')}"
            found += self.recorded(where, named)
        return found

    def cursor(self, record: Mapping[str, Any]) -> str:
        """Return the cursor of *record*."""
        return ":".join(str(record[KEYS[name]]) for name in self.order)


MARKS = 500
"""How many values one statement names."""
KEYS = {"seq": "seq", "writer": "writer", "at_us": "atUs"}


@contextmanager
def opened(records: Path | str) -> Iterator[Log]:
    """Open *records* for reading only: a file, a bundle, or a ``postgresql://`` URL.

    Raises:
        RecordStoreError: when there is no such log, or a record cannot be read.

    """
    try:
        if isinstance(records, str) and records.startswith(SCHEMES):
            with _database(records) as log:
                yield log
        elif is_bundle(records):
            with unpacked(records) as connection:
                yield _file(connection)
        else:
            with reading(records) as connection:
                yield _file(connection)
    except (ValueError, TypeError) as error:
        where = "the database" if str(records).startswith(SCHEMES) else records
        raise RecordStoreError(f"{where}: a record cannot be read: {error}") from None


@contextmanager
def _database(url: str) -> Iterator[Log]:
    try:
        from openfeature_gov.stores.postgres_logs import opened_at  # noqa: PLC0415
    except ImportError as error:
        raise RecordStoreError(
            f"records in PostgreSQL need {error.name}; run"
            " pip install 'openfeature-gov[sql]'"
        ) from error
    with opened_at(url) as log:
        yield log


def _file(connection: sqlite3.Connection) -> Log:
    connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
    # One snapshot: what is appended meanwhile must not look half done.
    connection.execute("BEGIN")
    known = {name for _, name, *_ in connection.execute("PRAGMA table_info(records)")}
    derived = {name: name if name in known else DERIVED[name] for name in DERIVED}
    (indexed,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = 'records_cost'"
    ).fetchone()
    return Log(
        rows=lambda query, values: connection.execute(query, dict(values)),
        said={**{name: name for name in COLUMNS}, **derived},
        personal=personal_part(connection),
        archives=personal_part(connection) != "NULL",
        costed=COSTED.format(" INDEXED BY records_cost" if indexed else ""),
    )

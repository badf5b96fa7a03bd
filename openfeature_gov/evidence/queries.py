"""Records as flat rows: one row a record, the same columns with the same types always.

That makes them ready for Parquet, data frames and spreadsheets: no nesting, a missing
value is null, money stays decimal text, times are microseconds since 1970. New columns
are added at the end; none changes its name or type.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TextIO

Record = Mapping[str, Any]
Cell = str | int | bool | None


class Column(NamedTuple):
    """Describe one column: *kind* is int64, bool, string or decimal (as text).

    *places* are where a record may hold the value; the first that does wins.
    """

    name: str
    kind: str
    places: tuple[tuple[str, ...], ...]


def _column(name: str, *places: str, kind: str = "string") -> Column:
    return Column(name, kind, tuple(tuple(one.split(".")) for one in places))


COLUMNS = (
    _column("seq", "seq", kind="int64"),
    _column("id", "id"),
    _column("schema", "schema"),
    _column("kind", "kind"),
    _column("at_us", "atUs", kind="int64"),
    _column("writer", "writer"),
    _column("ref", "ref"),
    _column("request", "context.request"),
    _column("user", "user", "context.user"),
    _column("account", "account", "context.account"),
    _column("environment", "context.environment"),
    _column("workflow", "contract.workflow"),
    _column("owner", "contract.owner"),
    _column("contract_revision", "contract.revision"),
    _column("agent", "context.agent"),
    _column("agent_instance", "context.agentInstance"),
    _column("agent_version", "context.agentVersion"),
    _column("service", "context.service"),
    _column("delegation", "delegation", "context.delegation"),
    _column("session", "session", "context.session"),
    _column("task", "context.task"),
    _column("parent_task", "context.parentTask"),
    _column("trigger", "context.trigger"),
    _column("tool", "tool"),
    _column("target_system", "targetSystem"),
    _column("target_record", "targetRecord"),
    _column("intent", "intent"),
    _column("summary", "summary"),
    _column("risk_class", "riskClass"),
    _column("reversibility", "reversibility"),
    _column("amount", "amount", kind="decimal"),
    _column("currency", "currency"),
    _column("records", "records", kind="int64"),
    _column("authorization", "authorization"),
    _column("effect", "effect"),
    _column("mode", "mode"),
    _column("need", "need"),
    _column("reason", "reason"),
    _column("executes", "executes", kind="bool"),
    _column("mode_flag", "flags.mode.key"),
    _column("mode_variant", "flags.mode.variant"),
    _column("mode_version", "flags.mode.version"),
    _column("flags_age_ms", "flagSource.ageMs", kind="int64"),
    _column("reviewer", "reviewer"),
    _column("status", "status"),
    _column("ran", "ran"),
    _column("error", "error"),
    _column("latency_us", "latencyUs", kind="int64"),
    _column("cost", "cost", kind="decimal"),
    _column("undo", "undo"),
    _column("hand_over", "handOver"),
    _column("incident", "incident"),
    _column("arguments_digest", "argumentsDigest"),
    _column("action_digest", "actionDigest"),
    _column("model", "context.model"),
    _column("prompt_digest", "context.promptDigest"),
    _column("erased", "erased", kind="bool"),
    _column("scopes", "context.scopes"),
    _column("confidence", "context.confidence", kind="decimal"),
    _column("template", "context.template"),
    _column("input_digest", "inputDigest"),
    _column("payload", "context.payload"),
    _column("output", "output"),
    _column("shadow_mode", "shadow.mode"),
    _column("shadow_effect", "shadow.effect"),
)
NAMES = tuple(one.name for one in COLUMNS)


def flat(record: Record) -> dict[str, Cell]:
    """Return *record* as one row: every column, in order, None where it says nothing.

    A value that is not of its column's type is None too: it stands in the record.
    """
    modes = {
        one["kind"]: one
        for one in _listed(record.get("flags"))
        if isinstance(one, dict) and one.get("kind") == "mode"
    }
    whole = {**record, "flags": modes}
    return {one.name: _cell(one, whole) for one in COLUMNS}


def write_csv(rows: Iterable[Mapping[str, Cell]], out: TextIO) -> None:
    """Write *rows* of `flat` as CSV (RFC 4180), the header first.

    Text that a spreadsheet would run as a formula gets an apostrophe in front, and
    what is not printable is escaped with a backslash.
    """
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(NAMES)
    for row in rows:
        writer.writerow([_written(one, row[one.name]) for one in COLUMNS])


def write_table(
    names: Sequence[str], rows: Iterable[Mapping[str, Any]], out: TextIO
) -> None:
    """Write *rows* of any kind as CSV with the columns *names*; lists become words."""
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_plain(row[name]) for name in names])


def write_lines(rows: Iterable[Mapping[str, Cell]], out: TextIO) -> None:
    """Write *rows* of `flat` as JSON, one object a line."""
    out.writelines(f"{line(row)}\n" for row in rows)


def line(value: object) -> str:
    """Return *value* as JSON in one line of printable ASCII."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=str)
    return text.replace("\x7f", "\\u007f")


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _cell(column: Column, record: Record) -> Cell:
    for place in column.places:
        value: Any = record
        for name in place:
            value = value.get(name) if isinstance(value, Mapping) else None
        found = TYPED[column.kind](value)
        if found is not None:
            return found
    return None


def _text(value: object) -> str | None:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 2**63 else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _decimal(value: object) -> str | None:
    try:
        known = isinstance(value, str) and Decimal(value).is_finite()
    except ArithmeticError:
        return None
    return str(value) if known else None


TYPED = {"int64": _whole, "bool": _flag, "string": _text, "decimal": _decimal}


def _written(column: Column, value: Cell) -> Cell:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if column.kind != "string" else _quoted(str(value))


def _plain(value: Any) -> Cell:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if value is None or value == "":
        return ""
    if isinstance(value, str) and _decimal(value) is None:
        return _quoted(value)
    return str(value).lower() if isinstance(value, bool) else value


def _quoted(value: str) -> str:
    text = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in value
    )
    return f"'{text}" if text[0] in "=+-@" else text

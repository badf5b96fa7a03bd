"""`gov audit query`, `tail` and `lookup`: find records, follow them, show one whole."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output, runs
from openfeature_gov.cli.moments import microseconds
from openfeature_gov.cli.options import RECORDS, Records
from openfeature_gov.evidence.queries import Cell, flat, line, write_csv, write_lines
from openfeature_gov.stores import archiving, queries
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import shown
from openfeature_gov.stores.queries import Filter, Page
from openfeature_gov.targets import RefusedError

Facts = dict[str, Any]
POLL_S = 0.5
CURSOR = re.compile(r"[0-9]{1,19}(:[0-9a-f]+:[0-9]{1,19})?")
CHUNK = 1_000
"""How many records one page holds when all are wanted."""


class Format(StrEnum):
    """How to print: for people, as one document, or ready for Parquet."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


Formats = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="jsonl and csv are flat: stable columns and types, one row a record.",
        show_default=False,
    ),
]
Agent = Annotated[list[str] | None, typer.Option(help="Of this agent; repeatable.")]
Tool = Annotated[list[str] | None, typer.Option(help="Of this tool.")]
Task = Annotated[list[str] | None, typer.Option(help="In this task.")]
Effect = Annotated[list[str] | None, typer.Option(help="allow, deny, …")]
Kind = Annotated[list[str] | None, typer.Option(help="decision, outcome, start, …")]
From = Annotated[
    str | None,
    typer.Option("--from", help="Since this time (UTC), or how long ago: 24h."),
]
To = Annotated[str | None, typer.Option("--to", help="Before this time (UTC).")]


def query(
    *,
    agent: Agent = None,
    tool: Tool = None,
    target: Annotated[list[str] | None, typer.Option(help="On this system.")] = None,
    task: Task = None,
    effect: Effect = None,
    reason: Annotated[
        list[str] | None, typer.Option(help="Reason code, or an outcome's status.")
    ] = None,
    reviewer: Annotated[list[str] | None, typer.Option(help="By this person.")] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="VARIANT of the mode flag, or FLAG=VARIANT."),
    ] = None,
    kind: Kind = None,
    since: From = None,
    until: To = None,
    amount_from: Annotated[str | None, typer.Option(help="At least.")] = None,
    amount_to: Annotated[str | None, typer.Option(help="At most.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="Latest first.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="How many; 0 for all.")] = 100,
    after: Annotated[
        str | None, typer.Option(help="The cursor of the page before.")
    ] = None,
    records: Records = RECORDS,
    form: Formats = None,
    as_json: output.Json = None,
) -> None:
    """Find records by who, what, where, why, when and how much."""
    served = [one.partition("=") for one in variant or ()]
    wanted = Filter(
        kind=tuple(kind or ()),
        agent=tuple(agent or ()),
        task=tuple(task or ()),
        tool=tuple(tool or ()),
        target=tuple(target or ()),
        effect=tuple(effect or ()),
        reason=tuple(reason or ()),
        reviewer=tuple(reviewer or ()),
        variant=tuple(one for one, equals, _ in served if not equals),
        flags=tuple((key, value) for key, equals, value in served if equals),
        from_us=microseconds(since, option="--from"),
        to_us=microseconds(until, option="--to"),
        amount_from=amount_of(amount_from, "--amount-from"),
        amount_to=amount_of(amount_to, "--amount-to"),
    )
    if after is not None and not CURSOR.fullmatch(after):
        raise typer.BadParameter(f"{after!r} is none", param_hint="'--after'")
    runs.reachable(records)
    chosen = form_of(form, as_json)
    if chosen in (Format.CSV, Format.JSONL):
        write(chosen, map(flat, _stream(records, wanted, after, newest, limit)))
        return
    if limit:
        found = queries.query(
            records, wanted, after=after, newest_first=newest, limit=limit
        )
    else:
        every = list(_stream(records, wanted, after, newest, 0))
        found = Page(every, None, None)
    data = {"records": found.records, "cursor": found.cursor}

    def render(console: Console) -> None:
        _listing(console, found.records)
        if found.cursor is not None:
            console.print(Text(f"more: --after {found.cursor}", "dim"))

    output.show(data, render, as_json=chosen is Format.JSON)


def tail(
    *,
    agent: Agent = None,
    tool: Tool = None,
    effect: Effect = None,
    kind: Kind = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more, until interrupted.")
    ] = False,
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """Show the latest records, one a line; JSON is one whole record a line."""
    wanted = Filter(
        kind=tuple(kind or ()),
        agent=tuple(agent or ()),
        tool=tuple(tool or ()),
        effect=tuple(effect or ()),
    )
    as_lines = form_of(None, as_json) is Format.JSON
    with opened(runs.reachable(records)) as log:
        seen = queries.ends(log)
        found = queries.page(log, wanted, newest_first=True, limit=lines)
    _print(found.records[::-1], as_lines)
    while follow:
        time.sleep(POLL_S)
        with opened(records) as log:
            more, seen = queries.newer(log, wanted, seen, limit=CHUNK)
        _print(more, as_lines)


def lookup(
    what: Annotated[str, typer.Argument(metavar="RECORD_ID")],
    *,
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """Show one record whole, with those that it refers to and that refer to it.

    Exit 4 when the log does not hold it.
    """
    found = queries.related(runs.reachable(records), what)
    if not found:
        raise RefusedError(
            f"{shown(records)}: no record {what!r}{_archived(records, what)}"
        )
    data = {"records": found}
    output.show(data, lambda console: runs.tree(console, found), as_json=as_json)


def _archived(records: str, what: str) -> str:
    """Return in which bundles the record *what* may be, as archives' records tell."""
    found = archiving.bundles_of(records, what)
    named = "; ".join(f"{one['bundle']} (sha256 {one['sha256']})" for one in found)
    return f"; its writer's records were archived in {named}" if found else ""


def form_of(form: Format | None, as_json: bool | None) -> Format:
    """Return how to print: what ``--format`` says, else as every command does."""
    if form is not None:
        return form
    wanted = not sys.stdout.isatty() if as_json is None else as_json
    return Format.JSON if wanted else Format.TABLE


def write(form: Format, rows: Iterable[Mapping[str, Cell]]) -> None:
    """Write flat *rows* to standard output as *form*."""
    (write_csv if form is Format.CSV else write_lines)(rows, sys.stdout)


def amount_of(text: str | None, option: str) -> Decimal | None:
    """Return the amount that *option* says, None for None.

    Raises:
        typer.BadParameter: when it is no finite number.

    """
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except ArithmeticError:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise typer.BadParameter(
            f"{text!r} is no amount; give a number such as 99.50",
            param_hint=f"'{option}'",
        )
    return amount


def _stream(
    records: str, wanted: Filter, after: str | None, newest: bool, limit: int
) -> Iterator[Facts]:
    """Yield *limit* records, 0 for all, without holding more than a page of them."""
    left, cursor = limit or sys.maxsize, after
    while left:
        size = min(left, CHUNK)
        page = queries.query(
            records, wanted, after=cursor, newest_first=newest, limit=size
        )
        yield from page.records
        left, cursor = left - size, page.cursor
        if cursor is None:
            return


NAMES = ("SEQ", "TIME (UTC)", "KIND", "TOOL", "RESULT")


def _listing(console: Console, found: list[Facts]) -> None:
    entries = []
    for one in found:
        row = flat(one)
        cells: list[output.Cell] = [
            Text(str(row["seq"]), "dim"),
            output.moment(row["at_us"]),
            output.styled(row["kind"]),
            output.styled(row["tool"], "bold"),
            _result(console, row),
        ]
        names = ("reason", "agent", "user", "reviewer", "task", "summary")
        parts = (row[name] for name in names)
        text = " · ".join(str(part) for part in (*parts, row["id"]) if part)
        entries.append((cells, Text(output.safe(text))))
    output.ledger(console, NAMES, entries, spare=("KIND", "SEQ"))


def _result(console: Console, row: Mapping[str, Cell]) -> Text:
    if row["effect"] is not None:
        return output.effect(console, row["effect"])
    return output.styled(row["status"])


def _print(found: list[Facts], as_lines: bool) -> None:
    """Print each record as one line, at once."""
    console = output.paper()
    for one in found:
        if as_lines:
            sys.stdout.write(line(one) + "\n")
            continue
        row = flat(one)
        shown = (row["agent"], row["tool"], row["ref"], row["reason"], row["id"])
        text = Text.assemble(
            (f"{output.moment(row['at_us'])} ", "dim"),
            f"{output.safe(row['kind'])} ",
            _result(console, row),
            " ",
            output.safe(" · ".join(str(part) for part in shown if part)),
        )
        console.print(text, soft_wrap=True)
    sys.stdout.flush()

"""`gov audit report` and `findings`: what was done, and what does not add up."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output, runs
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.moments import microseconds
from openfeature_gov.cli.options import RECORDS, Records
from openfeature_gov.cli.querying import (
    Agent,
    Format,
    Formats,
    From,
    Task,
    To,
    Tool,
    amount_of,
    form_of,
)
from openfeature_gov.decisions import Effect
from openfeature_gov.evidence import authority, reports, spending
from openfeature_gov.evidence.findings import Finding
from openfeature_gov.evidence.queries import write_lines, write_table
from openfeature_gov.evidence.reports import ROWS, Report
from openfeature_gov.evidence.spending import Envelope
from openfeature_gov.stores import inspection, questions
from openfeature_gov.stores.logs import Log, opened
from openfeature_gov.stores.queries import Filter

Facts = dict[str, Any]
COLUMNS = {
    "actions": ("agent", "tool", "target", "effect", "decided"),
    "authority": ("agent", "tool", "effect", "modeVariant", "decided"),
    "data": ("agent", "target", "tool", "access", "actions"),
    "cost": ("agent", "actions", "costed", "cost"),
    "boundaries": ("agent", "tool", "effect", "triggered"),
}
"""What people see in columns; the rest stands in a line below."""
FINDING = ("name", "serious", "seq", "record", "detail", "advice")
ITEMS = ("atUs", "agent", "tool", "effect")
TITLES = {"atUs": "TIME (UTC)"}
LISTS = ("policyChanges", "answers", "over")
SILENT: tuple[Any, ...] = (None, "", [], 0)
DIGEST = re.compile(r"[0-9a-f]{64}")
LIMITED = tuple(one.value for one in Effect if one is not Effect.ALLOW)


class Name(StrEnum):
    """The questions by name."""

    ACTIONS = "actions"
    AUTHORITY = "authority"
    DATA = "data"
    COST = "cost"
    BOUNDARIES = "boundaries"


def report(
    name: Annotated[Name, typer.Argument(help="The question.")],
    *,
    agent: Agent = None,
    tool: Tool = None,
    task: Task = None,
    since: From = None,
    until: To = None,
    limit: Annotated[
        int, typer.Option(min=0, help="How many single decisions, latest first.")
    ] = 20,
    per_task: Annotated[
        str | None, typer.Option(help="cost: what one task may cost.")
    ] = None,
    per_hour: Annotated[
        str | None, typer.Option(help="cost: what one agent may cost in an hour.")
    ] = None,
    per_day: Annotated[
        str | None, typer.Option(help="cost: what one agent may cost in a day.")
    ] = None,
    records: Records = RECORDS,
    form: Formats = None,
    as_json: output.Json = None,
) -> None:
    """Answer one of five questions: actions, authority, data, cost or boundaries.

    The numbers count every decision in the scope; --limit shows the latest singly.
    """
    wanted = Filter(
        agent=tuple(agent or ()),
        tool=tuple(tool or ()),
        task=tuple(task or ()),
        from_us=microseconds(since, option="--from"),
        to_us=microseconds(until, option="--to"),
    )
    envelope = Envelope(
        amount_of(per_task, "--per-task"),
        amount_of(per_hour, "--per-hour"),
        amount_of(per_day, "--per-day"),
    )
    with opened(runs.reachable(records)) as log:
        found = answer(log, name.value, wanted, limit=limit, envelope=envelope)
    chosen = form_of(form, as_json)
    if chosen is Format.CSV:
        write_table(ROWS[found.name], found.rows, sys.stdout)
    elif chosen is Format.JSONL:
        write_lines(found.rows, sys.stdout)
    else:
        as_one = chosen is Format.JSON
        output.show(
            found.facts(), lambda console: _show(console, found), as_json=as_one
        )


def findings(
    *,
    records: Records = RECORDS,
    form: Formats = None,
    as_json: output.Json = None,
) -> None:
    """List what does not add up: open ends, gaps, clock steps, lost or altered parts.

    Exit 4 when one of them is serious, 0 when none is. It reads the whole log; whether
    the log itself is genuine is for `gov audit verify` to say.
    """
    found = inspection.findings(runs.reachable(records))
    listed = [one.facts() for one in found]
    serious = sum(one.meaning.serious for one in found)
    chosen = form_of(form, as_json)
    if chosen is Format.CSV:
        write_table(FINDING, listed, sys.stdout)
    elif chosen is Format.JSONL:
        write_lines(listed, sys.stdout)
    else:
        data = {"serious": serious, "findings": listed}
        output.show(data, partial(_tell, found), as_json=chosen is Format.JSON)
    if serious:
        raise typer.Exit(Exit.REFUSED)


def _tell(found: list[Finding], console: Console) -> None:
    if not found:
        console.print(Text("Nothing stands out.", "green"))
        return
    entries = []
    for one in found:
        style = "red" if one.meaning.serious else "yellow"
        name = Text(one.name, style)
        cells: list[output.Cell] = [Text(str(one.seq), "dim"), name]
        parts = (one.detail, one.meaning.advice, one.record)
        text = " · ".join(part for part in parts if part)
        entries.append((cells, Text(output.safe(text))))
    output.ledger(console, ("SEQ", "FINDING"), entries)


def answer(
    log: Log,
    name: str,
    wanted: Filter,
    *,
    limit: int,
    envelope: Envelope = Envelope(),
) -> Report:
    """Return the report *name* on the decisions of *wanted*; *limit* of them singly."""
    if name == "boundaries":
        wanted = replace(wanted, effect=wanted.effect or LIMITED)
    items = questions.latest(log, wanted, limit=limit)
    ends = name in ("actions", "boundaries")
    groups = questions.groups(log, wanted, ends=ends)
    if name == "cost":
        costs = questions.costs(log, wanted)
        return spending.cost(groups, costs, envelope, items)
    if name == "actions":
        return reports.actions(groups, items)
    if name == "boundaries":
        return reports.boundaries(groups, items)
    samples = questions.samples(log, [group.last for group in groups])
    if name == "data":
        return reports.data(groups, samples, items)
    return authority.authority(
        groups,
        {key: one.decision for key, one in samples.items()},
        items,
        questions.notes(log, "policy_change", wanted),
        questions.answers(log, wanted),
    )


def _show(console: Console, found: Report) -> None:
    console.print(Text(found.question, "bold"))
    totals = {key: one for key, one in found.totals.items() if key not in LISTS}
    output.facts(console, _words(totals))
    for key in LISTS:
        for one in found.totals.get(key, ()):
            console.print(Text(f"  {key}: {output.safe(_line(one))}"))
    _table(console, "In all", COLUMNS[found.name], found.rows)
    _table(console, "Latest", ITEMS, found.items)


def _table(
    console: Console, title: str, columns: tuple[str, ...], listed: list[Facts]
) -> None:
    """Print *listed*: *columns* in columns, what else is known in a line below each."""
    if not listed:
        return
    entries = []
    for row in listed:
        cells = [_cell(console, key, row[key]) for key in columns]
        rest = {key: one for key, one in row.items() if key not in (*columns, "seq")}
        entries.append((cells, Text(output.safe(_line(rest)))))
    console.print()
    console.print(Text(title, "dim"))
    names = [TITLES.get(key, key.upper()) for key in columns]
    output.ledger(console, names, entries)


def _cell(console: Console, key: str, value: Any) -> output.Cell:
    if key == "effect":
        return output.effect(console, value)
    if key == "atUs":
        return Text(output.moment(value), "dim")
    return output.styled(value)


def _line(facts: Facts) -> str:
    return " · ".join(f"{key} {one}" for key, one in _words(facts))


def _words(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield what *facts* say, without what says nothing."""
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _words({f"{key} {name}": one for name, one in value.items()})
        elif value not in SILENT:
            yield key.removesuffix("Us"), _word(key, value)


def _word(key: str, value: Any) -> str:
    if key == "latencyUs":
        return output.took(value)
    if key.endswith("Us"):
        return output.moment(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value)
    return f"{text[:12]}…" if DIGEST.fullmatch(text) else text

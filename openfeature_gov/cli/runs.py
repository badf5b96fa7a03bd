"""`gov runs`: what agents did, task by task and step by step, from the record log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from openfeature_gov.cli import output
from openfeature_gov.cli.options import RECORDS, Records
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence import histories
from openfeature_gov.stores import questions
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import SCHEMES, shown
from openfeature_gov.targets import RefusedError

app = typer.Typer(no_args_is_help=True, help="Read the record log.")
Facts = dict[str, Any]
MALFORMED = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)
"""What reading a body raises that no release wrote."""
REFERRING = "id = :id OR ref = :id ORDER BY "
DIGEST = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}")


@app.command("list")
def list_runs(
    *,
    records: Records = RECORDS,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    as_json: output.Json = None,
) -> None:
    """Show the latest tasks: who, when, how many calls, what became of them."""
    with opened(reachable(records)) as log:
        found = questions.runs(log, limit=limit)
    data = {
        "runs": [
            {
                "task": run.task,
                "agent": run.agent,
                "first": _iso(run.first_us),
                "last": _iso(run.last_us),
                "calls": run.calls,
                "effects": run.effects,
            }
            for run in found
        ]
    }

    def render(console: Console) -> None:
        rows = [
            (
                output.styled(run.task, "bold"),
                output.styled(run.agent),
                output.moment(run.last_us),
                str(run.calls),
                _effects(console, run.effects),
            )
            for run in found
        ]
        names = ("TASK", "AGENT", "LAST (UTC)", "CALLS", "EFFECTS")
        fold = frozenset({"TASK", "AGENT", "EFFECTS"})
        console.print(output.columns(*names, rows=rows, fold=fold))

    output.show(data, render, as_json=as_json)


@app.command("show")
def show_run(
    what: Annotated[str, typer.Argument(metavar="TASK|RECORD_ID")],
    *,
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """Show the history of one run, or one record whole.

    A history says what started the run, what it knew, every step, what came out, who
    approved, and what is left to do. Exit 4 when the log holds neither a record nor a
    task of that name.
    """
    with opened(reachable(records)) as log:
        found = log.recorded(REFERRING + log.ordered("ASC"), {"id": what})
        acted = [] if found else questions.acted(log, what)
    try:
        run = histories.history(what, acted)
    except MALFORMED as error:
        where = "the database" if records.startswith(SCHEMES) else records
        raise RecordStoreError(f"{where}: a record cannot be read: {error!r}") from None
    if found:
        data: Facts = {"records": found}
        output.show(data, lambda console: tree(console, found), as_json=as_json)
    elif acted:
        output.show(run, lambda console: _run(console, run), as_json=as_json)
    else:
        raise RefusedError(f"{shown(records)}: no task and no record {what!r}")


def reachable(records: str) -> str:
    """Return *records*, a URL or a file that is there."""
    if not records.startswith(SCHEMES):
        there(Path(records))
    return records


def there(records: Path) -> Path:
    """Return *records* if it is there; a clearer error than the database's own."""
    records.stat()
    return records


def _iso(microseconds: int) -> str:
    return output.moment(microseconds).replace(" ", "T") + "Z"


def _effects(console: Console, effects: Mapping[str, int]) -> Text:
    text = Text()
    for name, count in effects.items():
        text.append("  " if text else "")
        text.append(output.effect(console, name)).append(f" {count}")
    return text


OUTCOMES = {
    "executed": "green",
    "failed": "red",
    "unknown": "red",
    "cancelled": "yellow",
    "open": "yellow",
}


PEOPLE = (("Approval", "approval"), ("Review", "review"), ("Follow-up", "followUp"))
"""What people said of a run, and what is left for them."""


def _run(console: Console, run: Facts) -> None:
    steps = run["steps"]
    first, last = steps[0]["atUs"], steps[-1]["atUs"]
    console.print(output.styled(run["task"] or "(no task)", "bold"))
    span = f"{output.moment(first)} UTC, over {output.took(last - first)}"
    output.facts(console, [("when", span), ("calls", str(len(steps)))])
    _part(console, "Trigger", _joined(run["trigger"]))
    _part(console, "Context", _joined(run["context"]))
    console.print()
    names = ("TIME", "TOOL", "EFFECT", "MODE", "OUTCOME", "TOOK")
    entries = [_entry(console, step) for step in steps]
    output.ledger(console, names, entries, spare=("TOOK", "MODE", "OUTCOME"))
    _part(console, "Output", _joined(run["output"]))
    for title, key in PEOPLE:
        pairs = [(str(one["tool"]), _told(one)) for one in run[key]]
        _part(console, title, pairs or [("none", "")])


def _part(console: Console, title: str, pairs: list[tuple[str, str]]) -> None:
    console.print()
    console.print(Text(title, "bold"))
    rows = [(output.safe(name), output.safe(text)) for name, text in pairs]
    output.facts(console, rows or [("nothing", "")])


def _joined(facts: Facts) -> list[tuple[str, str]]:
    told = [(name, _plain(value)) for name, value in facts.items() if value]
    return [(name, DIGEST.sub(r"\1…", text)) for name, text in told]


def _told(facts: Facts) -> str:
    parts = {**facts, "atUs": output.moment(facts.get("atUs"))}
    shown = [
        str(one) if name in ("status", "atUs", "record") else f"{name} {one}"
        for name, one in parts.items()
        if one and name != "tool"
    ]
    return " · ".join(shown)


def _entry(console: Console, step: Facts) -> tuple[list[output.Cell], Text]:
    outcome = step["outcome"]
    ran = step["ran"]
    shown = f"{outcome} ({ran})" if ran not in (None, "tool") else outcome
    cells: list[output.Cell] = [
        Text(output.moment(step["atUs"], day=False), "dim"),
        output.styled(step["tool"], "bold"),
        output.effect(console, step["effect"]),
        output.styled(step["mode"]),
        output.styled(shown, OUTCOMES.get(str(outcome), "")),
        output.took(step["latencyUs"]),
    ]
    names = ("summary", "riskClass", "reason", "detail", "error")
    parts = [step[name] for name in names]
    parts += [f"{kind}={variant}" for kind, variant in step["flags"].items()]
    parts.append(step["record"])
    return cells, Text(output.safe(" · ".join(str(part) for part in parts if part)))


def tree(console: Console, found: list[Facts]) -> None:
    """Print whole records, one tree each."""
    for one in found:
        when = output.moment(one.get("atUs"))
        label = Text(f"{output.safe(one.get('kind'))} ", "bold cyan")
        label.append(output.safe(one.get("id")), "bold").append(f"  {when} UTC", "dim")
        tree = Tree(label, guide_style="dim")
        _grow(tree, {k: v for k, v in one.items() if k not in ("kind", "id")})
        console.print(tree)


NOTHING: tuple[Any, ...] = (None, "", [], {})
FIRST = ("control", "kind", "key", "cap", "effect", "reason")


def _grow(tree: Tree, facts: Mapping[str, Any]) -> None:
    """Add *facts* to *tree*; names without a value share one last line."""
    empty = []
    for name, value in facts.items():
        if value in NOTHING:
            empty.append(output.safe(name))
        elif isinstance(value, dict):
            _grow(tree.add(Text(output.safe(name), "bold")), value)
        elif isinstance(value, list) and isinstance(value[0], dict):
            branch = tree.add(Text(output.safe(name), "bold"))
            for item in value:
                branch.add(_inline(item))
        else:
            tree.add(_pair(name, value))
    if empty:
        tree.add(Text(f"empty: {', '.join(empty)}", "dim"))


def _inline(item: Any) -> Text:
    """Return *item* in one line: what names it first, what says nothing left out."""
    if not isinstance(item, dict):
        return Text(output.safe(item))
    names = [name for name in FIRST if name in item]
    names += [name for name in item if name not in FIRST]
    text = Text()
    for name in names:
        if item[name] not in NOTHING and (name, item[name]) not in SILENT:
            text.append("  " if text else "").append(_pair(name, item[name]))
    return text


SILENT = (("need", "off"), ("fallback", False))


def _pair(name: str, value: Any) -> Text:
    return Text.assemble((f"{output.safe(name)} ", "dim"), output.safe(_plain(value)))


def _plain(value: Any) -> str:
    """Return *value* without the punctuation of a programming language."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)

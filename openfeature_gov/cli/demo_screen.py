"""The demo on a terminal: acts, calls as they are decided, and a closing table."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.decisions import Effect
from openfeature_gov.demo.performance import Begun, Called, Ended, Event
from openfeature_gov.demo.session import Edit, Session
from openfeature_gov.ladder import Mode
from openfeature_gov.stores import history, questions
from openfeature_gov.stores.logs import opened

WIDTH = 100
COLUMNS = {"call": 6, "tool": 30, "decided": 13, "authority": 17, "because": 17}
SPARE = frozenset({"call", "authority"})
SHOP = "in the shop"
"""Columns of a call and their widths; what happened in the shop takes the rest.

Where less than `WIDTH` is there, those in `SPARE` are left out.
"""


def show(session: Session, events: Iterable[Event]) -> None:
    """Print *events* as they happen, then a table of all acts."""
    console = _console()
    console.print(
        Text.assemble(
            ("A support agent, governed by feature flags\n", "bold"),
            "Its tool calls are decided one by one while somebody edits flags.\n",
            ("The flags are in ", "dim"),
            (f"{session.target.name}\n", "dim"),
        ),
        soft_wrap=True,
    )
    head = [Text(name, "dim") for name in (*COLUMNS, SHOP)]
    console.print(_row(console, head))
    ended = []
    for event in events:
        _print(console, event)
        if isinstance(event, Ended):
            ended.append(event)
    console.print()
    console.print(_rule("what became of the calls"))
    console.print(_summary(ended))


def go_on(session: Session, events: Iterable[Event]) -> None:
    """Tell how to change a flag, then print *events* until interrupted."""
    console = _console()
    console.print()
    console.print(_rule("now you: change a flag"))
    place = shlex.quote(session.target.name)
    for change in (
        "set support.mode autonomous",
        "set support.approval false",
        "kill refund_order",
        "kill --all",
    ):
        command = f"gov flags {change} --reason 'to see it' --flags {place}"
        console.print(Text(f"  {command}", "cyan"), soft_wrap=True)
    console.print(Text("  Ctrl-C ends it.\n", "dim"))
    for event in events:
        _print(console, event)


def farewell(session: Session) -> None:
    """Print how many records there are, where everything is, and what to try."""
    console = _console()
    every = history.records(session.records)
    kinds = [record["kind"] for record in every]
    decisions, outcomes = kinds.count("decision"), kinds.count("outcome")
    console.print()
    console.print(
        Text.assemble(
            (f"{len(every)} records", "bold"),
            f": {decisions} decisions, before anything ran; {outcomes} outcomes, ",
            "after.",
        )
    )
    output.facts(console, [(path.name, str(path)) for path in session.files])
    console.print(Text("\nLook closer:", "bold"))
    place = shlex.quote(str(session.records))
    # The run with the most different effects is the one worth a look.
    with opened(session.records) as log:
        runs = questions.runs(log, limit=50)
    telling = max(runs, key=lambda run: len(run.effects)).task
    for command in ("runs list", f"runs show {shlex.quote(telling)}"):
        line = f"  gov {command} --records {place}"
        console.print(Text(line, "cyan"), soft_wrap=True)


def _console() -> Console:
    console = output.paper()
    if not console.is_terminal:
        console.width = WIDTH
    return console


def _print(console: Console, event: Event) -> None:
    match event:
        case Begun(act):
            console.print()
            console.print(_rule(act.title))
            if act.lesson:
                console.print(Text(act.lesson, "dim italic"))
        case Edit():
            console.print(_edited(event))
        case Called():
            console.print(_row(console, _cells(event)))
        case Ended():
            pass


def _rule(title: str) -> Rule:
    return Rule(Text(title, "bold"), align="left", style="dim")


def _edited(event: Edit) -> Text:
    line = Text()
    for change in event.changes:
        line.append("⚑ flag ", "bold blue").append(output.safe(change.flag), "bold")
        line.append(f": {output.safe(change.before)} → ")
        line.append(output.safe(change.after), "bold blue").append("\n")
    seen = "decisions follow within half a second"
    if event.seconds is not None:
        seen = f"a decision saw it {event.seconds * 1000:.0f} ms later"
    return line.append(f"  edited on disk; {seen}", "dim")


def _row(console: Console, cells: Iterable[Text]) -> Table:
    row = Table.grid(padding=(0, 1, 0, 0), expand=True)
    shown = []
    for cell, (name, width) in zip(cells, (*COLUMNS.items(), (SHOP, 0)), strict=True):
        if console.width >= WIDTH or name not in SPARE:
            row.add_column(width=width or None, overflow="fold")
            shown.append(cell)
    row.columns[-1].ratio = 1
    row.add_row(*shown)
    return row


def _cells(event: Called) -> list[Text]:
    played = event.played
    mark, style = output.EFFECTS[played.outcome.effect.value]
    return [
        Text(output.safe(f"{played.call.task}.{played.call.step}"), "dim"),
        Text(_ascii(played.call.tool)),
        Text(f"{mark} {played.word}", f"bold {style}"),
        Text(played.outcome.decision.mode.label),
        Text(output.safe(played.outcome.reason), "dim"),
        _happened(event),
    ]


def _ascii(name: str) -> str:
    # A look-alike letter is invisible unless it is spelled out.
    return ascii(name)[1:-1]


def _happened(event: Called) -> Text:
    played = event.played
    ran, effect = played.outcome.ran, played.outcome.effect
    if played.refusal:
        return Text("refused", "yellow")
    if event.rows:
        return Text(f"{event.rows} row" + "s" * (event.rows > 1), "bold")
    if ran == Mode.DRAFT_WRITE.label:
        return Text(f"draft {played.value}")
    if ran == "fallback":
        return Text("to a person")
    if ran == "tool":
        return Text("note") if played.wrote else Text("read", "dim")
    return Text("waits" if effect is Effect.QUEUE_FOR_APPROVAL else "nothing", "dim")


def _summary(ended: Iterable[Ended]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("act", no_wrap=True)
    for name in ("allowed", "constrained", "queued", "denied", "fell back"):
        table.add_column(name, justify="right")
    table.add_column("rows of the shop changed", overflow="fold")
    for one in ended:
        tally = one.tally
        counts = (
            (tally.allowed, "allow"),
            (tally.constrained, "constrain"),
            (tally.queued, "queue_for_approval"),
            (tally.denied, "deny"),
            (tally.fell_back, "fallback"),
        )
        cells = [
            Text(str(number), output.EFFECTS[name][1] if number else "dim")
            for number, name in counts
        ]
        table.add_row(Text(one.act.name), *cells, _tables(one.changes))
    return table


def _tables(changes: dict[str, int]) -> Text:
    named = ", ".join(f"{table} {number}" for table, number in changes.items())
    return Text(named) if named else Text("none", "dim")

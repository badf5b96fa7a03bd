"""How anything is printed: JSON for programs, tables for people, nothing raw.

JSON goes to standard output whenever that is no terminal, or with ``--json``; errors
and warnings go to standard error. Colour appears on a terminal only, and never where
``NO_COLOR`` is set. Whatever was read from a file or a record is printed with its
control and invisible characters escaped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openfeature_gov.cli.tables import Rows

Json = Annotated[
    bool | None,
    typer.Option(
        "--json/--no-json",
        help="Print JSON: the default when standard output is not a terminal.",
        show_default=False,
    ),
]
Cell = Text | str
EFFECTS: dict[str, tuple[str, str]] = {
    "allow": ("✔", "green"),
    "constrain": ("◐", "yellow"),
    "queue_for_approval": ("◌", "cyan"),
    "deny": ("✖", "red"),
    "fallback": ("↺", "magenta"),
}


def safe(text: object) -> str:
    """Return *text* with every character escaped that a terminal could act on.

    Control, bidi, zero-width, private and unassigned characters, line separators and
    half surrogates become backslash escapes.
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in str(text)
    )


def show(data: Any, render: Callable[[Console], None], *, as_json: bool | None) -> None:
    """Print *data* as JSON, or what *render* draws for people, at once.

    Raises:
        OSError: when standard output cannot be written.

    """
    wanted = not sys.stdout.isatty() if as_json is None else as_json
    if wanted:
        text = json.dumps(data, indent=2, ensure_ascii=True, default=str)
        sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")
    else:
        render(paper())
    sys.stdout.flush()


def line(data: Any, text: Text, *, as_json: bool | None) -> None:
    """Print *data* as one line of JSON, or *text* for people, at once."""
    wanted = not sys.stdout.isatty() if as_json is None else as_json
    if wanted:
        sys.stdout.write(json.dumps(data, ensure_ascii=True, default=str) + "\n")
    else:
        paper().print(text, soft_wrap=True)
    sys.stdout.flush()


def paper(*, stderr: bool = False) -> Console:
    """Return a console that takes text as it is: no markup, no emoji, no guessing."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def complain(message: str) -> None:
    """Print an error to standard error, one line for each line of *message*."""
    _tell("error", "red", message)


def warn(message: str) -> None:
    """Print a warning to standard error."""
    _tell("warning", "yellow", message)


def _tell(word: str, style: str, message: str) -> None:
    console = paper(stderr=True)
    for line in message.splitlines() or [""]:
        text = Text.assemble(("gov: ", "dim"), (f"{word}: ", style), safe(line))
        console.print(text, soft_wrap=True)


def styled(value: object, style: str = "") -> Text:
    """Return *value* as escaped text in *style*; empty values are a dim dash."""
    text = "" if value is None else safe(value)
    return Text(text, style) if text else Text("-", "dim")


def effect(console: Console, name: object) -> Text:
    """Return the effect *name* with its mark and colour."""
    mark, style = EFFECTS.get(str(name), ("?", "red"))
    plain = console.options.ascii_only
    return Text(safe(name) if plain else f"{mark} {safe(name)}", style)


def _clean(cell: Cell) -> Text:
    """Return *cell* fit to print, whoever made it."""
    if not isinstance(cell, Text):
        return Text(safe(cell))
    return cell if cell.plain.isprintable() else Text(safe(cell.plain), cell.style)


def columns(
    *names: str,
    rows: Iterable[Sequence[Cell]],
    fold: frozenset[str] = frozenset(),
    spare: Sequence[str] = (),
    headed: bool = True,
) -> Rows:
    """Return a table without lines; where it is too wide, columns in *fold* wrap first.

    Then those in *spare* move below their rows.
    """
    cells = [[_clean(cell) for cell in row] for row in rows]
    return Rows(names=names, rows=cells, fold=fold, spare=spare, headed=headed)


def ledger(
    console: Console,
    names: Sequence[str],
    entries: Sequence[tuple[Sequence[Cell], Text]],
    *,
    spare: Sequence[str] = (),
) -> None:
    """Print *entries* as aligned rows, each with a wrapped line of detail below.

    Where they are too wide, columns in *spare* move there as well.
    """
    rows = [[_clean(cell) for cell in cells] for cells, _ in entries]
    notes = [_clean(note) for _, note in entries]
    console.print(Rows(names=names, rows=rows, notes=notes, spare=spare))


def facts(console: Console, pairs: Iterable[tuple[str, Cell]]) -> None:
    """Print name and value in two columns; values wrap below themselves."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(f"  {name}"), _clean(value))
    console.print(table)


def moment(microseconds: object, *, day: bool = True) -> str:
    """Return a time in microseconds since 1970 as UTC text, empty if it is none."""
    if type(microseconds) is not int or not 0 <= microseconds < 253402300800_000000:
        return ""
    at = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}" if day else f"{at:%H:%M:%S.%f}"[:-3]


def took(microseconds: object) -> str:
    """Return a duration in microseconds for people."""
    if type(microseconds) is not int:
        return ""
    if microseconds < 1_000:
        return f"{microseconds} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1_000:.1f} ms"
    return f"{microseconds / 1_000_000:.1f} s"

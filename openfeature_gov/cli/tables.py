"""Tables for whatever width there is: nothing is cut, and no id is broken in two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

GAP = 2
LONGEST = 40
"""The longest word that a narrow column keeps whole: ids and flags are shorter."""
MARKED = re.compile(rf"(?<!\S)([←-⯿]) (?=\S{{1,{LONGEST - 2}}}(?!\S))")
"""The space between a mark, which is a symbol alone, and its word."""
GLUE = "\ue000"
"""Stands for that space while lines are made: rich breaks at every kind of space."""


@dataclass(frozen=True, slots=True)
class Marked:
    """Draw *text*, which holds GLUE where a line must not end."""

    text: Text

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Yield the lines that fit ``options.max_width``."""
        for line in self.text.wrap(console, options.max_width, overflow="fold"):
            line.plain = line.plain.replace(GLUE, " ")
            yield line

    def __rich_measure__(
        self, console: Console, options: ConsoleOptions
    ) -> Measurement:
        """Return the width of the longest word, and of the whole."""
        return Measurement.get(console, options, self.text)


def _glued(cell: Text) -> Text:
    """Return a copy of *cell* with GLUE between each mark and its word."""
    glued = cell.copy()
    glued.plain = MARKED.sub(rf"\1{GLUE}", cell.plain)
    return glued


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Draw *rows* below *names*, each with what *notes* say of it, if anything.

    Where that is too wide, columns in *fold* wrap; then those in *spare* move into the
    notes, one after the other; then every column wraps between words; then each row is
    a list of names and values.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[Text]]
    notes: Sequence[Text] = ()
    fold: frozenset[str] = frozenset()
    spare: Sequence[str] = ()
    headed: bool = True

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Yield the table, or what stands for it in ``options.max_width``."""
        found = self._laid_out(options.max_width)
        if found is None:
            for place, row in enumerate(self.rows):
                yield from self._listed(row, self._note(place, ()), first=place == 0)
            return
        kept, widths = found
        rows = [[row[column] for column in kept] for row in self.rows]
        if not self.notes and len(kept) == len(self.names):
            yield self._table(kept, widths, rows, headed=self.headed)
            return
        if self.headed:
            yield self._table(kept, widths, [], headed=True)
        for place, cells in enumerate(rows):
            yield self._table(kept, widths, [cells], headed=False)
            note = self._note(place, kept)
            if note.plain:
                yield Padding(note, (0, 0, 0, 4))

    def _laid_out(self, width: int) -> tuple[list[int], list[int]] | None:
        """Return the columns that fit *width* and how wide each is, None for none."""
        every = range(len(self.names))
        columns = [
            (Text(self.names[one]), *(_glued(row[one]) for row in self.rows))
            for one in every
        ]
        whole = [max(cell.cell_len for cell in cells) for cells in columns]
        words = [min(_longest_word(cells), LONGEST) for cells in columns]
        folded = [
            words[one] if self.names[one] in self.fold else whole[one] for one in every
        ]
        kept = list(every)
        for name in (None, *self.spare):
            kept = [one for one in kept if self.names[one] != name]
            shares = _shares([(folded[one], whole[one]) for one in kept], width)
            if shares is not None:
                return kept, shares
        shares = _shares([(words[one], whole[one]) for one in kept], width)
        return None if shares is None else (kept, shares)

    def _table(
        self,
        kept: Sequence[int],
        widths: Sequence[int],
        rows: Sequence[Sequence[Text]],
        *,
        headed: bool,
    ) -> Table:
        table = Table(
            box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim"
        )
        table.show_header = headed
        for column, width in zip(kept, widths, strict=True):
            table.add_column(self.names[column], width=width, overflow="fold")
        for row in rows:
            table.add_row(*(Marked(_glued(cell)) for cell in row))
        return table

    def _note(self, place: int, kept: Sequence[int]) -> Text:
        """Return what the row at *place* has to say besides the columns *kept*."""
        row = self.rows[place]
        away = [one for one in range(len(row)) if kept and one not in kept]
        away = [one for one in away if row[one].plain.strip()]
        parts = [Text(f"{self.names[one].lower()} ") + row[one] for one in away]
        parts += [note for note in self.notes[place : place + 1] if note.plain]
        note = Text(" · ").join(parts)
        note.stylize_before("dim")
        return note

    def _listed(self, row: Sequence[Text], note: Text, *, first: bool) -> RenderResult:
        """Yield *row* as names and values, which wrap below themselves."""
        if not first:
            yield ""
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        table.show_header = False
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, cell in zip(self.names, row, strict=True):
            if cell.plain.strip():
                table.add_row(Text(name), Marked(_glued(cell)))
        yield table
        if note.plain:
            yield Padding(note, (0, 0, 0, 4))


def _longest_word(cells: Sequence[Text]) -> int:
    return max(
        (Text(word).cell_len for cell in cells for word in cell.plain.split()),
        default=0,
    )


def _shares(bounds: Sequence[tuple[int, int]], width: int) -> list[int] | None:
    """Return a width for each column, from its least to its whole; None for too much.

    Columns that lack little are made whole first.
    """
    shares = [least for least, _ in bounds]
    left = width - GAP * (len(bounds) - 1) - sum(shares)
    if left < 0:
        return None
    lacking = [whole - least for least, whole in bounds]
    order = sorted(range(len(bounds)), key=lacking.__getitem__)
    for done, column in enumerate(order):
        more = min(lacking[column], left // (len(order) - done))
        shares[column] += more
        left -= more
    return shares

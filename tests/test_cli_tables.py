"""Tables in whatever width there is: nothing is cut, and no id is broken in two."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.cli.tables import LONGEST, Rows

NAMES = ("TOOL", "EFFECT", "MODE", "TOOK", "SAYS")
WORDS = st.text("abcdefgh_.0123456789", min_size=1, max_size=LONGEST)
CELLS = st.lists(WORDS, max_size=4).map(" ".join)


def drawn(table: Rows, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None, emoji=False).print(table)
    return file.getvalue()


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS, CELLS, CELLS), max_size=4),
    st.sets(st.sampled_from(NAMES)),
    st.permutations(NAMES[1:]),
    st.integers(0, 4),
    st.integers(LONGEST + 10, 240),
)
def test_every_word_can_be_read_whole(
    cells: list[tuple[str, ...]],
    fold: set[str],
    order: list[str],
    spared: int,
    width: int,
) -> None:
    """In any width that has room for an id, and nothing is wider than it."""
    table = Rows(
        names=NAMES,
        rows=[[Text(cell) for cell in row[:-1]] for row in cells],
        notes=[Text(row[-1]) for row in cells],
        fold=frozenset(fold),
        spare=order[:spared],
    )
    shown = drawn(table, width)
    assert "…" not in shown
    assert max(map(len, shown.splitlines()), default=0) <= width
    found = shown.split()
    for row in cells:
        for cell in row:
            assert set(cell.split()) <= set(found)


ROW = ("refund_order", "queue_for_approval", "approval_required", "1.2 ms", "it waits")


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (100, ["TOOL EFFECT MODE TOOK SAYS", " ".join(ROW), "r-1"]),
        (
            64,
            [
                "TOOL EFFECT MODE SAYS",
                "refund_order queue_for_approval approval_required it waits",
                "took 1.2 ms · r-1",
            ],
        ),
        (
            60,
            [
                "TOOL EFFECT SAYS",
                "refund_order queue_for_approval it waits",
                "mode approval_required · took 1.2 ms · r-1",
            ],
        ),
        (
            39,
            [
                "TOOL EFFECT SAYS",
                "refund_order queue_for_approval it",
                "waits",
                "mode approval_required · took 1.2",
                "ms · r-1",
            ],
        ),
        (
            34,
            [
                "TOOL refund_order",
                "EFFECT queue_for_approval",
                "MODE approval_required",
                "TOOK 1.2 ms",
                "SAYS it waits",
                "r-1",
            ],
        ),
    ],
)
def test_what_is_too_narrow_gives_up_one_thing_after_the_other(
    width: int, lines: list[str]
) -> None:
    """Columns that can be spared go below; then words wrap; then rows are lists."""
    table = Rows(
        names=NAMES,
        rows=[[Text(cell) for cell in ROW]],
        notes=[Text("r-1")],
        spare=("TOOK", "MODE"),
    )
    found = [" ".join(line.split()) for line in drawn(table, width).splitlines()]
    assert found == lines


@given(
    st.lists(
        st.tuples(st.sampled_from(list(output.EFFECTS)), st.integers(0, 99)),
        min_size=1,
        max_size=5,
    ),
    st.integers(30, 100),
)
def test_no_line_ends_between_a_mark_and_its_word(
    found: list[tuple[str, int]], width: int
) -> None:
    """In every width and layout; what keeps them together is not printed."""
    told = Text("  ").join(
        output.effect(Console(), name).append(f" {count}") for name, count in found
    )
    rows: list[list[output.Cell]] = [["review/2", "support-agent", told]]
    names = ("TASK", "AGENT", "EFFECTS")
    shown = drawn(output.columns(*names, rows=rows, fold=frozenset(names)), width)
    for name, _ in found:
        mark, _ = output.EFFECTS[name]
        assert shown.count(f"{mark} {name}") == shown.count(mark)
        assert shown.count(mark) == [one for one, _ in found].count(name)
    assert "".join(shown.split("\n")).isprintable()


def test_a_long_name_in_one_row_leaves_the_others_as_they_are() -> None:
    """It comes from whoever made the call; it breaks in its own cell."""
    rows = [("2026-11-22", "x" * 300), ("2026-11-23", "find")]
    shown = drawn(output.columns("DAY", "TOOL", rows=rows), 80)
    assert "2026-11-23  find" in shown
    assert "".join(shown.split()).count("x") == 300


def test_columns_that_fold_wrap_before_anything_else_does() -> None:
    """A sentence does; the flag's key beside it stays in one piece."""
    rows = [("governance.enabled", "2026-11-22 05:25", "what is seen " * 9)]
    fold = frozenset({"KEY", "SEEN"})
    shown = drawn(output.columns("KEY", "AT", "SEEN", rows=rows, fold=fold), 80)
    assert "governance.enabled  2026-11-22 05:25  what is seen" in shown
    assert shown.count("\n") > 3


def test_what_is_drawn_cannot_act_on_the_terminal() -> None:
    """Cells and notes are escaped, whatever the layout."""
    for width in (20, 60, 200):
        file = io.StringIO()
        console = Console(file=file, width=width, color_system=None)
        cells: list[output.Cell] = ["a\x1b[2J", Text("b\u202e")]
        output.ledger(console, ("ONE", "TWO"), [(cells, Text("c\x9b2J"))])
        shown = file.getvalue()
        assert "a\\x1b[2J" in shown
        assert "b\\u202e" in shown
        assert "c\\x9b2J" in shown

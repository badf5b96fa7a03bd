"""Undos that many processes could run, and processes that are killed at each step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.counting import counted

NEVER = (
    "actions_twice",
    "undone_twice",
    "undone_unrecorded",
    "undone_unordered",
    "said_undone_and_was_not",
    "without_outcome",
    "outcomes_twice",
    "left_under_way",
    "undos_told_otherwise",
    "handed_over_to_nobody",
    "ended_otherwise",
)
ROUNDS = 2


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_each_undo_is_run_by_one_process(kind: str, tmp_path: Path) -> None:
    """Whoever else would have run it leaves it."""
    found = counted("reviews_worker", kind, NEVER, 20, 4, tmp_path)
    assert (found["undos"], found["undone"], found["handed_over"]) == (20, 20, 0)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_kill_nine_at_each_step_undoes_nothing_twice(kind: str, tmp_path: Path) -> None:
    """What was not begun is undone later, what was never again; no end is unsaid."""
    found = counted("reviews_worker", kind, NEVER, "kill", ROUNDS, tmp_path)
    assert found["reviews"] == 7 * ROUNDS
    assert found["actions"] == 6 * ROUNDS
    assert found["undone"] + found["handed_over"] + found["open"] == 7 * ROUNDS
    assert found["undone"] >= ROUNDS

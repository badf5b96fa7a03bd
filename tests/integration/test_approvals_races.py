"""Releases that many processes want, and processes that are killed at each step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.counting import counted

NEVER = (
    "actions_twice",
    "actions_without_release",
    "heard_otherwise",
    "used_twice",
    "of_another_digest",
    "run_without_release",
    "without_outcome",
    "outcomes_twice",
    "left_consumed",
    "told_otherwise",
)
ROUNDS = 5


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_each_release_is_used_by_one_process(kind: str, tmp_path: Path) -> None:
    """Whoever else wants it hears that it ran, or waits for another release."""
    found = counted("approvals_worker", kind, NEVER, 40, 4, tmp_path)
    assert (found["actions"], found["executed"], found["unknown"]) == (40, 40, 0)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_kill_nine_at_each_step_runs_nothing_twice(kind: str, tmp_path: Path) -> None:
    """What was not used runs later, what was used never again; no end is unsaid."""
    found = counted("approvals_worker", kind, NEVER, "kill", ROUNDS, tmp_path)
    assert found["actions"] == 4 * ROUNDS
    assert found["executed"] + found["unknown"] == 5 * ROUNDS
    assert found["unknown"] >= 2 * ROUNDS

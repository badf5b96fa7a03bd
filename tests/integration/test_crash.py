"""Four processes, one record log, kill -9: nothing is lost, and every log verifies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.full import share
from tests.integration.counting import counted

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
    found = counted("crash", kind, NEVER, ROUNDS[kind], tmp_path)
    assert found["acknowledged"] > ROUNDS[kind] // 2
    assert found["actions"] >= found["acknowledged"]

"""What `gov` makes of a file that is none, that never ends or that nobody may read."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import gov

GOV = [sys.executable, "-m", "openfeature_gov.cli"]
GENEROUS_S = 60
"""Seconds after which a command hangs."""
COMMANDS = [
    ("reviewers.yaml", "approvals show x"),
    ("agents.json", "agents list"),
    ("governance.yaml", "decide find"),
    ("governance.yaml", "governance check governance.yaml"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with records."""
    monkeypatch.chdir(tmp_path)
    made = gov("init", "find:search", "--workflow", "w", "--owner", "o")
    assert made.exit_code == 0
    assert gov("decide", "find", "--records", "records.db").exit_code == 4
    return tmp_path


def ended(*words: str) -> subprocess.CompletedProcess[str]:
    """Return how the command ended, which it must."""
    return subprocess.run(
        [*GOV, *words], capture_output=True, text=True, timeout=GENEROUS_S, check=False
    )


def _private(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    "put_there", [_private, lambda path: path.symlink_to("/dev/zero")]
)
@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_what_is_no_regular_file_is_refused_at_once(
    project: Path, name: str, command: str, put_there: Callable[[Path], object]
) -> None:
    """A FIFO in the place of a file is not waited for, nor a device read."""
    path = project / name
    path.unlink(missing_ok=True)
    put_there(path)
    done = ended(*command.split())
    assert done.returncode == 3, done.stderr
    assert f"{name}: is no regular file" in done.stderr

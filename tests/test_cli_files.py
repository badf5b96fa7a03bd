"""What `gov` makes of a file that is none, that never ends or that nobody may read."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands import gov

GOV = [sys.executable, "-m", "openfeature_gov.cli"]
GENEROUS_S = 60
"""Seconds after which a command hangs."""
API = "--api-url http://127.0.0.1:9 --project p --env e"
NOBODY = 65_534
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


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user who may not read what its owner hides, where this is root."""
    if os.getuid() != 0:
        yield
        return
    try:
        os.setresuid(NOBODY, NOBODY, 0)
    except OSError:
        pytest.skip("root may be nobody else here")
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *COMMANDS,
        ("governance.yaml", "governance explain find"),
        ("governance.yaml", "flags lint"),
        ("governance.yaml", f"featbit provision governance.yaml --reason r {API}"),
        ("governance.yaml", f"featbit doctor governance.yaml {API}"),
        ("flags.json", "decide find"),
        ("flags.json", "flags list"),
        ("flags.json", "governance check governance.yaml --flags flags.json"),
        ("rollout.yaml", "rollout plan"),
        ("token", f"featbit doctor governance.yaml {API} --token-file token"),
        ("reviewers.yaml", "serve"),
    ],
)
def test_what_nobody_may_read_ends_as_what_is_missing(
    project: Path, name: str, command: str
) -> None:
    """Both are a file that cannot be read: exit 3, and the file is named."""
    (project / name).unlink(missing_ok=True)
    missing = gov(*command.split())
    (project / name).touch(mode=0)
    project.chmod(0o755)
    with nobody():
        unreadable = gov(*command.split())
    assert (missing.exit_code, unreadable.exit_code) == (3, 3), unreadable.stderr
    for result in (missing, unreadable):
        assert name in result.stderr
        assert "Traceback" not in result.output

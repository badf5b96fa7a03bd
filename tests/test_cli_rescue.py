"""`gov flags kill` where the flag file is broken, gone, or cannot be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from openfeature_gov.stores.history import records
from openfeature_gov.targets.file import read_flags
from tests.commands import gov, told

TOOLS = ("find", "send:external_effect", "erase")
WHY = ("--reason", "test")
ZERO = "/dev/zero"
GOV = [sys.executable, "-m", "openfeature_gov.cli"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder in which a flag was changed before."""
    monkeypatch.chdir(tmp_path)
    assert gov("init", *TOOLS, "--workflow", "w", "--owner", "o").exit_code == 0
    done = gov("flags", "set", "send.mode", "autonomous", *WHY)
    assert done.exit_code == 0
    assert effects()["send"] == "queue_for_approval"
    return tmp_path


def effects() -> dict[str, str]:
    """Return what is decided on each tool now."""
    names = [tool.partition(":")[0] for tool in TOOLS]
    return {name: json.loads(gov("decide", name).stdout)["effect"] for name in names}


def broken(folder: Path, how: str) -> bytes | None:
    """Break the flag file, and return what is in it then."""
    path = folder / "flags.json"
    if how == "gone":
        path.unlink()
        return None
    text = {
        "cut": path.read_bytes()[:900],
        "empty": b"",
        "other": b"{}",
        "bytes": b"\xff",
    }
    path.write_bytes(text[how])
    return text[how]


@pytest.mark.parametrize("what", [["--all"], ["send"], ["--workflow", "w"]])
@pytest.mark.parametrize("how", ["cut", "empty", "other", "bytes", "gone"])
def test_a_broken_flag_file_stops_no_kill(
    project: Path, how: str, what: list[str]
) -> None:
    """Everything stops, the broken file is kept, and both are said and recorded."""
    left = broken(project, how)
    result = gov("flags", "kill", *what, *WHY)
    assert result.exit_code == 0, result.stderr
    assert set(effects().values()) == {"deny"}
    assert all(
        not one.enabled for one in read_flags(project / "flags.json").flags.values()
    )
    assert "EVERYTHING" in result.stderr
    assert "flags.json" in result.stderr
    kept = list(project.glob("flags.json.broken-*"))
    assert [one.read_bytes() for one in kept] == ([] if left is None else [left])
    assert all(one.name in result.stderr for one in kept)
    last = records(project / "records.db", kind="policy_change")[-1]
    assert (last["change"], last["scope"]["found"]) == ("kill", "broken")


@pytest.mark.parametrize("what", [["--all"], ["send"]])
def test_neither_broken_flags_nor_broken_contracts_stop_a_kill(
    project: Path, what: list[str]
) -> None:
    """A file without flags is left: one that is missing counts as its strictest."""
    contracts = (project / "governance.yaml").read_bytes()
    broken(project, "cut")
    (project / "governance.yaml").write_bytes(b"[" * 50_000)
    result = gov("flags", "kill", *what, *WHY)
    assert result.exit_code == 0, result.stderr
    assert "holds no flag at all" in result.stderr
    assert told(result)["record"] is not None
    (project / "governance.yaml").write_bytes(contracts)
    assert set(effects().values()) == {"deny"}


def test_what_was_broken_can_be_tried_first(project: Path) -> None:
    """A dry run says the same and writes nothing."""
    left = broken(project, "cut")
    result = gov("flags", "kill", "--all", *WHY, "--dry-run")
    assert result.exit_code == 0
    assert told(result)["dryRun"]
    assert (project / "flags.json").read_bytes() == left
    assert not list(project.glob("flags.json.broken-*"))


def test_only_a_kill_replaces_a_broken_file(project: Path) -> None:
    """Whatever may widen is refused, and the file stays as it is."""
    left = broken(project, "cut")
    for command in (["unkill", "send"], ["set", "send.mode", "off"]):
        assert gov("flags", *command, *WHY).exit_code == 3
    assert (project / "flags.json").read_bytes() == left


def test_a_file_that_never_was_is_not_made(project: Path) -> None:
    """A mistyped name must not look like a kill; what works instead is said."""
    result = gov("flags", "kill", "--all", *WHY, "--flags", "flag.json")
    assert result.exit_code == 3
    assert "flag.json: No such file" in result.stderr
    assert "nothing was killed" in result.stderr
    assert not (project / "flag.json").exists()
    assert effects()["send"] == "queue_for_approval"


FULL = """
import resource, sys
from openfeature_gov.cli import app
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
app(sys.argv[1:])
"""


@pytest.mark.parametrize("how", ["sound", "cut"])
def test_where_nothing_can_be_written_the_error_says_what_helps(
    project: Path, how: str
) -> None:
    """The error names the flag file, not a temporary one; exit 3, nothing changed."""
    if how != "sound":
        broken(project, how)
    before = (project / "flags.json").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", FULL, "flags", "kill", "--all", *WHY],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert f"{project / 'flags.json'}: File too large" in done.stderr
    assert "nothing was killed" in done.stderr
    assert "end the processes" in done.stderr
    assert (project / "flags.json").read_bytes() == before
    assert not list(project.glob(".flags.json.*.tmp"))
    assert not list(project.glob("flags.json.broken-*"))


@pytest.mark.parametrize("put_there", [os.mkfifo, lambda path: path.symlink_to(ZERO)])
def test_what_is_no_regular_file_holds_no_kill_up(
    project: Path, put_there: Callable[[Path], object]
) -> None:
    """A FIFO or a device in the place of the flags is refused, not waited for."""
    path = project / "flags.json"
    path.unlink()
    put_there(path)
    result = gov("flags", "kill", "--all", *WHY)
    assert result.exit_code == 3
    assert "nothing was killed" in result.stderr
    assert "flags.json: is no regular file" in result.stderr


def _unread() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def _full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize("how", [_unread, _full])
def test_a_kill_that_cannot_be_printed_is_not_called_undone(
    project: Path, how: Callable[[], int]
) -> None:
    """It took effect: where the output goes is no part of it."""
    output = how()
    done = subprocess.run(
        [*GOV, "flags", "kill", "find", *WHY],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(output)
    assert done.returncode == 1
    assert "the change was made, but cannot be printed" in done.stderr
    assert "nothing" not in done.stderr
    assert effects()["find"] == "deny"
    last = records(project / "records.db", kind="policy_change")[-1]
    assert (last["change"], last["reason"]) == ("kill", "test")


def test_closed_streams_hold_no_kill_up(project: Path) -> None:
    """A service may start it without any: exit 0, and no file took their place."""
    kill = [*GOV, "flags", "kill", "find", *WHY]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *kill], check=False
    )
    assert done.returncode == 0
    assert effects()["find"] == "deny"

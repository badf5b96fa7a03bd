"""`gov flags` beside other writers of the file: no edit is lost."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openfeature.contrib.provider.featbit.authoring import Json, serve, turn_off
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature_gov.cli import denylists
from openfeature_gov.targets import (
    RefusedError,
    Signed,
    Switch,
    changes,
    file,
    plan,
    states,
)
from openfeature_gov.targets.file import FileTarget, read_flags
from tests.commands import gov
from tests.flag_folder import AT, TOOLS, WHY, edited, project, reason, recorded, values
from tests.tree import PATH

__all__ = ["project"]


def test_concurrent_edits_of_several_processes_all_survive(project: Path) -> None:
    """Kills and releases at the same moment: each is in the file and in the log."""
    commands = [["kill", tool] for tool in TOOLS]
    commands += [["set", f"{tool}.mode", "search_only"] for tool in TOOLS]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "openfeature_gov.cli", "flags", *command, *WHY],
            env={**os.environ, "PYTHONPATH": PATH},
            stdout=subprocess.DEVNULL,
        )
        for command in commands
    ]
    assert [process.wait() for process in processes] == [0] * len(commands)
    assert sorted(values(project)["listed"]) == sorted(TOOLS)
    flags = read_flags(project / "flags.json").flags
    for tool in TOOLS:
        assert states.state(flags[f"{tool}.mode"])["serves"] == "search_only"
    done = [one for one in recorded(project) if "change" in one]
    revoked = {one["ref"] for one in recorded(project) if "result" in one}
    kept = [one for one in done if one["id"] not in revoked]
    assert len(kept) == len(commands)


def _signed(folder: Path) -> Signed:
    return Signed(actor="a", reason="r", records=folder / "records.db")


def _racing(path: Path, times: int) -> Switch:
    """Return a release during whose planning somebody else kills tools, *times*."""
    calls: list[int] = []

    def edit(held: Json, _: Snapshot, at: str) -> Json:
        calls.append(1)
        if len(calls) <= times:
            kill = denylists.deny("w.denylist", f"tool{len(calls)}")
            other = path.with_name("other.db")
            changes.made(
                FileTarget(path), kill, Signed(actor="b", reason="r", records=other)
            )
        return serve(held, "find.mode", "search_only", at=at)

    return Switch("set", edit, lambda _: (), {}, widens=True)


def test_a_release_that_was_overtaken_is_tried_again(project: Path) -> None:
    """The other change stays, and the log says that the first try did not happen."""
    path = project / "flags.json"
    done = changes.made(FileTarget(path), _racing(path, 1), _signed(project))
    assert done.applied
    assert "tool1" in values(project)["listed"]
    first, revoked, second = recorded(project)
    assert (revoked["ref"], revoked["result"]) == (first["id"], "not_applied")
    assert second["id"] == done.record
    assert second["revisionAfter"] == read_flags(path).snapshot.revision


def test_a_release_that_is_always_overtaken_gives_up(project: Path) -> None:
    """Every kill stays, nothing was released, every try is revoked in the log."""
    path = project / "flags.json"
    with pytest.raises(RefusedError, match="run it again"):
        changes.made(FileTarget(path), _racing(path, 99), _signed(project))
    assert states.state(read_flags(path).flags["find.mode"])["serves"] == "observe"
    assert len(values(project)["listed"]) == changes.ATTEMPTS
    log = recorded(project)
    assert [one.get("result") for one in log] == [
        None,
        "not_applied",
    ] * changes.ATTEMPTS


def test_a_lock_that_is_not_released_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of hanging, the command says which file to look at."""
    monkeypatch.setattr(file, "LOCK_WAIT_S", 0.05)
    lock = project / ".flags.json.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = gov("flags", "kill", "erase", *WHY)
    assert result.exit_code == 4
    assert ".flags.json.lock" in result.stderr
    assert reason("erase") == "mode_observe"


def test_a_symbolic_link_stays_one_and_shares_the_lock(project: Path) -> None:
    """Two names of one file are one file."""
    (project / "sub").mkdir()
    link = project / "sub" / "flags.json"
    link.symlink_to(project / "flags.json")
    options = ["--flags", str(link), "--governance", "governance.yaml"]
    assert gov("flags", "kill", "erase", *WHY, *options).exit_code == 0
    assert link.is_symlink()
    assert (project / ".flags.json.lock").exists()
    assert not (project / "sub" / ".flags.json.lock").exists()
    assert reason("erase") == "denylisted"


def test_a_plan_is_not_written_over_another_file(project: Path) -> None:
    """A change that was planned on one content is refused on another."""
    path = project / "flags.json"
    kill = denylists.deny("w.denylist", "erase")
    planned = plan(FileTarget(path), kill.edit, at=AT)
    edited(project, lambda held: turn_off(held, "find.mode", at=AT))
    before = read_flags(path)
    with pytest.raises(RefusedError, match="changed meanwhile"):
        FileTarget(path).write(planned, _signed(project))
    assert read_flags(path).snapshot.revision == before.snapshot.revision

"""`gov flags kill` without contracts that load: it stops what the file shows."""

from pathlib import Path

import pytest

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    document,
    json_flag,
    string_flag,
)
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.controls.denylist import entries_of
from tests.commands import gov, told
from tests.flag_folder import TOOLS, WHY, edited, project, reason, recorded, values

__all__ = ["project"]
BROKEN = [None, b"agentToolGovernance: [", b"\xff\xfe", b"nonsense: 1", b"[" * 9000]


def _unloadable(folder: Path, content: bytes | None) -> None:
    """Remove the governance file, or write *content* into it."""
    path = folder / "governance.yaml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def _with(held: Json, *flags: Json) -> Json:
    held["data"]["featureFlags"] += flags
    return held


@pytest.mark.parametrize("content", BROKEN)
def test_a_kill_does_not_need_contracts_that_load(
    project: Path, content: bytes | None
) -> None:
    """The tool goes on every denylist there is, and all of that is said."""
    good = (project / "governance.yaml").read_bytes()
    extra = json_flag("x.denylist", {"a": {"tools": []}, "b": []}, serve="a", off="b")
    other = json_flag("settings", {"a": {"size": 1}, "b": []}, serve="a", off="b")
    edited(project, lambda held: _with(held, extra, other))
    _unloadable(project, content)
    result = gov("flags", "kill", "erase", *WHY)
    assert result.exit_code == 0
    assert "governance.yaml" in result.stderr
    assert "was not checked" in result.stderr
    keys = ["w.denylist", "x.denylist"]
    assert [one["key"] for one in told(result)["flags"]] == keys
    for key in keys:
        for value in values(project, key).values():
            assert "erase" in (entries_of(value) or [])
    assert values(project, "settings") == {"a": {"size": 1}, "b": []}
    facts = {"tool": "erase", "governance": "not read"}
    assert recorded(project)[-1]["scope"] == facts
    (project / "governance.yaml").write_bytes(good)
    assert reason("erase") == "denylisted"


@pytest.mark.parametrize("content", BROKEN)
def test_everything_stops_without_contracts_by_the_global_flag(
    project: Path, content: bytes | None
) -> None:
    """Nothing but a global switch is false when off here, so that is what goes."""
    good = (project / "governance.yaml").read_bytes()
    _unloadable(project, content)
    result = gov("flags", "kill", "--all", *WHY)
    assert result.exit_code == 0
    assert [one["key"] for one in told(result)["flags"]] == ["w.global"]
    assert "taken for the global flags of all tools: w.global" in result.stderr
    assert "mode flags were left on: find.mode" in result.stderr
    (project / "governance.yaml").write_bytes(good)
    assert {reason(tool) for tool in TOOLS} == {"kill_switch"}


def test_everything_stops_without_contracts_by_the_mode_flags(project: Path) -> None:
    """A boolean flag of somebody else makes the switch a guess: the modes go."""
    product = boolean_flag("new-checkout", serve=True, off=False)
    theme = string_flag("theme", ["off", "dark"], serve="dark", off="off")
    edited(project, lambda held: _with(held, product, theme))
    good = (project / "governance.yaml").read_bytes()
    _unloadable(project, None)
    result = gov("flags", "kill", "--all", *WHY)
    assert result.exit_code == 0
    changed = {one["key"] for one in told(result)["flags"]}
    assert changed == {f"{tool}.mode" for tool in TOOLS}
    assert "boolean flags were left on: w.global, new-checkout" in result.stderr
    (project / "governance.yaml").write_bytes(good)
    assert {reason(tool) for tool in TOOLS} == {"mode_off"}


def test_a_mode_flag_that_would_not_stop_is_left_and_named(project: Path) -> None:
    """The rest is killed without contracts; exit 4 says that it is not everything."""
    odd = string_flag("x.mode", ["off", "observe"], serve="observe", off="observe")
    product = boolean_flag("new-checkout", serve=True, off=False)
    edited(project, lambda held: _with(held, odd, product))
    _unloadable(project, None)
    result = gov("flags", "kill", "--all", *WHY)
    assert result.exit_code == 4
    assert "gov flags set x.mode off" in result.stderr
    assert len(told(result, 4)["flags"]) == len(TOOLS)


@pytest.mark.parametrize("arguments", [["erase"], ["--all"]])
def test_a_file_that_shows_nothing_to_kill_is_refused(
    project: Path, arguments: list[str]
) -> None:
    """Without contracts and without a flag that looks right, nothing is claimed."""
    write_document(project / "flags.json", document([boolean_flag("x", serve=True)]))
    before = (project / "flags.json").read_bytes()
    _unloadable(project, None)
    result = gov("flags", "kill", *arguments, *WHY)
    assert result.exit_code == 4
    assert "nothing was changed" in result.stderr
    assert (project / "flags.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["kill", "--workflow", "w"], 3, "--workflow needs the contracts"),
        (["kill", "er*"], 2, "is no tool name"),
        (["unkill", "erase"], 3, "governance.yaml"),
        (["unkill", "--all"], 3, "governance.yaml"),
    ],
)
def test_what_needs_contracts_says_so(
    project: Path, arguments: list[str], code: int, word: str
) -> None:
    """A workflow is known from contracts only, and nothing widens on a guess."""
    before = (project / "flags.json").read_bytes()
    _unloadable(project, b"nonsense: 1")
    result = gov("flags", *arguments, *WHY)
    assert result.exit_code == code
    assert word in result.stderr
    assert (project / "flags.json").read_bytes() == before

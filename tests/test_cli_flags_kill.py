"""`gov flags kill` and `unkill`: a tool, a workflow or everything stops."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    document,
    json_flag,
    serve,
)
from openfeature.contrib.provider.featbit.snapshot import Snapshot, read_snapshot
from openfeature_gov.cli import denylists
from openfeature_gov.controls.denylist import entries_of
from openfeature_gov.governance import TOOL_NAME, skeleton
from tests.commands import gov, told
from tests.flag_folder import AT, TOOLS, WHY, edited, project, reason, recorded, values

__all__ = ["project"]


@pytest.mark.parametrize("shape", ["list", "object"])
def test_killing_a_tool_denies_it_in_every_variation(project: Path, shape: str) -> None:
    """Whatever the denylist flag serves afterwards, the tool is on it."""
    if shape == "object":
        edited(project, lambda held: _as_objects(held, "w.denylist"))
    before = values(project)
    result = gov("flags", "kill", "erase", *WHY)
    assert result.exit_code == 0
    for value in values(project).values():
        assert "erase" in (entries_of(value) or [])
    assert reason("erase") == "denylisted"
    assert reason("find") == "mode_observe"
    assert recorded(project)[-1]["scope"] == {"tool": "erase"}
    again = gov("flags", "kill", "erase", *WHY)
    assert (again.exit_code, told(again)["applied"]) == (0, False)
    assert gov("flags", "unkill", "erase", *WHY).exit_code == 0
    assert values(project) == before
    assert reason("erase") == "mode_observe"


def _as_objects(held: Json, key: str) -> Json:
    for flag in held["data"]["featureFlags"]:
        if flag["key"] == key:
            for one in flag["variations"]:
                one["value"] = json.dumps({"tools": json.loads(one["value"])})
    return held


LISTS = st.lists(st.sampled_from(["a", "B", "a*", "*", "tool.x"]), max_size=4)
CONTENT: st.SearchStrategy[Any] = st.one_of(
    LISTS,
    LISTS.map(lambda tools: {"tools": tools}),
    st.sampled_from([7, None, {"tools": 1}, ["", "a"], {"other": []}]),
)


@given(
    st.lists(CONTENT, min_size=1, max_size=4), st.from_regex(TOOL_NAME, fullmatch=True)
)
def test_a_kill_leaves_no_variation_without_the_tool(
    contents: list[Any], tool: str
) -> None:
    """For any denylist flag: killed is listed or malformed; unkill takes it off."""
    variants = {f"v{at}": value for at, value in enumerate(contents)}
    flag = json_flag("d", variants, serve="v0", off="v0")
    held = document([flag])
    kill, undo = denylists.deny("d", tool), denylists.lift("d", tool)
    killed = kill.edit(held, _snapshot(held), AT)
    assert kill.unmet(_snapshot(killed)) == ()
    for value in _contents(killed):
        entries = entries_of(value)
        assert entries is None or skeleton(tool) in map(skeleton, entries)
    lifted = undo.edit(killed, _snapshot(killed), AT)
    assert undo.unmet(_snapshot(lifted)) == ()
    listed = [skeleton(tool) in map(skeleton, entries_of(v) or []) for v in contents]
    if not any(listed):
        assert _contents(lifted) == contents


def _snapshot(held: Json) -> Snapshot:
    return read_snapshot(json.dumps(held).encode())


def _contents(held: Json) -> list[Any]:
    (flag,) = held["data"]["featureFlags"]
    return [json.loads(one["value"]) for one in flag["variations"]]


def test_unkill_says_what_still_stops_the_tool(project: Path) -> None:
    """A pattern that someone else listed is theirs to remove."""
    edited(project, lambda held: _listing(held, ["er*", "erase"]))
    result = gov("flags", "unkill", "erase", *WHY)
    assert told(result)["problems"] == ["erase is still stopped by 'er*'"]
    assert reason("erase") == "denylisted"


def _listing(held: Json, tools: list[str]) -> Json:
    for flag in held["data"]["featureFlags"]:
        if flag["key"] == "w.denylist":
            flag["variations"][0]["value"] = json.dumps(tools)
    return held


def test_killing_a_workflow_turns_its_mode_flags_off(project: Path) -> None:
    """Each of its tools is denied; unkill restores targeting and mode."""
    edited(project, lambda held: serve(held, "find.mode", "search_only", at=AT))
    result = gov("flags", "kill", "--workflow", "w", *WHY)
    assert result.exit_code == 0
    assert told(result)["tools"] == list(TOOLS)
    assert {reason(tool) for tool in TOOLS} == {"mode_off"}
    assert recorded(project)[-1]["scope"] == {"workflow": "w"}
    assert gov("flags", "unkill", "--workflow", "w", *WHY).exit_code == 0
    assert [reason(tool) for tool in TOOLS] == ["mode_search_only"] + [
        "mode_observe"
    ] * 3


def test_killing_everything_uses_the_global_flag(project: Path) -> None:
    """One flag stops all tools that name it."""
    result = gov("flags", "kill", "--all", *WHY)
    assert [one["key"] for one in told(result)["flags"]] == ["w.global"]
    assert {reason(tool) for tool in TOOLS} == {"kill_switch"}
    assert gov("flags", "unkill", "--all", *WHY).exit_code == 0
    assert {reason(tool) for tool in TOOLS} == {"mode_observe"}


def test_killing_everything_without_a_global_flag_uses_mode_flags(
    project: Path,
) -> None:
    """A contract that names no global flag is stopped by its mode flag."""
    path = project / "governance.yaml"
    text = path.read_text()
    path.write_text(text.replace("      globalFlag: w.global", "      # globalFlag", 2))
    result = gov("flags", "kill", "--all", *WHY)
    keys = {one["key"] for one in told(result)["flags"]}
    assert keys == {"w.global", "find.mode", "read.mode"}
    assert told(result)["tools"] == list(TOOLS)


def test_a_tool_that_no_flag_turns_off_is_named(project: Path) -> None:
    """The rest is killed all the same; exit 4 says that it is not everything."""
    path = project / "governance.yaml"
    path.write_text(path.read_text().replace("modeFlag: find.mode", "# no mode"))
    result = gov("flags", "kill", "--workflow", "w", *WHY)
    assert result.exit_code == 4
    assert told(result, 4)["notReached"] == ["find"]
    assert told(result, 4)["applied"] is True
    assert reason("erase") == "mode_off"


@pytest.mark.parametrize("key", ["find.mode", "w.global"])
def test_a_kill_that_would_not_stop_is_refused(project: Path, key: str) -> None:
    """A flag whose off variation is not the strictest value is no kill switch."""

    def change(held: Json) -> Json:
        for flag in held["data"]["featureFlags"]:
            if flag["key"] == key:
                flag["disabledVariationId"] = flag["variations"][1]["id"]
                flag["variations"].reverse()
            if flag["key"] == "w.global" == key:
                flag["disabledVariationId"] = "true"
        return held

    edited(project, change)
    before = (project / "flags.json").read_bytes()
    scope = ["--all"] if key == "w.global" else ["--workflow", "w"]
    result = gov("flags", "kill", *scope, *WHY)
    assert result.exit_code == 4
    assert "off variation" in result.stderr
    assert f"gov flags set {key}" in result.stderr
    assert (project / "flags.json").read_bytes() == before


@pytest.mark.parametrize("fault", ["missing", "archived", "retyped"])
def test_a_lost_flag_does_not_stop_a_kill(project: Path, fault: str) -> None:
    """What is lost counts as its strictest value; the others are killed."""

    def change(held: Json) -> Json:
        flags = held["data"]["featureFlags"]
        for at, flag in enumerate(flags):
            if flag["key"] == "find.mode":
                flag["isArchived"] = fault == "archived"
                if fault == "retyped":
                    flags[at] = boolean_flag("find.mode", serve=True, off=True)
                if fault == "missing":
                    del flags[at]
                break
        return held

    edited(project, change)
    result = gov("flags", "kill", "--workflow", "w", *WHY)
    assert result.exit_code == 0
    assert len(told(result)["flags"]) == 3
    assert bool(told(result)["problems"]) is (fault != "retyped")
    undone = gov("flags", "unkill", "--workflow", "w", *WHY)
    assert undone.exit_code == 4
    assert "find.mode" in undone.stderr


def test_a_lost_denylist_flag_needs_no_kill(project: Path) -> None:
    """It denies its tools already, and the command says so."""

    def change(held: Json) -> Json:
        flags = held["data"]["featureFlags"]
        flags[:] = [flag for flag in flags if flag["key"] != "w.denylist"]
        return held

    edited(project, change)
    result = gov("flags", "kill", "erase", *WHY)
    assert (result.exit_code, told(result)["applied"]) == (0, False)
    assert "strictest" in " ".join(told(result)["problems"])
    assert gov("flags", "unkill", "erase", *WHY).exit_code == 4


def test_a_contract_without_a_denylist_flag_says_what_to_do(project: Path) -> None:
    """A kill that nothing would carry out is refused with the next best command."""
    path = project / "governance.yaml"
    path.write_text(path.read_text().replace("denylistFlag: w.denylist", "# none"))
    result = gov("flags", "kill", "erase", *WHY)
    assert result.exit_code == 4
    assert "gov flags set erase.mode off" in result.stderr

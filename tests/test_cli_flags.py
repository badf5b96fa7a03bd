"""`gov flags`: a kill takes, a release is recorded first, no edit is lost."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    json_flag,
    rule,
    serve,
    string_flag,
    turn_off,
)
from openfeature.contrib.provider.featbit.snapshot import Snapshot, read_snapshot
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.cli import denylists
from openfeature_gov.controls.denylist import entries_of
from openfeature_gov.governance import TOOL_NAME, skeleton
from openfeature_gov.stores.history import records
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
from tests.commands import gov, told

ROOT = Path(__file__).parents[1]
PATH = os.pathsep.join(str(ROOT / part) for part in ("", "providers", "rollout"))
AT = "2030-01-01T00:00:00.000Z"
TOOLS = ("find", "read", "send", "erase")
WHY = ("--reason", "test")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with four tools, flags and a record database."""
    monkeypatch.chdir(tmp_path)
    made = gov("init", *TOOLS, "--workflow", "w", "--owner", "o")
    assert made.exit_code == 0
    gov("decide", "find", "--records", "records.db")
    return tmp_path


def reason(tool: str) -> str:
    """Return why *tool* may or may not run now."""
    return str(told(gov("decide", tool))["reason"])


def recorded(folder: Path) -> list[dict[str, Any]]:
    """Return the policy changes in the log."""
    return records(folder / "records.db", kind="policy_change")


def edited(folder: Path, change: Callable[[Json], Json]) -> None:
    """Change the flag file as an editor that knows no lock would."""
    path = folder / "flags.json"
    write_document(path, change(json.loads(path.read_text())))


def values(folder: Path, key: str = "w.denylist") -> dict[str, Any]:
    """Return the JSON value of each variation of *key*."""
    flag = read_flags(folder / "flags.json").flags[key]
    return {
        one.id: json.loads(one.value)
        for one in flag.variations
        if isinstance(one.value, bytes)
    }


def test_the_list_tells_what_is_served_to_whom(project: Path) -> None:
    """Targets, rules, splits, and what an off flag serves, in JSON and in the table."""

    def change(held: Json) -> Json:
        split = rule("r", [condition("region", "Equal", "eu")], serve="off")
        flag = string_flag(
            "x.mode",
            ["off", "observe"],
            serve="observe",
            off="off",
            rules=[split],
            targets={"off": ["u1", "u2"]},
        )
        held["data"]["featureFlags"].append(flag)
        return turn_off(held, "find.mode", at=AT)

    edited(project, change)
    by_key = {one["key"]: one for one in told(gov("flags", "list"))["flags"]}
    mixed, off = by_key["x.mode"], by_key["find.mode"]
    assert (mixed["targets"], mixed["rules"], mixed["serves"]) == (2, 1, "observe")
    assert (off["enabled"], off["off"]) == (False, "off")
    assert off["updatedAt"] == "2030-01-01T00:00:00Z"
    text = gov("flags", "list", "--no-json").stdout
    assert "2 targets" in text
    assert "1 rule" in text


def test_a_split_is_told_in_shares() -> None:
    """Percentages are named in the order of the buckets."""
    flag = string_flag("x", ["a", "b"], serve="a", off="a")
    split = rule("r", [], serve={"a": 0.25, "b": 0.75})
    flag["fallthrough"]["variations"] = split["variations"]
    held = read_snapshot(json.dumps(document([flag])).encode()).flag_set.flags["x"]
    assert states.state(held)["serves"] == "25% a, 75% b"


def test_variations_without_a_unique_name_go_by_id() -> None:
    """Two variations of one name are still told apart."""
    flag = boolean_flag("x", serve=True)
    for one in flag["variations"]:
        one["name"] = "same"
    held = read_snapshot(json.dumps(document([flag])).encode()).flag_set.flags["x"]
    assert states.names_of(held) == {"true": "true", "false": "false"}


def test_a_release_takes_and_is_recorded(project: Path) -> None:
    """The mode is served, and the log says who, why, from what, to what."""
    before = read_flags(project / "flags.json").snapshot.revision
    result = gov("flags", "set", "find.mode", "search_only", *WHY, "--actor", "ann")
    assert result.exit_code == 0
    after = read_flags(project / "flags.json").snapshot.revision
    (record,) = recorded(project)
    assert record["id"] == told(result)["record"]
    assert record["actor"] == "ann"
    assert record["reason"] == "test"
    assert record["flags"] == [
        {
            "key": "find.mode",
            "from": {"serves": "observe"},
            "to": {"serves": "search_only"},
        }
    ]
    assert (record["revisionBefore"], record["revisionAfter"]) == (before, after)


def test_a_release_says_what_still_comes_first(project: Path) -> None:
    """Targeting survives unless it is cleared, and the command says so."""
    edited(project, lambda held: _targeted(held, "find.mode"))
    kept = gov("flags", "set", "find.mode", "search_only", *WHY)
    assert "1 target" in " ".join(told(kept)["problems"])
    gone = gov("flags", "set", "find.mode", "search_only", *WHY, "--clear-targeting")
    assert told(gone)["problems"] == []
    assert read_flags(project / "flags.json").flags["find.mode"].targets == ()


def _targeted(held: Json, key: str) -> Json:
    for flag in held["data"]["featureFlags"]:
        if flag["key"] == key:
            flag["targetUsers"] = [{"keyIds": ["u"], "variationId": "off"}]
    return held


def test_setting_a_flag_does_not_undo_a_kill(project: Path) -> None:
    """A flag that is off stays off unless --turn-on says otherwise."""
    gov("flags", "kill", "--workflow", "w", *WHY)
    refused = gov("flags", "set", "find.mode", "search_only", *WHY)
    assert refused.exit_code == 4
    assert "unkill" in refused.stderr
    assert not read_flags(project / "flags.json").flags["find.mode"].enabled
    done = gov("flags", "set", "find.mode", "search_only", *WHY, "--turn-on")
    assert done.exit_code == 0
    assert reason("find") == "mode_search_only"


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
    assert told(result)["notReached"] == ["find"]
    assert told(result)["applied"] is True
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["kill", "erase"],
        ["kill", *WHY],
        ["kill", "erase", "--all", *WHY],
        ["kill", "nope", *WHY],
        ["kill", "erase", "--reason", ""],
        ["kill", "erase", "--reason", "x" * 513],
        ["kill", "erase", "--reason", "a\x1b[2Jb"],
        ["kill", "erase", *WHY, "--actor", "a\nb"],
        ["unkill", "--all", "--workflow", "w", *WHY],
        ["set", "find.mode", "nope", *WHY],
        ["set", "nope", "off", *WHY],
        ["set", "find.mode", "off"],
    ],
)
def test_bad_input_changes_nothing(project: Path, arguments: list[str]) -> None:
    """Exit 2, the file as it was, nothing recorded."""
    before = (project / "flags.json").read_bytes()
    result = gov("flags", *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert (project / "flags.json").read_bytes() == before
    assert recorded(project) == []


def test_a_workflow_that_nobody_names_is_refused(project: Path) -> None:
    """A typo in an emergency is told at once, with the names there are."""
    result = gov("flags", "kill", "--workflow", "W", *WHY)
    assert result.exit_code == 4
    assert "workflows w" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["kill", "erase"],
        ["kill", "--all"],
        ["kill", "--workflow", "w"],
        ["unkill", "--all"],
        ["set", "find.mode", "search_only"],
    ],
)
@pytest.mark.parametrize("form", ["--json", "--no-json"])
def test_a_dry_run_changes_nothing(
    project: Path, arguments: list[str], form: str
) -> None:
    """It prints the same change; no file differs and nothing is recorded."""
    before = (project / "flags.json").read_bytes()
    result = gov("flags", *arguments, *WHY, "--dry-run", form)
    assert result.exit_code == 0
    if form == "--json":
        assert (told(result)["dryRun"], told(result)["applied"]) == (True, False)
    else:
        assert "dry run" in result.stdout
    assert (project / "flags.json").read_bytes() == before
    assert recorded(project) == []


@pytest.mark.parametrize("broken", ["text", "folder"])
def test_a_kill_takes_effect_although_it_cannot_be_recorded(
    project: Path, broken: str
) -> None:
    """Exit 1 and a warning, and the tool is stopped."""
    _break(project, broken)
    result = gov("flags", "kill", "erase", *WHY)
    assert result.exit_code == 1
    assert "not recorded" in result.stderr
    assert told(result)["record"] is None
    assert reason("erase") == "denylisted"


@pytest.mark.parametrize("broken", ["text", "folder"])
@pytest.mark.parametrize(
    "arguments", [["unkill", "erase"], ["set", "find.mode", "search_only"]]
)
def test_nothing_widens_without_its_record(
    project: Path, arguments: list[str], broken: str
) -> None:
    """Exit 3, the flag file as it was."""
    gov("flags", "kill", "erase", *WHY)
    _break(project, broken)
    before = (project / "flags.json").read_bytes()
    result = gov("flags", *arguments, *WHY)
    assert result.exit_code == 3
    assert (project / "flags.json").read_bytes() == before


def _break(folder: Path, how: str) -> None:
    """Put something at records.db that is no database."""
    for path in folder.glob("records.db*"):
        if path.is_file():
            path.unlink()
    if how == "folder":
        (folder / "records.db").mkdir()
    else:
        (folder / "records.db").write_text("this is a text and no database" * 99)


def _unrecorded(folder: Path) -> None:
    """Remove the record database, as after a fresh init."""
    for path in folder.glob("records.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "find.mode", "search_only"],
        ["kill", "erase"],
        ["kill", "--all"],
    ],
)
def test_the_first_change_makes_the_record_database(
    project: Path, arguments: list[str]
) -> None:
    """Beside the flag file, wherever the command runs; and what it did is in it."""
    _unrecorded(project)
    place = project / "sub"
    place.mkdir()
    for name in ("flags.json", "governance.yaml"):
        (project / name).rename(place / name)
    result = gov("flags", *arguments, *WHY, "--flags", str(place / "flags.json"))
    assert result.exit_code == 0
    (record,) = recorded(place)
    assert record["id"] == told(result)["record"]
    assert not (project / "records.db").exists()


def test_the_named_record_database_is_used_instead(project: Path) -> None:
    """With --records nothing is made beside the flag file."""
    _unrecorded(project)
    result = gov("flags", "kill", "erase", *WHY, "--records", "other.db")
    assert [one["id"] for one in records(project / "other.db", kind="policy_change")]
    assert told(result)["record"] is not None
    assert not (project / "records.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["set", "find.mode", "search_only"], 3),
        (["unkill", "erase"], 3),
        (["kill", "read"], 1),
    ],
)
def test_a_database_that_cannot_be_made_stops_only_what_widens(
    project: Path, arguments: list[str], code: int
) -> None:
    """A release is refused and changes nothing; a kill works and says exit 1."""
    gov("flags", "kill", "erase", *WHY)
    before = (project / "flags.json").read_bytes()
    place = str(project / "governance.yaml" / "r.db")
    result = gov("flags", *arguments, *WHY, "--records", place)
    assert result.exit_code == code
    assert ((project / "flags.json").read_bytes() == before) is (code == 3)
    assert (reason("read") == "denylisted") is (code == 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "find.mode", "observe"],
        ["set", "nope", "off"],
        ["unkill", "erase"],
        ["kill", "--workflow", "nope"],
        ["kill", "erase", "--dry-run"],
        ["set", "find.mode", "search_only", "--dry-run"],
    ],
)
def test_no_database_is_made_where_nothing_changes(
    project: Path, arguments: list[str]
) -> None:
    """What has no effect leaves no file either."""
    _unrecorded(project)
    gov("flags", *arguments, *WHY)
    assert not (project / "records.db").exists()


BROKEN = [None, b"agentToolGovernance: [", b"\xff\xfe", b"nonsense: 1", b"[" * 9000]


def _unloadable(folder: Path, content: bytes | None) -> None:
    """Remove the governance file, or write *content* into it."""
    path = folder / "governance.yaml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)


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


def _with(held: Json, *flags: Json) -> Json:
    held["data"]["featureFlags"] += flags
    return held


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
    assert len(told(result)["flags"]) == len(TOOLS)


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


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("flags.json", ["kill", "erase"]),
        ("flags.json", ["kill", "--all"]),
        ("flags.json", ["set", "find.mode", "off"]),
        ("governance.yaml", ["unkill", "erase"]),
    ],
)
def test_missing_files_are_named(
    project: Path, name: str, arguments: list[str]
) -> None:
    """Exit 3, the file, no traceback, and no record database made for it."""
    _unrecorded(project)
    (project / name).unlink()
    result = gov("flags", *arguments, *WHY)
    assert result.exit_code == 3
    assert name in result.stderr
    assert "Traceback" not in result.output
    assert not (project / "records.db").exists()


def test_a_hostile_flag_file_cannot_write_to_the_terminal(project: Path) -> None:
    """Keys and variation names are escaped in tables and in errors."""

    def change(held: Json) -> Json:
        flag = string_flag(
            "x\x1b[31m", ["a\x9b", "\u202eb"], serve="a\x9b", off="a\x9b"
        )
        held["data"]["featureFlags"].append(flag)
        return held

    edited(project, change)
    for arguments in (
        ["list", "--no-json"],
        ["list"],
        ["set", "nope\x1b[2J", "x", *WHY],
        ["set", "x\x1b[31m", "\u202eb", *WHY, "--no-json"],
    ):
        output = gov("flags", *arguments).output
        assert not {"\x1b", "\x9b", "\u202e"} & set(output)
        assert output

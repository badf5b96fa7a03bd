"""`gov flags`: what the list tells, a release is recorded first, bad input is none."""

import json
from pathlib import Path

import pytest

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    rule,
    string_flag,
    turn_off,
)
from openfeature.contrib.provider.featbit.snapshot import read_snapshot
from openfeature_gov.targets import states
from openfeature_gov.targets.file import read_flags
from tests.commands import gov, told
from tests.flag_folder import AT, WHY, edited, project, reason, recorded

__all__ = ["project"]


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

"""`gov governance check`: every problem with its place, warnings without a fuss."""

import json
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    json_flag,
    string_flag,
)
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Governor
from tests.commands import gov

CONTRACT = """\
agentToolGovernance:
  workflow: w
  owner: o
  tool: send
  riskClass: external_effect
  reversibility: expensive
  defaultMode: observe
  allowedModes: [off, observe, draft_write]
  rollback: {safestMode: observe, owner: o}
"""


def check(path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and what the check says of *path*."""
    result = gov("governance", "check", str(path), *arguments)
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with a correct pair of files."""
    monkeypatch.chdir(tmp_path)
    gov("init", "find:search", "send", "--workflow", "w", "--owner", "o")
    return tmp_path


def test_it_shows_the_contracts(tmp_path: Path) -> None:
    """Tool, workflow, owner, class, reversibility, need, modes and flags."""
    path = tmp_path / "g.yaml"
    path.write_text(CONTRACT)
    code, told = check(path)
    assert code == 0
    (one,) = told["contracts"]
    assert one.pop("revision")
    assert one == {
        "file": str(path),
        "tool": "send",
        "workflow": "w",
        "owner": "o",
        "riskClass": "external_effect",
        "reversibility": "expensive",
        "need": "autonomous",
        "defaultMode": "observe",
        "safestMode": "observe",
        "flags": {},
    }
    text = gov("governance", "check", str(path), "--no-json").stdout
    for word in ("send", "external_effect", "expensive", "autonomous", "no flags"):
        assert word in text


def test_it_warns_of_what_is_legal_and_unwise(tmp_path: Path) -> None:
    """Missing flags, an expired review and conditions that nothing answers, by line."""
    path = tmp_path / "g.yaml"
    more = "  reviewDate: 2020-01-01\n  approval:\n    requiredFor: "
    more += "[low_confidence, incident_mode, high_value, external_effect]\n"
    path.write_text(CONTRACT + more)
    code, told = check(path)
    assert code == 0
    found = {(one["key"], one["line"]) for one in told["warnings"]}
    assert found == {
        ("send.runtimeControls.modeFlag", 4),
        ("send.runtimeControls.denylistFlag", 4),
        ("send.runtimeControls.fallbackFlag", 4),
        ("send.reviewDate", 4),
        ("send.cleanupOwner", 4),
        ("send.approval.requiredFor", 4),
    }
    about = [one["message"] for one in told["warnings"] if "required" in one["key"]]
    assert [text.split(":")[0] for text in about] == ["incident_mode", "high_value"]
    text = gov("governance", "check", str(path), "--no-json").stdout
    assert f"{path}:4: send.reviewDate: 2020-01-01 has passed" in text.replace("\n", "")


@pytest.mark.parametrize(
    ("risk", "warned"), [("search", False), ("admin_action", True)]
)
def test_a_share_that_nobody_can_spend_is_told(
    tmp_path: Path, risk: str, *, warned: bool
) -> None:
    """What a tool that changes things sets aside for reads is only lost to it."""
    path = tmp_path / "g.yaml"
    text = CONTRACT.replace("external_effect", risk)
    share = 'name: b, unit: calls, ceiling: 20, per: day, awayShare: "1"'
    path.write_text(f"{text}  budgets: [{{{share}}}]\n")
    code, told = check(path)
    assert code == 0, told
    keys = [one["key"] for one in told["warnings"]]
    assert ("send.budgets.awayShare" in keys) is warned


def test_it_names_every_problem_with_file_and_line(tmp_path: Path) -> None:
    """All problems of all files at once, exit 4; good files are still shown."""
    good, bad, worse = (tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml"))
    good.write_text(CONTRACT)
    bad.write_text(CONTRACT.replace("observe\n", "nope\n", 1) + "  extra: 1\n")
    worse.write_bytes(b"\xff")
    arguments = [str(path) for path in (good, bad, worse)]
    result = gov("governance", "check", *arguments)
    assert result.exit_code == 4
    told = json.loads(result.stdout)
    places = {(one["file"], one["line"], one["key"]) for one in told["problems"]}
    assert places == {
        (str(bad), 7, "agentToolGovernance.defaultMode"),
        (str(bad), 10, "agentToolGovernance.extra"),
        (str(worse), 0, ""),
    }
    assert [one["tool"] for one in told["contracts"]] == ["send"]
    text = gov("governance", "check", *arguments, "--no-json").stdout
    assert f"{bad}:10: agentToolGovernance.extra: unknown key" in text
    assert f"{worse}: not UTF-8 at byte 0" in text


def test_a_file_that_hardly_ends_is_too_large(tmp_path: Path) -> None:
    """No more is read than a governance file may hold."""
    path = tmp_path / "governance.yaml"
    with path.open("wb") as file:
        file.truncate(2**36)
    result = gov("governance", "check", path)
    assert result.exit_code == 4
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem["message"] == "larger than 1048576 bytes"


def test_a_missing_file_is_not_a_problem_of_a_contract(tmp_path: Path) -> None:
    """Exit 3 says that nothing could be read."""
    result = gov("governance", "check", str(tmp_path / "nope.yaml"))
    assert result.exit_code == 3
    assert "nope.yaml: No such file" in result.stderr
    (tmp_path / "g.yaml").write_text(CONTRACT)
    flags = ["--flags", str(tmp_path / "nope.json")]
    assert gov("governance", "check", str(tmp_path / "g.yaml"), *flags).exit_code == 3


def _replaced(folder: Path, flag: Json | None, key: str) -> None:
    path = folder / "flags.json"
    held = json.loads(path.read_text())
    flags = [one for one in held["data"]["featureFlags"] if one["key"] != key]
    held["data"]["featureFlags"] = flags if flag is None else [*flags, flag]
    write_document(path, held)


MODES = ["off", "observe"]
BAD_FLAGS: list[tuple[str, Json | None, str]] = [
    ("find.mode", None, "is not in the file"),
    (
        "find.mode",
        {**string_flag("find.mode", MODES, serve="off", off="off"), "isArchived": True},
        "is archived",
    ),
    ("find.mode", boolean_flag("find.mode", serve=True), "must be string"),
    (
        "find.mode",
        string_flag("find.mode", [*MODES, "on"], serve="off", off="off"),
        '"on" is no legal value',
    ),
    (
        "find.mode",
        string_flag("find.mode", MODES, serve="off", off="observe"),
        'serves "observe" when off; safe is "off"',
    ),
    ("w.global", boolean_flag("w.global", serve=True, off=True), "safe is false"),
    ("w.approval", boolean_flag("w.approval", serve=True, off=False), "safe is true"),
    ("w.fallback", boolean_flag("w.fallback", serve=True, off=False), "safe is true"),
    (
        "w.denylist",
        json_flag("w.denylist", {"a": [], "b": {"x": 1}}, serve="a", off="a"),
        'safe is ["*"]',
    ),
    (
        "w.denylist",
        json_flag("w.denylist", {"a": ["*"], "b": {"x": 1}}, serve="a", off="a"),
        '"b" is no legal value',
    ),
]


@pytest.mark.parametrize(("key", "flag", "message"), BAD_FLAGS)
def test_flags_that_cannot_do_their_work_are_problems(
    project: Path, key: str, flag: Json | None, message: str
) -> None:
    """Existence, type, legal values and a safe off variation, for each kind."""
    _replaced(project, flag, key)
    code, told = check(Path("governance.yaml"), "--flags", "flags.json")
    assert code == 4
    assert {one["key"] for one in told["problems"]} == {key}
    assert message in " ".join(one["message"] for one in told["problems"])
    text = gov(
        "governance", "check", "governance.yaml", "--flags", "flags.json", "--no-json"
    ).stdout
    assert f"flags.json: {key}: " in text


def test_one_key_for_two_uses_is_a_problem(project: Path) -> None:
    """A flag cannot be the mode of one tool and the approval of another."""
    path = project / "governance.yaml"
    path.write_text(path.read_text().replace("w.approval", "find.mode", 2))
    text = path.read_text().replace("modeFlag: find.mode", "modeFlag: x.mode", 1)
    path.write_text(text.replace("approvalFlag: find.mode", "approvalFlag: a", 1))
    path.write_text(path.read_text().replace("modeFlag: x.mode", "modeFlag: find.mode"))
    code, told = check(path, "--flags", "flags.json")
    assert code == 4
    assert "has several uses" in " ".join(one["message"] for one in told["problems"])


def test_contract_texts_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """Names from YAML are escaped."""
    path = tmp_path / "g.yaml"
    path.write_text(CONTRACT.replace("owner: o\n", 'owner: "\\e[31mo"\n', 1))
    for form in ("--json", "--no-json"):
        result = gov("governance", "check", str(path), form)
        assert result.exit_code == 0
        assert "\x1b" not in result.output


@pytest.mark.parametrize("name", ["governance.yaml", "flags.json"])
def test_a_file_that_everybody_may_write_is_remarked_on(
    project: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The check lists it, and opening a Governor on it logs a warning."""
    contracts, flags = files = project / "governance.yaml", project / "flags.json"
    for one in files:
        one.chmod(0o664)
    assert check(contracts, "--flags", str(flags))[1]["warnings"] == []
    (project / name).chmod(0o666)
    code, told = check(contracts, "--flags", str(flags))
    assert code == 0
    assert [one["file"] for one in told["warnings"]] == [str(project / name)]
    opened = Governor.open(*files, project / "records.db")
    opened.close()
    (line,) = [one.message for one in caplog.records if "everybody may" in one.message]
    assert line.startswith(str(project / name))
    assert f"chmod o-w {project / name}" in line

"""`gov init`: what it writes is safe, loads, and replaces nothing unasked."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from openfeature.contrib.provider.featbit.snapshot import read_snapshot
from openfeature_gov import Actor, CallContext, Governor, ToolCall
from openfeature_gov.cli import app, drafts, lint
from openfeature_gov.cli.init import EXAMPLE
from openfeature_gov.governance import TOOL_NAME, parse, skeleton
from openfeature_gov.ladder import Mode, RiskClass
from openfeature_gov.strict_yaml import parse as parse_yaml
from openfeature_gov.targets.file import read_flags

TOOLS = [f"tool_{risk}:{risk}" for risk in RiskClass]
NAMES = st.from_regex(TOOL_NAME, fullmatch=True)
PRINTABLE = st.text(min_size=1, max_size=60).filter(
    lambda text: text.isprintable() and text.strip() == text
)


def init(folder: Path, *arguments: str) -> Result:
    """Run ``gov init`` in *folder*."""
    return CliRunner().invoke(app, ["init", *arguments, "--dir", str(folder)])


def written(folder: Path) -> tuple[Path, Path]:
    """Return the two files."""
    return folder / "governance.yaml", folder / "flags.json"


def test_every_risk_class_starts_at_observe_and_passes_its_own_check(
    tmp_path: Path,
) -> None:
    """Nothing runs, everything is recorded, and `governance check` has no remark."""
    result = init(tmp_path, *TOOLS, "--workflow", "w", "--owner", "o")
    assert result.exit_code == 0, result.output
    contracts, flags = written(tmp_path)
    governance = parse(contracts.read_text())
    assert [one.tool for one in governance] == [name.split(":")[0] for name in TOOLS]
    assert {one.default_mode for one in governance} == {Mode.OBSERVE}
    assert {one.rollback.safest_mode for one in governance} == {Mode.OBSERVE}
    assert {len(one.modes) for one in governance} == {len(Mode)}
    check = CliRunner().invoke(
        app, ["governance", "check", str(contracts), "--flags", str(flags)]
    )
    assert check.exit_code == 0
    told = json.loads(check.stdout)
    assert (told["problems"], told["warnings"]) == ([], [])


def test_each_flag_turned_off_serves_its_strictest_value(tmp_path: Path) -> None:
    """The off variations are those that a kill switch needs."""
    init(tmp_path, "a:search", "--workflow", "w", "--owner", "o")
    flags = read_flags(written(tmp_path)[1]).flags
    off = {
        key: next(one.value for one in flag.variations if one.id == flag.off_id)
        for key, flag in flags.items()
    }
    assert off == {
        "w.global": False,
        "w.approval": True,
        "w.denylist": b'["*"]',
        "w.fallback": True,
        "a.mode": "off",
    }
    assert {one.value for one in flags["a.mode"].variations} == {
        *(mode.label for mode in Mode),
        "fallback",
    }


def test_the_printed_code_runs_and_the_tool_does_not(tmp_path: Path) -> None:
    """The three lines work as printed, and the first call is only recorded."""
    result = init(tmp_path, "find:search", "--workflow", "w", "--owner", "o")
    code = json.loads(result.stdout)["code"]
    assert len(code) == 3
    ran: list[str] = []

    def find(query: str) -> None:
        ran.append(query)

    scope: dict[str, object] = {"find": find}
    exec("\n".join(code), scope)  # noqa: S102 - what a user would paste
    governor = scope["governor"]
    assert isinstance(governor, Governor)
    with governor:
        context = CallContext(actor=Actor(agent="a"))
        outcome = governor.run(ToolCall("find", {"query": "x"}, context))
    assert (outcome.effect, outcome.decision.mode) == ("constrain", Mode.OBSERVE)
    assert ran == []


def test_an_unknown_risk_counts_as_irreversible_and_says_so(tmp_path: Path) -> None:
    """A typo or a missing class is never mild; the file and stderr tell."""
    result = init(tmp_path, "a:serch", "b", "--workflow", "w", "--owner", "o")
    assert result.exit_code == 0
    text = written(tmp_path)[0].read_text()
    classes = [one.risk_class for one in parse(text)]
    assert classes == [RiskClass.IRREVERSIBLE] * 2
    assert '# "serch" is no risk class, so it counts as irreversible' in text
    assert "# no risk stated, so it counts as irreversible" in text
    assert "a: " in result.stderr
    assert "b: " in result.stderr


def test_a_hostile_risk_word_stays_in_its_comment(tmp_path: Path) -> None:
    """A line break in an argument cannot add a key to the contract."""
    result = init(
        tmp_path, "a:x\n    defaultMode: off\x1b[31m", "--workflow", "w", "--owner", "o"
    )
    assert result.exit_code == 0
    text = written(tmp_path)[0].read_text()
    assert next(iter(parse(text))).default_mode is Mode.OBSERVE
    assert "\x1b" not in text + result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["a b:search", "--workflow", "w", "--owner", "o"],
        ["a:search", "A:search", "--workflow", "w", "--owner", "o"],
        ["a:search", "--workflow", " ", "--owner", "o"],
        ["a:search", "--workflow", "w", "--owner", "o\nx"],
        ["a:search", "--workflow", "w", "--owner", "o", "--environment", "\x1b"],
        ["a:search", "--workflow", "w"],
        ["--workflow", "w", "--owner", "o"],
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: list[str]
) -> None:
    """Exit 2, no file, no folder."""
    folder = tmp_path / "new"
    assert init(folder, *arguments).exit_code == 2
    assert not folder.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["a:search"],
        ["a:search", "--workflow", "w"],
        ["a:search", "--owner", "o"],
        ["--workflow", "w", "--owner", "o"],
    ],
)
def test_whoever_leaves_out_a_part_sees_a_whole_command(
    tmp_path: Path, arguments: list[str]
) -> None:
    """The error shows a command that works, and working means just that."""
    result = init(tmp_path, *arguments)
    assert result.exit_code == 2
    assert "Missing" in result.stderr
    assert EXAMPLE in result.stderr
    assert init(tmp_path, *EXAMPLE.split()[2:]).exit_code == 0


@pytest.mark.parametrize("which", [0, 1])
def test_it_replaces_nothing_without_force(tmp_path: Path, which: int) -> None:
    """One file that exists stops both; --force replaces both."""
    there = written(tmp_path)[which]
    there.write_text("mine")
    arguments = ["a:search", "--workflow", "w", "--owner", "o"]
    refused = init(tmp_path, *arguments)
    assert refused.exit_code == 4
    assert "--force" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == [there.name]
    assert there.read_text() == "mine"
    assert init(tmp_path, *arguments, "--force").exit_code == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["flags.json", "governance.yaml"]
    assert there.read_text() != "mine"


def test_both_files_or_none(tmp_path: Path) -> None:
    """When the second cannot be placed, the first is as it was."""
    contracts, flags = written(tmp_path)
    contracts.write_text("mine")
    flags.mkdir()
    result = init(tmp_path, "a:search", "--workflow", "w", "--owner", "o", "--force")
    assert result.exit_code == 3
    assert contracts.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "flags.json",
        "governance.yaml",
    ]


def test_the_environment_marks_the_flags(tmp_path: Path) -> None:
    """Records then say which environment's flags were read."""
    options = ["--workflow", "w", "--owner", "o", "--environment", "staging"]
    init(tmp_path, "a:search", *options)
    flags = read_snapshot(written(tmp_path)[1].read_bytes()).flag_set.flags
    assert {flag.env_id for flag in flags.values()} == {"staging"}


@given(
    st.lists(NAMES, min_size=1, max_size=6, unique_by=skeleton), PRINTABLE, PRINTABLE
)
def test_any_names_make_files_that_hold_together(
    names: list[str], workflow: str, owner: str
) -> None:
    """Whatever the tools, workflow and owner are called, the drafts load unchanged."""
    tools: list[drafts.Planned] = []
    for name in names:
        key = drafts.flag_key(name, "mode", [tool.mode_flag for tool in tools])
        tools.append(drafts.Planned(name, RiskClass.SEARCH, key))
    shared = drafts.shared_flags(workflow)
    text = drafts.governance_text(tools, shared, workflow=workflow, owner=owner)
    governance = parse(text)
    assert list(governance.contracts) == names
    assert {(one.workflow, one.owner) for one in governance} == {(workflow, owner)}
    keys = [one.runtime_controls.mode_flag for one in governance]
    assert len(set(keys)) == len(names)


@given(PRINTABLE)
def test_any_printable_text_is_one_yaml_scalar(text: str) -> None:
    """It reads back as the same text, never as a number, a word or a mapping."""
    assert parse_yaml(f"key: {drafts.scalar(text)}\n", "x")[0].data == {"key": text}


@given(st.text(), st.sampled_from(["mode", "denylist"]))
def test_any_name_makes_a_legal_flag_key(name: str, suffix: str) -> None:
    """Keys fit the governance contract's pattern, also when the first is taken."""
    first = drafts.flag_key(name, suffix)
    second = drafts.flag_key(name, suffix, [first])
    for key in (first, second):
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", key)
    assert first != second or len(first) > 100


def test_a_draft_that_does_not_hold_together_is_not_written(tmp_path: Path) -> None:
    """The check before writing sees a flag that is missing."""
    init(tmp_path, "a:search", "--workflow", "w", "--owner", "o")
    contracts, flags = written(tmp_path)
    changed = contracts.read_text().replace("a.mode", "b.mode")
    assert lint.flag_problems(parse(changed), read_flags(flags))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder nobody writes")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The name of a draft would say nothing to anybody."""
    place = tmp_path / "here"
    place.symlink_to("/proc")
    result = init(place, "a:search", "--workflow", "w", "--owner", "o")
    assert result.exit_code == 3
    assert f"{place}: " in result.stderr
    assert ".tmp" not in result.stderr

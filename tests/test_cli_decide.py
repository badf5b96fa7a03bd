"""`gov decide`: the decision, its reasons and its exit code; no tool runs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.authoring import serve, turn_off
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.cli.arguments import MOST_BYTES
from openfeature_gov.decisions import Effect
from openfeature_gov.embedded import load_governance
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.ladder import MODES
from openfeature_gov.stores.history import records
from tests.commands import gov

AT = "2030-01-01T00:00:00.000Z"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with a search tool and an irreversible one."""
    monkeypatch.chdir(tmp_path)
    made = gov("init", "find:search", "erase", "--workflow", "w", "--owner", "o")
    assert made.exit_code == 0
    return tmp_path


def decided(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the decision."""
    result = gov("decide", *arguments)
    return result.exit_code, json.loads(result.stdout)


def served(folder: Path, key: str, variant: str) -> None:
    """Let the flag *key* serve *variant*."""
    path = folder / "flags.json"
    document = json.loads(path.read_text())
    write_document(path, serve(document, key, variant, at=AT))


CODES = {Effect.ALLOW: 0, Effect.QUEUE_FOR_APPROVAL: 5}


@pytest.mark.parametrize("mode", [*MODES, "fallback"])
@pytest.mark.parametrize("tool", ["find", "erase"])
def test_the_exit_code_follows_the_effect(project: Path, tool: str, mode: str) -> None:
    """0 runs as asked, 5 waits for a person, 4 anything else; in every mode."""
    served(project, f"{tool}.mode", mode)
    code, told = decided(tool)
    assert code == CODES.get(Effect(told["effect"]), 4)
    assert told["recorded"] is False
    assert told["recordId"] is None
    reaches = tool == "find" and mode not in ("off", "observe", "fallback")
    queued = tool == "erase" and mode in ("approval_required", "autonomous")
    assert (code == 0) is reaches
    assert (code == 5) is queued


def test_it_shows_every_verdict_and_every_flag(project: Path) -> None:
    """Nothing of what led to the decision is left out, in JSON and in the tables."""
    _, told = decided("erase", "--args", '{"id": 7}')
    assert (told["effect"], told["mode"], told["need"]) == (
        "constrain",
        "observe",
        "autonomous",
    )
    assert told["reason"] == "mode_observe"
    controls = {one["control"] for one in told["verdicts"]}
    assert {"mode", "approval", "denylist", "fallback", "switch"} <= controls
    flags = {one["kind"]: one["key"] for one in told["flags"]}
    assert flags == {
        "switch": "w.global",
        "mode": "erase.mode",
        "approval": "w.approval",
        "denylist": "w.denylist",
        "fallback": "w.fallback",
    }
    text = gov("decide", "erase", "--no-json", "--explain").stdout
    for word in [
        *controls,
        *flags.values(),
        "mode_observe",
        "In the way of autonomous",
    ]:
        assert word in text


def test_explaining_an_allowed_call_names_no_obstacle(project: Path) -> None:
    """What is allowed needs no advice."""
    served(project, "find.mode", "search_only")
    result = gov("decide", "find", "--no-json", "--explain")
    assert result.exit_code == 0
    assert "Nothing stands in the way." in result.stdout


def test_in_brief_it_is_one_line(project: Path) -> None:
    """Effect, mode, reason, and what would lift it; the exit code and JSON stay."""
    held = gov("decide", "erase", "--no-json", "--brief")
    assert held.exit_code == 4
    (line,) = held.stdout.splitlines()
    assert line.startswith("◐ constrain erase · observe · mode_observe · mode: raise")
    assert "gov flags set erase.mode autonomous --reason ..." in line
    assert line.endswith("; and 2 more, see --explain")
    served(project, "find.mode", "search_only")
    for arguments, told in (
        (("find",), "✔ allow find · search_only · mode_search_only · nothing stands"),
        (("nope\x1b[2J",), "✖ deny nope\\x1b[2J · off · tool_unknown (no tool"),
    ):
        (line,) = gov("decide", *arguments, "--no-json", "--brief").stdout.splitlines()
        assert line.startswith(told)
    (whole, brief) = (decided("erase"), decided("erase", "--brief"))
    assert brief[0] == whole[0]
    assert brief[1].keys() == whole[1].keys()
    assert gov("decide", "erase", "--brief", "--explain").exit_code == 2


def test_a_killed_mode_flag_is_explained_as_one(project: Path) -> None:
    """The advice is to undo the kill, not to set a flag that is off."""
    path = project / "flags.json"
    write_document(path, turn_off(json.loads(path.read_text()), "find.mode", at=AT))
    text = gov("decide", "find", "--no-json", "--explain").stdout
    assert "gov flags unkill" in " ".join(text.split())


def test_a_contract_that_lacks_the_mode_is_explained(project: Path) -> None:
    """A mode that allowedModes does not list drops, and the explanation says why."""
    path = project / "governance.yaml"
    path.write_text(path.read_text().replace("      - search_only\n", ""))
    served(project, "find.mode", "search_only")
    text = gov("decide", "find", "--no-json", "--explain").stdout
    assert "does not list search_only, so observe is what is left" in text


def test_the_actor_is_who_the_options_say(project: Path) -> None:
    """Hard authorization sees service and scopes; every id reaches the context."""
    path = project / "governance.yaml"
    boundary = (
        "    hardBoundary:\n      serviceIdentity: svc\n      apiScope: db:read\n"
    )
    text = path.read_text().replace(
        "    riskClass: search\n", "    riskClass: search\n" + boundary
    )
    path.write_text(text)
    served(project, "find.mode", "search_only")
    assert decided("find")[0] == 4
    options = ["--service", "svc", "--scope", "db:read", "--scope", "x", "--user", "u"]
    options += ["--agent", "bot", "--account", "acc", "--environment", "prod"]
    options += ["--region", "eu", "--stage", "s1", "--task", "t", "--confidence", "0.5"]
    code, told = decided("find", *options)
    assert code == 0
    context = {**told, **told["context"]}
    for name, value in [
        ("service", "svc"),
        ("user", "u"),
        ("agent", "bot"),
        ("account", "acc"),
        ("environment", "prod"),
        ("region", "eu"),
        ("stage", "s1"),
        ("task", "t"),
    ]:
        assert context[name] == value
    assert context["confidence"] == "0.5"


def test_arguments_come_inline_from_a_file_or_from_stdin(project: Path) -> None:
    """The three ways give the same action."""
    text = '{"id": 7}'
    (project / "args.json").write_text(text)
    digests = {
        json.loads(gov("decide", "find", "--args", given, stdin=text).stdout)[
            "argumentsDigest"
        ]
        for given in (text, "@args.json", "-")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--args", "[1]"],
        ["--args", "nope"],
        ["--args", '{"a": 1, "a": 2}'],
        ["--args", '{"a": NaN}'],
        ["--agent", "not an id"],
        ["--user", "a@b.c"],
        ["--confidence", "2"],
    ],
)
def test_bad_input_is_a_usage_error(project: Path, arguments: list[str]) -> None:
    """Exit 2, a message, no decision."""
    result = gov("decide", "find", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("nope", "line 1, column 1"),
        ("", "line 1, column 1"),
        ('{"a": 1}x', "line 1, column 9"),
        ('{"a": 1,\n "a": 2}', "line 2, column 2"),
        ('{"a": [{"b": 1}, {"b": ":"}], "a": 1}', "line 1, column 31"),
        ('{"a": NaN}', "line 1, column 7"),
        ('{"a": -1e999}', "line 1, column 7"),
        ('{"a": ' + "7" * 5000 + "}", "line 1, column 7"),
        ("[" * 100_000, "line 1, column 17"),
        ('{"a": ' * 100_000, "line 1, column 97"),
        ("[1]", "line 1, column 1"),
        (" null", "line 1, column 2"),
    ],
)
@pytest.mark.parametrize("way", ["inline", "file", "stdin"])
def test_arguments_that_are_no_json_object_are_refused_in_one_shape(
    project: Path, text: str, place: str, way: str
) -> None:
    """The option, the line and column, the problem, and what to give instead."""
    (project / "args.json").write_text(text)
    given = {"inline": text, "file": "@args.json", "stdin": "-"}[way]
    result = gov("decide", "find", "--args", given, stdin=text)
    assert (result.exit_code, result.stdout) == (2, "")
    said = " ".join(result.stderr.replace("│", " ").split())
    assert f"Invalid value for '--args': {place}: " in said
    assert "; give one JSON object, such as" in said
    assert "recursion" not in said


def test_arguments_that_are_no_utf8_are_refused_in_that_shape(project: Path) -> None:
    """The place counts characters up to the first byte that is none."""
    (project / "args.json").write_bytes(b'{"\xc3\xa9\n": \xff}')
    said = " ".join(gov("decide", "find", "--args", "@args.json").stderr.split())
    assert "line 2, column 4: byte 0xff is no UTF-8; give" in said


@pytest.mark.parametrize("option", ["--args", "--facts"])
@pytest.mark.parametrize("given", ["@endless", "-"])
def test_no_more_is_read_than_arguments_may_hold(
    project: Path, option: str, given: str
) -> None:
    """The option, what was read and the limit are named."""
    with (project / "endless").open("wb") as file:
        file.truncate(2**36)
    command = ["governance", "explain"] if option == "--facts" else ["decide"]
    text = "{}" + " " * MOST_BYTES
    result = gov(*command, "find", option, given, stdin=text)
    assert (result.exit_code, result.stdout) == (2, "")
    said = " ".join(result.stderr.replace("│", " ").split())
    name = "endless" if given == "@endless" else "standard input"
    told = f"'{option}': {name} holds over {MOST_BYTES} bytes; give fewer"
    assert f"Invalid value for {told}" in said


def test_arguments_may_be_as_large_as_the_limit_and_from_a_pipe(project: Path) -> None:
    """The last byte that is allowed is read, and what the shell substitutes."""
    (project / "args.json").write_text("{}" + " " * (MOST_BYTES - 2))
    whole = gov("decide", "find", "--args", "@args.json")
    reader, writer = os.pipe()
    os.write(writer, b"{}")
    os.close(writer)
    piped = gov("decide", "find", "--args", f"@/dev/fd/{reader}")
    os.close(reader)
    digests = [json.loads(one.stdout)["argumentsDigest"] for one in (whole, piped)]
    assert digests[0] == digests[1]


def test_it_says_that_no_extractor_was_run(project: Path) -> None:
    """In JSON, in the tables and in the help: the registered tool may do less."""
    assert decided("find")[1]["extractors"] == "not run"
    assert "Extractors were not run" in gov("decide", "find", "--no-json").stdout
    assert "not run" in " ".join(gov("decide", "--help").stdout.split())


def test_an_unknown_tool_is_denied(project: Path) -> None:
    """It is a decision, not an error, and a hostile name is escaped."""
    code, told = decided("n\x1b[31mope")
    assert (code, told["effect"], told["reason"]) == (4, "deny", "tool_unknown")
    text = gov("decide", "n\x1b[31mope", "--no-json", "--explain").stdout
    assert "\x1b" not in text
    assert "no contract of exactly this name" in text


def test_what_is_recorded_can_be_shown_and_never_ran(project: Path) -> None:
    """With --records the log holds the decision, and that nothing ran after it."""
    served(project, "find.mode", "search_only")
    code, told = decided("find", "--records", "r.db", "--task", "t-1")
    assert code == 0
    log = records(project / "r.db", task="t-1")
    assert [one["kind"] for one in log] == ["decision", "outcome"]
    assert log[0]["id"] == told["recordId"]
    assert log[1]["status"] == "not_run"
    shown = json.loads(gov("runs", "show", "t-1", "--records", "r.db").stdout)
    assert [step["outcome"] for step in shown["steps"]] == ["not_run"]


def test_planning_leaves_no_trace(project: Path) -> None:
    """Without --records no file is made or changed."""
    before = {path: path.read_bytes() for path in project.iterdir()}
    decided("erase")
    assert {path: path.read_bytes() for path in project.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("governance.yaml", None),
        ("governance.yaml", "nonsense: 1"),
        ("governance.yaml", "\x00"),
        ("flags.json", None),
        ("flags.json", "{}"),
        ("flags.json", "not json"),
    ],
)
def test_unusable_files_are_named(project: Path, name: str, text: str | None) -> None:
    """Exit 3 and one error that names the file; no traceback."""
    path = project / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    result = gov("decide", "find")
    assert result.exit_code == 3
    assert name in result.stderr
    assert "Traceback" not in result.output


def test_a_file_that_is_not_utf8_is_named(project: Path) -> None:
    """Exit 3, not a decoding error, and the library says the same."""
    path = project / "governance.yaml"
    path.write_bytes(b"\xff\xfe")
    result = gov("decide", "find")
    assert result.exit_code == 3
    assert "not UTF-8" in result.stderr
    with pytest.raises(InvalidContractError, match="not UTF-8 at byte 0"):
        load_governance(path)


def test_records_that_cannot_be_opened_stop_the_question(project: Path) -> None:
    """Asked to record, it does not answer without a record."""
    (project / "r.db").write_text("no database at all, and long enough to be read")
    result = gov("decide", "find", "--records", "r.db")
    assert result.exit_code == 3
    assert result.stdout == ""

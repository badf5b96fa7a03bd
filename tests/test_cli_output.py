"""How `gov` prints: JSON for programs, nothing raw, colour only where it belongs."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from openfeature_gov.cli import app, output
from openfeature_gov.cli.exits import EXPECTED, Exit, code_of, text_of
from openfeature_gov.errors import GovernanceError
from tests.tree import PATH

GOV = [sys.executable, "-m", "openfeature_gov.cli"]
INIT = ["init", "find:search", "erase", "--workflow", "w", "--owner", "o"]


@given(st.text())
def test_nothing_that_a_terminal_acts_on_survives(text: str) -> None:
    """Whatever comes in, only printable characters go out."""
    shown = output.safe(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@given(st.integers())
def test_any_number_is_a_time_or_nothing(number: int) -> None:
    """A record with a nonsense time does not stop the listing."""
    assert output.moment(number) == "" or output.moment(number)[4] == "-"


def test_every_expected_error_has_a_code() -> None:
    """Codes are those that the help promises; a foreign error has none."""
    assert [code.value for code in Exit] == [0, 1, 2, 3, 4, 5]
    assert {code for _, code in EXPECTED} <= set(Exit)
    assert code_of(ZeroDivisionError()) is None
    assert code_of(GovernanceError()) is None
    assert code_of(FileNotFoundError(2, "gone", "f")) is Exit.UNREACHABLE
    assert text_of(FileNotFoundError(2, "gone", "f")) == "f: gone"
    assert text_of(OSError()) == "OSError"


def test_help_names_every_command_and_the_exit_codes() -> None:
    """A newcomer finds the commands, the lazy one too, and what the codes mean."""
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for name in ["init", "governance", "decide", "flags", "runs", "verify", "demo"]:
        assert f" {name} " in result.stdout
    assert "Exit codes: 0" in result.stdout


def test_version_is_one_line() -> None:
    """--version works whether or not the package is installed."""
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("gov ")
    assert result.stdout.count("\n") == 1


def test_unknown_commands_and_options_are_usage_errors() -> None:
    """They exit 2 and print nothing on standard output."""
    for arguments in (["nope"], ["flags", "list", "--nope"], ["runs", "show"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2
        assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("kill", "gov flags kill"),
        ("doctor", "gov featbit doctor"),
        ("rotate", "gov agents rotate, gov audit key rotate"),
        ("key", "gov audit key"),
    ],
)
def test_a_command_without_its_group_is_told_where_it_is(
    name: str, places: str
) -> None:
    """Every place of that name, as it is typed; no lazy command is imported for it."""
    code = "import sys; from openfeature_gov.cli import main, tree"
    code += "\ntry: main()\nexcept SystemExit as end: print(end.code)"
    code += "\nprint([one for one in tree.LAZY.values() if one in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, name, "refund"],
        env=_environment(COLUMNS="120"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"No such command '{name}'. Did you mean: {places} " in done.stderr
    assert done.stdout == "2\n[]\n"


def test_a_command_that_is_nowhere_is_only_unknown() -> None:
    """What is merely like one is named as before; all else is named nowhere."""
    assert "Did you mean" not in CliRunner().invoke(app, ["nope"]).stderr
    assert "'flags'" in CliRunner().invoke(app, ["flag"]).stderr
    assert "No such command" in CliRunner().invoke(app, ["flag"]).stderr


def _environment(**extra: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GOV_", "NO_CO"))}
    kept = {k: v for k, v in kept.items() if k not in ("FORCE_COLOR", "COLUMNS")}
    return {**kept, "PYTHONPATH": PATH, "TERM": "xterm-256color", **extra}


def _on_a_terminal(folder: Path, *arguments: str, **extra: str) -> str:
    """Return what `gov` writes to a terminal of 80 columns."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [*GOV, *arguments],
        cwd=folder,
        env=_environment(COLUMNS="80", **extra),
        stdout=side,
        stderr=subprocess.DEVNULL,
    )
    os.close(side)
    parts = []
    try:
        while part := os.read(main, 65536):
            parts.append(part)
    except OSError:  # the other end is closed
        pass
    os.close(main)
    process.wait()
    return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the files that init writes."""
    assert CliRunner().invoke(app, [*INIT, "--dir", str(tmp_path)]).exit_code == 0
    return tmp_path


def test_a_terminal_gets_tables_of_its_width(project: Path) -> None:
    """Tables and colour on a terminal; NO_COLOR takes the colour away."""
    for arguments in (["flags", "list"], ["decide", "erase", "--explain"]):
        coloured = _on_a_terminal(project, *arguments)
        plain = _on_a_terminal(project, *arguments, NO_COLOR="1")
        assert "\x1b[3" in coloured
        assert "\x1b[3" not in plain
        assert "w.denylist" in plain
        lines = plain.replace("\x1b[0m", "").replace("\x1b[1m", "").splitlines()
        assert max(map(len, (line.replace("\x1b[2m", "") for line in lines))) <= 80


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a demo that was played."""
    folder = tmp_path_factory.mktemp("demo") / "played"
    told = CliRunner().invoke(app, ["demo", "--no-pause", "--keep", str(folder)])
    assert told.exit_code == 0
    return folder


def test_the_demo_fits_eighty_columns(tmp_path: Path) -> None:
    """The first thing that anybody sees: what was decided, why, and what happened."""
    keep = str(tmp_path / "played")
    arguments = ("demo", "--no-pause", "--no-json", "--keep", keep)
    shown = _on_a_terminal(tmp_path, *arguments, NO_COLOR="1")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    lines = [" ".join(line.split()) for line in plain.splitlines()]
    for words in (
        "tool decided because in the shop",
        "modify_pending_order_address ◐ constrained mode_draft_write draft",
        "exchange_delivered_order_items ↺ fell back incident_fallback to a person",
        "refund_order ◌ queued approval_required waits",
        "refund_\\u043erder ✖ denied tool_unknown nothing",
    ):
        assert any(line.startswith(words) for line in lines)
    assert "…" not in plain


NAMED = {
    ("runs", "list"): ("runs", ("task", "agent", "effects")),
    ("runs", "show", "tool-off/5"): ("steps", ("tool", "effect", "mode", "record")),
    ("runs", "show", "draft/1"): ("steps", ("tool", "outcome", "mode", "record")),
    ("audit", "query"): ("records", ("id", "kind", "tool", "effect", "reason")),
    ("flags", "list"): ("flags", ("key", "type")),
}


@pytest.mark.parametrize("command", NAMED, ids=" ".join)
def test_nothing_is_cut_in_eighty_columns(
    played: Path, command: tuple[str, ...]
) -> None:
    """Whatever one may have to copy stands there in one piece."""
    shown = _on_a_terminal(played, *command, "--no-json", NO_COLOR="1")
    found = set(re.sub(r"\x1b\[[0-9;]*m|[()]", "", shown).split())
    listed, names = NAMED[command]
    whole = subprocess.run(
        [*GOV, *command, "--json"],
        cwd=played,
        env=_environment(),
        capture_output=True,
        check=True,
    )
    rows = json.loads(whole.stdout)[listed]
    values = [row.get(name) or () for row in rows for name in names]
    words = {word for one in values for word in ([one] if type(one) is str else one)}
    assert len(words) > 5
    assert words <= found


def test_a_pipe_gets_json_without_asking(project: Path) -> None:
    """Where standard output is no terminal, it is one JSON document."""
    result = subprocess.run(
        [*GOV, "flags", "list"],
        cwd=project,
        env=_environment(FORCE_COLOR="1"),
        capture_output=True,
        check=True,
    )
    keys = [flag["key"] for flag in json.loads(result.stdout)["flags"]]
    assert keys == [
        "w.global",
        "w.approval",
        "w.denylist",
        "w.fallback",
        "find.mode",
        "erase.mode",
    ]


def test_a_locale_without_unicode_is_no_obstacle(project: Path) -> None:
    """Marks and arrows degrade to escapes; the command still says its piece."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run(
        [*GOV, "decide", "erase", "--no-json", "--explain"],
        cwd=project,
        env=_environment(**ascii_only, PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=False,
    )
    assert result.returncode == 4
    assert b"mode_observe" in result.stdout
    assert result.stderr == b""


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(missing: str) -> None:
    """The console script explains itself; any other missing module is our fault."""
    code = f"import sys; sys.modules[{missing!r}] = None\n"
    code += "from openfeature_gov.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "pip install 'openfeature-gov[cli]'" in result.stderr


def test_nothing_but_the_command_line_imports_its_libraries() -> None:
    """The package works, and stays light, without typer and rich."""
    code = "import sys, openfeature_gov, openfeature_gov.embedded\n"
    code += "import openfeature_gov.cli\n"
    code += "sys.exit(bool({'typer', 'rich'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], env=_environment(), check=True)

"""The README: every code block runs, in order, as a reader would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.governance import parse
from openfeature_gov.verification import size
from tests.tree import PATH, ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PROGRAMS = {
    "gov": f"{sys.executable} -m openfeature_gov.cli",
    "python": sys.executable,
}
SILENT = {"gov decide look_up": 4}
"""Commands whose documented exit code is not 0."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PATH}


def run_console(text: str, folder: Path) -> None:
    for line in text.splitlines():
        command = line.removeprefix("$ ")
        assert command != line, f"not a command: {line}"
        program, _, arguments = command.partition(" ")
        done = subprocess.run(  # noqa: S602 - a reader types it into a shell
            f"{PROGRAMS[program]} {arguments}",
            shell=True,
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        wanted = [code for start, code in SILENT.items() if command.startswith(start)]
        assert done.returncode == (wanted or [0])[0], done.stdout + done.stderr


def run_python(text: str, folder: Path, before: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", before + text],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_blocks_run_in_order(tmp_path: Path) -> None:
    """Console blocks exit as documented, Python blocks run without a warning."""
    shutil.copy(gov_verify.__file__, tmp_path)
    program, printed = "", []
    for language, text in BLOCKS:
        if language == "console":
            run_console(text, tmp_path)
            if "set refund.mode" in text:
                printed.append(run_python(program, tmp_path, ""))
        elif language == "python" and not program:
            program = text
            printed.append(run_python(text, tmp_path, ""))
        elif language == "python":
            start = program.index("governor = Governor")
            context = program[program.index("context = ") : program.index("call = ")]
            run_python(text, tmp_path, program[:start] + context)
    first, second = (out.splitlines()[0] for out in printed)
    assert first == "constrain | mode_observe | None"
    assert second == "constrain | mode_draft_write | draft of a refund on o-42"


def test_contents_name_every_section() -> None:
    """The list at the top links to the sections that there are, in their order."""
    sections = re.findall(r"^## (.+)$", README, re.MULTILINE)
    top = README[: README.index("\n## ")]
    links = re.findall(r"\[([^]]+)\]\(#([^)]+)\)", top)
    assert [name for name, _ in links] == sections
    for name, anchor in links:
        plain = re.sub(r"[^\w\- ]", "", name.lower())
        assert anchor == plain.replace(" ", "-")


def test_a_consequential_tool_runs_where_the_three_things_hold(tmp_path: Path) -> None:
    """Each of the three that the README names is needed, and together they do."""
    program = next(text for language, text in BLOCKS if language == "python")
    run_console(next(text for language, text in BLOCKS if "gov init" in text), tmp_path)
    contract = tmp_path / "governance.yaml"

    def reason() -> str:
        return run_python(program, tmp_path, "").splitlines()[0]

    assert re.search(r"gov flags set refund.mode autonomous", README)
    assert re.search(r"gov flags set support.approval false", README)
    run_console("$ gov flags set refund.mode autonomous --reason x", tmp_path)
    assert reason() == "queue_for_approval | approval_required | None"
    run_console("$ gov flags set support.approval false --reason x", tmp_path)
    assert reason() == "queue_for_approval | held_back | None"
    text, stated = contract.read_text(), "    reversibility: manual\n"
    line = "    riskClass: external_effect\n"
    opted = "    autonomyFor: [irreversible]\n"
    for added in (stated, opted):
        contract.write_text(text.replace(line, line + added))
        assert reason() == "allow | approval_waived | refunded 12.5 on o-42"


def test_first_program_is_short() -> None:
    """The first program has at most 25 lines."""
    program = next(text for language, text in BLOCKS if language == "python")
    assert len(program.splitlines()) <= 25


def test_governance_example_loads() -> None:
    """The YAML in the README is a valid contract each."""
    texts = [text for language, text in BLOCKS if language == "yaml"]
    tools = [one.tool for text in texts for one in parse(text)]
    assert tools == ["send_customer_email", "issue_refund"]


def test_numbers_are_those_of_the_code() -> None:
    """The size of the space that the README names is the real one."""
    assert f"{size():,} states" in README


@pytest.mark.parametrize("name", ["demo", "test"])
def test_the_two_commands_are_marked(name: str) -> None:
    """The commands that .ci/run reads out of the README are there, one line each."""
    _, _, after = README.partition(f"<!-- command: {name} -->\n```sh\n")
    command, fence, _ = after.partition("\n```")
    assert fence
    assert "\n" not in command

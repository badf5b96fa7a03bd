"""`gov verify`: the exit code is the verdict."""

import json
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from openfeature_gov.cli import app, verify
from openfeature_gov.verification import Report

GOOD = Report(3, (), "d" * 64, ("Nothing widens.",))
BROKEN = Report(3, ("Nothing widens.: \x1b[31mstate",), "d" * 64, ("Nothing widens.",))
EMPTY = Report(0, (), "d" * 64, ())


@pytest.mark.parametrize("as_json", [True, False])
def test_a_report_without_violations_passes(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    """It names the states, the invariants and the digest."""
    verify.tell(GOOD, as_json=as_json)
    printed = capsys.readouterr().out
    assert "d" * 64 in printed
    assert "Nothing widens." in printed
    if as_json:
        assert json.loads(printed)["holds"] is True


@pytest.mark.parametrize("report", [BROKEN, EMPTY])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_violation_or_no_states_at_all_fail(
    capsys: pytest.CaptureFixture[str], report: Report, *, as_json: bool
) -> None:
    """Exit 4; looking at nothing is no proof, and no text reaches the terminal raw."""
    with pytest.raises(typer.Exit) as stopped:
        verify.tell(report, as_json=as_json)
    assert stopped.value.exit_code == 4
    assert "\x1b" not in capsys.readouterr().out


def test_the_command_enumerates_the_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for the whole space, shows progress, and tells what it found."""
    asked: list[tuple[int, int]] = []

    def whole(progress: Callable[[int, int], None]) -> Report:
        progress(1, 3)
        asked.append((1, 3))
        return GOOD

    monkeypatch.setattr(verify, "verify_space", whole)
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 0
    assert asked == [(1, 3)]
    assert json.loads(result.stdout)["states"] == 3

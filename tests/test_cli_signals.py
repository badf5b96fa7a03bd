"""`gov signals`: what holds, and a release that a running Governor hears of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from openfeature_gov import ToolCall
from openfeature_gov.cli import app
from openfeature_gov.observing import releases
from openfeature_gov.observing.releases import ReleaseWatch, SignalRelease
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, Make, contract_yaml
from tests.waiting import until

RULES = (
    "[{kind: signal, name: quality, metric: errors, above: 5, cap: approval_required,"
    " namedRelease: true, missing: approval_required}]"
)
CALL = ToolCall("mail", {}, CONTEXT)


@pytest.fixture
def one(desk: Make, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a desk with a tool that a signal holds by name."""
    monkeypatch.setattr(releases, "EVERY_US", 1_000)
    made = desk(contract_yaml("mail", guardrails=RULES))
    made.governor.tool("mail")(made.spy)
    return made


def gov(one: Desk, *words: str, exits: int = 0) -> Any:
    places = ["--governance", str(one.governance), "--records", str(one.records)]
    result = CliRunner().invoke(app, ["signals", *words, *places, "--json"])
    assert result.exit_code == exits, result.output
    return json.loads(result.stdout) if exits == 0 else result.output


def release(one: Desk, metric: str = "errors", exits: int = 0) -> Any:
    words = ("release", metric, "--actor", "dana", "--reason", "mended in v2")
    return gov(one, *words, exits=exits)


def reason(one: Desk) -> str:
    return one.governor.run(CALL).reason


def held(one: Desk) -> None:
    """Let the signal turn bad and good again: it holds then, for want of a name."""
    for value in (9, 0, 0, 0):
        one.governor.report_signal("errors", value)
    assert reason(one) == "signal_fired"


def test_a_running_governor_hears_of_a_release(one: Desk) -> None:
    """It is recorded with its name and reason, and counts from the next calls on."""
    held(one)
    said = release(one)
    assert (said["by"], said["tools"]) == ("dana", ["mail"])
    until(lambda: reason(one) != "signal_fired")
    one.governor.close()
    (record,) = history.records(one.records, kind="signal_release")
    assert record["id"] == said["record"]
    told = (record["metric"], record["actor"], record["reason"])
    assert told == ("errors", "dana", "mended in v2")


def test_a_release_says_nothing_of_what_turns_bad_later(one: Desk) -> None:
    """Released while bad it holds on, and so it does when it turns bad anew."""
    one.governor.report_signal("errors", 9)
    assert reason(one) == "signal_fired"
    release(one)
    held(one)
    watch = one.governor._decider.observer._watch
    assert watch is not None
    watch.take()
    assert reason(one) == "signal_fired"
    release(one)
    until(lambda: reason(one) != "signal_fired")


def test_list_shows_what_the_last_decision_found(one: Desk) -> None:
    """Before any call nothing is known; then what holds, and who let go last."""
    (row,) = gov(one, "list")["signals"]
    assert (row["found"], row["release"], row["namedRelease"]) == (
        "nothing yet",
        None,
        True,
    )
    held(one)
    release(one)
    one.governor.close()
    (row,) = gov(one, "list")["signals"]
    assert (row["tool"], row["guardrail"], row["metric"]) == (
        "mail",
        "quality",
        "errors",
    )
    assert (row["found"], row["mean"]) == ("signal_fired", "2.25")
    assert row["release"]["by"] == "dana"
    places = ["--governance", str(one.governance), "--records", str(one.records)]
    shown = CliRunner(env={"COLUMNS": "160"}).invoke(app, ["signals", "list", *places])
    assert "signal_fired" in shown.stdout


@pytest.mark.parametrize("metric", ["other", ""])
def test_a_metric_that_nobody_looks_at_is_refused(one: Desk, metric: str) -> None:
    """Nothing is recorded of what no guardrail names."""
    assert "no guardrail of" in release(one, metric, exits=2)
    one.governor.close()
    assert not [*history.records(one.records, kind="signal_release")]


@pytest.mark.parametrize(
    ("actor", "why"), [("ann@shop.example", "ok"), ("ann", " "), ("ann", "w" * 257)]
)
def test_a_release_needs_an_id_and_a_reason(one: Desk, actor: str, why: str) -> None:
    """No address of a person, and no empty or cut reason, gets into the record."""
    gov(one, "release", "errors", "--actor", actor, "--reason", why, exits=2)
    one.governor.close()
    assert not [*history.records(one.records, kind="signal_release")]


def test_a_log_that_cannot_be_read_lets_go_of_nothing() -> None:
    """Each release is told once, and what fails is tried again later."""
    told: list[SignalRelease] = []
    known = [SignalRelease("a", "errors", "dana", 200_000_000)]
    asked: list[int] = []

    def read(since_us: int) -> list[SignalRelease]:
        asked.append(since_us)
        if len(asked) == 1:
            raise OSError("gone")
        return known

    watch = ReleaseWatch(read, told.append, 100_000_000)
    for _ in range(3):
        watch.take()
    known.append(SignalRelease("b", "errors", "eve", 190_000_000))
    watch.take()
    assert [one.id for one in told] == ["a", "b"]
    assert asked == [100_000_000, 100_000_000, 140_000_000, 140_000_000]

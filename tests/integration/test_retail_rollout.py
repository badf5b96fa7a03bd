"""The retail agent from observe to autonomous on proof, killed midway, then fallen."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from examples import retail_rollout
from openfeature_gov.demo.recorded import read_calls, read_store
from openfeature_gov_rollout.plans import parse
from tests.full import FULL

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # the SDK leaves sockets open
)
SHARED = Path(__file__).parents[3] / "shared" / "data"
WHERE = ["file", "featbit"] if FULL else ["file"]
Report = retail_rollout.Report


@pytest.fixture(scope="module", params=WHERE)
def report(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    """Stage the agent on the 550 recorded calls."""
    calls = SHARED / "retail_tool_calls.jsonl"
    shop = SHARED / "retail_db.json"
    if not (calls.exists() and shop.exists()):
        pytest.skip(f"the recorded retail calls are not in {SHARED}")
    keep = tmp_path_factory.mktemp("kept") / request.param
    with closing(read_store(shop)) as store:
        return retail_rollout.stage_agent(
            read_calls(calls), store, featbit=request.param == "featbit", keep=keep
        )


def test_every_promise_is_kept(report: Report) -> None:
    """The example finds none broken."""
    assert report.broken == []


def test_each_advance_is_justified_by_its_gates(report: Report) -> None:
    """Every stage but clean-up was proven, and the record of its end says by what."""
    (plan,) = parse(retail_rollout.PLAN.read_text("utf-8"))
    named = [stage.name for stage in plan.stages if not stage.clean_up]
    assert [one.name for one in report.stages] == named
    advances: list[Any] = [e for e in report.history if e["verb"] == "advance"]
    for one, event in zip(report.stages[:-1], advances[1:], strict=True):
        assert event["from"] == one.name
        assert {gate["answer"] for gate in event["gates"]} == {"pass"}
        assert [gate["sentence"] for gate in event["gates"]] == list(one.proof)
        assert not event["override"]


def test_the_kill_switch_in_the_middle_wins(report: Report) -> None:
    """All calls are denied, nothing moves by itself, and no override gets past it."""
    assert report.kill["denied"] == report.kill["calls"] == retail_rollout.INTERVAL
    assert report.kill["controller"] is None
    assert "killed" in str(report.kill["refusal"])


def test_a_regression_is_rolled_back_within_one_interval(report: Report) -> None:
    """The first evaluation after it; locked then, and nothing is written any more."""
    assert report.regression["evaluations"] == 1
    assert report.regression["stage"] == "rolled-back"
    assert report.regression["wroteAfterwards"] == 0
    assert "locked" in str(report.regression["refusal"])


def test_the_history_explains_each_step_from_records_alone(report: Report) -> None:
    """Who, why, on which evidence, from which flag to which: for every transition."""
    for event in report.history:
        assert event["actor"] in (retail_rollout.OWNER, "rollout-controller")
        assert event["result"] == "applied"
        assert len(str(event["evidenceDigest"])) == 64
        assert event["flagBefore"] != event["flagAfter"]
    last: Any = report.history[-1]
    assert (last["verb"], last["actor"]) == ("rollback", "rollout-controller")
    assert any(gate["answer"] == "fail" for gate in last["recentGates"])


def test_the_example_refuses_what_is_no_recording(tmp_path: Path) -> None:
    """Exit 2 and one line that names the file."""
    empty = tmp_path / "calls.jsonl"
    empty.write_text("")
    done = subprocess.run(
        [sys.executable, "examples/retail_rollout.py", "--calls", str(empty)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 2
    assert str(empty) in done.stderr

"""`gov rollout compare` and `signal`: what they say, record, refuse and exit with."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import Result

from openfeature_gov import Actor, CallContext, Governor, ToolCall
from openfeature_gov.stores import history
from tests.commands import gov, told
from tests.rollouts import CONTRACTS, PLAN, on_file

HELD = "  lineage: {accepted: [{agentVersion: '1'}], cap: observe}\n"
BETWEEN = ("--old", "agentVersion=1", "--new", "agentVersion=2")
CASE = ("--reference", "INC-7", "--actor", "desk")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with contracts that hold new releases, and a plan."""
    monkeypatch.chdir(tmp_path)
    held = "---\n".join(
        one.rstrip("\n") + "\n" + HELD for one in CONTRACTS.split("---\n")
    )
    (tmp_path / "governance.yaml").write_text(held)
    (tmp_path / "rollout.yaml").write_text(PLAN)
    on_file(tmp_path)
    return tmp_path


def rollout(*arguments: str) -> Result:
    return gov("rollout", *arguments)


def work(folder: Path, tasks: int, tool: str = "lookup") -> None:
    """Let both releases do the same tasks, the new one with *tool*."""
    files = (folder / "governance.yaml", folder / "flags.json", folder / "records.db")
    with Governor.open(*files) as governor:
        for name in ("lookup", "refund"):
            governor.tool(name)(lambda: None)
        for place in range(tasks):
            for version, name in (("1", "lookup"), ("2", tool)):
                context = CallContext(
                    actor=Actor(agent="bot", user="user-1", version=version),
                    task=f"task-{place}",
                    cost_estimate=Decimal("0.1"),
                )
                governor.run(ToolCall(name, {}, context))


def accept(folder: Path, version: str) -> None:
    """Do by hand what the comparison says."""
    path = folder / "governance.yaml"
    added = HELD.replace("]", f', {{"agentVersion": "{version}"}}]')
    path.write_text(path.read_text().replace(HELD, added))


def test_a_release_that_behaves_alike_clears_its_gates(folder: Path) -> None:
    """Exit 0, with every bound; fewer tasks hold, and say how many are missing."""
    work(folder, 90)
    done = rollout("compare", "refunds", *BETWEEN)
    assert done.exit_code == 5, done.output
    assert told(done, 5)["next"] == []
    holding = [one for one in told(done, 5)["gates"] if one["answer"] == "hold"]
    assert {one["metric"] for one in holding} >= {"agreement", "tool_choice"}
    assert all(one["missing"] for one in holding)
    work(folder, 130)
    done = rollout("compare", "refunds", *BETWEEN)
    assert done.exit_code == 0, done.output
    assert told(done)["answer"] == "pass"
    text = rollout("compare", "refunds", *BETWEEN, "--no-json").stdout
    assert "tool_choice" in text
    assert "proven" in text
    add, check, _ = told(done)["next"]
    assert add.endswith(
        'add {"agentVersion": "2"} to lineage.accepted of refund, lookup'
    )
    assert add in text
    assert check in text
    accept(folder, "2")
    assert gov(*check.split()[1:]).exit_code == 0
    done = rollout("compare", "refunds", *BETWEEN)
    assert told(done)["next"] == ["nothing: no contract of this plan holds it back"]


def test_a_release_that_chooses_other_tools_fails(folder: Path) -> None:
    """Exit 4, and which gate it was."""
    work(folder, 40, tool="refund")
    done = rollout("compare", "refunds", *BETWEEN)
    assert done.exit_code == 4, done.output
    answers = {one["metric"]: one["answer"] for one in told(done, 4)["gates"]}
    assert answers["tool_choice"] == "fail"
    assert told(done, 4)["next"] == []


@pytest.mark.parametrize(
    "given",
    [
        ("--old", "agentVersion=1", "--new", "version=2"),
        ("--old", "agentVersion", "--new", "agentVersion=2"),
        (*BETWEEN, "--from", "yesterday"),
    ],
)
def test_a_release_or_time_that_cannot_be_read_is_refused(
    folder: Path, given: tuple[str, ...]
) -> None:
    """Exit 2."""
    work(folder, 1)
    done = rollout("compare", "refunds", *given)
    assert done.exit_code == 2, done.output


def test_an_unknown_plan_is_refused(folder: Path) -> None:
    """Exit 2, with the plans that there are."""
    for given in (("compare", "nobody", *BETWEEN), ("signal", "nobody", "support")):
        done = rollout(*given, *(CASE if "support" in given else ()))
        assert done.exit_code == 2
        assert "refunds" in done.output


def test_a_signal_is_recorded_and_counted(folder: Path) -> None:
    """With who told it, and where the case is kept."""
    done = rollout("signal", "refunds", "incident", "--tool", "refund", *CASE)
    assert done.exit_code == 0, done.output
    (record,) = history.records(folder / "records.db", kind="signal")
    assert record["id"] == told(done)["record"]
    about = {"signal": "incident", "workflow": "refunds", "tool": "refund"}
    assert about.items() <= record.items()
    assert (record["reference"], record["by"]) == ("INC-7", "desk")
    text = rollout("signal", "refunds", "support", *CASE, "--no-json").stdout
    assert "recorded support" in text


@pytest.mark.parametrize(
    "given",
    [
        ("outage", *CASE),
        ("incident", "--tool", "mail", *CASE),
        ("incident", "--reference", "she called again", "--actor", "desk"),
    ],
)
def test_a_signal_that_no_gate_reads_is_refused(
    folder: Path, given: tuple[str, ...]
) -> None:
    """Exit 2, and nothing is recorded."""
    done = rollout("signal", "refunds", *given)
    assert done.exit_code == 2, done.output
    log = folder / "records.db"
    assert not log.exists() or not history.records(log, kind="signal")


def test_a_release_that_is_held_back_stops_the_rollout(folder: Path) -> None:
    """Until it is accepted: what the stage shows is not the released agent's."""
    begun = rollout("advance", "refunds", "--reason", "begin", "--actor", "ann")
    assert begun.exit_code == 0, begun.output
    work(folder, 2)
    (status,) = told(rollout("status"))["rollouts"]
    blocks = {one["why"]: one["text"] for one in status["blocks"]}
    assert blocks["other"].startswith("2 calls of late are of a release")
    contracts = folder / "governance.yaml"
    accepted = contracts.read_text().replace(
        "[{agentVersion: '1'}]", "[{agentVersion: '1'}, {agentVersion: '2'}]"
    )
    contracts.write_text(accepted)
    (status,) = told(rollout("status"))["rollouts"]
    assert "other" not in {one["why"] for one in status["blocks"]}

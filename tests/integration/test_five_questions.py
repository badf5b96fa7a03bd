"""The five questions of article 002, answered from the record of the retail run."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from examples import retail_support as retail
from openfeature_gov.cli import app
from openfeature_gov.demo.recorded import CALLS, SHOP, read_calls, read_store
from openfeature_gov.demo.session import opened
from openfeature_gov.demo.tally import Tally
from openfeature_gov.evidence.reports import QUESTIONS
from openfeature_gov.stores import history

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


class Ran(NamedTuple):
    """Hold the log of a run, and what the run itself counted."""

    log: Path
    tallies: list[Tally]
    killed: retail.KillReport


@pytest.fixture(scope="module", params=["scenario", "recorded"])
def ran(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    """Govern the calls in every mode and with a kill in the middle."""
    calls, shop = CALLS, SHOP
    if request.param == "recorded":
        calls, shop = SHARED / "retail_tool_calls.jsonl", SHARED / "retail_db.json"
        if not (calls.exists() and shop.exists()):
            pytest.skip(f"the recorded retail calls are not in {SHARED}")
    folder = tmp_path_factory.mktemp("run")
    recorded = read_calls(calls)
    with (
        closing(read_store(shop)) as pristine,
        opened(folder, pristine, mode="off", poll_seconds=retail.POLL_S) as session,
    ):
        reports = [
            retail.run_setting(
                session, pristine, calls=recorded, name=name, advance=_idle
            )
            for name in retail.SETTINGS
        ]
        killed = retail.kill_midway(session, pristine, calls=recorded, advance=_idle)
    return Ran(folder / "records.db", [one.tally for one in reports], killed)


def _idle() -> None:
    """Show no progress."""


def ask(ran: Ran, name: str, *options: str) -> dict[str, Any]:
    """Return the answer of `gov audit report`."""
    command = ["audit", "report", name, "--records", str(ran.log), "--json", *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_every_action_is_counted(ran: Ran) -> None:
    """As many as the run made, by effect; what ran has an outcome."""
    answer = ask(ran, "actions")
    made = sum(one.calls for one in ran.tallies) + ran.killed.calls
    assert answer["totals"]["decided"] == made
    assert answer["totals"]["open"] == answer["totals"]["unknown"] == 0
    effects: Counter[str] = Counter()
    for row in answer["rows"]:
        effects[row["effect"]] += row["decided"]
    counted = sum(one.queued for one in ran.tallies)
    assert effects["queue_for_approval"] >= counted
    assert effects["fallback"] == sum(one.fell_back for one in ran.tallies)


def test_authority_names_owner_flags_and_who_changed_them(ran: Ran) -> None:
    """Of every group of decisions that a contract was found for."""
    answer = ask(ran, "authority", "--limit", "50")
    known = [row for row in answer["rows"] if row["workflow"]]
    assert known
    assert all(row["owner"] and row["flags"] for row in known)
    assert all(row["authorization"] for row in known)
    assert all(item["user"] or item["agent"] for item in answer["items"])


def test_data_that_was_modified_is_what_the_run_wrote(ran: Ran) -> None:
    """No more and no less: what the shop refused ran too, and says so."""
    answer = ask(ran, "data", "--limit", "0")
    modified = answer["totals"].get("modified", 0)
    written = sum(one.wrote for one in ran.tallies)
    failed = sum(one.refused for one in ran.tallies)
    assert written <= modified <= written + failed + ran.killed.ran_before
    drafted = sum(one.drafted for one in ran.tallies)
    assert answer["totals"].get("drafted", 0) == drafted


def test_cost_counts_what_ran(ran: Ran) -> None:
    """Nobody reported a cost here, and the answer does not make one up."""
    totals = ask(ran, "cost", "--per-task", "1")["totals"]
    kinds = Counter(one["kind"] for one in history.records(ran.log))
    assert totals["actions"] == kinds["outcome"]
    assert (totals["costed"], totals["cost"], totals["within"]) == (0, "0", True)


def test_boundaries_are_everything_that_was_not_simply_allowed(ran: Ran) -> None:
    """The kill is among them, with the control that stopped each call."""
    answer = ask(ran, "boundaries", "--limit", "500")
    allowed = sum(
        one["kind"] == "decision" and one["effect"] == "allow"
        for one in history.records(ran.log)
    )
    decided = ask(ran, "actions")["totals"]["decided"]
    assert sum(answer["totals"].values()) == decided - allowed
    assert answer["totals"]["deny"] >= ran.killed.denied_after > 0
    denied = [one for one in answer["items"] if one["effect"] == "deny"]
    assert all(one["controls"] and one["resolution"] for one in denied)


def test_nothing_stands_out_in_it(ran: Ran) -> None:
    """And every question can be asked of every agent in the log."""
    command = ["audit", "findings", "--records", str(ran.log), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["serious"] == 0
    agents = {row["agent"] for row in ask(ran, "actions")["rows"]}
    for agent in agents - {None}:
        for name in QUESTIONS:
            assert ask(ran, name, "--agent", agent)["name"] == name

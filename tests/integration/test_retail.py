"""Recorded retail calls through every mode: the store itself says what happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples import retail_support as retail
from openfeature_gov import governance
from openfeature_gov.decisions import need_of
from openfeature_gov.demo.afterwards import ReviewReport
from openfeature_gov.demo.agent import CANCEL, MONEY, Played
from openfeature_gov.demo.orders import OrderStore
from openfeature_gov.demo.recorded import (
    CALLS,
    GOVERNANCE,
    SHOP,
    RecordedCall,
    read_calls,
    read_store,
)
from openfeature_gov.demo.session import edit, opened
from openfeature_gov.ladder import MODES, Mode
from tests.tree import PATH, ROOT

SHARED = ROOT.parent / "shared" / "data"
CONTRACTS = governance.parse(GOVERNANCE.read_text("utf-8"), str(GOVERNANCE))
HOSTILE = {("6", 1), ("6", 2)}
"""The scenario's calls that no mode lets through: a forged amount, a look-alike."""


@dataclass(frozen=True, slots=True)
class Case:
    """One recording with its shop, and what the example made of it."""

    calls: list[RecordedCall]
    denied: int
    reports: dict[str, retail.ModeReport]
    killed: retail.KillReport
    looked: ReviewReport

    def needing(self, *needs: Mode) -> int:
        """Count the calls whose contract needs one of *needs*."""
        return sum(need(call) in needs for call in self.calls) - (
            self.denied if Mode.AUTONOMOUS in needs else 0
        )


def need(call: RecordedCall) -> Mode:
    """Return what the contract of the call's tool needs; unknown tools the most."""
    rules = CONTRACTS.get(call.tool)
    if rules is None:
        return Mode.AUTONOMOUS
    return need_of(rules.risk_class, rules.floor)


@pytest.fixture(
    scope="module",
    params=["scenario", "scenario-featbit", "recorded", "recorded-featbit"],
)
def case(request: pytest.FixtureRequest) -> Case:
    """Govern the packaged scenario, and the 550 recorded calls where they are."""
    calls, shop, denied = CALLS, SHOP, len(HOSTILE)
    recording, _, featbit = request.param.partition("-")
    if recording == "recorded":
        calls, denied = SHARED / "retail_tool_calls.jsonl", 0
        shop = SHARED / "retail_db.json"
        if not (calls.exists() and shop.exists()):
            pytest.skip(f"the recorded retail calls are not in {SHARED}")
    recorded = read_calls(calls)
    with closing(read_store(shop)) as store:
        before = store.fingerprint()
        reports, killed = retail.govern_calls(recorded, store, featbit=bool(featbit))
        looked = retail.review_afterwards(recorded, store)
        assert store.fingerprint() == before
    by_name = {one.setting: one for one in reports}
    return Case(recorded, denied, by_name, killed, looked)


def test_every_call_is_decided_exactly_once(case: Case) -> None:
    """In every setting the five effects add up to the number of calls."""
    assert list(case.reports) == [*MODES, "incident"]
    for report in case.reports.values():
        tally = report.tally
        decided = tally.allowed + tally.constrained + tally.queued
        assert tally.calls == len(case.calls)
        assert decided + tally.denied + tally.fell_back == tally.calls


def test_every_promise_is_kept(case: Case) -> None:
    """The example finds no broken promise in its own runs."""
    assert [one.broken for one in case.reports.values() if one.broken] == []
    assert case.killed.broken == ()
    assert case.looked.broken == ()


def test_a_refused_cancellation_restores_the_order(case: Case) -> None:
    """Exactly, by the fingerprint of the store; an accepted one stands."""
    looked = case.looked
    assert looked.calls == sum(one.tool == CANCEL for one in case.calls)
    assert looked.refused == looked.restored == (looked.ran + 1) // 2 > 0
    assert looked.accepted == looked.ran - looked.refused
    assert looked.ran + looked.void + looked.waited == looked.calls


def test_nothing_runs_when_off_or_observed(case: Case) -> None:
    """Off denies all, observe records all, and the store does not change."""
    off, observe = case.reports["off"], case.reports["observe"]
    assert off.tally.denied == len(case.calls)
    assert observe.tally.constrained == len(case.calls) - case.denied
    for report in (off, observe):
        assert report.fingerprint_equal
        assert report.drafts_kept == report.hand_overs == report.tally.wrote == 0


def test_each_mode_allows_what_its_rung_reaches(case: Case) -> None:
    """What is allowed follows from the contracts alone, call by call."""
    reach = (Mode.SEARCH_ONLY, Mode.SCOPED_READ, Mode.DRAFT_WRITE)
    for mode in (Mode.SEARCH_ONLY, Mode.SCOPED_READ, Mode.DRAFT_WRITE):
        allowed = case.needing(*(one for one in reach if one <= mode))
        tally = case.reports[mode.label].tally
        assert (tally.allowed, tally.denied) == (allowed, case.denied)
        assert tally.constrained == len(case.calls) - allowed - case.denied
        assert tally.queued == 0


def test_reading_modes_leave_the_store_alone(case: Case) -> None:
    """Search, scoped reads and an incident change no row of the shop."""
    for name in ("search_only", "scoped_read", "incident"):
        assert case.reports[name].fingerprint_equal
        assert case.reports[name].changed_rows == {}


def test_draft_write_keeps_a_draft_of_everything_grave(case: Case) -> None:
    """Each call that needs autonomy becomes one draft; only addresses change."""
    report = case.reports["draft_write"]
    assert report.drafts_kept == report.tally.drafted == case.needing(Mode.AUTONOMOUS)
    assert set(report.changed_rows) == {"customers"}


def test_approval_required_queues_everything_grave(case: Case) -> None:
    """Each call that needs autonomy waits, none ran, and only addresses change."""
    report = case.reports["approval_required"]
    assert report.tally.queued == case.needing(Mode.AUTONOMOUS)
    assert report.drafts_kept == 0
    assert report.changed_rows == case.reports["draft_write"].changed_rows


def test_autonomous_runs_all_but_refunds_and_large_amounts(case: Case) -> None:
    """What still waits is refunds and money above 1000 dollars, nothing else."""
    report = case.reports["autonomous"]
    moving = sum(call.tool in MONEY for call in case.calls)
    refunds = sum(call.tool == "refund_order" for call in case.calls) - bool(
        case.denied
    )
    assert refunds <= report.tally.queued < moving
    assert report.tally.allowed + report.tally.queued == len(case.calls) - case.denied
    assert "orders" in report.changed_rows


def test_an_incident_leaves_search_and_people(case: Case) -> None:
    """Catalogue look-ups and hand-overs run; each write becomes a note."""
    report = case.reports["incident"]
    handing = sum(call.tool == "transfer_to_human_agents" for call in case.calls)
    assert report.tally.allowed == case.needing(Mode.SEARCH_ONLY) + handing
    assert report.hand_overs == handing + report.tally.handed_over
    assert report.tally.wrote == handing


def test_the_kill_switch_stops_the_rest(case: Case) -> None:
    """From the first call after the edit, all are denied and nothing changes."""
    killed = case.killed
    assert killed.first == len(case.calls) // 2 + 1
    assert killed.ran_before > 0
    assert killed.ran_after == 0
    assert killed.denied_after == len(case.calls) - killed.first + 1


@pytest.fixture(scope="module")
def pristine() -> Iterator[OrderStore]:
    """Lend the packaged shop."""
    with closing(read_store(SHOP)) as store:
        yield store


def test_a_run_with_too_much_authority_breaks_every_promise(
    tmp_path: Path, pristine: OrderStore
) -> None:
    """What happened at autonomous would be reported under any lower setting."""
    with opened(tmp_path / "run", pristine, poll_seconds=0.02) as session:
        edit(session, retail.RELEASED)
        every: list[Played] = list(session.play(read_calls(CALLS), "run"))
        rows = session.store.changes_since(pristine.baseline())
    for name in retail.SETTINGS:
        found = list(retail.broken_promises(name, every, rows=rows, same=False))
        assert bool(found) == (name != "autonomous")
    quiet = list(retail.broken_promises("observe", [], rows={}, same=False))
    assert quiet == ["observe: the store changed: {}"]


def test_the_example_runs_with_one_command() -> None:
    """Without arguments it exits 0 and says that the kill switch held."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "retail_support.py")],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={
            **os.environ,
            "PYTHONPATH": PATH,
        },
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "denied after it" in done.stdout


def test_the_example_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json it prints one document that a program can read."""
    assert retail.main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["calls"], found["tasks"], found["broken"]) == (25, 6, [])
    assert [one["setting"] for one in found["settings"]] == list(retail.SETTINGS)


def test_a_broken_promise_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Flags that serve more than the setting's name says end in exit 1."""
    wider = {**retail.SETTINGS, "observe": retail.RELEASED}
    monkeypatch.setattr(retail, "SETTINGS", wider)
    assert retail.main([]) == 1
    assert "PROMISE BROKEN: observe" in capsys.readouterr().err


def test_bad_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be used ends in exit 2 and its name."""
    missing = tmp_path / "none.jsonl"
    assert retail.main(["--calls", str(missing)]) == 2
    assert str(missing) in capsys.readouterr().err

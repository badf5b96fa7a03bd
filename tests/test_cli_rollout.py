"""`gov rollout`, `gov flags lint`: what they print, change, refuse and exit with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from openfeature.contrib.provider.featbit.authoring import boolean_flag, turn_off
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Actor, CallContext, Governor, ToolCall
from openfeature_gov.stores.opening import open_store
from openfeature_gov_rollout.plans import parse
from openfeature_gov_rollout.signals import report
from tests.commands import gov, told, use_featbit
from tests.rollouts import CONTRACTS, MODE, PLAN, STAGES, featbit, on_featbit, on_file
from tests.tree import PATH, ROOT

AT = "2030-01-01T00:00:00.000Z"
BOB = ("--actor", "bob", "--reason", "wait")
ANN = ("--actor", "ann", "--reason", "proven")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with contracts, flags and a plan."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "governance.yaml").write_text(CONTRACTS)
    (tmp_path / "rollout.yaml").write_text(PLAN)
    on_file(tmp_path)
    return tmp_path


def rollout(*arguments: str) -> Result:
    """Run `gov rollout`."""
    return gov("rollout", *arguments)


def status() -> Any:
    """Return the status of the one plan."""
    (one,) = told(rollout("status"))["rollouts"]
    return one


def begun(*stages: str) -> None:
    """Advance by override through *stages*."""
    for _ in stages:
        done = rollout("advance", "refunds", "--override", *ANN)
        assert done.exit_code == 0, done.output


def edited(folder: Path, change: Any) -> None:
    """Change the flag file as an editor would."""
    path = folder / "flags.json"
    write_document(path, change(json.loads(path.read_text())))


def test_a_plan_is_shown_with_what_the_next_stage_would_change(folder: Path) -> None:
    """Valid: exit 0, the stages, and the flag's change to come."""
    done = rollout("plan")
    assert done.exit_code == 0
    (one,) = told(done)["plans"]
    assert [stage["name"] for stage in one["stages"]] == list(STAGES)
    assert (one["status"], one["next"]) == ("not begun", "observe")
    (change,) = one["wouldChange"]
    assert change["key"] == MODE
    text = rollout("plan", "--no-json").stdout
    assert "5 % of region eu" in text
    assert "signed" in text


def test_a_refused_plan_says_file_line_and_key(folder: Path) -> None:
    """Exit 3 as for any file that cannot be read; each problem on a line."""
    (folder / "rollout.yaml").write_text(PLAN.replace("owner: ann", "ownr: ann"))
    done = rollout("plan")
    assert done.exit_code == 3
    assert "rollout.yaml:6: rolloutPlan.ownr: unknown key" in done.stderr


@pytest.mark.parametrize("command", ["plan", "status", "watch"])
def test_a_missing_plan_file_says_where_a_plan_to_begin_with_is(
    folder: Path, command: str
) -> None:
    """And there it is: what the README shows is a plan."""
    (folder / "rollout.yaml").unlink()
    done = rollout(command)
    assert done.exit_code == 3
    told = 'write your plan there: the section "Rollout" of the README shows one'
    assert f"rollout.yaml: No such file or directory; {told}\n" in done.stderr
    _, _, section = (ROOT / "README.md").read_text().partition("\n## Rollout\n")
    shown = section.partition("```text\n")[2].partition("```")[0]
    (plan,) = parse(shown, "README.md")
    assert plan.name == "refunds"


def test_two_plan_files_are_compared_key_by_key(folder: Path) -> None:
    """Which percentage was which."""
    old = folder / "old.yaml"
    old.write_text(PLAN.replace("percentage: 5}", "percentage: 7}"))
    (change,) = told(rollout("plan", "--against", str(old)))["changes"]
    assert (change["from"], change["to"]) == ("7", "5")
    assert "eu-5" in change["key"]


def test_an_advance_needs_proof_and_a_signer(folder: Path) -> None:
    """Exit 4 with every block; the begin itself needs no proof."""
    assert rollout("advance", "refunds", *ANN).exit_code == 0
    done = rollout("advance", "refunds", "--actor", "eve", "--reason", "x")
    assert done.exit_code == 4
    assert "gates: holds: agreement" in done.stderr
    assert "sign_off: eve may not" in done.stderr
    assert status()["stage"] == "observe"


def test_a_dry_run_changes_nothing(folder: Path) -> None:
    """Exit 0 for what would be done, 4 for what would not; no record either way."""
    before = (folder / "flags.json").read_bytes()
    done = rollout("advance", "refunds", "--dry-run", *ANN)
    assert (done.exit_code, told(done)["next"]) == (0, "observe")
    done = rollout("advance", "refunds", "--dry-run", "--no-json", *BOB)
    assert done.exit_code == 4
    assert "blocked by sign_off: bob may not" in done.stdout
    assert (folder / "flags.json").read_bytes() == before
    assert not (folder / "records.db").exists()


def test_the_exit_code_of_a_check_says_how_it_stands(folder: Path) -> None:
    """5 while it waits, 4 when locked."""
    begun("observe")
    assert rollout("check").exit_code == 5
    assert rollout("rollback", "refunds", *ANN).exit_code == 0
    done = rollout("check")
    assert done.exit_code == 4
    assert told(done, 4)["rollouts"][0]["status"] == "locked"


def test_the_tree_shows_stage_gates_and_blocks(folder: Path) -> None:
    """For people: what holds, the gate table, and what stands in the way."""
    begun("observe")
    text = rollout("status", "--no-json").stdout
    assert "● observe" in text
    assert re.search(r"agreement\s+-\s+-\s+90 %", text)
    assert "blocked by gates" in text


def test_hold_resume_rollback_and_history(folder: Path) -> None:
    """Each is recorded with person and reason; a second rollback changes nothing."""
    begun("observe", "search")
    assert (
        rollout("hold", "refunds", "--actor", "bob", "--reason", "wait").exit_code == 0
    )
    assert status()["status"] == "held"
    assert rollout("resume", "refunds", *ANN).exit_code == 0
    assert rollout("resume", "refunds", *ANN).exit_code == 4
    moved = told(rollout("rollback", "refunds", *ANN))
    assert (moved["from"], moved["to"]) == ("search", "rolled-back")
    assert told(rollout("rollback", "refunds", *ANN))["transition"] is None
    events = told(rollout("history", "refunds"))["events"]
    assert [one["verb"] for one in events] == [
        *("advance", "advance", "hold", "resume", "rollback"),
    ]
    assert events[1]["override"]
    assert "agreement" in events[1]["waived"][0]
    text = rollout("history", "refunds", "--no-json").stdout
    assert "overridden" in text


def test_history_needs_no_flags(folder: Path) -> None:
    """The records alone tell it: the flag file is gone."""
    begun("observe")
    (folder / "flags.json").unlink()
    assert len(told(rollout("history", "refunds"))["events"]) == 1


def test_a_kill_switch_is_shown_and_wins(folder: Path) -> None:
    """Exit 4 from check, and no override gets past it."""
    begun("observe")
    edited(folder, lambda held: turn_off(held, "gov.on", at=AT))
    assert rollout("check").exit_code == 4
    assert status()["status"] == "killed"
    done = rollout("advance", "refunds", "--override", *ANN)
    assert done.exit_code == 4
    assert "killed" in done.stderr


def test_an_abort_stays(folder: Path) -> None:
    """Until the plan changes."""
    begun("observe")
    assert rollout("abort", "refunds", *ANN).exit_code == 0
    assert rollout("resume", "refunds", *ANN).exit_code == 0
    assert status()["status"] == "aborted"


def test_a_watch_for_cron_takes_one_step(folder: Path) -> None:
    """One line a plan; exit 0 although it waits."""
    begun("observe")
    done = rollout("watch", "--once")
    assert done.exit_code == 0
    line = json.loads(done.stdout)
    assert (line["plan"], line["did"]) == ("refunds", None)


def test_a_reason_is_one_line(folder: Path) -> None:
    """Wrong usage is exit 2, and nothing is changed."""
    done = rollout("advance", "refunds", "--actor", "ann", "--reason", "a\nb")
    assert done.exit_code == 2
    assert status()["status"] == "not begun"


def test_an_unknown_plan_is_refused(folder: Path) -> None:
    """With those that there are."""
    done = rollout("status", "payments")
    assert done.exit_code == 4
    assert "there are: refunds" in done.stderr


def test_the_report_is_one_page_that_needs_nothing_else(folder: Path) -> None:
    """No address, no script; what people wrote is escaped."""
    done = rollout("advance", "refunds", "--actor", "ann", "--reason", "<b>&now</b>")
    assert done.exit_code == 0
    assert rollout("report", "--out", "r.html").exit_code == 0
    page = (folder / "r.html").read_text()
    for outside in ("http:", "https:", "<script", "url(", "@import", "<link", "<img"):
        assert outside not in page
    assert "&lt;b&gt;&amp;now&lt;/b&gt;" in page
    assert "default-src 'none'" in page
    assert "<b>&now" not in page


def test_clean_up_is_proposed_and_never_done(folder: Path) -> None:
    """In the last stage: the commands, and the flag as it was."""
    assert told(rollout("cleanup"))["proposals"] == []
    begun(*STAGES)
    before = (folder / "flags.json").read_bytes()
    (one,) = told(rollout("cleanup"))["proposals"]
    assert one["subject"] == "plan refunds"
    assert any("--clear-targeting" in step for step in one["steps"])
    assert (folder / "flags.json").read_bytes() == before


def test_rules_that_nobody_plans_are_found(folder: Path) -> None:
    """A plan that was renamed leaves its rules behind."""
    begun("observe")
    (folder / "rollout.yaml").write_text(
        PLAN.replace("name: refunds", "name: other", 1)
    )
    proposals = told(rollout("cleanup"))["proposals"]
    assert any("plan 'refunds'" in one["why"] for one in proposals)


def test_the_same_commands_work_on_featbit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--featbit with its usual options."""
    with on_featbit() as (_, server):
        use_featbit(monkeypatch, server)
        done = rollout("advance", "refunds", "--featbit", *ANN)
        assert done.exit_code == 0, done.output
        (one,) = told(rollout("status", "--featbit"))["rollouts"]
        assert one["stage"] == "observe"
        assert featbit(server).read().flags[MODE].rules


def kinds(*options: str) -> dict[str, set[str]]:
    """Return by kind which flags `gov flags lint` lists."""
    found: dict[str, set[str]] = {}
    for one in json.loads(gov("flags", "lint", *options).stdout)["remarks"]:
        found.setdefault(one["kind"], set()).add(one["flag"])
    return found


def used(folder: Path) -> None:
    """Let the agent call both tools once."""
    context = CallContext(actor=Actor(agent="a"))
    governance, flags = folder / "governance.yaml", folder / "flags.json"
    with Governor.open(governance, flags, folder / "records.db") as governor:
        for tool in ("refund", "lookup"):
            governor.tool(tool)(lambda: "")
            governor.decide(ToolCall(tool, {}, context))


def test_flags_that_nobody_evaluates_are_unused(folder: Path) -> None:
    """By the records of decisions; once they tell of it, nothing is left to say."""
    assert kinds()["unused"] == {MODE, "gov.on", "gov.deny", "gov.incident"}
    used(folder)
    assert kinds() == {}
    assert gov("flags", "lint").exit_code == 0
    assert "nothing to look after" in gov("flags", "lint", "--no-json").stdout


def test_flags_without_an_owner_are_found(folder: Path) -> None:
    """Named by no contract, no plan, and by no owner=... of its own."""

    def add(held: Any) -> Any:
        held["data"]["featureFlags"] += [
            boolean_flag("left.over", serve=True),
            {**boolean_flag("kept", serve=True), "description": "owner=team-a"},
        ]
        return held

    edited(folder, add)
    used(folder)
    found = kinds()
    assert found["ownerless"] == {"left.over"}
    assert found["unused"] == {"left.over", "kept"}


def test_a_mode_that_serves_all_alike_for_long_is_stale(folder: Path) -> None:
    """Without a plan; a kill switch is for ever."""
    used(folder)
    (folder / "rollout.yaml").unlink()
    assert kinds() == {"stale": {MODE}}


def test_what_is_past_its_review_is_overdue(folder: Path) -> None:
    """Of the contract, and of the plan."""
    used(folder)
    past = CONTRACTS.replace("owner: team\n", "owner: team\n  reviewDate: 2020-01-01\n")
    (folder / "governance.yaml").write_text(past)
    (folder / "rollout.yaml").write_text(PLAN.replace("2027-01-31", "2020-01-31"))
    remarks = told(gov("flags", "lint"), 4)["remarks"]
    assert {one["kind"] for one in remarks} == {"overdue"}
    assert len(remarks) >= 2


def test_contradictions_between_plan_contract_and_flag_are_found(folder: Path) -> None:
    """A plan for another flag, a mode that no contract lists, a hand on the rules."""
    used(folder)
    text = PLAN.replace("modeFlag: refunds.mode", "modeFlag: gov.on")
    (folder / "rollout.yaml").write_text(text)
    assert "gov.on" in kinds()["contradictory"]
    (folder / "rollout.yaml").write_text(PLAN)
    begun("observe")

    def hand(held: Any) -> Any:
        held["data"]["featureFlags"][0]["rules"][0]["conditions"].pop()
        return held

    edited(folder, hand)
    assert MODE in kinds()["contradictory"]


def test_a_watch_takes_authority_back_without_being_asked(folder: Path) -> None:
    """A daemon, and one incident that a pager tells of: rolled back and said so."""
    begun("observe", "search", "read", "draft")
    command = [sys.executable, "-m", "openfeature_gov.cli", "rollout", "watch"]
    daemon = subprocess.Popen(
        [*command, "--interval", "0.2", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PATH},
    )
    try:
        store = open_store(folder / "records.db")
        with closing(store):
            report(store, "incident", workflow="refunds", reference="INC-1", by="pager")
        assert daemon.stdout is not None
        line = json.loads(daemon.stdout.readline())
        assert (line["did"], line["to"]) == ("rollback", "rolled-back")
        assert "incident" in line["reason"]
        assert daemon.poll() is None
    finally:
        daemon.terminate()
        daemon.communicate(timeout=30)
    assert status()["status"] == "locked"

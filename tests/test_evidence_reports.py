"""The five questions of article 002, answered from what a log counts and shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.cli.reporting import answer
from openfeature_gov.evidence import reports, spending
from openfeature_gov.evidence.actions import Action, access_of, resolution
from openfeature_gov.evidence.records import Stamp, note_record
from openfeature_gov.evidence.reports import QUESTIONS, ROWS, Group, Report
from openfeature_gov.evidence.spending import Cost, Envelope
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.queries import EVERYTHING, Filter, related
from openfeature_gov.stores.sqlite import SqliteStore
from tests.worked import log, worked

__all__ = ["log"]

HOUR = spending.HOUR_US
BOT_A = Filter(agent=("bot-a",))


def ask(log: Path, name: str, wanted: Filter = BOT_A, limit: int = 50) -> Report:
    """Return the report *name*."""
    with opened(log) as connection:
        return answer(connection, name, wanted, limit=limit)


def row(report: Report, **given: Any) -> dict[str, Any]:
    """Return the one row that says what is *given*."""
    (found,) = [
        one
        for one in report.rows
        if all(one[name] == value for name, value in given.items())
    ]
    return found


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("wanted", [BOT_A, EVERYTHING, Filter(agent=("nobody",))])
def test_rows_have_the_promised_columns(log: Path, name: str, wanted: Filter) -> None:
    """All of them, in order, whatever the scope."""
    report = ask(log, name, wanted)
    assert report.question == QUESTIONS[name]
    assert all(tuple(one) == ROWS[name] for one in report.rows)
    assert all({"seq", "record", "atUs", "agent"} <= set(one) for one in report.items)


def test_actions_say_what_was_done_and_how_it_ended(log: Path) -> None:
    """Decided, executed, failed; the latest actions singly."""
    report = ask(log, "actions")
    found = row(report, tool="find")
    assert (found["decided"], found["executed"], found["failed"]) == (6, 3, 3)
    assert row(report, tool="erase")["executed"] == 0
    assert report.totals["decided"] == sum(one["decided"] for one in report.rows) == 24
    assert report.totals["open"] == 0
    latest = report.items[0]
    assert (latest["tool"], latest["summary"]) == ("note", "update by note on crm")
    assert {one["outcome"] for one in report.items} == {"executed", "failed", None}
    assert {one["error"] for one in report.items} == {None, "KeyError"}


def test_what_has_no_outcome_yet_is_open() -> None:
    """Only where something was about to run."""
    group = Group("a", "t", "", "allow", "r", "v", True, 5, 1, 2, "d", (2, 1, 0, 0, 0))
    rest = group._replace(effect="deny", executes=False, ends=reports.NO_ENDS)
    report = reports.actions([group, rest], [])
    assert [one["open"] for one in report.rows] == [2, 0]
    assert report.rows[0]["target"] is None


def test_authority_names_person_contract_flags_and_authorization(log: Path) -> None:
    """Who asked, on whose behalf, under which contract and which flag versions."""
    report = ask(log, "authority")
    found = row(report, tool="refund", effect="allow")
    assert (found["owner"], found["workflow"]) == ("team", "tests")
    assert found["modeVariant"] == "autonomous"
    assert found["authorization"] == "no_hard_boundary"
    assert any(one.startswith("gov.mode=autonomous@") for one in found["flags"])
    item = next(one for one in report.items if one["tool"] == "refund")
    assert (item["user"], item["account"]) == ("user-of-bot-a", "acme")
    assert (item["service"], item["delegation"]) == ("svc", ["planner"])
    assert item["reviewer"] is None


def test_authority_names_who_put_the_policy_in_force(tmp_path: Path) -> None:
    """By the version of a flag, or by the revision of a whole flag file."""
    path = worked(tmp_path)
    sample = ask(path, "authority").items[-1]
    version = sample["flags"][1].rpartition("@")[2]
    (whole, *_) = related(path, sample["record"])
    body = whole["flagSource"]["revision"]
    with closing(SqliteStore(path)) as store:
        for place, facts in enumerate(
            (
                {"key": "gov.mode", "versionAfter": version, "actor": {"name": "Ana"}},
                {"flags": [{"key": "x"}], "revisionAfter": body, "actor": "bo"},
                {"key": "gov.mode", "versionAfter": "1", "actor": {"name": "Eve"}},
            )
        ):
            stamp = Stamp(f"change-{place}", 1, store.writer)
            store.commit(note_record(stamp, "policy_change", comment="why", **facts))
        stamp = Stamp("answer", 1, store.writer)
        record = note_record(
            stamp, "approval", sample["record"], reviewer="cy", state="approved"
        )
        store.commit(record._replace(reviewer="cy"))
    report = ask(path, "authority")
    item = report.items[-1]
    assert item["setBy"] == ["gov.mode: Ana", "x: bo"]
    assert item["reviewer"] == "cy"
    changes = report.totals["policyChanges"]
    assert [one["by"] for one in changes] == ["Ana", "bo", "Eve"]
    assert [one["flags"] for one in changes] == ["gov.mode", "x", "gov.mode"]
    assert {one["comment"] for one in changes} == {"why"}
    (given,) = report.totals["answers"]
    assert (given["reviewer"], given["answer"]) == ("cy", "approved")
    resolved = ask(path, "boundaries", EVERYTHING, limit=500).items
    words = {
        one["resolution"] for one in resolved if one["record"] == given["decision"]
    }
    assert words <= {"approved by cy"}


def test_data_says_what_was_read_and_what_was_modified(log: Path) -> None:
    """By target; what did not run is withheld."""
    report = ask(log, "data")
    assert row(report, tool="find")["access"] == "read"
    assert row(report, tool="read", target="crm")["access"] == "read"
    assert row(report, tool="refund", access="modified")["target"] == "ledger"
    assert row(report, tool="refund", access="withheld")["actions"] == 1
    assert row(report, tool="erase")["access"] == "withheld"
    assert sum(report.totals.values()) == 24
    assert {one["access"] for one in report.items} == {"read", "modified", "withheld"}


@pytest.mark.parametrize(
    ("decision", "outcome", "access"),
    [
        ({"executes": False}, {}, "withheld"),
        ({"executes": True, "full": True}, {"status": "not_run"}, "withheld"),
        ({"executes": True, "full": True, "riskClass": "search"}, {}, "read"),
        ({"executes": True, "full": True, "riskClass": "admin_action"}, {}, "modified"),
        ({"executes": True, "riskClass": "admin_action"}, {"ran": "tool"}, "modified"),
        ({"executes": True}, {"ran": "draft_write"}, "drafted"),
        ({"executes": True, "mode": "draft_write"}, {"status": "executed"}, "drafted"),
        ({"executes": True, "mode": "scoped_read"}, {"status": "executed"}, "read"),
        ({"executes": True, "riskClass": "admin_action"}, {"ran": "fallback"}, "read"),
    ],
)
def test_access_follows_what_ran(
    decision: dict[str, Any], outcome: dict[str, Any], access: str
) -> None:
    """Not what was asked for."""
    later = ({"kind": "outcome", **outcome},) if outcome else ()
    assert access_of(Action(decision, later)) == access


def test_the_last_outcome_and_the_last_answer_count() -> None:
    """Two of them are a finding; what was heard last is shown."""
    later = [{"kind": "outcome", "status": word, "ran": word} for word in ("a", "b")]
    assert Action({}, tuple(later)).outcome["status"] == "b"
    assert Action({}).outcome == Action({}).answer == {}


def test_allowed_actions_met_no_boundary() -> None:
    """Whoever counted them."""
    group = Group("a", "t", None, "allow", "r", "v", True, 5, 1, 2, "d")
    assert reports.boundaries([group], []).rows == []
    (limited,) = reports.boundaries([group._replace(effect="deny")], []).rows
    assert limited["didNotRun"] == 5


def test_cost_is_exact_and_held_against_the_envelope() -> None:
    """By agent; each task, hour and day that cost more than it may is named."""
    costs = [
        Cost("a", "t-1", 0, "0.10"),
        Cost("a", "t-1", HOUR - 1, "0.20"),
        Cost("a", "t-2", HOUR, "0.30"),
        Cost("a", "t-3", 24 * HOUR, "5"),
        Cost("a", "t-3", 24 * HOUR, None),
        Cost("a", "t-3", 24 * HOUR, "much"),
        Cost("b", "t-1", 0, "0.30"),
    ]
    limits = Envelope(Decimal("0.29"), Decimal("0.30"), Decimal("0.59"))
    ran = Group("a", "t", None, "allow", "r", "v", True, 6, 1, 2, "d")
    groups = [ran, ran._replace(executes=False), ran._replace(agent="c", decided=1)]
    report = spending.cost(groups, costs, limits)
    assert report.rows[0] == {
        "agent": "a",
        "actions": 6,
        "costed": 4,
        "cost": "5.60",
        "dearestTask": "t-3",
        "taskCost": "5",
        "hourCost": "5",
        "dayCost": "5",
    }
    assert [row["agent"] for row in report.rows] == ["a", "c", "b"]
    assert report.totals["cost"] == "5.90"
    assert report.totals["actions"] == 7
    assert report.totals["within"] is False
    assert {
        (one["agent"], one["part"], one["which"]) for one in report.totals["over"]
    } == {
        ("a", "task", "t-1"),
        ("a", "task", "t-2"),
        ("a", "task", "t-3"),
        ("b", "task", "t-1"),
        ("a", "hour", 24 * HOUR),
        ("a", "day", 0),
        ("a", "day", 24 * HOUR),
    }
    wide = Envelope(Decimal(6), Decimal(6), Decimal(6))
    assert spending.cost([], costs, wide).totals["within"] is True
    assert spending.cost([], costs, Envelope()).totals["within"] is None
    assert spending.cost([], [], limits).totals["cost"] == "0"


def test_costs_of_a_log_are_those_of_its_outcomes(log: Path) -> None:
    """Only what somebody reported cost something."""
    report = ask(log, "cost", EVERYTHING)
    assert report.totals["cost"] == "1.50"
    assert row(report, agent="bot-a")["cost"] == "0.90"
    item = next(one for one in report.items if one["cost"])
    assert item["tool"] == "note"


def test_boundaries_say_which_limit_and_what_came_of_it(log: Path) -> None:
    """Everything but allow; the controls that capped; nothing ran, or less."""
    report = ask(log, "boundaries", EVERYTHING, limit=500)
    assert "allow" not in {one["effect"] for one in report.rows}
    assert set(report.totals) == {"constrain", "queue_for_approval", "deny"}
    assert all(
        one["triggered"] == one["ranLess"] + one["didNotRun"] for one in report.rows
    )
    queued = [one for one in report.items if one["effect"] == "queue_for_approval"]
    assert {one["resolution"] for one in queued} == {"waits for a person"}
    denied = next(one for one in report.items if one["effect"] == "deny")
    assert denied["controls"] == ["registry: tool_unknown (off)"]
    assert denied["resolution"] == "nothing ran"


def _step(state: str, reviewer: str | None = None, denied: str = "") -> dict[str, Any]:
    return {
        "kind": "approval",
        "state": state,
        "reviewer": reviewer,
        "denied": denied,
    }


def _later() -> Iterator[tuple[list[dict[str, Any]], str]]:
    yield [], "nothing ran"
    yield [{"kind": "outcome", "ran": ""}], "nothing ran"
    ran = {"kind": "outcome", "ran": "draft_write", "status": "executed"}
    yield [ran], "draft_write ran instead: executed"
    yield [_step("pending")], "nothing ran"
    yield [_step("refused", "ana")], "refused by ana"
    yield [_step("pending", "eve", "not_a_reviewer")], "nothing ran"
    approved = [_step("pending", "ana"), _step("approved", "bo")]
    yield approved, "approved by bo"
    yield [*approved, _step("executed")], "approved by bo, executed"
    yield [_step("pending"), _step("expired")], "expired"


@pytest.mark.parametrize(("later", "words"), list(_later()))
def test_resolutions_are_words(later: list[dict[str, Any]], words: str) -> None:
    """The last answer counts, then what ran, then that nothing did."""
    assert resolution(Action({"effect": "constrain"}, tuple(later))) == words

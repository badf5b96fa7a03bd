"""What reports count: the same as a reader of every record would count."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov.evidence import reports, spending
from openfeature_gov.evidence.actions import Action
from openfeature_gov.evidence.records import Stamp, note_record, outcome_record
from openfeature_gov.evidence.spending import Envelope
from openfeature_gov.stores import history, logs, questions
from openfeature_gov.stores.logs import Rows, Values, opened
from openfeature_gov.stores.queries import EVERYTHING, Filter
from openfeature_gov.stores.sqlite import SqliteStore
from tests.worked import as_version_1, log, old, worked

__all__ = ["log", "old"]

Facts = dict[str, Any]


def acted(log: Path, wanted: Filter = EVERYTHING) -> list[Action]:
    """Return every action of *log* that *wanted* describes, by reading all of it."""
    later = defaultdict(list)
    known = history.records(log)
    for one in known:
        later[one.get("ref")].append(one)
    decisions = (one for one in known if one["kind"] == "decision")
    agents = wanted.agent
    return [
        Action(one, tuple(later[one["id"]]))
        for one in decisions
        if (not agents or one["context"]["agent"] in agents)
        and (wanted.from_us is None or one["atUs"] >= wanted.from_us)
        and (wanted.to_us is None or one["atUs"] < wanted.to_us)
    ]


def test_groups_count_what_a_reader_would_count(log: Path, old: Path) -> None:
    """Decisions and their outcomes, in any scope, in both versions of the schema."""
    times = sorted(one["atUs"] for one in history.records(log))

    @settings(max_examples=60)
    @given(
        st.sampled_from([(), ("bot-a",), ("bot-a", "bot-b"), ("nobody",)]),
        st.none() | st.sampled_from(times),
        st.none() | st.sampled_from(times),
    )
    def agree(agent: tuple[str, ...], from_us: int | None, to_us: int | None) -> None:
        wanted = Filter(agent=agent, from_us=from_us, to_us=to_us)
        every = acted(log, wanted)
        counted = Counter((_key(one), one.outcome.get("status")) for one in every)
        decided = Counter(_key(one) for one in every)
        for path in (log, old):
            with opened(path) as connection:
                bare = questions.groups(connection, wanted)
                ended = questions.groups(connection, wanted, ends=True)
            for groups in (bare, ended):
                assert {tuple(one[:7]): one.decided for one in groups} == decided
            for group in ended:
                for status, count in zip(reports.STATUSES, group.ends, strict=True):
                    assert counted[group[:7], status] == count

    agree()


def _key(one: Action) -> tuple[Any, ...]:
    decision = one.decision
    modes = [
        flag["variant"] for flag in decision.get("flags", ()) if flag["kind"] == "mode"
    ]
    return (
        decision["context"]["agent"],
        decision["tool"],
        decision.get("targetSystem") or None,
        decision["effect"],
        decision["reason"],
        modes[0] if modes else None,
        decision["executes"],
    )


def test_groups_know_their_first_and_last(log: Path) -> None:
    """So that a row leads to the time and to the record."""
    with opened(log) as connection:
        (refused,) = questions.groups(
            connection, Filter(agent=("bot-a",), tool=("unheard-of",))
        )
        found = questions.samples(connection, [refused.last])
    at = [one.decision["atUs"] for one in acted(log) if _key(one) == refused[:7]]
    assert (refused.first_us, refused.last_us) == (min(at), max(at))
    assert found[refused.last].decision["atUs"] == max(at)


def test_the_latest_come_with_what_became_of_them(log: Path) -> None:
    """In reverse order of the log, each with its outcome."""
    with opened(log) as connection:
        found = questions.latest(connection, EVERYTHING, limit=7)
        none = questions.latest(connection, Filter(agent=("nobody",)), limit=7)
    assert none == []
    every = acted(log)
    assert [one.decision["id"] for one in found] == [
        one.decision["id"] for one in every[:-8:-1]
    ]
    assert [one.outcome for one in found] == [one.outcome for one in every[:-8:-1]]


def test_many_samples_are_found(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many one statement can name."""
    monkeypatch.setattr(logs, "MARKS", 2)
    monkeypatch.setattr(questions, "MARKS", 2)
    every = acted(log)
    with opened(log) as connection:
        found = questions.samples(connection, [one.decision["id"] for one in every])
    assert [found[one.decision["id"]] for one in every] == every


def test_costs_add_up_exactly(log: Path, old: Path) -> None:
    """Of every action that says so, with the task that it was for."""
    expected = [
        (one.decision["context"]["task"], one.outcome.get("cost"))
        for one in acted(log)
        if one.outcome.get("cost")
    ]
    for path in (log, old):
        with opened(path) as connection:
            costs = list(questions.costs(connection, EVERYTHING))
        assert sorted((one.task or "", one.cost or "") for one in costs) == sorted(
            (task, cost or "") for task, cost in expected
        )
        report = spending.cost([], costs, Envelope())
        total = sum(Decimal(cost) for _, cost in expected if cost)
        assert Decimal(report.totals["cost"]) == total > 0


def test_a_decision_with_two_outcomes_counts_once(tmp_path: Path) -> None:
    """It is a finding, and still one decision."""
    path = worked(tmp_path)
    with closing(SqliteStore(path)) as store:
        first = acted(path)[0].decision["id"]
        stamp = Stamp("again", 1, store.writer)
        store.commit(outcome_record(stamp, first, status="unknown"))
    with opened(path) as connection:
        groups = questions.groups(connection, EVERYTHING, ends=True)
    assert sum(one.decided for one in groups) == len(acted(path))


def test_notes_and_answers_of_a_time(tmp_path: Path) -> None:
    """Changes of policy, and what reviewers said, since and until."""
    path = tmp_path / "records.db"
    with closing(SqliteStore(path)) as store:
        for at in (10, 20, 30):
            stamp = Stamp(f"change-{at}", at, store.writer)
            store.commit(note_record(stamp, "policy_change", key="k", actor="ana"))
            stamp = Stamp(f"answer-{at}", at, store.writer)
            record = note_record(stamp, "approval", "d-1", reviewer="bo")
            store.commit(record._replace(reviewer="bo"))
    within = Filter(from_us=15, to_us=30)
    for one in (path, as_version_1(path, tmp_path / "old.db")):
        with opened(one) as connection:
            changes = questions.notes(connection, "policy_change", within)
            answers = questions.answers(connection, within)
        assert [change["id"] for change in changes] == ["change-20"]
        assert [answer["id"] for answer in answers] == ["answer-20"]


def test_costs_lead_to_what_cost_something(log: Path) -> None:
    """No other outcome is read."""
    with opened(log) as given:
        found, values = questions._decisions(given, EVERYTHING)
        query = f"EXPLAIN QUERY PLAN SELECT o.body FROM ({found}) d {given.costed}"
        plan = [row[3] for row in given.rows(query, values)]
    assert any("USING INDEX records_cost" in one for one in plan)
    assert any("USING COVERING INDEX records_decided" in one for one in plan)


@pytest.mark.parametrize("ends", [False, True])
def test_counting_reads_no_record(log: Path, ends: bool) -> None:
    """The indexes alone hold what is counted: that keeps a million records fast."""
    plans: list[str] = []
    with opened(log) as given:

        def spied(query: str, values: Values) -> Rows:
            if "GROUP BY" in query:
                plan = given.rows(f"EXPLAIN QUERY PLAN {query}", values)
                plans.extend(row[3] for row in plan)
            return given.rows(query, values)

        seen = replace(given, rows=spied)
        for wanted in (EVERYTHING, Filter(agent=("bot-a",), from_us=1)):
            questions.groups(seen, wanted, ends=ends)
    looked_up = [one for one in plans if one.startswith(("SCAN", "SEARCH"))]
    assert len(looked_up) == 2 * (1 + 2 * ends)
    assert all("USING COVERING INDEX" in one for one in looked_up)

"""The Governor and its records: before the run, after it, and nothing private."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openfeature.provider._registry import provider_registry

from openfeature_gov import (
    Controls,
    Effect,
    Extractors,
    Governor,
    Mode,
    Status,
    Verdict,
)
from openfeature_gov.evidence.records import Record
from openfeature_gov.stores import history
from openfeature_gov.stores.sqlite import SqliteStore
from tests.conftest import CONTEXT, Desk, Make, contract_yaml
from tests.mailing import MAIL, call, log


def unhurried(store: object, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let the disk take a decision that nobody waits for once the event is set."""
    assert isinstance(store, SqliteStore)
    insert, ran = store._insert, threading.Event()

    def slow(records: list[Record]) -> None:
        if any(each.kind == "decision" and done is None for each, done in store._hand):
            assert ran.wait(60)
        insert(records)

    monkeypatch.setattr(store, "_insert", slow)
    return ran


def test_decision_is_on_disk_before_a_consequential_action(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the tool runs, its decision can already be read by another connection."""
    one = desk(MAIL)
    found: list[int] = []
    ran = unhurried(one.governor.records, monkeypatch)

    @one.governor.tool()
    def mail(to: str) -> None:
        found.append(len(history.records(one.records, kind="decision")))
        ran.set()

    one.governor.run(call(to="x"))
    assert found == [1]


def test_queued_action_is_on_disk_when_the_caller_hears_of_it(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told to wait for a reviewer can rely on the record to review."""
    one = desk(MAIL)
    heard = unhurried(one.governor.records, monkeypatch)
    one.governor.tool("mail")(one.spy)
    one.set(mode="approval_required")
    for count in range(1, 6):
        one.governor.run(call(to="x"))
        found = len(history.records(one.records, kind="decision"))
        heard.set()
        assert found == count


def test_async_decision_is_on_disk_and_a_failed_one_denies(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The async twin waits for the disk as well, and denies when it fails."""
    one = desk(MAIL)
    found: list[int] = []
    ran = unhurried(one.governor.records, monkeypatch)

    @one.governor.tool()
    async def mail(to: str) -> None:
        found.append(len(history.records(one.records, kind="decision")))
        ran.set()

    async def session() -> Any:
        await one.governor.arun(call(to="x"))
        one.governor.records.close()
        return await one.governor.arun(call(to="x"))

    closed = asyncio.run(session())
    assert (closed.effect, closed.reason) == (Effect.DENY, "records_unavailable")
    assert found == [1]


def test_governors_that_are_closed_leave_nothing_registered(tmp_path: Path) -> None:
    """OpenFeature forgets no domain, nor the flags of the provider bound to it."""
    for _ in range(3):
        Desk(tmp_path, MAIL, None).governor.close()
    before = len(provider_registry._providers)
    for _ in range(3):
        Desk(tmp_path, MAIL, None).governor.close()
    assert len(provider_registry._providers) == before


def test_a_domain_is_left_once(tmp_path: Path) -> None:
    """Two Governors that shared one would serve one another's flags."""
    one = Desk(tmp_path, MAIL, None)
    release = one.governor._releases[-1]
    one.governor.close()
    other, third = (Desk(tmp_path, MAIL, None) for _ in range(2))
    release()
    fourth = Desk(tmp_path, MAIL, None)
    clients: list[Any] = [
        each.governor._decider._reader._client for each in (other, third, fourth)
    ]
    assert len({client.domain for client in clients}) == 3
    for each in (other, third, fourth):
        each.governor.close()


class Hurried(list[Any]):
    """Releases of which another thread takes the last one, between look and take."""

    def __bool__(self) -> bool:
        found = len(self) > 0
        self.clear()
        return found


def test_two_who_close_at_once_both_succeed(desk: Make) -> None:
    one = desk(MAIL)
    one.governor._releases = Hurried(one.governor._releases)
    one.governor.close()
    one.governor.close()


def test_what_cannot_be_written_down_does_not_happen(desk: Make) -> None:
    """A consequential action whose record has no encoding is denied beforehand."""

    def odd(*_: Any) -> Verdict:
        return Verdict("odd", Mode.AUTONOMOUS, "\ud800")

    one = desk(MAIL, Controls(guardrails=(("odd", odd),)))
    one.governor.tool("mail")(one.spy)
    assert one.governor.run(call(to="x")).effect is Effect.DENY
    two = desk(MAIL)
    huge = Extractors(records=lambda a: a["pages"] ** 9)
    two.governor.tool("mail", extract=huge)(two.spy)
    assert two.governor.run(call(pages=2**40)).reason == "records_unreadable"
    assert one.calls == two.calls == []


def test_outcome_follows_the_decision(desk: Make) -> None:
    """Each run leaves a decision and an outcome that refers to it."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    outcome = one.governor.run(call(to="x"))
    decision, result = (r for r in log(one) if r["kind"] in ("decision", "outcome"))
    assert decision["id"] == outcome.record_id == result["ref"]
    assert (result["status"], result["ran"]) == ("executed", "tool")


def test_tool_exceptions_are_recorded_and_passed_on(desk: Make) -> None:
    """What a tool raises reaches the caller; the record names only its class."""
    one = desk(MAIL)

    @one.governor.tool()
    def mail(to: str) -> None:
        raise ValueError("secret 4711")

    with pytest.raises(ValueError, match="4711"):
        one.governor.run(call(to="x"))
    records = log(one)
    assert records[-2]["status"] == "failed"
    assert records[-2]["error"] == "ValueError"
    assert "4711" not in str(records)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_interrupts_are_recorded_and_passed_on(
    raised: type[BaseException], desk: Make
) -> None:
    """An interrupt inside a tool leaves an outcome and stays an interrupt."""
    one = desk(MAIL)

    @one.governor.tool()
    def mail(to: str) -> None:
        raise raised

    with pytest.raises(raised):
        one.governor.run(call(to="x"))
    assert log(one, "outcome")[0]["error"] == raised.__name__


def test_decide_and_report(desk: Make) -> None:
    """Whoever runs the tool after decide reports the outcome; silence is unknown."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    told = one.governor.decide(call(to="x"))
    one.governor.report(told.record_id, "executed", cost=Decimal("0.02"))
    silent = one.governor.decide(call(to="y"))
    outcomes = {r["ref"]: r["status"] for r in log(one, "outcome")}
    assert outcomes == {told.record_id: "executed", silent.record_id: "unknown"}


def test_the_loop_goes_on_while_a_report_waits_for_the_disk(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    store = one.governor.records
    assert isinstance(store, SqliteStore)
    insert, free = store._insert, threading.Event()

    def slow(records: list[Record]) -> None:
        if any(each.kind == "outcome" for each in records):
            assert free.wait(60)
        insert(records)

    monkeypatch.setattr(store, "_insert", slow)

    async def session() -> str:
        told = await one.governor.adecide(call(to="x"))
        reported = asyncio.create_task(
            one.governor.areport(told.record_id, "executed", cost=Decimal("0.02"))
        )
        await asyncio.sleep(0.05)
        assert not reported.done()
        free.set()
        await reported
        with pytest.raises(ValueError, match="awaits no report"):
            await one.governor.areport(told.record_id, "executed")
        return told.record_id

    reported = asyncio.run(session())
    (outcome,) = history.records(one.records, kind="outcome")
    assert (outcome["ref"], outcome["status"]) == (reported, "executed")


def test_report_takes_one_known_status_for_one_known_decision(desk: Make) -> None:
    """No outcome for a queued action, an unknown id, twice, or in free words."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    ran = one.governor.decide(call(to="x")).record_id
    one.set(mode="approval_required")
    queued = one.governor.decide(call(to="x")).record_id
    for record_id, status in ((queued, "executed"), ("x", "executed"), (ran, "fine")):
        with pytest.raises(ValueError, match=r"record|status"):
            one.governor.report(record_id, status)
    one.governor.report(ran, "failed", error="Time\nout")
    with pytest.raises(ValueError, match="awaits no report"):
        one.governor.report(ran, "executed")
    assert [r["status"] for r in log(one, "outcome")] == ["failed"]


def test_two_governors_on_one_log_do_not_mix(desk: Make) -> None:
    """Record ids are one sequence a process, so that a shared log takes them all."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    two = Governor(
        one.governor.governance,
        one.governor._decider._reader,
        one.governor.records,
    )
    two.tool("mail")(one.spy)
    for governor in (one.governor, two, one.governor):
        assert governor.run(call(to="x")).status is Status.EXECUTED
    assert len(log(one, "decision")) == 3


def test_records_hold_no_arguments_but_the_listed_ones(desk: Make) -> None:
    """Only fields that the contract lists are recorded; the rest is a digest."""
    one = desk(contract_yaml("mail", evidence="{recordFields: [order]}"))
    one.governor.tool("mail")(one.spy)
    one.governor.run(call(order="o-1", body="canary-7f3a", to="jane@example.com"))
    decision = log(one, "decision")[0]
    assert decision["fields"] == {"order": "o-1"}
    assert "canary" not in str(decision)
    assert "jane" not in str(decision)
    raw = one.records.read_bytes()
    assert b"canary" not in raw
    assert b"jane" not in raw


def test_an_outcome_is_no_way_into_the_record(desk: Make) -> None:
    """Whoever edits the outcome's arguments changes no record and no run."""
    one = desk(contract_yaml("mail", evidence="{recordFields: [order]}"))
    tool = one.governor.tool("mail")(one.spy)
    with one.governor.acting(CONTEXT):
        outcome = one.governor.enforce(call(order="o-1"))
        outcome.arguments["order"] = "FORGED"
        contract = outcome.contract
        assert contract is not None
        tool(order="o-1")
        contract.arguments["order"] = "FORGED"
    assert one.calls == [{"order": "o-1"}]
    assert log(one, "decision")[0]["fields"] == {"order": "o-1"}

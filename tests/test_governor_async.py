"""The Governor in an event loop: async twins, timeouts and cancellation."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from openfeature_gov import Effect, RegistrationError
from openfeature_gov.outcomes import Status
from tests.conftest import CONTEXT, Make
from tests.mailing import MAIL, SEARCH, call, log


def test_async_twins_do_the_same(desk: Make) -> None:
    """plan, decide, enforce and run have async twins with equal results."""
    one = desk(MAIL + "---\n" + SEARCH)

    @one.governor.tool()
    async def mail(to: str) -> str:
        await asyncio.sleep(0)
        return f"sent {to}"

    one.governor.tool("look")(one.spy)

    async def session() -> list[Any]:
        gov = one.governor
        with gov.acting(CONTEXT):
            planned = await gov.aplan(call(to="x"))
            decided = await gov.adecide(call(to="x"))
            released = await gov.aenforce(call(to="x"))
            ran = await gov.arun(call(to="x"))
            threaded = await gov.arun(call("look", q=1))
            return [
                planned.status.value,
                decided.status.value,
                released.status.value,
                await mail("x"),
                ran.value,
                threaded.value,
            ]

    assert asyncio.run(session()) == [
        "planned",
        "decided",
        "released",
        "sent x",
        "sent x",
        "ran",
    ]
    for twin in (one.governor.run, one.governor.enforce):
        with pytest.raises(RegistrationError, match="use the async twin"):
            twin(call(to="x"))
    assert len(log(one, "decision")) == 4


def test_what_was_decided_while_it_closes_does_not_run(desk: Make) -> None:
    """Another thread closes between the decision and the thread of its tool."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    decider, runner = one.governor._decider, one.governor._runner
    judged = decider.recorded(call(to="x"))
    runner.close()
    said = asyncio.run(runner.arun(judged))
    assert (said.status, said.reason) == (Status.NOT_RUN, "records_unavailable")
    assert one.calls == []
    assert [r["status"] for r in log(one, "outcome")] == ["not_run"]


@pytest.mark.parametrize("twin", ["run", "arun"])
def test_a_call_that_others_always_outrun_is_denied_on_record(
    desk: Make, monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    """It is one decision in the log, and no outcome of one that is not there."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    monkeypatch.setattr(one.governor._decider.observer, "begin", lambda *_, **__: False)
    if twin == "run":
        said = one.governor.run(call(to="x"))
    else:
        said = asyncio.run(one.governor.arun(call(to="x")))
    assert (said.effect, said.reason) == (Effect.DENY, "records_unavailable")
    assert one.calls == []
    kinds = [r["kind"] for r in log(one) if r["kind"] in ("decision", "outcome")]
    assert kinds == ["decision"]
    (decision,) = log(one, "decision")
    assert (decision["id"], decision["effect"]) == (said.record_id, "deny")


def test_timeout_around_a_decision_is_a_timeout(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: the SDK's async client loses a cancellation; here it stays what it is."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)

    async def never(_: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(one.governor.records, "acommit", never)

    async def session() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.governor.arun(call(to="x")), 0.05)

    asyncio.run(session())
    assert one.calls == []
    assert [r["status"] for r in log(one, "outcome")] == ["cancelled"]


def test_cancellation_is_recorded_and_passed_on(desk: Make) -> None:
    """A cancelled async tool leaves the outcome cancelled and raises CancelledError."""
    one = desk(MAIL)
    begun = asyncio.Event()

    @one.governor.tool()
    async def mail(to: str) -> None:
        begun.set()
        await asyncio.sleep(60)

    async def session() -> None:
        task = asyncio.create_task(one.governor.arun(call(to="x")))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(session())
    assert [r["status"] for r in log(one, "outcome")] == ["cancelled"]


def test_cancel_at_any_moment_leaves_no_silent_run(desk: Make) -> None:
    """Cancelled 200 times at growing delays: every run has a decision and outcome."""
    one = desk(MAIL)
    ran: list[str] = []

    @one.governor.tool()
    async def mail(to: str) -> None:
        ran.append(to)
        await asyncio.sleep(0.0005)

    async def session() -> None:
        for number in range(200):
            task = asyncio.create_task(one.governor.arun(call(to=str(number))))
            await asyncio.sleep(number * 0.00001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(session())
    records = log(one)
    decisions = {r["id"] for r in records if r["kind"] == "decision"}
    outcomes = [r["ref"] for r in records if r["kind"] == "outcome"]
    assert sorted(outcomes) == sorted(decisions)
    started = [r for r in records if r["kind"] == "outcome" and r["ran"] == "tool"]
    assert len(started) == len(ran)


def test_a_cancelled_thread_still_reports_its_end(desk: Make) -> None:
    """A sync tool cannot be cancelled: what it really did is recorded when it ends."""
    one = desk(MAIL)
    begun, release = threading.Event(), threading.Event()

    @one.governor.tool()
    def mail(to: str) -> None:
        begun.set()
        release.wait(10)

    async def session() -> None:
        task = asyncio.create_task(one.governor.arun(call(to="x")))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    asyncio.run(session())
    one.governor.close()
    assert [r["status"] for r in log(one, "outcome")] == ["executed"]

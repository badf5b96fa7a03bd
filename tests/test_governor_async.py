"""The Governor in an event loop: async twins, timeouts and cancellation."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from openfeature_gov import Effect, RegistrationError, running
from openfeature_gov.outcomes import Outcome, Status
from tests.conftest import CONTEXT, Desk, Make
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


@pytest.fixture
def waiting(desk: Make) -> Iterator[Waiting]:
    """Let a call wait, decided, for the only thread, which another one keeps."""
    one = desk(MAIL + "---\n" + SEARCH)
    one.governor.tool("mail")(one.spy)
    made = Waiting(one)
    one.governor.tool("look")(made.keep)
    yield made
    made.over.set()


class Waiting:
    """Keep the only thread for tools until *over*."""

    def __init__(self, one: Desk) -> None:
        self.one, self.over = one, threading.Event()
        self.pool = ThreadPoolExecutor(1)
        one.governor._runner._threads._pools.append(self.pool)

    def keep(self, q: int) -> int:
        self.over.wait()
        return q

    async def ends(self, meanwhile: Callable[[], object]) -> Outcome:
        """Return what becomes of a call that waits, and *meanwhile* happens."""
        governor = self.one.governor
        keeps = asyncio.create_task(governor.arun(call("look", q=1)))
        waits = asyncio.create_task(governor.arun(call(to="x")))
        while not self.pool._work_queue.qsize():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
        meanwhile()
        self.over.set()
        await keeps
        return await waits


def test_a_kill_is_obeyed_by_what_waits_for_a_thread(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LATE_NS", 0)
    one = waiting.one
    said = asyncio.run(waiting.ends(lambda: one.set(mode="off")))
    assert (said.effect, said.status) == (Effect.DENY, Status.NOT_RUN)
    assert one.calls == []
    *_, first, second = log(one, "decision")
    assert (first["effect"], second["effect"]) == ("allow", "deny")
    ends = {o["ref"]: o["status"] for o in log(one, "outcome")}
    assert ends[first["id"]] == "not_run"
    assert said.record_id == second["id"]


def test_what_still_stands_runs_when_there_is_a_thread(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LATE_NS", 0)
    said = asyncio.run(waiting.ends(lambda: None))
    assert (said.effect, said.status) == (Effect.ALLOW, Status.EXECUTED)
    assert waiting.one.calls == [{"to": "x"}]
    assert len(log(waiting.one, "decision")) == 2


def test_a_handler_that_waits_for_a_thread_never_becomes_the_tool(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked runs the tool by its own means, and those are not here."""
    one = waiting.one
    drafts = list[str]()

    def draft(to: str) -> None:
        drafts.append(to)

    one.governor._decider.tools.pop("mail")
    one.governor.tool("mail", draft=draft)(one.spy)
    one.set(mode="draft_write")
    monkeypatch.setattr(running, "LATE_NS", 0)
    said = asyncio.run(waiting.ends(lambda: one.set(mode="autonomous")))
    assert (said.effect, said.ran) == (Effect.CONSTRAIN, "draft_write")
    assert (drafts, one.calls) == (["x"], [])


def test_a_handler_that_no_longer_stands_never_becomes_the_tool(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = waiting.one
    decider = one.governor._decider
    decider.tools.pop("mail")
    one.governor.tool("mail", draft=lambda to: to)(one.spy)
    one.set(mode="draft_write")
    monkeypatch.setattr(running, "LATE_NS", 0)
    monkeypatch.setattr(type(decider), "stands", lambda *_: False)
    said = asyncio.run(waiting.ends(lambda: one.set(mode="autonomous")))
    assert (said.effect, said.status) == (Effect.DENY, Status.NOT_RUN)
    assert one.calls == []
    assert {o["status"] for o in log(one, "outcome") if o["ran"] != "tool"} == {
        "not_run"
    }


def test_what_waits_for_a_thread_while_it_closes_does_not_run(waiting: Waiting) -> None:
    def close() -> None:
        threading.Thread(target=runner.close).start()
        while not runner._threads.closed:
            time.sleep(0.001)

    runner = waiting.one.governor._runner
    said = asyncio.run(waiting.ends(close))
    assert (said.status, said.reason) == (Status.NOT_RUN, "records_unavailable")
    assert waiting.one.calls == []


def test_tools_in_threads_that_wait_for_tools_in_threads_go_on(desk: Make) -> None:
    """As many as there are threads: none is left for what they wait for."""
    one = desk(MAIL + "---\n" + SEARCH)
    one.governor.tool("mail")(one.spy)

    @one.governor.tool("look")
    def look(q: int) -> str:
        time.sleep(0.1)  # that many begin before the first one goes on
        asked = one.governor.arun(call(to=str(q)))
        return str(asyncio.run(asyncio.wait_for(asked, 60)).value)

    async def session() -> list[Outcome]:
        every = (one.governor.arun(call("look", q=n)) for n in range(40))
        return await asyncio.gather(*every)

    assert [said.value for said in asyncio.run(session())] == ["ran"] * 40
    assert len(one.calls) == 40


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

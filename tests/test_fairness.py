"""`openfeature_gov.fairness`: threads go on beside a loop that never rests."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from openfeature_gov import ToolCall, fairness
from openfeature_gov.evidence.records import note_record
from openfeature_gov.fairness import answered, give_way, in_thread
from openfeature_gov.stores.sqlite import SqliteStore
from openfeature_gov.stores.waiting import TaskWait
from tests.conftest import CONTEXT, Make, contract_yaml

SLICE_S = 0.0003
"""How long the loop is at work between two looks for events: less than 5 ms."""
FAIR = 400
"""How many of them pass at most, on the average, before a thread that waits goes on:
with luck alone it is thousands."""


def work(seconds: float = SLICE_S) -> None:
    """Keep the processor, and Python's lock, for *seconds* of its time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Busy:
    """Keep a loop busy, and count how often it was."""

    def __init__(self) -> None:
        self.slices = 0
        self.ends = False

    async def go_on(self) -> None:
        while not self.ends:
            work()
            self.slices += 1
            await asyncio.sleep(0)


async def slices_beside(waiting: Callable[[], Awaitable[object]]) -> int:
    """Return for how many slices the loop worked before *waiting* was over."""
    busy = Busy()
    task = asyncio.create_task(busy.go_on())
    try:
        await waiting()
    finally:
        busy.ends = True
        await task
    return busy.slices


@contextmanager
def stepping(steps: int) -> Iterator[threading.Thread]:
    """Let a thread go on that needs Python's lock *steps* times."""

    def step() -> None:
        for _ in range(steps):
            time.sleep(0.001)

    thread = threading.Thread(target=step)
    thread.start()
    yield thread
    thread.join()


async def worked(seconds: float) -> bool:
    work(seconds)
    return give_way()


def test_a_busy_loop_gives_way() -> None:
    async def seen() -> bool:
        return any([await worked(0.03) for _ in range(50)])

    assert asyncio.run(seen())


def test_a_loop_that_rests_does_not_sleep() -> None:
    async def seen() -> bool:
        give_way()
        await asyncio.sleep(0.1)
        return give_way()

    assert not asyncio.run(seen())


def test_who_gave_way_goes_on_alone_for_a_while() -> None:
    async def seen() -> list[bool]:
        give_way(0)
        return [give_way(3600.0), await worked(0.001) and give_way(3600.0)]

    assert asyncio.run(seen()) == [False, False]


def test_who_is_not_on_a_loop_does_not_sleep() -> None:
    for _ in range(10):
        give_way(0)
        work(0.03)
        assert not give_way()


@pytest.mark.parametrize(
    ("worked", "rested", "busy"),
    [(0.0, 1, False), (1e6, 1, True), (0.0, 0, True), (0.0, None, False)],
    ids=["rested", "worked all the time", "never rested", "unknown"],
)
def test_busy_is_who_never_rests_or_next_to_never(
    worked: float, rested: int | None, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others want the processor, who never rests has less than all of it."""

    async def seen() -> bool:
        monkeypatch.setattr(fairness, "_told", lambda: (0.0, rested and 0))
        give_way(0)
        monkeypatch.setattr(fairness, "_told", lambda: (worked, rested))
        return give_way(0)

    assert asyncio.run(seen()) is busy


def test_a_record_is_written_beside_a_busy_loop(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", sealing=None)

    async def committed() -> None:
        for _ in range(5):
            await store.acommit(note_record(store.stamp(), "mark"))

    try:
        assert asyncio.run(slices_beside(committed)) < 5 * FAIR
    finally:
        store.close()


def test_a_thread_answers_beside_a_busy_loop() -> None:
    def steps() -> str:
        for _ in range(5):
            time.sleep(0.001)
        return "done"

    async def asked() -> None:
        assert await in_thread(steps) == "done"

    assert asyncio.run(slices_beside(asked)) < 5 * FAIR


def test_threads_go_on_beside_a_loop_that_is_busy_deciding(desk: Make) -> None:
    governor = desk(contract_yaml("spy", riskClass="search")).governor
    governor.tool("spy")(lambda query: query)
    call = ToolCall("spy", {"query": "x"}, CONTEXT)

    async def decides() -> int:
        slices = 0
        with stepping(5) as thread:
            while thread.is_alive():
                await governor.adecide(call)
                work()
                await asyncio.sleep(0)
                slices += 1
        return slices

    assert asyncio.run(decides()) < 5 * FAIR


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Hear of each time that this thread gives way, and for how long."""
    found: list[float] = []
    monkeypatch.setattr(fairness, "_nap", found.append)
    return found


async def busy_until(naps: list[float]) -> None:
    """Keep the loop busy until it gives way, or never does."""
    for _ in range(10 * FAIR):
        if naps:
            return
        work()
        await asyncio.sleep(0)


def test_a_loop_on_which_a_task_waits_for_a_record_gives_way(naps: list[float]) -> None:
    async def waits() -> bool:
        wait = TaskWait()
        told = asyncio.create_task(wait.told(3600.0))
        await busy_until(naps)
        wait(None)
        return await told

    assert asyncio.run(waits())
    assert naps
    assert max(naps) <= fairness.LONGEST_S


def test_a_loop_on_which_a_task_waits_for_a_thread_gives_way(naps: list[float]) -> None:
    async def waits() -> bool:
        seen = threading.Event()
        asked = asyncio.create_task(in_thread(seen.wait))
        await busy_until(naps)
        seen.set()
        return await asked

    assert asyncio.run(waits())
    assert naps


def test_a_loop_that_is_busy_deciding_gives_way(desk: Make, naps: list[float]) -> None:
    governor = desk(contract_yaml("spy", riskClass="search")).governor
    governor.tool("spy")(lambda query: query)
    call = ToolCall("spy", {"query": "x"}, CONTEXT)

    async def decides() -> None:
        for _ in range(10 * FAIR):
            if naps:
                return
            await governor.adecide(call)
            work()

    asyncio.run(decides())
    assert naps


def test_what_runs_in_a_thread_has_the_context() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")

    async def asked() -> str:
        name.set("mine")
        return await in_thread(lambda more: name.get() + more, more="!")

    assert asyncio.run(asked()) == "mine!"


def test_what_a_thread_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="seen"):
        asyncio.run(in_thread(_raise))


def _raise() -> None:
    raise ValueError("seen")


def test_who_waits_may_be_cancelled() -> None:
    async def cancelled() -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(answered(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return future.cancelled()

    assert asyncio.run(cancelled())


def test_nothing_is_left_on_the_loop_of_who_waited() -> None:
    async def left() -> list[asyncio.TimerHandle]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_later(0.02, future.set_result, None)
        await answered(future)
        pending = loop._scheduled  # type: ignore[attr-defined] # nothing else tells
        return [one for one in pending if not one.cancelled()]

    assert asyncio.run(left()) == []

"""`openfeature_gov.fairness`: threads go on beside a loop that never rests."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def looks() -> int:
    """Return how many times the running loop is to be looked at."""
    loop = asyncio.get_running_loop()
    pending = loop._scheduled  # type: ignore[attr-defined] # nothing else tells
    found = [one for one in pending if not one.cancelled()]
    return sum("_Watch._look" in repr(one) for one in found)


async def rests_until(holds: Callable[[], object]) -> bool:
    """Rest until *holds*, or never does; say whether."""
    for _ in range(6_000):
        if holds():
            return True
        await asyncio.sleep(0.01)
    return False


async def rested(seconds: float) -> None:
    """Wait as for a thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.call_later(seconds, future.set_result, None)
    await answered(future)


def test_nothing_is_left_on_a_loop_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fairness, "LASTING_S", 0.0)

    async def left() -> bool:
        give_way(0)
        await rested(0.02)
        watch = fairness._watch(asyncio.get_running_loop())
        return await rests_until(lambda: watch._timer is None)

    assert asyncio.run(left())


def test_one_looks_for_all_who_wait() -> None:
    async def looking() -> int:
        tasks = [asyncio.create_task(rested(3600.0)) for _ in range(100)]
        await asyncio.sleep(0.05)
        found = looks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found

    assert asyncio.run(looking()) == 1


def test_who_begins_to_wait_puts_no_look_off(naps: list[float]) -> None:
    async def begin() -> list[asyncio.Task[None]]:
        tasks = []
        for _ in range(10 * FAIR):
            tasks.append(asyncio.create_task(rested(3600.0)))
            if naps:
                break
            work()
            await asyncio.sleep(0)
        return tasks

    async def waits() -> None:
        for task in (tasks := await begin()):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(waits())
    assert naps


def test_a_loop_that_rests_is_looked_at_rarely() -> None:
    async def is_looked_at() -> bool:
        give_way(0)
        watch = fairness._watch(asyncio.get_running_loop())
        return await rests_until(lambda: watch._pause_s >= fairness.RESTING_S)

    assert asyncio.run(is_looked_at())


def test_a_loop_that_rests_does_not_sleep(naps: list[float]) -> None:
    async def rests() -> None:
        give_way(0)
        naps.clear()
        await asyncio.sleep(0.1)
        give_way(0)

    asyncio.run(rests())
    assert naps == []


def test_a_loop_that_decided_gives_way_when_it_is_busy_later(
    desk: Make, naps: list[float]
) -> None:
    governor = desk(contract_yaml("spy", riskClass="search")).governor
    governor.tool("spy")(lambda query: query)

    async def decides_once() -> None:
        await asyncio.sleep(2 * fairness.ALONE_S)  # what ran here before is over
        await governor.adecide(ToolCall("spy", {"query": "x"}, CONTEXT))
        await asyncio.sleep(0.6)  # one looks rarely by now
        naps.clear()
        await busy_until(naps)

    asyncio.run(decides_once())
    assert naps
    assert max(naps) <= fairness.LONGEST_S


def test_a_loop_on_which_a_tool_ran_for_long_gives_way_after(
    desk: Make, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    governor = desk(contract_yaml("spy", riskClass="search")).governor
    monkeypatch.setattr(fairness, "LASTING_S", 0.0)

    @governor.tool("spy")
    async def spy(query: str) -> str:
        watch = fairness._watch(asyncio.get_running_loop())
        assert await rests_until(lambda: watch._timer is None)
        monkeypatch.setattr(fairness, "LASTING_S", 60.0)
        await asyncio.sleep(2 * fairness.ALONE_S)
        return query

    async def runs() -> None:
        await governor.arun(ToolCall("spy", {"query": "x"}, CONTEXT))
        naps.clear()
        await busy_until(naps)

    asyncio.run(runs())
    assert naps


def test_threads_go_on_beside_a_loop_that_decided(desk: Make) -> None:
    governor = desk(contract_yaml("spy", riskClass="search")).governor
    governor.tool("spy")(lambda query: query)

    async def slices() -> int:
        await asyncio.sleep(2 * fairness.ALONE_S)
        await governor.adecide(ToolCall("spy", {"query": "x"}, CONTEXT))
        worked_on = 0
        with stepping(5) as thread:
            while thread.is_alive():
                work()
                worked_on += 1
                await asyncio.sleep(0)
        return worked_on

    assert asyncio.run(slices()) < 5 * FAIR


def test_each_loop_is_looked_at(naps: list[float]) -> None:
    async def busy() -> None:
        give_way(0)
        naps.clear()
        await busy_until(naps)

    for _ in range(2):
        asyncio.run(busy())
        assert naps


def test_a_loop_is_looked_at_that_goes_on_after_it_stopped(naps: list[float]) -> None:
    async def decided() -> None:
        give_way(0)

    with asyncio.Runner() as runner:
        runner.run(decided())
        naps.clear()
        runner.run(busy_until(naps))
    assert naps


def test_loops_that_take_turns_in_a_thread_are_looked_at_once_each() -> None:
    async def waited() -> None:
        await in_thread(int)

    loops = [asyncio.new_event_loop(), asyncio.new_event_loop()]
    for _ in range(20):
        for loop in loops:
            loop.run_until_complete(waited())
    for loop in loops:
        timers: Any = loop._scheduled  # type: ignore[attr-defined] # nothing else tells
        assert len([one for one in timers if not one.cancelled()]) == 1
        loop.close()


def test_a_handler_that_decides_while_timers_are_sorted_breaks_no_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It runs in the loop's thread, between any two steps of the loop."""
    compared, decides = asyncio.TimerHandle.__lt__, list[bool]()

    def compare(one: asyncio.TimerHandle, another: asyncio.TimerHandle) -> bool:
        if not decides:
            decides.append(True)
            give_way(0)
        return compared(one, another)

    async def sorts() -> None:
        loop = asyncio.get_running_loop()
        for number in range(50):
            loop.call_later(3600 - number, int)
        monkeypatch.setattr(asyncio.TimerHandle, "__lt__", compare)
        loop.call_later(0, int)
        await asyncio.sleep(0.05)

    asyncio.run(sorts())
    assert decides

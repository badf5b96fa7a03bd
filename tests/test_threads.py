"""`openfeature_gov.threads`: what waits for a thread waits for nobody else's work."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from openfeature_gov import Controls, Effect, Governor, ToolCall, fairness
from openfeature_gov.decisions import Verdict
from openfeature_gov.ladder import Mode
from openfeature_gov.testing.workplace import People
from openfeature_gov.threads import Threads
from tests.conftest import CONTEXT, Make, contract_yaml

CALL = ToolCall("spy", {"query": "x"}, CONTEXT)
MANY = 40
"""More than a loop has threads, on any machine."""


@pytest.fixture
def governor(desk: Make) -> Governor:
    """Provide a Governor whose decisions are made in threads: the host has a say."""

    def known(*_: object) -> Verdict:
        return Verdict("authorizer", Mode.AUTONOMOUS, "known")

    one = desk(contract_yaml("spy"), Controls(authorizer=known)).governor
    one.tool("spy")(lambda query: query)
    return one


async def beside_a_busy_host(waits: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Await what *waits* while the host keeps all threads of its loop busy."""
    over = threading.Event()
    busy = [asyncio.create_task(asyncio.to_thread(over.wait)) for _ in range(MANY)]
    await asyncio.sleep(0)
    try:
        return await asyncio.wait_for(waits(), 60)
    finally:
        over.set()
        await asyncio.gather(*busy)


def test_a_decision_waits_for_no_thread_of_the_host(governor: Governor) -> None:
    decided = asyncio.run(beside_a_busy_host(lambda: governor.adecide(CALL)))
    assert decided.effect is Effect.ALLOW


def test_a_tool_waits_for_no_thread_of_the_host(governor: Governor) -> None:
    ran = asyncio.run(beside_a_busy_host(lambda: governor.arun(CALL)))
    assert ran.value == "x"


def test_what_waits_in_threads_of_the_host_for_decisions_goes_on(
    governor: Governor,
) -> None:
    """As sync agents do beside an async host: as many as there are threads."""

    async def session() -> list[Effect]:
        loop = asyncio.get_running_loop()

        def agent() -> Effect:
            time.sleep(0.1)  # that many begin before the first one goes on
            asked = asyncio.run_coroutine_threadsafe(governor.adecide(CALL), loop)
            return asked.result(60).effect

        agents = (asyncio.to_thread(agent) for _ in range(MANY))
        return await asyncio.gather(*agents)

    assert asyncio.run(session()) == [Effect.ALLOW] * MANY


def test_what_a_person_reads_may_take_a_decision_of_its_own(desk: Make) -> None:
    """As many calls that ask people as there are threads, each waits for another."""
    one = desk(contract_yaml("pay") + "---\n" + contract_yaml("look"))
    one.governor.close()
    governor = Governor.open(one.governance, one.flags, one.records, people=People())
    one.set(approval=True)
    together, looked = threading.Barrier(fairness.MOST), list[Effect]()

    async def look() -> None:
        asked = governor.adecide(ToolCall("look", {"query": "x"}, CONTEXT))
        looked.append((await asyncio.wait_for(asked, 30)).effect)

    def told(_: object) -> str:
        together.wait(60)
        asyncio.run(look())
        return "told"

    governor.tool("pay", consequence=told)(lambda to: to)
    governor.tool("look", consequence=lambda _: "told")(lambda query: query)

    async def decided() -> None:
        calls = [ToolCall("pay", {"to": f"{n}"}, CONTEXT) for n in range(fairness.MOST)]
        await asyncio.gather(*map(governor.adecide, calls))

    asyncio.run(decided())
    governor.close()
    assert looked == [Effect.QUEUE_FOR_APPROVAL] * fairness.MOST


def test_what_goes_on_after_its_work_ended_needs_no_deeper_threads() -> None:
    """An agent's step begins the next one, and ends: nobody waits for it."""
    threads, left = Threads("test"), contextvars.copy_context()

    def step() -> contextvars.Context:
        return contextvars.copy_context()

    for _ in range(20):
        begun = left.run(threads.begin, step)
        assert begun is not None
        left = begun.result()
    assert len(threads._pools) == 1
    threads.close()


def test_nothing_begins_after_the_end() -> None:
    threads = Threads("test")
    threads.close()
    assert threads.begin(lambda: 1) is None
    threads.close()


def test_who_closes_waits_for_what_runs() -> None:
    threads, begun, over = Threads("test"), threading.Event(), threading.Event()
    ended: list[str] = []

    def work() -> None:
        begun.set()
        over.wait()
        time.sleep(0.05)
        ended.append("work")

    threads.begin(work)
    begun.wait()
    over.set()
    threads.close()
    assert ended == ["work"]


def test_a_handler_that_interrupts_who_begins_does_not_wait() -> None:
    threads, over = Threads("test"), threading.Event()
    begun = threads.begin(lambda: over.wait(30))
    with threads._lock:  # as the one who is interrupted
        threads.close()
    over.set()
    assert begun is not None
    assert begun.result(60)


def test_a_forked_child_has_threads_of_its_own() -> None:
    threads = Threads("test")
    begun = threads.begin(lambda: 1)
    assert begun is not None
    assert begun.result(60) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there is a thread
        child = os.fork()
    if child == 0:
        again = threads.begin(lambda: 2)
        os._exit(0 if again is not None and again.result(20) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

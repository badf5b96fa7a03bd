"""Who waits for a record is told once, from any thread, or gives up in time."""

from __future__ import annotations

import asyncio
import threading

from openfeature_gov.evidence.records import Stamp, note_record
from openfeature_gov.stores.waiting import TaskWait, Wait, tell

RECORD = note_record(Stamp(id="n", at_us=1, writer="w"), "note")


def test_a_thread_is_told_from_another() -> None:
    wait, error = Wait(), OSError("full")
    threading.Thread(target=wait, args=(error,)).start()
    assert wait.told(30)
    assert wait.error is error


def test_what_is_said_first_counts() -> None:
    wait, error = Wait(), OSError("full")
    wait(error)
    wait(None)
    assert wait.told(0)
    assert wait.error is error


def test_nobody_waits_for_ever() -> None:
    assert not Wait().told(0.01)

    async def wait() -> bool:
        return await TaskWait().told(0.01)

    assert not asyncio.run(wait())


def test_a_task_is_told_from_another_thread() -> None:
    error = OSError("full")

    async def wait() -> Exception | None:
        one = TaskWait()
        threading.Thread(target=one, args=(error,)).start()
        assert await one.told(30)
        one(None)
        return one.error

    assert asyncio.run(wait()) is error


def test_a_loop_that_is_gone_is_told_nothing() -> None:
    async def make() -> TaskWait:
        return TaskWait()

    asyncio.run(make())(None)


def test_all_of_a_batch_are_told() -> None:
    found: list[Exception | None] = []
    tell([(RECORD, found.append), (RECORD, None), (RECORD, found.append)], None)
    assert found == [None, None]

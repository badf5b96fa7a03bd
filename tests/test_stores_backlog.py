"""The backlog: in order, bounded, and nobody who puts waits in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.stores import backlog
from openfeature_gov.stores.backlog import Backlog
from openfeature_gov.stores.waiting import Item
from tests.interrupting import interrupted


def note(number: int) -> Record:
    return note_record(Stamp(id=f"n-{number}", at_us=number, writer="w"), "note")


def ids(batch: list[Item]) -> list[str]:
    return [record.id for record, _ in batch]


def sound() -> Backlog:
    return Backlog(lambda: False)


class Taker:
    """Take in a thread as a store's writer does, and tell who waits."""

    def __init__(self, one: Backlog) -> None:
        self.backlog = one
        self.batches: list[list[str]] = []
        self.closing = False
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while True:
            self.backlog.wait(None)
            closing = self.closing
            batch = self.backlog.take()
            for _, done in batch:
                if done is not None:
                    done(None)
            if batch:
                self.batches.append(ids(batch))
            if closing and not self.backlog:
                return


@contextmanager
def taken(one: Backlog) -> Iterator[Taker]:
    made = Taker(one)
    made.thread.start()
    try:
        yield made
    finally:
        made.closing = True
        one.hurry()
        made.thread.join(30)
    assert not made.thread.is_alive(), "the taker slept through its end"


def test_what_waits_comes_in_order_and_in_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "BATCH", 3)
    one = sound()
    one._pacer = threading.get_ident()
    for number in range(7):
        assert one.put(note(number), None)
    assert len(one) == 7
    assert one.wait(0)
    assert ids(one.take()) == ["n-0", "n-1", "n-2"]
    assert one.wait(0), "what is left is not waited for"
    batch = one.take()
    one.give_back(batch)
    assert ids(one.empty()) == ["n-3", "n-4", "n-5", "n-6"]
    assert not one.wait(0)


def test_what_is_given_back_waits_for_the_next_try() -> None:
    """Whoever fails does not try at once, but does for someone who waits."""
    one = sound()
    one.put(note(1), None)
    assert one.wait(30)
    one.give_back(one.take())
    assert not one.wait(0, retrying=True)
    one.put(note(2), None)
    assert not one.wait(0, retrying=True)
    one.put(note(3), lambda _: None)
    assert one.wait(30, retrying=True)
    assert ids(one.take()) == ["n-1", "n-2", "n-3"]


def test_nothing_is_taken_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "BACKLOG", 2)
    monkeypatch.setattr(backlog, "BATCH", 2)
    monkeypatch.setattr(backlog, "ROOM_S", 0.01)
    one = sound()
    assert [one.put(note(number), None) for number in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert one.full()
    assert ids(one.empty()) == ["n-0", "n-1"]
    assert one.put(note(9), None)


@pytest.mark.parametrize("threads", [1, 2, 5, 16])
def test_everyone_who_waits_is_told(threads: int) -> None:
    """However puts fall between looking, gathering and sleeping, nobody is left."""
    one = sound()
    told = [0] * threads

    def work(number: int) -> None:
        for count in range(300):
            wait = threading.Event()
            if count % 7 == 3:
                one.put(note(count), None)
            one.put(note(count), lambda _, wait=wait: wait.set())  # type: ignore[misc]
            assert wait.wait(30), "nobody came"
            told[number] += 1
            if count % 50 == number:
                time.sleep(0.001)

    with taken(one) as taker:
        workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert told == [300] * threads
    # Of 300 numbers every seventh from 3 on is put twice.
    assert sum(map(len, taker.batches)) == threads * (300 + 43)


def test_who_only_hands_over_is_taken_soon() -> None:
    one = sound()
    with taken(one) as taker:
        for number in range(50):
            one.put(note(number), None)
            deadline = time.monotonic() + 30
            while sum(map(len, taker.batches)) <= number:
                assert time.monotonic() < deadline, "nobody came"
                time.sleep(0.0002)


def test_a_batch_gathers_those_who_waited_for_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last of them wakes the writer, and nobody before."""
    monkeypatch.setattr(backlog, "GATHER_S", 60)
    one = sound()
    for number in range(3):
        one.put(note(number), lambda _: None)
    assert one.wait(0)
    assert len(one.take()) == 3
    one.hurry()  # of what is over by now
    found: list[list[str]] = []

    def gather() -> None:
        one.wait(None)
        found.append(ids(one.take()))

    writer = threading.Thread(target=gather)
    writer.start()
    while not one._target and writer.is_alive():
        time.sleep(0.001)
    for number in range(10, 13):
        one.put(note(number), lambda _: None)
    writer.join(30)
    assert found == [["n-10", "n-11", "n-12"]]


def test_what_is_shut_keeps_nothing_that_its_taker_did_not_find() -> None:
    one = sound()
    assert one.put(note(1), None)
    one.shut()
    assert not one.put(note(2), None)
    assert ids(one.empty()) == ["n-1"]


class Interrupted:
    """A bell whose ringer is interrupted by a signal handler that raises."""

    def locked(self) -> bool:
        raise KeyboardInterrupt


def test_an_interrupted_ring_is_made_good_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = sound()
    with monkeypatch.context() as patched:
        patched.setattr(one, "_bell", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            one.put(note(1), None)
    one.put(note(2), None)
    assert one._bell.acquire(blocking=False), "the writer sleeps on"
    assert ids(one.take()) == ["n-1", "n-2"]


def test_the_writer_waits_for_nobody_who_holds_the_lock_of_the_room() -> None:
    """Its holder may be interrupted by a handler that waits for the writer."""
    one = sound()
    one.put(note(1), None)
    found: list[list[str]] = []

    def work() -> None:
        batch = one.take()
        one.give_back(batch)
        found.append(ids(batch))

    writer = threading.Thread(target=work)
    with one._space:
        writer.start()
        writer.join(30)
        assert found == [["n-1"]]
    assert ids(one.take()) == ["n-1"]


def test_who_waits_for_room_looks_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that hangs tells nobody that it fails."""
    monkeypatch.setattr(backlog, "BACKLOG", 1)
    monkeypatch.setattr(backlog, "BATCH", 1)
    monkeypatch.setattr(backlog, "ROOM_S", 600.0)
    answers = iter([False])
    one = Backlog(lambda: next(answers, True))
    assert one.put(note(1), None)
    found: list[bool] = []
    asking = threading.Thread(
        target=lambda: found.append(one.put(note(2), None)), daemon=True
    )
    asking.start()
    asking.join(30)
    assert found == [False]


def test_a_bell_that_rings_while_it_gathers_is_heard() -> None:
    """Who closes a store does not wait for a writer that waits for nobody."""
    for _ in range(200):
        one = sound()
        for number in range(3):
            one.put(note(number), lambda _: None)
        one.take()
        one.hurry()
        assert one.wait(1), "the bell was not heard"
        assert one.take() == []


def test_an_interrupted_wait_for_room_keeps_nobody_else_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A handler may raise between any two steps, even of taking a lock."""
    monkeypatch.setattr(backlog, "BATCH", 1)
    one = Backlog(lambda: True)
    one.put(note(0), None)

    def ask() -> None:
        one._pacer = None
        one._roomed()

    def another_asks(turn: int) -> None:
        one._pacer = None
        asking = threading.Thread(target=one._roomed, daemon=True)
        asking.start()
        asking.join(30)
        assert not asking.is_alive(), f"nobody puts after {turn} interrupts"

    interrupted(ask, another_asks)

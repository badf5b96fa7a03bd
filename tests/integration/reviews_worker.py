"""Processes are killed -9 at each step of a review and of its undo, or undo at once.

Run ``PYTHONPATH=.:providers:rollout python -m tests.integration.reviews_worker kill 50
FOLDER`` for as many rounds of kills, or with ``300 8`` in place of the first two words
to let 8 processes undo what 300 refusals ordered; a last word ``postgres`` takes a real
PostgreSQL server. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import random
import select
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openfeature_gov import Governor, Outcome, ToolCall
from openfeature_gov.evidence.records import note_record
from openfeature_gov.reviews import steps
from openfeature_gov.reviews.queue import ReviewQueue
from openfeature_gov.reviews.review import Review
from openfeature_gov.reviews.states import FINAL, Event, State
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from openfeature_gov.tools import Undoing
from tests.conftest import contract_yaml, flag_document
from tests.integration.approvals_worker import (
    BOB,
    Found,
    awaited,
    context,
    die,
    forked,
    sealing,
)
from tests.integration.crash import Lent, Records, log_of
from tests.properties.test_approvals import People

STEPS = ("intent", "run", "outcome", "answer", "expiry", "undo", "undone")
"""After or within which a process is killed; `victim` says where exactly."""
RULES = "{withinMinutes: 60, reviewerGroup: support, onExpiry: undo}"
Dies = Callable[[], object] | None


class Side:
    """One process: a Governor over the shared files, with a tool and its undo.

    Both leave a line; *dies* and *undo_dies* are called in the middle of them.
    """

    def __init__(
        self, folder: Path, log: Path | str, dies: Dies = None, undo_dies: Dies = None
    ) -> None:
        self.governor = Governor.open(
            folder / "governance.yaml",
            folder / "flags.json",
            log,
            people=People(),
            sealing=sealing(folder),
        )
        self.governor._rounds.end()  # nothing but what is called for
        lines = {
            name: os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for name in ("actions", "undone")
        }

        def pay(number: str) -> str:
            os.write(lines["actions"], f"{number}\n".encode())
            if dies is not None:
                dies()
            return number

        def take_back(one: Undoing) -> None:
            number = one.arguments["number"]
            if one.reference != number:
                raise SystemExit(f"{number}: of another result: {one.reference}")
            if undo_dies is not None and hash(one.record) % 2:
                undo_dies()
            os.write(lines["undone"], f"{number} {one.record}\n".encode())
            if undo_dies is not None:
                undo_dies()

        self.governor.tool(undo=take_back, reference=lambda result: result)(pay)

    def call(self, number: str) -> ToolCall:
        return ToolCall("pay", {"number": number}, context(number))

    def run(self, number: str) -> Outcome:
        """Run the action *number*, which is then open for review."""
        outcome = self.governor.run(self.call(number))
        if not outcome.review_id:
            raise SystemExit(f"not reviewed: {outcome.reason}")
        return outcome

    def open(self, outcome: Outcome) -> Review:
        """Return the review of *outcome* once it is open."""
        shelf = self.queue.shelf
        shelf.commit(note_record(shelf.stamp(), "mark"))
        found = self.queue.get(outcome.review_id)
        if found is None or found.state is not State.OPEN:
            raise SystemExit(f"not open: {found}")
        return found

    def refuse(self, outcome: Outcome) -> None:
        """Refuse *outcome* as bob."""
        one = self.open(outcome)
        step = self.queue.refuse(one.id, BOB, seen=one.binding, reason="no")
        if not isinstance(step, Review):
            raise SystemExit(f"not refused: {step.reason}")

    @property
    def queue(self) -> ReviewQueue:
        if self.governor.reviews is None:
            raise SystemExit("no reviews")
        return self.governor.reviews


def victim(folder: Path, log: Path | str, step: str, number: str) -> None:
    """Go the way of one action and its review, and be killed at *step*."""
    chance = random.Random(number)

    def end() -> None:
        die(chance)

    dying = {"run": (end, None), "undo": (None, end)}.get(step, (None, None))
    side = Side(folder, log, *dying)
    if step == "intent":
        side.governor.enforce(side.call(number))
        end()
    outcome = side.run(number)
    if step == "outcome":
        end()
    if step == "expiry":
        late = side.open(outcome).deadline_us
        side.queue._take(
            outcome.review_id, Event.EXPIRE, lambda one, _: steps.expire(one, late)
        )
        end()
    side.refuse(outcome)
    if step == "answer":
        end()
    side.governor.settle_reviews()
    end()


def ended_otherwise(step: str, one: Review) -> bool:
    """Say whether the review of an action killed at *step* ended as it must not.

    Who is killed in an undo may be in that of another: any that is due.
    """
    if step in ("intent", "run"):
        return one.why != "action_unknown"
    if step == "outcome":
        return one.state is not State.OPEN and one.why != "action_unknown"
    return one.state is not State.UNDONE and one.why != "undo_unknown"


def survivor(folder: Path, log: Path | str) -> None:
    """Start after the kills, settle what is due, as two of them do at once."""
    deadline = time.monotonic() + 60
    while True:
        side = Side(folder, log)
        for _ in range(2):
            side.governor.settle_reviews()
        left = side.queue.shelf.reviews(states=set(State) - FINAL - {State.OPEN})
        side.governor.close()
        if not left:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"left: {[one.review.state for one in left]}")
        time.sleep(0.1)  # a server may take a moment to notice who died


def kill(rounds: int, folder: Path, log: Path | str) -> None:
    """Kill a process at each step, *rounds* times, and go on after each."""

    def fork(step: str, number: str) -> int:
        return forked(lambda: victim(folder, log, step, number))

    for number in range(rounds):
        names = [(step, f"{step}-{number}") for step in STEPS]
        awaited([fork(*one) for one in names], killed=True)
        awaited([forked(lambda: survivor(folder, log)) for _ in range(2)])


def asked(folder: Path, log: Path | str, count: int) -> None:
    """Run *count* actions and refuse them all."""
    side = Side(folder, log)
    for number in range(count):
        side.refuse(side.run(f"n{number}"))
    side.governor.close()


def racer(folder: Path, log: Path | str, ready: int, gate: int) -> None:
    """Undo everything that is due, as the gate opens."""
    side = Side(folder, log)
    os.write(ready, b".")
    select.select([gate], [], [], 120)
    side.governor.settle_reviews()
    side.governor.close()


def race(count: int, processes: int, folder: Path, log: Path | str) -> None:
    """Let *processes* undo what *count* refusals ordered."""
    awaited([forked(lambda: asked(folder, log, count))])
    (gate, opener), (ready, readier) = os.pipe(), os.pipe()

    def run() -> int:
        def work() -> None:
            os.close(opener)
            racer(folder, log, readier, gate)

        return forked(work)

    children = [run() for _ in range(processes)]
    os.close(readier)
    waiting = processes
    while waiting and (heard := os.read(ready, processes)):
        waiting -= len(heard)
    for one in (opener, gate, ready):
        os.close(one)
    awaited(children)


def counted(folder: Path, log: Path | str, records: Records) -> Found:
    """Return what must be zero, and what shows that something happened."""
    store = open_store(log, sealing=sealing(folder))
    try:
        shelf = RecordShelf(store, log)
        reviews = [one.review for one in shelf.reviews(states=State, limit=1_000_000)]
    finally:
        store.close()
    by = {str(json.loads(one.arguments or b"{}").get("number")): one for one in reviews}
    by_undo = {one.undo_id: one for one in reviews if one.undo_id}
    lines = [line.split() for line in (folder / "undone").read_text().splitlines()]
    actions = (folder / "actions").read_text().split()
    undos = {r["id"]: r for r in records if r["kind"] == "undo"}
    ends = Counter(r["ref"] for r in records if r["kind"] == "outcome")
    said = {r["ref"]: r for r in records if r["kind"] == "outcome"}
    ran = [r["id"] for r in records if r.get("executes")]
    states = Counter(one.state for one in reviews)
    unexpected = sum(
        ended_otherwise(number.split("-")[0], one)
        for number, one in by.items()
        if "-" in number
    )
    return {
        "reviews": len(reviews),
        "actions": len(actions),
        "undos": len(lines),
        "undone": states[State.UNDONE],
        "handed_over": states[State.HANDED_OVER],
        "open": states[State.OPEN],
        "actions_twice": len(actions) - len(set(actions)),
        "undone_twice": len(lines) - len({number for number, _ in lines}),
        "undone_unrecorded": sum(record not in undos for _, record in lines),
        "undone_unordered": sum(record not in by_undo for _, record in lines),
        "said_undone_and_was_not": states[State.UNDONE]
        - sum(
            record in by_undo and by_undo[record].state is State.UNDONE
            for _, record in lines
        ),
        "without_outcome": sum(one not in ends for one in ran),
        "outcomes_twice": sum(count > 1 for count in ends.values()),
        "left_under_way": sum(one.state not in FINAL | {State.OPEN} for one in reviews),
        "undos_told_otherwise": sum(
            said[one]["undo"]
            != ("undone" if by_undo[one].state is State.UNDONE else "unknown")
            for one in undos
        ),
        "handed_over_to_nobody": sum(
            one.state is State.HANDED_OVER
            and not said[one.undo_id or one.record_id]["handOver"]
            for one in reviews
        ),
        "ended_otherwise": unexpected,
    }


@contextmanager
def prepared(folder: Path, kind: str) -> Iterator[Lent]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "governance.yaml").write_text(contract_yaml("pay", review=RULES))
    (folder / "flags.json").write_text(json.dumps(flag_document()))
    with log_of(folder, kind) as lent:
        yield lent


def main(words: list[str]) -> Found:
    """Do what *words* of the command line say; return the counts."""
    first, second, place, *kinds = words
    folder = Path(place)
    with prepared(folder, (kinds or ["sqlite"])[0]) as (log, read, _):
        started = time.monotonic()
        if first == "kill":
            kill(int(second), folder, log)
        else:
            race(int(first), int(second), folder, log)
        seconds = round(time.monotonic() - started)
        return {**counted(folder, log, read()), "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))

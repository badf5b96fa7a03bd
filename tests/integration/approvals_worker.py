"""Many processes use up releases at once, and are killed -9 at each step of them.

Run ``PYTHONPATH=.:providers:rollout python -m tests.integration.approvals_worker 300 16
FOLDER`` for a race, or with ``kill 50`` in place of the numbers for as many rounds of
kills; a last word ``postgres`` takes a real PostgreSQL server. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from openfeature_gov import Actor, CallContext, Effect, Governor, Outcome, ToolCall
from openfeature_gov.approvals.codec import arguments
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from tests.conftest import contract_yaml, flag_document
from tests.integration.crash import Lent, Records, log_of
from tests.properties.test_approvals import People

BOB = Reviewer("bob", way="cli")
STEPS = ("request", "approval", "consume", "run", "outcome")
"""After or within which a process is killed; `kill` says where exactly."""
ENDED = frozenset({State.EXECUTED, State.UNKNOWN})
Found = dict[str, int]


class Side:
    """One process: a Governor over the shared files, with a tool that leaves a line.

    *dies* is called in the middle of the tool.
    """

    def __init__(
        self, folder: Path, log: Path | str, dies: Callable[[], None] | None = None
    ) -> None:
        self.governor = Governor.open(
            folder / "governance.yaml",
            folder / "flags.json",
            log,
            people=People(),
            sealing=sealing(folder),
        )
        actions = os.open(folder / "actions", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def pay(number: str) -> str:
            os.write(actions, f"{number}\n".encode())
            if dies is not None:
                dies()
            return number

        told = self.governor.tool(consequence=lambda a: f"{a['number']} is paid.")
        self.pay = told(pay)

    def ask(self, number: str) -> str:
        """Ask for the action *number*; return the id of the request."""
        outcome = self.governor.run(self.call(number))
        if outcome.effect is not Effect.QUEUE_FOR_APPROVAL:
            raise SystemExit(f"not queued: {outcome.reason}")
        return outcome.approval_id

    def approve(self, approval: str) -> None:
        """Release the request *approval* as bob."""
        step = self.queue.approve(approval, BOB, seen=self.request(approval).binding)
        if not isinstance(step, Request):
            raise SystemExit(f"not approved: {step.reason}")

    def resume(self, approval: str) -> Outcome:
        """Resume the request *approval* as who asked for it."""
        number = str(arguments(self.request(approval))["number"])
        with self.governor.acting(context(number)):
            return self.governor.resume(approval)

    def request(self, approval: str) -> Request:
        found = self.queue.get(approval)
        if found is None:
            raise SystemExit(f"the request {approval} is lost")
        return found

    @property
    def queue(self) -> ApprovalQueue:
        if self.governor.approvals is None:
            raise SystemExit("no queue")
        return self.governor.approvals

    def call(self, number: str) -> ToolCall:
        """Return the call; every other one has an id that a retry repeats."""
        call_id = f"call-{number}" if number.endswith(tuple("02468")) else ""
        return ToolCall("pay", {"number": number}, context(number), call_id=call_id)


def sealing(folder: Path) -> Sealing:
    return Sealing(500, 1.0, folder / "key", folder / "checkpoints")


def context(number: str) -> CallContext:
    """Return who asks; no agent asks for more than it may."""
    actor = Actor(agent=f"agent-{sum(number.encode()) % 50}", user="user-1")
    return CallContext(actor=actor, environment="test", task="task-1")


def forked(work: Callable[[], None]) -> int:
    """Run *work* in a child process; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(3)
    os._exit(0)


def awaited(children: list[int], *, killed: bool = False) -> None:
    """Wait for *children*, each of which ended well, or was *killed*."""
    states = [os.waitpid(child, 0)[1] for child in children]
    if states != [signal.SIGKILL if killed else 0] * len(children):
        raise SystemExit(f"a process ended otherwise: {states}")


def asker(folder: Path, log: Path | str, count: int, seed: int) -> None:
    """Ask for *count* actions, as others do at the same time."""
    side = Side(folder, log)
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    lines = [side.ask(f"n{number}") for number in numbers]
    side.governor.close()
    (folder / f"asked-{seed}").write_text("\n".join(lines))


def asked(folder: Path, log: Path | str, count: int, askers: int) -> None:
    """Let *askers* ask for the same *count* actions at once, and release them all.

    Raises:
        SystemExit: when an action was asked for more than once.

    """
    children = [
        forked(lambda seed=seed: asker(folder, log, count, seed))  # type: ignore[misc] # bound now
        for seed in range(askers)
    ]
    awaited(children)
    lines = {
        line
        for path in folder.glob("asked-*")
        for line in path.read_text().splitlines()
    }
    if len(lines) != count:
        raise SystemExit(f"{len(lines)} requests for {count} actions")

    def release() -> None:
        side = Side(folder, log)
        for approval in lines:
            side.approve(approval)
        side.governor.close()

    awaited([forked(release)])
    (folder / "asked").write_text("\n".join(sorted(lines)))


def racer(folder: Path, log: Path | str, seed: int, ready: int, gate: int) -> None:
    """Resume everything that was asked, in an order of its own, as the gate opens."""
    side = Side(folder, log)
    os.write(ready, b".")
    approvals = (folder / "asked").read_text().split()
    random.Random(seed).shuffle(approvals)
    select.select([gate], [], [], 120)
    done = [(one, side.resume(one)) for one in approvals]
    side.governor.close()
    lines = [f"{one} {out.record_id} {out.value}\n" for one, out in done if out.ran]
    (folder / f"done-{seed}").write_text("".join(lines))


def race(count: int, processes: int, folder: Path, log: Path | str) -> None:
    """Let *processes* use up *count* releases."""
    asked(folder, log, count, min(processes, 4))
    (gate, opener), (ready, readier) = os.pipe(), os.pipe()

    def run(seed: int) -> int:
        def work() -> None:
            os.close(opener)
            racer(folder, log, seed, readier, gate)

        return forked(work)

    children = [run(seed) for seed in range(processes)]
    os.close(readier)
    waiting = processes
    while waiting and (heard := os.read(ready, processes)):
        waiting -= len(heard)
    for one in (opener, gate, ready):
        os.close(one)
    awaited(children)


def die(chance: random.Random) -> NoReturn:
    time.sleep(chance.choice((0.0, 0.0, chance.uniform(0, 0.004))))
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit("still alive")


def victim(folder: Path, log: Path | str, step: str, number: str) -> None:
    """Go the way of one action and be killed at *step*."""
    chance = random.Random(number)
    dies = (lambda: die(chance)) if step == "run" else None
    side = Side(folder, log, dies)
    approval = side.ask(number)
    with (folder / "asked").open("a") as file:
        file.write(f"{step} {approval}\n")
    if step == "request":
        die(chance)
    side.approve(approval)
    if step == "approval":
        die(chance)
    if step == "consume":
        released = side.governor.enforce(side.call(number))
        if released.ran != "tool":
            raise SystemExit(f"not released: {released.reason}")
        die(chance)
    side.resume(approval)
    die(chance)


def survivor(folder: Path, log: Path | str) -> None:
    """Start after the kills; go on with everything, as an agent would that retries.

    Raises:
        SystemExit: when a request stands elsewhere than its process left it.

    """
    lines = (folder / "asked").read_text().splitlines()[-len(STEPS) :]
    side = settled(folder, log, [line.split()[1] for line in lines])
    for line in lines:
        step, approval = line.split()
        state = side.request(approval).state
        expected = {"request": {State.PENDING}, "approval": {State.APPROVED}}
        if state not in expected.get(step, ENDED):
            raise SystemExit(f"killed at {step}: {state}")
        if state is State.PENDING:
            side.approve(approval)
        for _ in range(2):
            side.resume(approval)
    side.governor.close()


def settled(folder: Path, log: Path | str, approvals: list[str]) -> Side:
    """Return a process that started once the dead were seen to be dead."""
    deadline = time.monotonic() + 60
    while True:
        side = Side(folder, log)
        states = {side.request(one).state for one in approvals}
        if State.CONSUMED not in states or time.monotonic() > deadline:
            return side
        side.governor.close()  # a server may take a moment to notice
        time.sleep(0.1)


def kill(rounds: int, folder: Path, log: Path | str) -> None:
    """Kill a process at each step, *rounds* times, and go on after each."""

    def fork(step: str, number: str) -> int:
        return forked(lambda: victim(folder, log, step, number))

    for number in range(rounds):
        names = [(step, f"{step}-{number}") for step in STEPS]
        awaited([fork(*one) for one in names], killed=True)
        awaited([forked(lambda: survivor(folder, log))])


def counted(folder: Path, log: Path | str, records: Records) -> Found:
    """Return what must be zero, and what shows that something happened."""
    store = open_store(log, sealing=sealing(folder))
    try:
        kept = RecordShelf(store, log).requests(states=State, limit=1_000_000)
    finally:
        store.close()
    states = Counter(one.request.state for one in kept)
    used = [one.request for one in kept if one.request.consumed_by]
    decided = {r["id"]: r for r in records if r["kind"] == "decision"}
    ran = [r for r in decided.values() if r["executes"]]
    ends = {r["ref"]: r["status"] for r in records if r["kind"] == "outcome"}
    actions = (folder / "actions").read_text().split()
    by = {str(arguments(one)["number"]): one for one in used}
    heard = [
        line.split()
        for path in folder.glob("done-*")
        for line in path.read_text().splitlines()
    ]
    heard_otherwise = sum(
        by[number].id != approval or by[number].consumed_by != record
        for approval, record, number in heard
    )
    return {
        "actions": len(actions),
        "executed": states[State.EXECUTED],
        "unknown": states[State.UNKNOWN],
        "actions_twice": len(actions) - len(set(actions)),
        "actions_without_release": len(set(actions) - by.keys()),
        "heard_otherwise": heard_otherwise,
        "used_twice": len(used) - len({one.consumed_by for one in used}),
        "of_another_digest": sum(
            decided[one.consumed_by]["actionDigest"] != one.digest for one in used
        ),
        "run_without_release": len(
            {r["id"] for r in ran} - {one.consumed_by for one in used}
        ),
        "without_outcome": sum(r["id"] not in ends for r in ran),
        "outcomes_twice": sum(r["kind"] == "outcome" for r in records) - len(ends),
        "left_consumed": states[State.CONSUMED],
        "told_otherwise": sum(
            ends.get(one.consumed_by) != one.state.value for one in used
        ),
    }


@contextmanager
def prepared(folder: Path, kind: str) -> Iterator[Lent]:
    folder.mkdir(parents=True, exist_ok=True)
    rules = contract_yaml("pay", approval="{reviewerGroup: support}")
    (folder / "governance.yaml").write_text(rules)
    (folder / "flags.json").write_text(json.dumps(flag_document(approval=True)))
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

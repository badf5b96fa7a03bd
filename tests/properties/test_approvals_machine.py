"""Any order of steps, on every store alike: used once at most, and only if released.

``GOV_EXAMPLES`` says how many runs there are, ``GOV_STEPS`` how long each may be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import Shelf, change
from openfeature_gov.approvals.states import FINAL, OPEN, TABLE, Event, State
from openfeature_gov.approvals.steps import MINUTE_US, Step
from openfeature_gov.errors import LostRaceError
from openfeature_gov.evidence.records import note_record
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from tests.integration import postgres
from tests.properties.test_approvals import SUBJECTS, People, reviewer
from tests.properties.test_approvals import request as asked
from tests.shelves import MemoryShelf

EXAMPLES = int(os.environ.get("GOV_EXAMPLES", "8"))
STEPS = int(os.environ.get("GOV_STEPS", "25"))
HOUR_US = 60 * MINUTE_US
START = 1_000 * HOUR_US
NEXT = {(before, after) for (before, _), after in TABLE.items()}
"""Every state after which another may stand."""
Read = Callable[[int], list[dict[str, Any]]]
_runs = count(1)

subjects = st.sampled_from((*SUBJECTS, "bob", "bob", "cy", "cy"))
minutes = st.integers(1, 600)
which = st.integers(0, 999)


class Kind(NamedTuple):
    """Hold one store: where requests are, and what it recorded after a number."""

    name: str
    shelf: Shelf
    read: Read


class Machine(RuleBasedStateMachine):
    """Take every step on all stores, and see that they do not differ."""

    def __init__(self, kinds: list[Kind]) -> None:
        super().__init__()
        self.kinds, self.now, self.people = kinds, START, People()
        self.queues = [
            ApprovalQueue(one.shelf, self.people, lambda: self.now) for one in kinds
        ]
        self.since = [max((r["seq"] for r in one.read(0)), default=0) for one in kinds]
        self.run, self.known = next(_runs), dict[str, Request]()
        self.used: set[str] = set()

    def pick(self, number: int, *wanted: State) -> str:
        """Return a request, three times of four one in a *wanted* state, if any is."""
        names = list(self.known)
        if number % 4:
            at = [name for name in names if self.known[name].state in wanted]
            names = at or names
        return names[number // 4 % len(names)]

    @initialize()
    def first(self) -> None:
        self.submit(1, (), 300, at_once=True)

    @rule(
        quorum=st.sampled_from((1, 1, 2, 3)),
        escalation=st.sampled_from(((), ("cy",), ("lead", "bob"))),
        life=minutes,
        at_once=st.booleans(),
    )
    def submit(
        self, quorum: int, escalation: tuple[str, ...], life: int, *, at_once: bool
    ) -> None:
        """Ask for an action; *at_once* there are those who agree."""
        name = f"{self.run}-{len(self.known)}"
        made = asked(
            id=name,
            digest=name,
            binding=name,
            quorum=quorum,
            escalation=escalation,
            reassign_to=("sales",),
            break_glass="duty",
            created_us=self.now,
            deadline_us=self.now + life * MINUTE_US,
        )
        for kind in self.kinds:
            record = note_record(kind.shelf.stamp(), "decision")
            kind.shelf.commit(record._replace(change=change(made, 0)))
        self.known[name] = made
        for by in ("bob", "cy", "ann")[: quorum * at_once]:
            self.agree(name, by, name)

    @rule(number=which)
    def ask_at_once(self, number: int) -> None:
        """Ask as somebody who did not see yet that the same was asked already."""
        one = self.known[self.pick(number, State.PENDING)]
        name = f"{self.run}-{len(self.known)}"
        made = replace(one, state=State.PENDING, id=name, digest=name, consumed_by="")
        lost = []
        for kind in self.kinds:
            record = note_record(kind.shelf.stamp(), "decision")
            try:
                kind.shelf.commit(record._replace(change=change(made, 0)))
            except LostRaceError:
                lost.append(kind.name)
        waits = any(
            other.state is State.PENDING and other.binding == one.binding
            for other in self.known.values()
        )
        assert len(lost) == waits * len(self.kinds)
        if not lost:
            self.known[name] = made

    def take(self, step: Callable[[ApprovalQueue], Step]) -> Step:
        """Return the step that every store takes alike."""
        first, *others = [step(queue) for queue in self.queues]
        assert others == [first] * len(others)
        return first

    @rule(number=which, by=subjects, seen=st.sampled_from("bbbx"))
    def approve(self, number: int, by: str, seen: str) -> None:
        name = self.pick(number, State.PENDING)
        self.agree(name, by, self.known[name].binding if seen == "b" else seen)

    def agree(self, name: str, by: str, seen: str) -> None:
        who = reviewer(by)
        step = self.take(lambda queue: queue.approve(name, who, seen=seen))
        if isinstance(step, Request):
            assert seen == self.known[name].binding
            assert not self.behind(name, by)
            assert by in self.people.reviewers or by in step.escalation
            assert self.now < self.known[name].deadline_us

    @rule(
        number=which,
        by=subjects,
        how=st.sampled_from(("refused", "refused blindly", "withdrawn", "superseded")),
    )
    def end(self, number: int, by: str, how: str) -> None:
        name = self.pick(number, State.PENDING, State.APPROVED)
        who = reviewer(by)
        steps: dict[str, Callable[[ApprovalQueue], Step]] = {
            "refused": lambda queue: queue.refuse(name, who, reason="no"),
            "refused blindly": lambda queue: queue.refuse(name, who, reason=" "),
            "withdrawn": lambda queue: queue.withdraw(name, by),
            "superseded": lambda queue: queue.supersede(name, "flags_changed"),
        }
        step = self.take(steps[how])
        if isinstance(step, Request):
            assert how == step.state.value

    @rule(number=which, by=subjects, more=minutes)
    def extend(self, number: int, by: str, more: int) -> None:
        name = self.pick(number, State.PENDING)
        until, who = self.now + more * MINUTE_US, reviewer(by)
        self.take(lambda queue: queue.extend(name, who, until_us=until))

    @rule(number=which, by=subjects, other=subjects)
    def talk(self, number: int, by: str, other: str) -> None:
        name = self.pick(number, State.PENDING)
        asker, caller = reviewer(by), reviewer(other)
        step = self.take(lambda queue: queue.ask(name, asker, text="why?"))
        if isinstance(step, Request):
            assert not self.behind(name, by)
        step = self.take(lambda queue: queue.answer(name, caller, number=1, text="so"))
        if isinstance(step, Request):
            assert self.behind(name, other)

    @rule(
        number=which, by=subjects, to=st.sampled_from((*SUBJECTS, "sales", "interns"))
    )
    def reassign(self, number: int, by: str, to: str) -> None:
        name, who = self.pick(number, State.PENDING), reviewer(by)
        step = self.take(lambda queue: queue.reassign(name, who, to=to, reason="x"))
        if isinstance(step, Request):
            assert to != "interns"
            assert not self.behind(name, by)
            assert not self.behind(name, to)

    @rule(number=which, callers=st.lists(subjects, min_size=1, max_size=3))
    def break_glass(self, number: int, callers: list[str]) -> None:
        name = self.pick(number, State.PENDING)
        binding = self.known[name].binding
        for by in callers:
            who = reviewer(by)
            step = self.take(
                lambda queue, who=who: queue.break_glass(  # type: ignore[misc] # bound now
                    name, who, seen=binding, reason="nobody is there"
                )
            )
            if isinstance(step, Request):
                assert not self.behind(name, by)
                assert by in self.people.duty
                assert (step.state is State.APPROVED) == step.glass_broken

    @rule(by=subjects)
    def come_or_go(self, by: str) -> None:
        self.people.duty ^= {by}

    @rule(hours=st.sampled_from((-1, 1, 1)))
    def jump(self, hours: int) -> None:
        self.now += hours * HOUR_US

    @rule()
    def tick(self) -> None:
        first, *others = [list(queue.tick()) for queue in self.queues]
        assert others == [first] * len(others)
        assert all(one.id in self.known for one in first)

    @rule(by=subjects)
    def hire_or_fire(self, by: str) -> None:
        self.people.reviewers ^= {by}

    @rule(number=which, binding=st.sampled_from("bbbx"), rivals=st.integers(1, 2))
    def consume(self, number: int, binding: str, rivals: int) -> None:
        """Use the release, as one or as two that have read the same."""
        name = self.pick(number, State.APPROVED)
        binding = self.known[name].binding if binding == "b" else binding
        first, *others = [
            self.consumed(kind, queue, name, binding, rivals)
            for kind, queue in zip(self.kinds, self.queues, strict=True)
        ]
        assert others == [first] * len(others)
        if not isinstance(first, Request):
            return
        before = self.known[name]
        assert name not in self.used
        assert before.state is State.APPROVED
        assert self.now < before.deadline_us
        assert binding == before.binding
        asked = {"support", *before.escalation[: before.level], *before.passed}
        voices = {
            min(self.people.aliases(one))
            for one in before.votes
            if not self.behind(name, one)
            if one in self.people.reviewers or one in asked
        }
        alarmed = {
            min(self.people.aliases(one))
            for one in before.callers
            if not self.behind(name, one) and one in self.people.duty
        }
        assert len(voices) >= before.quorum or len(alarmed) >= 2
        self.used.add(name)

    def consumed(
        self, kind: Kind, queue: ApprovalQueue, name: str, binding: str, rivals: int
    ) -> Step:
        kept = kind.shelf.request(name)
        assert kept is not None
        steps = [
            queue.used(kept.request, binding=binding, by=f"{name}/{rival}")
            for rival in range(rivals)
        ]
        for rival, step in enumerate(steps):
            if not isinstance(step, Request):
                continue
            facts = {"approval": name, "state": "consumed", "by": step.consumed_by}
            record = note_record(kind.shelf.stamp(), "decision", **facts)
            try:
                kind.shelf.commit(record._replace(change=change(step, kept.version)))
            except LostRaceError:
                assert rival, "the first one lost"
            else:
                assert not rival, "two used one release"
        return steps[0]

    @rule(number=which, end=st.sampled_from((Event.SUCCEED, Event.FAIL, Event.LOSE)))
    def finish(self, number: int, end: Event) -> None:
        name = self.pick(number, State.CONSUMED)
        step = self.take(lambda queue: queue.finish(name, end))
        assert isinstance(step, Request) == (self.known[name].state is State.CONSUMED)

    @invariant()
    def only_steps_of_the_table(self) -> None:
        """What ended stays, and what was not used yet has used nothing."""
        queue = self.queues[0]
        for name, before in self.known.items():
            after = queue.get(name)
            assert after is not None
            assert (before.state, after.state) in NEXT or before.state is after.state
            if before.state in FINAL:
                assert after == before
            assert (name in self.used) == bool(after.consumed_by)
            self.known[name] = after

    def behind(self, name: str, by: str) -> bool:
        """Say whether *by* is somebody who stands behind the action."""
        one = self.known[name]
        return bool(self.people.aliases(by) & {one.agent, *one.requesters})

    def teardown(self) -> None:
        for kind, since in zip(self.kinds, self.since, strict=True):
            told = kind.read(since)
            for name, one in self.known.items():
                kept = kind.shelf.request(name)
                assert kept is not None
                assert kept.request == one
                self.replay(one, [r for r in told if r.get("approval") == name])
        for name, one in self.known.items():
            if one.state in OPEN:  # nobody else's clock shall find it
                self.take(lambda queue, name=name: queue.supersede(name, "over"))  # type: ignore[misc] # bound now

    def replay(self, one: Request, told: list[dict[str, Any]]) -> None:
        """See that the records alone lead to where the request stands."""
        state, last, uses = State.PENDING.value, dict[str, Any](), 0
        for record in told:
            uses += record["kind"] == "decision"
            if record["kind"] == "approval":
                assert record["stateBefore"] == state
                if record["denied"]:
                    assert record["state"] == state
                last = record
            state = record["state"]
        assert state == one.state.value
        assert uses == (one.id in self.used)
        if last:
            found = (last["deadlineUs"], last["level"], last["votes"])
            assert found == (one.deadline_us, one.level, len(one.votes))


@contextmanager
def stored(name: str, records: Path | str) -> Iterator[Kind]:
    def read(since: int) -> list[dict[str, Any]]:
        with opened(records) as log:
            return log.recorded("seq > :since ORDER BY seq", {"since": since})

    store = open_store(records)
    try:
        yield Kind(name, RecordShelf(store, records), read)
    finally:
        store.close()


def in_memory() -> Kind:
    shelf = MemoryShelf()

    def read(since: int) -> list[dict[str, Any]]:
        found = enumerate(map(json.loads, shelf.records), 1)
        return [{"seq": seq, **one} for seq, one in found if seq > since]

    return Kind("memory", shelf, read)


def test_every_store_takes_the_same_steps(tmp_path: Path) -> None:
    """Used once at most, by a release that holds; the records tell how it came."""
    with ExitStack() as stack:
        kinds = [
            in_memory(),
            stack.enter_context(stored("sqlite", tmp_path / "records.db")),
        ]
        if (server := postgres.server()) is not None:
            url = stack.enter_context(server.database())
            kinds.append(stack.enter_context(stored("postgresql", url)))
        run_state_machine_as_test(
            lambda: Machine(kinds),  # type: ignore[arg-type] # any factory does
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                suppress_health_check=list(HealthCheck),
            ),
        )

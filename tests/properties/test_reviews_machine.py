"""Any order of steps, on every store alike: undone once at most, and only if ordered.

``GOV_EXAMPLES`` says how many runs there are, ``GOV_STEPS`` how long each may be.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
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

from openfeature_gov.approvals.steps import Denied
from openfeature_gov.controls.readings import Readings
from openfeature_gov.errors import LostRaceError
from openfeature_gov.evidence.records import note_record, outcome_record
from openfeature_gov.reviews import ending, steps
from openfeature_gov.reviews.ending import Ended
from openfeature_gov.reviews.queue import ReviewQueue, Shelf
from openfeature_gov.reviews.review import MINUTE_US, OnExpiry, Review, change
from openfeature_gov.reviews.states import DUE, FINAL, TABLE, TIMED, State
from openfeature_gov.reviews.steps import Step
from openfeature_gov.reviews.undos import undo_record
from tests.integration import postgres
from tests.properties.test_approvals import SUBJECTS, People, reviewer
from tests.properties.test_approvals_machine import (
    EXAMPLES,
    HOUR_US,
    START,
    STEPS,
    Read,
    _runs,
    in_memory,
    minutes,
    stored,
    which,
)
from tests.properties.test_reviews import review as made

NEXT = {(before, after) for (before, _), after in TABLE.items()}
subjects = st.sampled_from((*SUBJECTS, "bob", "bob", "cy", "cy"))


class Kind(NamedTuple):
    """Hold one store: where reviews are, and what it recorded after a number."""

    name: str
    shelf: Shelf
    read: Read


class Machine(RuleBasedStateMachine):
    """Take every step on all stores, and see that they do not differ."""

    def __init__(self, kinds: list[Kind]) -> None:
        super().__init__()
        self.kinds, self.now, self.people = kinds, START, People()
        self.queues = [
            ReviewQueue(one.shelf, self.people, lambda: self.now) for one in kinds
        ]
        self.since = [max((r["seq"] for r in one.read(0)), default=0) for one in kinds]
        self.run, self.known = next(_runs), dict[str, Review]()
        self.ordered: set[str] = set()
        self.undone: list[str] = []

    def pick(self, number: int, *wanted: State) -> str:
        """Return a review, three times of four one in a *wanted* state, if any is."""
        names = list(self.known)
        if number % 4:
            at = [name for name in names if self.known[name].state in wanted]
            names = at or names
        return names[number // 4 % len(names)]

    @initialize()
    def first(self) -> None:
        self.begin(1, "undo", True, 300)
        self.end(1, "executed", None)

    @rule(
        quorum=st.sampled_from((1, 1, 2)),
        silence=st.sampled_from(("undo", "undo", "keep", "handOver")),
        undoable=st.sampled_from((True, True, False)),
        within=minutes,
    )
    def begin(
        self, quorum: int, silence: OnExpiry, undoable: bool, within: int
    ) -> None:
        """Let an action begin."""
        name = f"{self.run}-{len(self.known)}"
        one = made(
            State.RUNNING,
            id=name,
            digest=name,
            binding=f"b{name}",
            record_id=f"d{name}",
            quorum=quorum,
            on_expiry=silence,
            undoable=undoable,
            created_us=self.now,
            within_us=within * MINUTE_US,
        )
        for kind in self.kinds:
            record = note_record(kind.shelf.stamp(), "decision", review=name)
            kind.shelf.commit(record._replace(change=change(one, 0)))
        self.known[name] = one

    @rule(
        number=which,
        status=st.sampled_from(
            ("executed", "executed", "executed", "failed", "refused", "unknown")
        ),
        reference=st.sampled_from((b"", b"", None)),
    )
    def end(self, number: int, status: str, reference: bytes | None) -> None:
        name = self.pick(number, State.RUNNING)
        self.finish(name, lambda one: steps.end(one, status, reference, self.now))

    def finish(self, name: str, step: Callable[[Review], Step]) -> None:
        """Record an outcome with the step of its review, on every store alike."""
        after = []
        for kind in self.kinds:
            kept = kind.shelf.review(name)
            assert kept is not None
            taken = step(kept.review)
            after.append(taken)
            if isinstance(taken, Denied):
                continue
            ended = Ended(taken, kept.version)
            ref = kept.review.undo_id or kept.review.record_id
            record = outcome_record(
                kind.shelf.stamp(), ref, status="executed", **ending.told(ended)
            )
            kind.shelf.commit(record._replace(change=ending.change_of(ended)))
        assert after == after[:1] * len(after)

    def take(self, step: Callable[[ReviewQueue], Step]) -> Step:
        """Return the step that every store takes alike."""
        first, *others = [step(queue) for queue in self.queues]
        assert others == [first] * len(others)
        return first

    @rule(number=which, by=subjects, seen=st.sampled_from("bbbx"))
    def accept(self, number: int, by: str, seen: str) -> None:
        name = self.pick(number, State.OPEN)
        who = reviewer(by)
        step = self.take(lambda queue: queue.accept(name, who, seen=f"{seen}{name}"))
        self.allowed(name, by, seen, step)

    @rule(
        number=which,
        by=subjects,
        seen=st.sampled_from("bbbx"),
        reason=st.sampled_from(("no", "no", " ")),
    )
    def refuse(self, number: int, by: str, seen: str, reason: str) -> None:
        name = self.pick(number, State.OPEN)
        who = reviewer(by)
        step = self.take(
            lambda queue: queue.refuse(name, who, seen=f"{seen}{name}", reason=reason)
        )
        self.allowed(name, by, seen, step)
        if isinstance(step, Review):
            assert reason == "no"
            self.ordered.add(name)

    @rule(number=which, by=subjects, later=minutes)
    def extend(self, number: int, by: str, later: int) -> None:
        name = self.pick(number, State.OPEN)
        who, before = reviewer(by), self.known[name]
        until = before.deadline_us + later * MINUTE_US
        step = self.take(lambda queue: queue.extend(name, who, until_us=until))
        self.allowed(name, by, "b", step)
        if isinstance(step, Review):
            asked_us = before.created_us + before.within_us
            assert before.deadline_us < step.deadline_us <= asked_us + 24 * HOUR_US

    def allowed(self, name: str, by: str, seen: str, step: Step) -> None:
        """See that who said something may."""
        before = self.known[name]
        if isinstance(step, Review):
            assert before.state is State.OPEN
            assert seen == "b"
            assert self.now < before.deadline_us
            assert not self.people.aliases(by) & {before.agent, *before.requesters}
            assert by in self.people.reviewers

    @rule(hours=st.sampled_from((-1, 1, 1)))
    def jump(self, hours: int) -> None:
        self.now += hours * HOUR_US

    @rule()
    def tick(self) -> None:
        first, *others = [list(queue.tick()) for queue in self.queues]
        assert others == [first] * len(others)
        for one in first:
            assert self.known[one.id].deadline_us <= self.now
            if one.state is State.EXPIRED:
                assert one.on_expiry == "undo"
                self.ordered.add(one.id)

    @rule(by=subjects)
    def hire_or_fire(self, by: str) -> None:
        self.people.reviewers ^= {by}

    @rule(number=which, rivals=st.integers(1, 2))
    def undo(self, number: int, rivals: int) -> None:
        """Begin an undo, as one or as two that have read the same."""
        name = self.pick(number, *DUE)
        began = {self.begun(kind, name, rivals) for kind in self.kinds}
        assert len(began) == 1
        if began == {True}:
            assert name in self.ordered
            assert name not in self.undone
            self.undone.append(name)

    def begun(self, kind: Kind, name: str, rivals: int) -> bool:
        kept = kind.shelf.review(name)
        assert kept is not None
        begun = False
        for rival in range(rivals):
            stamp = kind.shelf.stamp()
            step = steps.undo(kept.review, f"u{name}")
            if isinstance(step, Denied):
                continue
            record = undo_record(stamp, kept.review, step, kept.version, Readings())
            try:
                kind.shelf.commit(record)
            except LostRaceError:
                assert rival, "the first one lost"
            else:
                assert not rival, "two began one undo"
                begun = True
        return begun

    @rule(number=which, status=st.sampled_from(("executed", "failed", "cancelled")))
    def undo_ends(self, number: int, status: str) -> None:
        name = self.pick(number, State.UNDOING)
        self.finish(name, lambda one: steps.undone(one, status))

    @rule(number=which)
    def die(self, number: int) -> None:
        name = self.pick(number, State.RUNNING, State.UNDOING)
        self.finish(name, steps.lose)

    @rule(number=which)
    def hand_over(self, number: int) -> None:
        name = self.pick(number, *DUE)
        if self.known[name].state is not State.OPEN:
            self.take(lambda queue: queue.hand_over(name, "kill_switch"))

    @invariant()
    def only_steps_of_the_table(self) -> None:
        """What ended stays, and nothing is undone that was not ordered."""
        queue = self.queues[0]
        for name, before in self.known.items():
            after = queue.get(name)
            assert after is not None
            assert (before.state, after.state) in NEXT or before.state is after.state
            if before.state in FINAL:
                assert after == before
            if after.undo_id:
                assert name in self.undone
            if after.state is State.ACCEPTED:
                assert not after.undo_id
            self.known[name] = after

    def teardown(self) -> None:
        for kind, since in zip(self.kinds, self.since, strict=True):
            told = kind.read(since)
            for name, one in self.known.items():
                kept = kind.shelf.review(name)
                assert kept is not None
                assert kept.review == one
                self.replay(one, [r for r in told if r.get("review") == name])
        for name, one in self.known.items():
            if one.state in TIMED:  # nobody else's clock shall find it
                for queue in self.queues:
                    queue.hand_over(name, "over")

    def replay(self, one: Review, told: list[dict[str, Any]]) -> None:
        """See that the records alone lead to where the review stands."""
        state, undos = State.RUNNING.value, 0
        for record in told[1:]:
            undos += record["kind"] == "undo"
            if record["kind"] == "review":
                assert record["stateBefore"] == state
                if record["denied"]:
                    assert record["state"] == state
            state = record["reviewState" if record["kind"] == "outcome" else "state"]
        assert state == one.state.value
        assert undos == (one.id in self.undone)


def test_every_store_takes_the_same_steps(tmp_path: Path) -> None:
    """Undone once at most, on somebody's order; the records tell how it came."""
    with ExitStack() as stack:
        lite = stack.enter_context(stored("sqlite", tmp_path / "records.db"))
        found = [in_memory(), lite]
        if (server := postgres.server()) is not None:
            url = stack.enter_context(server.database())
            found.append(stack.enter_context(stored("postgresql", url)))
        kinds = [Kind(one.name, one.shelf, one.read) for one in found]  # type: ignore[arg-type] # shelves of both
        run_state_machine_as_test(
            lambda: Machine(kinds),  # type: ignore[arg-type] # any factory does
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                suppress_health_check=list(HealthCheck),
            ),
        )

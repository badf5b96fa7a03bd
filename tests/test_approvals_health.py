"""How people cope: each measure, each finding at its edge, and what the calls meet."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from openfeature_gov import Controls, Effect, Governor, Outcome, ToolCall
from openfeature_gov.approvals import health, steps, watching
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import Kept, change
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.watching import SECOND_NS, TRUSTED_NS, QueueWatch
from openfeature_gov.cli import app
from openfeature_gov.controls import QueueLimits
from openfeature_gov.controls.queue import HOUR_US, LIMITS, QueueHealth
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import note_record
from openfeature_gov.ladder import MODES, Mode
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from tests.conftest import CONTEXT
from tests.properties.test_approvals import People
from tests.properties.test_approvals import request as asked
from tests.shelves import MemoryShelf
from tests.test_approvals_queue import lent
from tests.test_controls import CALM, CONTRACT, readings, rules
from tests.test_governor_approvals import Waiting

BOB = Reviewer("bob", way="cli")
S = 1_000_000
NOW = 40 * HOUR_US


def waiting(age: int, **changes: Any) -> Request:
    """Return a request that has waited for *age* microseconds."""
    return asked(created_us=NOW - age, deadline_us=NOW + 1, **changes)


def answered(
    at: int, *, after: int = S, refused: bool = False, by: str = "bob", **changes: Any
) -> Request:
    """Return a request that *by* answered at *at*, *after* it was made."""
    return asked(
        State.REFUSED if refused else State.EXECUTED,
        created_us=at - after,
        answered_us=at,
        reviewer=by,
        votes={} if refused else {by: ""},
        **changes,
    )


def codes(requests: Iterable[Request], limits: QueueLimits = LIMITS) -> list[str]:
    found = health.measured(requests, NOW, limits)
    return [one.code for one in found.findings]


def test_nothing_asked_is_healthy() -> None:
    """And has no median."""
    found = health.measured([], NOW)
    assert found.queue == QueueHealth()
    assert (found.answered, found.median_us, found.p95_us) == (0, None, None)
    assert not found.reviewers
    assert not found.findings


def test_the_measures() -> None:
    """Nearest rank, both for what was approved and for what was refused."""
    given = [answered(NOW - n, after=n * S, refused=n % 2 == 0) for n in range(1, 21)]
    found = health.measured([*given, waiting(7), waiting(5)], NOW)
    assert (found.queue.depth, found.queue.oldest_us, found.answered) == (2, 7, 20)
    assert (found.median_us, found.p95_us) == (10 * S, 19 * S)
    ((name, approvals, refusals, _),) = found.reviewers
    assert (name, approvals, refusals) == ("bob", 10, 10)


def test_what_ended_by_itself_is_no_answer() -> None:
    """Nobody decided on it."""
    ended = (State.EXPIRED, State.WITHDRAWN, State.SUPERSEDED)
    found = health.measured([asked(one, created_us=1) for one in ended], NOW)
    assert (found.answered, found.reviewers, found.queue.depth) == (0, (), 0)


@pytest.mark.parametrize(
    ("requests", "saturated"),
    [
        ([waiting(5)] * 3, False),
        ([waiting(5)] * 4, True),
        ([waiting(HOUR_US)], False),
        ([waiting(HOUR_US + 1)], True),
        ([asked(created_us=0, deadline_us=NOW)], False),
        ([asked(created_us=0, deadline_us=NOW)] * 4, True),
        ([answered(NOW)] * 4, False),
    ],
    ids=["full", "over", "old", "too old", "overdue", "all overdue", "answered"],
)
def test_saturation(requests: list[Request], *, saturated: bool) -> None:
    """By number or by age; what is overdue fills the queue but grows no older."""
    limits = QueueLimits(depth=3, oldest_us=HOUR_US)
    assert codes(requests, limits) == ["queue_saturated"] * saturated


def stamps(
    count: int, refusals: int = 0, dwell: int = 4 * S, by: str = "bob"
) -> list[Request]:
    """Return answers of one reviewer, *dwell* apart; other workflows are refused."""
    return [
        answered(
            NOW - (count - n) * dwell,
            after=HOUR_US,
            refused=n < refusals,
            by=by,
            workflow=f"w{n}",
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("requests", "found"),
    [
        (stamps(20), True),
        (stamps(19), False),
        (stamps(20, refusals=1), False),
        (stamps(21, refusals=1), True),
        (stamps(20, dwell=5 * S), False),
        (stamps(20, dwell=5 * S - 1), True),
        (stamps(19) + stamps(19, by="cy"), False),
    ],
    ids=["all", "few", "95 %", "above 95 %", "5 s", "just below", "two people"],
)
def test_rubber_stamp(requests: list[Request], *, found: bool) -> None:
    """Many at once after a long wait are fast too: the last answer was just before."""
    assert codes(requests) == ["rubber_stamp"] * found


def test_a_rubber_stamp_does_not_hide_behind_a_slow_second() -> None:
    """Each vote counts from when it was given, not from the last one's."""
    given = []
    for n in range(20):
        one = asked(id=f"{n}", created_us=NOW - (20 - n) * HOUR_US, quorum=2)
        one = replace(one, deadline_us=NOW + 1)
        for by, after in (("bob", S), ("cy", 1800 * S)):
            step = steps.approve(
                one,
                Reviewer(by, way="cli"),
                People(),
                now_us=one.created_us + after,
                seen="b",
            )
            assert isinstance(step, Request)
            one = step
        given.append(one)
    found = health.measured(given, NOW)
    assert [(one.code, one.subject) for one in found.findings] == [
        ("rubber_stamp", "bob")
    ]


def test_an_early_vote_counts() -> None:
    """One who only ever votes first is looked at like the one who votes last."""
    votes = {"ann": "", "bob": ""}
    given = [
        asked(
            State.EXECUTED,
            created_us=NOW - (20 - n) * S,
            answered_us=NOW - (20 - n) * S + 1,
            reviewer="bob",
            votes=votes,
        )
        for n in range(20)
    ]
    assert codes(given) == ["rubber_stamp", "rubber_stamp"]


def refusals(pattern: str, *, last: int = NOW, **changes: Any) -> list[Request]:
    """Return answers a second apart, ``r`` for a refusal, the last at *last*."""
    return [
        answered(last - (len(pattern) - 1 - n) * S, refused=one == "r", **changes)
        for n, one in enumerate(pattern)
    ]


@pytest.mark.parametrize(
    ("pattern", "paused"),
    [
        ("rr", False),
        ("rrr", True),
        ("aarrr", True),
        ("rarar", True),
        ("rrraaa", False),
        ("rraar", True),
        ("rrraaar", False),
        ("aaaaarr", False),
    ],
)
def test_repeated_refusals_pause(pattern: str, *, paused: bool) -> None:
    """Three of the last five, in whatever order they were stored."""
    given = refusals(pattern)
    for one in (given, given[::-1]):
        assert codes(one) == ["workflow_paused"] * paused


def test_a_pause_is_of_one_workflow_and_ends() -> None:
    """When the refusals that are fresh are too few."""
    given = refusals("rrr")
    mixed = [one.at(one.state, workflow=f"w{n}") for n, one in enumerate(given)]
    assert codes(mixed) == []
    (until,) = health.state(given, NOW).paused.values()
    assert until == given[0].answered_us + HOUR_US
    assert health.state(given, until - 1).paused == {"w": until}
    assert health.state(given, until).paused == {}
    assert health.state(refusals("rrr", last=NOW + HOUR_US), NOW).paused
    four = refusals("rrrr")
    assert health.state(four, NOW).paused == {"w": four[1].answered_us + HOUR_US}


@pytest.mark.parametrize("safest", ["off", "scoped_read"])
def test_of_two_caps_the_lower_holds(safest: str) -> None:
    """A paused workflow in a saturated queue, whatever its safest mode."""
    bad = QueueHealth(depth=LIMITS.depth + 1, paused={"tests": 1}, known=False)
    under = rules(
        defaultMode="scoped_read", rollback=f"{{safestMode: {safest}, owner: o}}"
    )
    (given,) = (
        one
        for one in Controls().verdicts(CONTRACT, under, readings(**CALM), waiting=bad)
        if one.control == "queue"
    )
    assert given.cap is min(MODES[safest], Mode.OBSERVE)
    assert given.fallback is (safest == "off")


class Slow(MemoryShelf):
    """A shelf that answers when it may, or fails. Lives for one test."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.asked = threading.Event(), 0
        self.fails = False
        self.may.set()

    def requests(self, **filters: Any) -> list[Kept]:
        self.asked += 1
        self.may.wait(30)
        if self.fails:
            raise RecordStoreError("gone")
        return super().requests(**filters)

    def put(self, *requests: Request) -> None:
        for one in requests:
            record = note_record(self.stamp(), "decision")
            self.commit(record._replace(change=change(replace(one, binding=one.id), 0)))


class Watched:
    """A watch on a slow shelf with a clock that tests set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock_ns = 0
        self.shelf = Slow()
        self.watch = QueueWatch(self.shelf, lambda: self.clock_ns, lambda: NOW)
        # What does come, comes: however busy the machine is.
        monkeypatch.setattr(watching, "PATIENCE_S", 30.0)
        monkeypatch.setattr(watching, "LONGEST_S", 30.0)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Provide a watch whose store can hang."""
    one = Watched(monkeypatch)
    yield one
    one.shelf.may.set()


def test_a_look_holds_for_a_second(watched: Watched) -> None:
    """Then another one is taken."""
    watched.shelf.put(waiting(5))
    assert watched.watch().depth == 1
    watched.shelf.put(waiting(5, id="2"))
    looks = watched.shelf.asked
    watched.clock_ns = SECOND_NS
    assert (watched.watch().depth, watched.shelf.asked) == (1, looks)
    watched.clock_ns = SECOND_NS + 1
    assert (watched.watch().depth, watched.shelf.asked) == (2, 2 * looks)


def test_a_store_that_hangs_is_not_waited_for(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was last seen holds for ten seconds; then nobody can tell."""
    watched.shelf.put(
        *(one.at(one.state, id=f"{n}") for n, one in enumerate(stamps(1)))
    )
    assert watched.watch() == QueueHealth()
    monkeypatch.setattr(watching, "PATIENCE_S", 0.0)
    monkeypatch.setattr(watching, "LONGEST_S", 0.0)
    watched.shelf.may.clear()
    watched.clock_ns = TRUSTED_NS
    assert watched.watch().known
    watched.clock_ns = TRUSTED_NS + 1
    assert not watched.watch().known


def test_all_calls_together_wait_once(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that comes when that wait is over does not begin another one."""
    monkeypatch.setattr(watching, "TRUSTED_NS", 10**6 * SECOND_NS)
    monkeypatch.setattr(watching, "LONGEST_S", 600.0)
    watched.watch._look = watching._Look(0)
    watched.clock_ns = 600 * SECOND_NS
    call = threading.Thread(target=watched.watch, daemon=True)
    call.start()
    call.join(30)
    assert not call.is_alive()


def test_nothing_seen_is_unknown(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails is asked again, and believed once it answers."""
    watched.shelf.fails = True
    assert watched.watch() == QueueHealth(known=False)
    watched.shelf.fails = False
    assert watched.watch() == QueueHealth()


def test_what_was_paused_stays_so_while_nobody_can_tell(watched: Watched) -> None:
    """Not to know loosens nothing."""
    given = refusals("rrr")
    watched.shelf.put(*(one.at(one.state, id=f"{n}") for n, one in enumerate(given)))
    paused = watched.watch().paused
    assert paused
    watched.shelf.fails = True
    watched.clock_ns = TRUSTED_NS + 1
    assert watched.watch() == QueueHealth(paused=paused, known=False)


def test_a_look_sees_the_last_answers(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there were before."""
    monkeypatch.setattr(watching, "ANSWERS", 3)
    given = refusals("aaarrr")
    watched.shelf.put(*(one.at(one.state, id=f"{n}") for n, one in enumerate(given)))
    assert watched.watch().paused


def test_a_look_that_was_lost_is_taken_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork leaves its thread behind."""
    watched.watch._look = watching._Look(0)
    monkeypatch.setattr(watching, "LONGEST_S", 0.0)
    assert not watched.watch().known
    monkeypatch.setattr(watching, "LONGEST_S", 30.0)
    watched.clock_ns = TRUSTED_NS + 1
    assert watched.watch().known


class Office(Waiting):
    """Calls that wait for people who can carry little; each look is a new one."""

    limits = QueueLimits(depth=2)

    def opened(self) -> Governor:
        one = self.desk
        governor = Governor.open(
            one.governance,
            one.flags,
            one.records,
            controls=Controls(limits=self.limits),
            people=self.people,
        )
        governor.tool(
            "mail",
            consequence=lambda a: f"{a['to']} gets a mail.",
            fallback=lambda **_: "looked it up",
        )(self.mail)
        return governor

    def look(self) -> None:
        """Forget the last look at the queue."""
        self.governor._decider.judge._waiting._seen = None  # type: ignore[union-attr] # a watch

    def ask(self, to: str) -> Outcome:
        self.governor.records.flush()  # type: ignore[attr-defined] # of this store
        self.look()
        return self.call(to)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Provide a tool whose calls wait, in a queue with room for two."""
    one = Office(tmp_path)
    yield one
    one.governor.close()


def test_the_limits_of_the_deployment_count(office: Office) -> None:
    """For what is looked at, too."""
    watch = office.governor._decider.judge._waiting
    assert isinstance(watch, QueueWatch)
    assert watch._limits is Office.limits


def verdict(outcome: Outcome) -> Any:
    (found,) = (one for one in outcome.decision.verdicts if one.control == "queue")
    return found


def test_a_saturated_queue_falls_back(office: Office) -> None:
    """Until people have answered; what may run without them waits for it too."""
    waits = [office.ask(f"u{n}") for n in range(3)]
    assert {one.effect for one in waits} == {Effect.QUEUE_FOR_APPROVAL}
    over = office.ask("one too many")
    assert over.reason == "queue_saturated"
    assert (verdict(over).cap, verdict(over).fallback) == (Mode.OBSERVE, True)
    assert verdict(over).evidence["depth"] == 3
    assert over.approval_id == ""
    office.desk.set(approval=False)
    assert office.ask("free").reason == "queue_saturated"
    office.desk.set(approval=True)
    office.approve(waits[0])
    assert office.ask("later").effect is Effect.QUEUE_FOR_APPROVAL
    assert office.sent == []


def test_refusals_pause_the_workflow(office: Office) -> None:
    """Nothing of it runs, whatever a person released before."""
    queue = office.governor.approvals
    assert queue is not None
    released = office.ask("released")
    office.approve(released)
    for n in range(3):
        assert verdict(office.ask(f"u{n}")).reason == "queue_flowing"
        queue.refuse(office.ask(f"u{n}").approval_id, BOB, reason="no")
    for to in ("released", "new"):
        held = office.ask(to)
        assert (held.effect, held.reason) == (Effect.CONSTRAIN, "workflow_paused")
    assert verdict(held).evidence["workflow"] == "tests"
    assert verdict(held).evidence["untilUs"] > 0
    assert office.sent == []
    (record,) = [
        one
        for one in office.log("decision")[-1]["verdicts"]
        if one["control"] == "queue"
    ]
    assert (record["cap"], record["reason"]) == ("observe", "workflow_paused")


def test_a_queue_that_cannot_be_read_falls_back(office: Office) -> None:
    """Nothing consequential runs on a guess."""
    shelf = office.governor._decider.judge._waiting._shelf  # type: ignore[union-attr] # a watch
    shelf._records = office.desk.folder / "gone" / "records.db"
    office.desk.set(approval=False)
    assert office.ask("ann").reason == "queue_unknown"
    assert office.sent == []


def test_without_people_nobody_asks(tmp_path: Path) -> None:
    """No verdict, and no look at any queue."""
    desk = Waiting(tmp_path).desk
    desk.governor.close()
    with Governor.open(desk.governance, desk.flags, desk.records) as governor:
        governor.tool("mail")(lambda to: to)
        assert governor._decider.judge._waiting is None
        outcome = governor.decide(ToolCall("mail", {"to": "ann"}, CONTEXT))
        assert "queue" not in {one.control for one in outcome.decision.verdicts}


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql"])
def test_the_newest_of_too_many(kind: str, tmp_path: Path) -> None:
    """On every shelf the same, oldest first."""
    with lent(kind, tmp_path) as desk:
        for n in range(1, 6):
            desk.put(asked(id=f"r{n}", binding=f"b{n}", created_us=n))
        for filters, ids in (
            ({"limit": 2}, "12"),
            ({"limit": 2, "newest": True}, "45"),
            ({"since_us": 3}, "345"),
            ({"since_us": 2, "newest": True, "limit": 9}, "2345"),
        ):
            got = desk.shelf.requests(**filters)  # type: ignore[arg-type] # a table
            assert "".join(kept.request.id[1:] for kept in got) == ids


def gov(records: Path, *arguments: str) -> Result:
    """Run `gov approvals health`."""
    command = ["approvals", "health", "--records", str(records), *arguments]
    return CliRunner(env={"COLUMNS": "100"}).invoke(app, command)


def test_the_command_says_how_people_cope(office: Office) -> None:
    """And exits with 4 for a finding, which it names."""
    queue = office.governor.approvals
    assert isinstance(queue, ApprovalQueue)
    for n in range(3):
        office.ask(f"u{n}")
    office.governor.records.flush()  # type: ignore[attr-defined] # of this store
    records = office.desk.records
    calm = gov(records)
    assert calm.exit_code == 0, calm.output
    assert json.loads(calm.stdout)["depth"] == 3
    assert "Nothing is wrong." in gov(records, "--no-json").stdout
    full = gov(records, "--depth", "2")
    assert full.exit_code == 4
    assert [one["code"] for one in json.loads(full.stdout)["findings"]] == [
        "queue_saturated"
    ]
    for request in queue.waiting():
        queue.refuse(request.id, BOB, reason="no")
    paused = gov(records, "--no-json")
    assert paused.exit_code == 4
    for word in ("bob", "workflow_paused tests:", "LOOKED AT MOST", " UTC: it is held"):
        assert word in paused.stdout
    told = json.loads(gov(records).stdout)
    assert told["pausedUntilUs"].keys() == {"tests"}
    assert told["reviewers"][0]["refusals"] == told["answered"] == 3


def test_a_reviewers_name_cannot_act(tmp_path: Path) -> None:
    """In the table."""
    records = tmp_path / "records.db"
    store = open_store(records)
    try:
        shelf = RecordShelf(store, records)
        now = shelf.stamp().at_us
        one = answered(now, by="b\x1b]0;x\x07").at(State.REFUSED)
        record = note_record(shelf.stamp(), "decision")
        shelf.commit(record._replace(change=change(one, 0)))
    finally:
        store.close()
    shown = gov(records, "--no-json").stdout
    assert "\x1b" not in shown
    assert r"b\u001b]0;x\u0007" in shown

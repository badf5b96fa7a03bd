"""Actions that run at once and are looked at afterwards: accepted, undone, by hand."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov import (
    Effect,
    Governor,
    Outcome,
    RegistrationError,
    ToolCall,
    reviewing,
)
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.evidence import histories
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.outcomes import Status
from openfeature_gov.reviews.review import MINUTE_US, Review
from openfeature_gov.reviews.states import State
from openfeature_gov.reviews.steps import Step
from openfeature_gov.stores import history, inspection, questions
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.seals import checkpoint_file, key_file
from openfeature_gov.tools import Undoing
from openfeature_gov.undoing import Rounds
from tests.conftest import CONTEXT, Desk, contract_yaml
from tests.properties.test_approvals import People
from tests.test_evidence_schema import described, told_by_columns

BOB = Reviewer("bob", way="cli")
REVIEW = "{withinMinutes: 60, reviewerGroup: support, onExpiry: undo}"

APPROVAL = "{reviewerGroup: support}"


class Shop:
    """A Governor with one tool that acts at once, and what it changed."""

    def __init__(
        self,
        folder: Path,
        review: str = REVIEW,
        *,
        undo: bool = True,
        reference: Any = None,
    ) -> None:
        self.desk = Desk(
            folder, contract_yaml("pay", review=review, approval=APPROVAL), None
        )
        self.desk.governor.close()
        self.people = People()
        self.paid: list[str] = []
        self.undone: list[Undoing] = []
        self.fails: BaseException | None = None
        self.undo_fails: BaseException | None = None
        self.late_us = 0
        self.governor = Governor.open(
            self.desk.governance,
            self.desk.flags,
            self.desk.records,
            people=self.people,
        )
        self.desk.governor = self.governor
        # Nothing happens by itself in a test, and time passes as it says.
        self.governor._rounds.end()
        for one in (self.reviews, self.governor._decider.reviewing):
            name = "now" if one is self.reviews else "_now"
            before = getattr(one, name)
            setattr(one, name, lambda before=before: before() + self.late_us)
        self.pay = self.governor.tool(
            "pay",
            consequence=lambda a: f"{a['number']} is paid.",
            undo=self.take_back if undo else None,
            reference=reference,
            refusals=(LookupError,),
        )(self._pay)

    def _pay(self, number: str) -> dict[str, str]:
        if self.fails is not None:
            raise self.fails
        self.paid.append(number)
        return {"receipt": f"r-{number}", "name": "Ann Example"}

    def take_back(self, one: Undoing) -> None:
        self.undone.append(one)
        if self.undo_fails is not None:
            raise self.undo_fails
        self.paid.remove(one.arguments["number"])

    @property
    def reviews(self) -> Any:
        assert self.governor.reviews is not None
        return self.governor.reviews

    def call(self, number: str = "n1", **more: Any) -> Outcome:
        return self.governor.run(ToolCall("pay", {"number": number}, CONTEXT, **more))

    def flush(self) -> None:
        """Return once every outcome is in the database."""
        store: Any = self.governor.records
        store.flush()

    def review(self, outcome: Outcome) -> Review:
        self.flush()
        found: Review | None = self.reviews.get(outcome.review_id)
        assert found is not None
        return found

    def accept(self, outcome: Outcome, by: Reviewer = BOB, seen: str = "") -> Step:
        seen = seen or self.review(outcome).binding
        step: Step = self.reviews.accept(outcome.review_id, by, seen=seen)
        return step

    def refuse(self, outcome: Outcome, by: Reviewer = BOB, seen: str = "") -> Step:
        seen = seen or self.review(outcome).binding
        step: Step = self.reviews.refuse(
            outcome.review_id, by, seen=seen, reason="wrong"
        )
        return step

    def wait(self, minutes: int) -> list[Review]:
        self.flush()
        self.late_us += minutes * MINUTE_US
        return self.governor.settle_reviews()

    def log(self, *kinds: str) -> list[dict[str, Any]]:
        self.flush()
        found = history.records(self.desk.records)
        return [one for one in found if one["kind"] in kinds]

    def states(self, outcome: Outcome) -> list[str]:
        """Return the way of a review as the log alone tells it."""
        return [
            one["reviewState" if one["kind"] == "outcome" else "state"]
            for one in self.log("outcome", "review", "undo")
            if one.get("review") == outcome.review_id and not one.get("denied")
        ]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Provide a tool whose every call runs at once and is reviewed."""
    one = Shop(tmp_path, reference=lambda result: result["receipt"])
    yield one
    one.governor.close()


def test_it_runs_at_once_and_is_then_open(shop: Shop) -> None:
    """From when it ran; the review is there before the tool begins."""
    outcome = shop.call()
    assert (outcome.effect, outcome.status) == (Effect.ALLOW, Status.EXECUTED)
    assert shop.paid == ["n1"]
    review = shop.review(outcome)
    assert (review.state, review.agent, review.owner) == (
        State.OPEN,
        "agent-1",
        "team",
    )
    assert (review.arguments, review.reference) == (
        b'{"number":"n1"}',
        b'{"reference":"r-n1"}',
    )
    assert review.facts["consequence"] == "n1 is paid."
    assert "Ann" not in str(review)
    assert [one.id for one in shop.reviews.waiting()] == [review.id]
    assert shop.states(outcome) == ["open"]


def test_a_dying_tool_leaves_its_review(shop: Shop) -> None:
    """It was durable before the tool ran."""
    found: list[Review] = []
    original = shop._pay

    def looked(number: str) -> Any:
        found.extend(kept.review for kept in shop.reviews.shelf.reviews(states=State))
        return original(number)

    shop.governor._decider.tools.clear()
    shop.governor.tool("pay", undo=shop.take_back)(looked)
    shop.call()
    assert [one.state for one in found] == [State.RUNNING]


def test_accepted_it_stands_whatever_the_clock_says(shop: Shop) -> None:
    """And nothing of the arguments is kept any more."""
    outcome = shop.call()
    assert isinstance(shop.accept(outcome), Review)
    assert shop.wait(10_000) == []
    review = shop.review(outcome)
    assert (review.state, review.reviewer) == (State.ACCEPTED, "bob")
    assert (review.arguments, review.reference) == (b"", b"")
    assert "n1" not in str(review.facts)
    assert shop.paid == ["n1"]
    assert shop.undone == []
    assert shop.states(outcome) == ["open", "accepted"]


def test_refused_it_is_undone_once(shop: Shop) -> None:
    """With what the tool kept, under a record of its own, and told in the outcome."""
    outcome = shop.call()
    step = shop.refuse(outcome)
    assert isinstance(step, Review)
    assert step.state is State.REFUSED
    (after,) = shop.governor.settle_reviews()
    assert after.state is State.UNDONE
    assert shop.governor.settle_reviews() == []
    assert shop.paid == []
    (got,) = shop.undone
    assert (got.arguments, got.reference) == ({"number": "n1"}, "r-n1")
    (undo,) = shop.log("undo")
    assert (got.action, got.record) == (outcome.record_id, undo["id"])
    assert undo["ref"] == outcome.record_id
    assert (undo["orderedBy"], undo["reviewer"]) == ("refused", "bob")
    (end,) = [one for one in shop.log("outcome") if one["ref"] == undo["id"]]
    assert (end["status"], end["ran"], end["undo"]) == ("executed", "undo", "undone")
    assert shop.states(outcome) == ["open", "refused", "undoing", "undone"]
    assert inspection.findings(shop.desk.records) == [
        one
        for one in inspection.findings(shop.desk.records)
        if one.name == "writer_unfinished"
    ]


def test_what_nobody_looked_at_is_undone_where_the_contract_says_so(
    shop: Shop,
) -> None:
    """Not before its time; labelled expired and by nobody."""
    outcome = shop.call()
    assert shop.wait(59) == []
    expired, undone = shop.wait(1)
    assert (expired.state, undone.state) == (State.EXPIRED, State.UNDONE)
    assert (undone.reviewer, undone.refused) == ("", False)
    assert shop.paid == []
    (undo,) = shop.log("undo")
    assert (undo["orderedBy"], undo["reviewer"]) == ("expired", None)
    assert shop.states(outcome) == ["open", "expired", "undoing", "undone"]


@pytest.mark.parametrize(
    ("silence", "state", "owner"),
    [("keep", State.LAPSED, ""), ("handOver", State.HANDED_OVER, "team")],
)
def test_silence_means_what_the_contract_says(
    tmp_path: Path, silence: str, state: State, owner: str
) -> None:
    """Kept, or given to the owner of the rollback; nothing is undone."""
    review = f"{{withinMinutes: 5, reviewerGroup: support, onExpiry: {silence}}}"
    shop = Shop(tmp_path, review)
    outcome = shop.call()
    (after,) = shop.wait(5)
    assert (after.state, after.holder if owner else "") == (state, owner)
    assert shop.undone == []
    (record,) = shop.log("review")
    assert (record["event"], record["handOver"]) == ("expire", owner)
    assert shop.states(outcome) == ["open", state.value]
    shop.governor.close()


def test_without_an_undo_a_refusal_is_handed_over(tmp_path: Path) -> None:
    """At once, with what ran, to the owner of the rollback."""
    shop = Shop(tmp_path, "{withinMinutes: 5, reviewerGroup: support}", undo=False)
    outcome = shop.call()
    step = shop.refuse(outcome)
    assert isinstance(step, Review)
    assert (step.state, step.why, step.holder) == (
        State.HANDED_OVER,
        "no_undo",
        "team",
    )
    assert step.arguments == b'{"number":"n1"}'
    (record,) = shop.log("review")
    assert (record["handOver"], record["rationale"]) == ("team", "wrong")
    shop.governor.close()


def test_an_undo_that_fails_is_handed_over(shop: Shop) -> None:
    """And never tried again."""
    outcome = shop.call()
    shop.refuse(outcome)
    shop.undo_fails = OSError("the bank is closed")
    (after,) = shop.governor.settle_reviews()
    assert (after.state, after.holder) == (State.UNDO_FAILED, "team")
    assert shop.wait(100) == []
    assert len(shop.undone) == 1
    end = shop.log("outcome")[-1]
    assert (end["status"], end["undo"], end["handOver"], end["error"]) == (
        *("failed", "failed", "team", "OSError"),
    )


def test_an_undo_that_is_broken_off_is_handed_over(shop: Shop) -> None:
    """Nobody knows what it did; the interrupt is passed on."""
    outcome = shop.call()
    shop.refuse(outcome)
    shop.undo_fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        shop.governor.settle_reviews()
    assert shop.review(outcome).state is State.HANDED_OVER
    assert shop.governor.settle_reviews() == []
    assert shop.log("outcome")[-1]["undo"] == "unknown"


def test_an_undo_that_only_began_has_failed(shop: Shop) -> None:
    """Unfinished work would run unseen."""

    async def later() -> None: ...

    outcome = shop.call()
    shop.governor._decider.tools.clear()
    shop.governor.tool("pay", undo=lambda _one: later())(shop._pay)
    shop.refuse(outcome)
    (after,) = shop.governor.settle_reviews()
    assert after.state is State.UNDO_FAILED


ENDS: dict[str, tuple[BaseException, State, str]] = {
    "an error": (OSError("?"), State.HANDED_OVER, "action_failed"),
    "an interrupt": (KeyboardInterrupt(), State.HANDED_OVER, "action_cancelled"),
    "a refusal": (KeyError("no such number"), State.VOID, ""),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_action_that_did_not_end_well(shop: Shop, end: str) -> None:
    """What it changed nobody knows, unless the tool says: nothing."""
    shop.fails, state, why = ENDS[end]
    with pytest.raises(type(shop.fails)):
        shop.call()
    shop.flush()
    (kept,) = shop.reviews.shelf.reviews(states=State)
    assert (kept.review.state, kept.review.why) == (state, why)
    (outcome,) = shop.log("outcome")
    handed = state is State.HANDED_OVER
    assert outcome["handOver"] == ("team" if handed else "")
    assert outcome["reviewState"] == state.value
    assert shop.wait(100) == []


def test_a_result_that_cannot_be_kept_leaves_nothing_to_undo(tmp_path: Path) -> None:
    """The refusal is handed over: an undo without what it needs would be a guess."""
    shop = Shop(tmp_path, reference=lambda result: result["missing"])
    outcome = shop.call()
    assert shop.paid == ["n1"]
    step = shop.refuse(outcome)
    assert isinstance(step, Review)
    assert step.state is State.HANDED_OVER
    shop.governor.close()


KILLS: dict[str, tuple[dict[str, Any], str]] = {
    "switch": ({"on": False}, "kill_switch"),
    "mode": ({"mode": "off"}, "mode_off"),
    "denylist": ({"denylist": ["pay"]}, "denylisted"),
}


@pytest.mark.parametrize("kill", KILLS)
def test_the_clock_undoes_nothing_under_a_kill(shop: Shop, kill: str) -> None:
    """It does not vanish either: a person gets it, and why."""
    values, reason = KILLS[kill]
    shop.call()
    shop.desk.set(**values)
    after = shop.wait(60)[-1]
    assert (after.state, after.why, after.holder) == (
        State.HANDED_OVER,
        reason,
        "team",
    )
    assert shop.undone == []
    assert shop.log("review")[-1]["why"] == reason


@pytest.mark.parametrize("kill", KILLS)
def test_a_person_undoes_whatever_the_flags_say(shop: Shop, kill: str) -> None:
    """A refusal is a person's order about exactly this action."""
    outcome = shop.call()
    shop.desk.set(**KILLS[kill][0])
    shop.refuse(outcome)
    (after,) = shop.governor.settle_reviews()
    assert after.state is State.UNDONE
    (undo,) = shop.log("undo")
    assert {one["kind"] for one in undo["flags"]} >= {"switch", "mode", "denylist"}


def test_an_incident_or_a_lower_mode_does_not_stop_an_undo(shop: Shop) -> None:
    """They lower the authority of the agent, and the undo is not the agent's."""
    shop.call()
    shop.desk.set(mode="search_only", fallback=True)
    assert shop.wait(60)[-1].state is State.UNDONE


def test_what_was_refused_does_not_run_again(shop: Shop) -> None:
    """Not by any agent, whether the undo worked or not; another action does."""
    outcome = shop.call()
    shop.refuse(outcome)
    for _ in range(2):
        again = shop.call()
        assert (again.effect, again.reason) == (Effect.DENY, "refused_by_person")
        shop.governor.settle_reviews()
    assert shop.call("n2").status is Status.EXECUTED
    assert shop.paid == ["n2"]


def test_what_nobody_refused_may_run_again(shop: Shop) -> None:
    """Silence is no answer."""
    shop.call()
    shop.wait(60)
    assert shop.call().status is Status.EXECUTED


def test_more_reviews_than_are_looked_at_hide_no_refusal(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An action that was undone that often does not run any more."""
    monkeypatch.setattr(reviewing, "MANY", 2)
    for _ in range(2):
        assert shop.call().status is Status.EXECUTED
        shop.wait(60)
    again = shop.call()
    assert (again.effect, again.reason) == (Effect.DENY, "undone_too_often")
    assert shop.call("n2").status is Status.EXECUTED


def test_an_undo_that_no_process_can_run_is_handed_over(shop: Shop) -> None:
    """After a while; the clock of any process sees to it."""
    outcome = shop.call()
    shop.refuse(outcome)
    shop.governor._decider.tools.clear()
    assert shop.wait(14) == []
    (after,) = shop.wait(1)
    assert (after.state, after.why) == (State.HANDED_OVER, "undo_not_begun")
    assert shop.states(outcome)[-1] == "handed_over"


def test_what_a_person_released_is_not_asked_about_again(tmp_path: Path) -> None:
    """Somebody looked before it ran."""
    shop = Shop(tmp_path)
    shop.desk.set(approval=True)
    asked = shop.call()
    queue = shop.governor.approvals
    assert asked.effect is Effect.QUEUE_FOR_APPROVAL
    assert queue is not None
    request = queue.get(asked.approval_id)
    assert request is not None
    queue.approve(request.id, BOB, seen=request.binding)
    outcome = shop.call()
    assert (outcome.status, outcome.review_id) == (Status.EXECUTED, "")
    assert shop.reviews.shelf.reviews(states=State) == []
    shop.governor.close()


def test_nothing_but_the_tool_itself_is_reviewed(shop: Shop) -> None:
    """A plan, a denial and what does less open none."""
    shop.governor.plan(ToolCall("pay", {"number": "n1"}, CONTEXT))
    shop.desk.set(mode="draft_write")
    shop.call()
    assert shop.reviews.shelf.reviews(states=State) == []


def test_a_decision_that_is_handed_over_is_reviewed_too(shop: Shop) -> None:
    """Whoever runs it says how it went, and what came out."""
    call = ToolCall("pay", {"number": "n9"}, CONTEXT)
    ran, stayed = shop.governor.decide(call), shop.governor.decide(call)
    assert shop.review(ran).state is State.RUNNING
    result = shop._pay("n9")
    shop.governor.report(ran.record_id, "executed", result=result)
    shop.governor.report(stayed.record_id, "not_run")
    assert shop.review(ran).reference == b'{"reference":"r-n9"}'
    assert shop.review(stayed).state is State.VOID
    shop.refuse(ran)
    assert shop.governor.settle_reviews()[-1].state is State.UNDONE
    assert shop.paid == []


def test_a_ticket_and_an_async_tool_are_reviewed_too(shop: Shop) -> None:
    """Whichever way the tool is reached."""
    outcome = shop.governor.enforce(ToolCall("pay", {"number": "n1"}, CONTEXT))
    assert shop.review(outcome).state is State.RUNNING
    shop.pay(number="n1")
    assert shop.review(outcome).state is State.OPEN
    call = ToolCall("pay", {"number": "n2"}, CONTEXT)
    later = asyncio.run(shop.governor.arun(call))
    assert shop.review(later).state is State.OPEN


def test_the_undo_happens_by_itself(tmp_path: Path) -> None:
    """Without anybody's call, in a thread that ends with the Governor."""
    shop = Shop(tmp_path)
    outcome = shop.call()
    shop.governor._rounds = Rounds(shop.governor.settle_reviews, 0.02)
    shop.governor._rounds.begin()
    shop.governor._rounds.begin()
    assert sum(one.name == "gov-reviews" for one in threading.enumerate()) == 1
    shop.refuse(outcome)
    deadline = time.monotonic() + 20
    while shop.review(outcome).state is not State.UNDONE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shop.governor.close()
    assert not [one for one in threading.enumerate() if one.name == "gov-reviews"]
    assert shop.paid == []


def test_what_cannot_happen_afterwards_is_no_tool(tmp_path: Path) -> None:
    """Neither an undo that is not there, nor a review that nobody could do."""
    one = Shop(tmp_path)
    one.governor._decider.tools.clear()
    with pytest.raises(RegistrationError, match="no undo is registered"):
        one.governor.tool("pay")(one._pay)

    async def later(_: Undoing) -> None: ...

    with pytest.raises(RegistrationError, match="an undo is a plain function"):
        one.governor.tool("pay", undo=later)(one._pay)
    one.governor.close()
    (tmp_path / "b").mkdir()
    desk = Desk(tmp_path / "b", contract_yaml("pay", review=REVIEW), None)
    with pytest.raises(RegistrationError, match="open the Governor with people"):
        desk.governor.tool("pay", undo=lambda _one: None)(desk.spy)
    desk.governor.close()


def test_every_record_of_a_review_is_described_and_verified(shop: Shop) -> None:
    """By the published schema, by its columns, and by the verifier."""
    for number, end in enumerate((shop.accept, shop.refuse, shop.refuse)):
        shop.undo_fails = OSError() if number == 2 else None
        outcome = shop.call(f"n{number}")
        end(outcome)
        shop.governor.settle_reviews()
    shop.call("n4")
    shop.wait(60)
    shop.governor.close()
    kinds = described(shop.desk.records)
    assert (kinds["undo"], kinds["review"], kinds["decision"]) == (3, 4, 4)
    assert len(told_by_columns(shop.desk.records)) == sum(kinds.values())
    path = shop.desk.records
    pins = ["--key", read_key(key_file(path)).vkey]
    pins += ["--checkpoint", str(checkpoint_file(path))]
    ran = subprocess.run(
        [sys.executable, gov_verify.__file__, str(path), *pins],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout


def test_a_run_tells_of_its_reviews_and_undos(shop: Shop) -> None:
    """Who said what, how the undo ended, and what is left for whom."""
    shop.refuse(shop.call("n1"))
    shop.governor.settle_reviews()
    shop.undo_fails = OSError()
    shop.refuse(shop.call("n2"))
    shop.governor.settle_reviews()
    shop.accept(shop.call("n3"))
    shop.flush()
    with opened(shop.desk.records) as log:
        run = histories.history("task-1", questions.acted(log, "task-1"))
    assert [one["outcome"] for one in run["steps"]] == ["executed"] * 3
    told = [(one["status"], one.get("reviewer")) for one in run["review"]]
    assert told == [
        *(("refused", "bob"), ("undone", None), ("refused", "bob")),
        *(("undo_failed", None), ("accepted", "bob")),
    ]
    undone, failed = run["followUp"]
    assert undone["undo"] == "undone"
    assert "handOver" not in undone
    assert (failed["undo"], failed["handOver"]) == ("failed", "team")


def test_a_fork_goes_round_by_itself(tmp_path: Path) -> None:
    """It waits for no round of its parent, which may take as long as an undo."""
    seen, began, may = tmp_path / "seen", threading.Event(), threading.Event()

    def go() -> None:
        with seen.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if not began.is_set():
            began.set()
            may.wait(20)
            with seen.open("a") as file:
                file.write("ended\n")

    rounds = Rounds(go, 0.01)
    rounds.begin()
    assert began.wait(20)
    child = os.fork()
    if not child:
        until = time.monotonic() + 20
        while f"{os.getpid()}\n" not in seen.read_text():
            if time.monotonic() > until:
                os._exit(1)
            time.sleep(0.01)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    may.set()
    rounds.end()
    lines = seen.read_text().split()
    assert lines.index(str(child)) < lines.index("ended")


def test_an_undo_may_fork(shop: Shop) -> None:
    """The thread that forks does not wait for itself."""

    def forks(one: Undoing) -> None:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        shop.take_back(one)

    outcome = shop.call()
    shop.governor._decider.tools.clear()
    shop.governor.tool("pay", undo=forks)(shop._pay)
    shop.refuse(outcome)
    rounds = Rounds(shop.governor.settle_reviews, 0.01)
    started = time.monotonic()
    rounds.begin()
    while shop.review(outcome).state is not State.UNDONE:
        assert time.monotonic() - started < 20
        time.sleep(0.01)
    rounds.end()

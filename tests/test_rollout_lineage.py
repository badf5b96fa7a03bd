"""A new release of an agent beside the old one: compared task by task."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from openfeature_gov import Actor, CallContext, ToolCall
from openfeature_gov.contracts import Lineage
from openfeature_gov.governance.lineage import Release
from openfeature_gov.stores.logs import opened
from openfeature_gov_rollout import lineage
from openfeature_gov_rollout.gates import Count, Gate
from openfeature_gov_rollout.judging import Answer, judge_all
from openfeature_gov_rollout.lineage import Step, compared, performed
from tests.conftest import Desk, Make, contract_yaml

ALWAYS = 2**53
STATES: dict[str, dict[str, Any]] = {
    "agreement": {"atLeast": "0.9"},
    "tool_choice": {"atLeast": "0.9"},
    "argument_drift": {"atMost": "0.1"},
    "cost_drift": {"atMost": "0.1", "within": "1.5"},
    "escalation": {"atMost": "0.1"},
}
GATES = tuple(
    Gate.model_validate({"metric": name, **rest}) for name, rest in STATES.items()
)
LOOK = Step("look", "allow", "aa", Decimal("0.10"))
MAIL = Step("mail", "allow", "bb", Decimal("0.10"))


def told(old: tuple[Step, ...], new: tuple[Step, ...]) -> dict[str, Any]:
    """Return what is said of one pair, by metric."""
    counts = compared({"t": old}, {"t": new}, GATES)
    return {
        name: None if one is None else bool(one.successes)
        for name, one in counts.items()
    }


SAME = {
    "agreement": True,
    "tool_choice": True,
    "argument_drift": False,
    "cost_drift": False,
    "escalation": False,
}


@pytest.mark.parametrize(
    ("new", "differs"),
    [
        ((LOOK, MAIL), {}),
        (
            (MAIL, LOOK),
            {"agreement": False, "tool_choice": False, "argument_drift": None},
        ),
        (
            (LOOK,),
            {"agreement": False, "tool_choice": False, "argument_drift": None},
        ),
        ((LOOK, Step("mail", "allow", "cc", Decimal("0.1"))), {"argument_drift": True}),
        ((LOOK, Step("mail", "allow", None, Decimal("0.1"))), {"argument_drift": None}),
        ((LOOK, Step("mail", "allow", "bb", Decimal("0.2"))), {}),
        ((LOOK, Step("mail", "allow", "bb", Decimal("0.21"))), {"cost_drift": True}),
        ((LOOK, Step("mail", "allow", "bb", None)), {"cost_drift": None}),
        (
            (LOOK, Step("mail", "queue_for_approval", "bb", Decimal("0.1"))),
            {"agreement": False, "escalation": True},
        ),
        (
            (LOOK, Step("mail", "deny", "bb", Decimal("0.1"))),
            {"agreement": False, "escalation": True},
        ),
    ],
)
def test_each_metric_says_how_a_task_differs(
    new: tuple[Step, ...], differs: dict[str, Any]
) -> None:
    """A task is one sample; what nobody knows any more is none."""
    assert told((LOOK, MAIL), new) == SAME | differs


def test_what_waited_before_does_not_escalate() -> None:
    """Only what the new release adds counts against it."""
    waits = (Step("mail", "queue_for_approval", "bb", Decimal("0.1")),)
    assert told(waits, waits)["escalation"] is False


def test_only_tasks_of_both_are_compared() -> None:
    """And without one nothing is counted, so that every gate holds."""
    old = {"a": (LOOK,), "b": (LOOK,)}
    new = {"b": (LOOK,), "c": (LOOK,)}
    assert compared(old, new, GATES)["tool_choice"] == Count(1, 1)
    nothing = compared(old, {"c": (LOOK,)}, GATES)
    assert set(nothing.values()) == {None}
    assert judge_all(GATES, nothing).answer is Answer.HOLD


def test_a_new_release_clears_its_gates_or_does_not() -> None:
    """Two hundred tasks that are the same do; one in five that differs does not."""
    old = {f"t{place}": (LOOK, MAIL) for place in range(200)}
    assert judge_all(GATES, compared(old, old, GATES)).answer is Answer.PASS
    new = {
        task: (LOOK,) if place % 5 == 0 else steps
        for place, (task, steps) in enumerate(old.items())
    }
    assert judge_all(GATES, compared(old, new, GATES)).answer is Answer.FAIL


STATED = (
    "{accepted: [{agentVersion: '1', model: m-1}], cap: draft_write,"
    " shadowPercentage: 100}"
)
OLD = Release(agentVersion="1", model="m-1")
NEW = Release(agentVersion="2")


def act(desk: Desk, version: str, task: str, cost: str = "0.1", **given: Any) -> Any:
    context = CallContext(
        actor=Actor(agent="agent-1", user="user-1", version=version),
        task=task,
        cost_estimate=Decimal(cost),
        lineage=Lineage(model="m-1"),
    )
    return desk.governor.run(ToolCall("mail", given, context))


def test_what_a_held_release_would_have_done_is_in_its_records(desk: Make) -> None:
    """It ran nothing; its shadow says what the old release would have been allowed."""
    one = desk(contract_yaml("mail", lineage=STATED))
    ran: list[str] = []

    @one.governor.tool()
    def mail(to: str) -> None:
        ran.append(to)

    for task in ("t-1", "t-2"):
        act(one, "1", task, to="ann")
    act(one, "2", "t-1", to="ann")
    act(one, "2", "t-2", to="bob", cost="0.2")
    assert ran == ["ann", "ann"]
    one.governor.records.flush()  # type: ignore[attr-defined] # of this store
    with opened(one.records) as log:
        old, new = (
            performed(log, release, ("mail",), 0, ALWAYS) for release in (OLD, NEW)
        )
        assert performed(log, NEW, ("other",), 0, ALWAYS) == {}
        assert performed(log, NEW, ("mail",), 0, 1) == {}
    assert [step.effect for steps in new.values() for step in steps] == ["allow"] * 2
    counts = compared(old, new, GATES)
    assert counts == {
        "agreement": Count(2, 2),
        "tool_choice": Count(2, 2),
        "argument_drift": Count(1, 2),
        "cost_drift": Count(1, 2),
        "escalation": Count(0, 2),
    }


def test_a_stage_that_holds_both_is_no_shadow_of_a_lineage(desk: Make) -> None:
    """Both meet what the stage of the old one says, whatever the next would."""
    one = desk(contract_yaml("mail", lineage=STATED))
    one.governor.tool("mail")(lambda to: to)
    for mode, effect in (
        ("observe", "constrain"),
        ("approval_required", "queue_for_approval"),
    ):
        one.set(mode=mode)
        for version in ("1", "2"):
            act(one, version, mode, to="ann")
        one.governor.records.flush()  # type: ignore[attr-defined] # of this store
        with opened(one.records) as log:
            old, new = (
                performed(log, release, ("mail",), 0, ALWAYS) for release in (OLD, NEW)
            )
        assert [step.effect for step in (*old[mode], *new[mode])] == [effect] * 2


def test_memory_is_bounded_by_the_latest_tasks(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is let go of."""
    monkeypatch.setattr(lineage, "MOST_TASKS", 2)
    one = desk(contract_yaml("mail"))
    one.governor.tool("mail")(lambda to: to)
    for task in ("t-1", "t-2", "t-1", "t-3"):
        act(one, "1", task, to="ann")
    one.governor.records.flush()  # type: ignore[attr-defined] # of this store
    with opened(one.records) as log:
        found = performed(log, OLD, ("mail",), 0, ALWAYS)
    assert {task: len(steps) for task, steps in found.items()} == {"t-1": 2, "t-3": 1}

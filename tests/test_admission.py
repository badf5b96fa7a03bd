"""Admissions: what a framework runs is recorded once, and only as it was decided."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from openfeature_gov import Effect, RegistrationError, Status, ToolCall, tickets
from openfeature_gov.adapters.shape import Asked, Door
from openfeature_gov.reviews.states import State
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, Make, contract_yaml

CALL = ToolCall("spy", {"what": "x"}, CONTEXT)


@pytest.fixture
def gated(desk: Make) -> tuple[Desk, Callable[..., Any]]:
    """Return a desk and its tool behind the gate."""
    one = desk(contract_yaml("spy"))
    return one, one.governor.tool("spy")(lambda what: one.spy(what=what))


def statuses(desk: Desk) -> list[str]:
    desk.governor.close()
    return [one["status"] for one in history.records(desk.records, kind="outcome")]


def test_the_gate_records_the_run(gated: tuple[Desk, Callable[..., Any]]) -> None:
    """One decision, one outcome, and the body's answer is the value."""
    desk, tool = gated
    admitted = desk.governor.admit(CALL)
    assert admitted.outcome.status is Status.RELEASED
    outcome = admitted.run(lambda arguments: [tool(**arguments)])
    assert (outcome.value, outcome.ran) == (["ran"], "tool")
    assert statuses(desk) == ["executed"]
    assert len(history.records(desk.records, kind="decision")) == 1


def test_what_never_reached_the_tool_is_unknown(
    gated: tuple[Desk, Callable[..., Any]],
) -> None:
    """Never success: a framework may have run anything."""
    desk, tool = gated
    held: list[Callable[[], Any]] = []
    desk.governor.admit(CALL).run(lambda _: held.append(lambda: tool("x")))
    assert "Not executed" in held[0]()  # the ticket ended with the block
    assert desk.calls == []
    assert statuses(desk) == ["unknown"]


class Size(Enum):
    """A word that a framework reads out of JSON."""

    LARGE = "large"


TYPED: list[tuple[Any, Any, Any]] = [
    (Decimal, "10.50", Decimal("10.50")),
    (Decimal, 7, Decimal(7)),
    (date, "2026-11-22", date(2026, 11, 22)),
    (datetime, "2026-11-22T06:00:00Z", datetime(2026, 11, 22, 6, tzinfo=UTC)),
    (UUID, str(UUID(int=1)), UUID(int=1)),
    (Size, "large", Size.LARGE),
    (State, "open", State.OPEN),
    (list[Decimal], ["1", "2.5"], [Decimal(1), Decimal("2.5")]),
    (dict[str, date], {"a": "2026-11-22"}, {"a": date(2026, 11, 22)}),
    (int, "5", 5),
    (str, "10", "10"),
]


@pytest.mark.parametrize(("hint", "given", "meant"), TYPED, ids=repr)
def test_a_tool_gets_what_its_framework_makes_of_json(
    desk: Make, hint: Any, given: Any, meant: Any
) -> None:
    """It computes with a Decimal, though JSON and the decision have its text."""
    one, got = desk(contract_yaml("pay")), list[Any]()

    def pay(amount: Any) -> str:
        got.append(amount)
        return "paid"

    pay.__annotations__["amount"] = hint
    tool = one.governor.tool("pay")(pay)
    admitted = Door(one.governor, CONTEXT).admit(Asked("pay", {"amount": given}))
    # As frameworks do, between their hook and the function.
    converted = TypeAdapter(hint).validate_python(given)
    assert admitted.run(lambda _: tool(amount=converted)).value == "paid"
    assert (type(got[0]), got[0]) == (type(meant), meant)
    assert statuses(one) == ["executed"]
    assert len(history.records(one.records, kind="decision")) == 1


def test_what_was_decided_with_a_type_runs_with_it(desk: Make) -> None:
    """Nobody behind the decision puts text in place of a Decimal, or anything else."""
    one, got = desk(contract_yaml("pay")), list[Any]()

    def pay(amount: object) -> None:
        got.append(amount)

    tool = one.governor.tool("pay")(pay)
    typed = ToolCall("pay", {"amount": Decimal(10)}, CONTEXT)
    with one.governor.acting(CONTEXT):
        one.governor.admit(typed).run(lambda _: tool(amount="10"))
        several = ToolCall("pay", {"amount": [Decimal(10)]}, CONTEXT)
        one.governor.admit(several).run(lambda _: tool(amount=["10"]))
        assert got.pop() == [Decimal(10)]
        one.governor.enforce(typed)
        tool(amount="10")
        one.governor.enforce(ToolCall("pay", {"amount": "10"}, CONTEXT))
        tool(amount=Decimal(10))
    assert [type(amount) for amount in got] == [Decimal, Decimal, str]
    assert statuses(one) == ["executed"] * 4


def test_a_body_that_raises_failed(gated: tuple[Desk, Callable[..., Any]]) -> None:
    """And what it raised is passed on."""
    desk, _ = gated

    def body(_: object) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        desk.governor.admit(CALL).run(body)
    assert statuses(desk) == ["failed"]


def test_a_body_that_is_stepped_in_two_contexts_is_recorded(
    gated: tuple[Desk, Callable[..., Any]],
) -> None:
    """As some frameworks step coroutines; what ran and broke off is not lost."""
    desk, _ = gated

    async def body(_: object) -> None:
        await asyncio.sleep(0)

    steps = desk.governor.admit(CALL).arun(body)
    for _ in range(2):
        with suppress(StopIteration):
            contextvars.copy_context().run(steps.send, None)
    assert statuses(desk) == ["unknown"]


def test_what_is_left_did_not_run(gated: tuple[Desk, Callable[..., Any]]) -> None:
    """Once, however often it is left."""
    desk, _ = gated
    admitted = desk.governor.admit(CALL)
    admitted.leave()
    admitted.leave()
    assert statuses(desk) == ["not_run"]


def test_a_kill_before_the_tool_is_obeyed(
    gated: tuple[Desk, Callable[..., Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision that is not brand new any more is looked at again."""
    desk, tool = gated
    monkeypatch.setattr(tickets, "SURE_NS", 0)

    def body(arguments: dict[str, Any]) -> Any:
        desk.set(on=False)
        return tool(**arguments)

    outcome = desk.governor.admit(CALL).run(body)
    assert "denied by policy" in outcome.value
    assert desk.calls == []


def test_a_decision_is_sure_for_milliseconds_only() -> None:
    """Less than a person, or a flag, could tell."""
    assert tickets.SURE_NS <= 2_000_000


def test_what_recording_took_counts_as_age(
    gated: tuple[Desk, Callable[..., Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill while a slow disk writes the decision down is obeyed."""
    desk, tool = gated
    records = desk.governor.records
    commit = records.commit

    def slow(record: Any) -> None:
        commit(record)
        desk.set(on=False)
        time.sleep(5 * tickets.SURE_NS / 1e9)

    monkeypatch.setattr(records, "commit", slow)
    outcome = desk.governor.admit(CALL).run(lambda arguments: tool(**arguments))
    assert "denied by policy" in outcome.value
    assert desk.calls == []


@pytest.mark.parametrize("first", ["run", "leave"])
def test_an_admission_is_for_one_run(desk: Make, first: str) -> None:
    """A framework that tries again must ask again, for a foreign tool as well."""
    one = desk(contract_yaml("spy"))
    one.governor.foreign("spy")
    admitted = one.governor.admit(CALL)

    def body(arguments: dict[str, Any]) -> Any:
        return one.spy(**arguments)

    async def again(_: object) -> None:
        raise AssertionError("it ran")

    if first == "run":
        admitted.run(body)
    else:
        admitted.leave()
    ran = list(one.calls)
    with pytest.raises(RuntimeError, match="ask anew"):
        admitted.run(body)
    with pytest.raises(RuntimeError, match="ask anew"):
        asyncio.run(admitted.arun(again))
    admitted.leave()
    assert one.calls == ran
    assert statuses(one) == ["executed" if first == "run" else "not_run"]


def test_edited_arguments_meet_another_decision(
    gated: tuple[Desk, Callable[..., Any]],
) -> None:
    """However new the first one is."""
    desk, tool = gated
    desk.governor.admit(CALL).run(lambda _: tool("y"))
    assert desk.calls == [{"what": "y"}]
    assert sorted(statuses(desk)) == ["executed", "unknown"]
    assert len(history.records(desk.records, kind="decision")) == 2


def test_a_foreign_tool_runs_only_in_an_admission(desk: Make) -> None:
    """Its body is the run, sync and async."""
    one = desk(contract_yaml("spy"))
    one.governor.foreign("spy")
    assert one.governor.admit(CALL).run(lambda a: one.spy(**a)).value == "ran"

    async def body(arguments: dict[str, Any]) -> str:
        return one.spy(**arguments)

    async def run() -> Any:
        return (await (await one.governor.aadmit(CALL)).arun(body)).value

    assert asyncio.run(run()) == "ran"
    with pytest.raises(RegistrationError, match="foreign"):
        one.governor.run(CALL)
    assert len(one.calls) == 2
    assert statuses(one) == ["executed", "executed", "failed"]


def test_what_is_denied_never_reaches_the_body(
    gated: tuple[Desk, Callable[..., Any]],
) -> None:
    """Nor does what another handler answers."""
    desk, tool = gated
    desk.set(mode="off")
    outcome = desk.governor.admit(CALL).run(lambda a: tool(**a))
    assert (outcome.effect, outcome.status) == (Effect.DENY, Status.NOT_RUN)
    assert desk.calls == []


def test_what_begins_is_recorded_by_the_gate(
    gated: tuple[Desk, Callable[..., Any]],
) -> None:
    """As with a body: one decision, one outcome, and nobody acts after the end."""
    desk, tool = gated
    end = desk.governor.admit(CALL).begin()
    assert tool("x") == "ran"
    end("ran")
    assert "Not executed" in tool("x")
    assert statuses(desk)[0] == "executed"
    assert len(desk.calls) == 1


@pytest.mark.parametrize(
    ("error", "status"), [(None, "unknown"), (KeyError("x"), "failed")]
)
def test_what_begins_and_reaches_no_gate(
    gated: tuple[Desk, Callable[..., Any]], error: Exception | None, status: str
) -> None:
    """Then how it ended is all that is known; the ticket is gone."""
    desk, tool = gated
    desk.governor.admit(CALL).begin()(error=error)
    assert "Not executed" in tool("x")
    assert desk.calls == []
    assert statuses(desk)[0] == status


@pytest.mark.parametrize(("known", "status"), [(True, "executed"), (False, "unknown")])
def test_what_begins_and_has_no_gate(desk: Make, known: bool, status: str) -> None:
    """A foreign tool ran unless the framework cannot tell."""
    one = desk(contract_yaml("spy"))
    one.governor.foreign("spy")
    one.governor.admit(CALL).begin()("answer", known=known)
    assert statuses(one) == [status]


def test_what_begins_does_so_once(gated: tuple[Desk, Callable[..., Any]]) -> None:
    """Neither again, nor after it was run or left."""
    desk, _ = gated
    first, left = desk.governor.admit(CALL), desk.governor.admit(CALL)
    end = first.begin()
    with pytest.raises(RuntimeError, match="before"):
        first.begin()
    end()
    left.leave()
    with pytest.raises(RuntimeError, match="before"):
        left.begin()


def test_what_may_not_run_does_not_begin(
    gated: tuple[Desk, Callable[..., Any]],
) -> None:
    """An outcome that is no run of the tool has nothing to hold out."""
    desk, _ = gated
    refused = desk.governor.admit(ToolCall("spy", {"other": 1}, CONTEXT))
    with pytest.raises(RuntimeError, match="may not run"):
        refused.begin()

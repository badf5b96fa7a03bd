"""The host's own controls: asked in time, or taken for the strictest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from openfeature_gov.contracts import ToolCall
from openfeature_gov.controls import Controls, at_once
from openfeature_gov.decisions import Effect, Verdict
from openfeature_gov.governor import Governor
from openfeature_gov.identity.identities import Identities
from openfeature_gov.ladder import Mode
from openfeature_gov.outcomes import Outcome
from openfeature_gov.policies import Hosted
from openfeature_gov.policies.budget import THREADS
from tests.conftest import CONTEXT, Make, contract_yaml

CALL = ToolCall("tool", {}, CONTEXT)
FINE = Verdict("mine", Mode.AUTONOMOUS, "fine")
SEARCH = {"riskClass": "search", "reversibility": "automatic"}
PATIENCE_S = 60.0


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """Return what hangs until the test ends."""
    event = threading.Event()
    yield event
    event.set()


def governor(desk: Make, controls: Controls, **more: Any) -> Governor:
    made: Governor = desk(
        contract_yaml("tool", **{**SEARCH, **more}), controls
    ).governor
    made.tool("tool")(lambda: "ran")
    return made


def threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name == "gov-policy"}


def test_the_default_bounds() -> None:
    """Nobody waits for ever unless somebody says so."""
    assert 0 < Controls().budget_ms <= 2_000


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("name", ["guardrails", "authorizer"])
def test_a_control_that_hangs_says_off(
    desk: Make, hang: threading.Event, name: str, asynchronous: bool
) -> None:
    """The call is decided although it never answers, and no thread piles up."""

    def hanging(*_: Any) -> Verdict:
        hang.wait(PATIENCE_S)
        return FINE

    given: Any = (("mine", hanging),) if name == "guardrails" else hanging
    one = governor(desk, Controls(budget_ms=20, **{name: given}))
    before = threads()
    for _ in range(2 * THREADS):
        outcome = asyncio.run(one.arun(CALL)) if asynchronous else one.run(CALL)
        assert outcome.effect is Effect.DENY
        assert outcome.decision.reason == "control_too_slow"
    assert len(threads() - before) <= THREADS


def test_a_predicate_that_hangs_holds(desk: Make, hang: threading.Event) -> None:
    """A person is asked, as for one that raises."""
    controls = Controls(
        budget_ms=20, predicates={"odd": lambda _: hang.wait(PATIENCE_S)}
    )
    needed = "{reviewerGroup: leads, requiredFor: [odd]}"
    one = governor(desk, controls, approval=needed)
    calm = Controls(predicates={"odd": lambda _: False})
    other = governor(desk, calm, approval=needed)
    assert one.plan(CALL).decision.need is Mode.AUTONOMOUS
    assert other.plan(CALL).decision.need is not Mode.AUTONOMOUS


def test_a_loop_does_not_wait_for_the_host(desk: Make, hang: threading.Event) -> None:
    """What else the loop has to do goes on while a guardrail thinks."""
    entered = threading.Event()

    def thinking(*_: Any) -> Verdict:
        entered.set()
        assert hang.wait(PATIENCE_S)
        return FINE

    controls = Controls(budget_ms=60_000, guardrails=(("mine", thinking),))
    one = governor(desk, controls)

    async def both() -> Outcome:
        deciding = asyncio.create_task(one.adecide(CALL))
        assert await asyncio.to_thread(entered.wait, PATIENCE_S)
        hang.set()
        return await deciding

    assert asyncio.run(both()).effect is Effect.ALLOW


def test_the_host_s_context_is_kept(desk: Make) -> None:
    """A guardrail sees the context variables of whoever called, in any thread."""
    tenant: ContextVar[str] = ContextVar("tenant", default="")
    seen = []

    def looking(*_: Any) -> Verdict:
        seen.append(tenant.get())
        return FINE

    one = governor(desk, Controls(guardrails=(("mine", looking),)))
    tenant.set("t-1")
    one.decide(CALL)
    asyncio.run(one.adecide(CALL))
    assert seen == ["t-1", "t-1"]


def test_what_never_waits_needs_no_thread() -> None:
    """Nor does the authorizer of this package."""
    ours = Identities().authorizer
    assert not Hosted(Controls()).waits
    hosted = Hosted(Controls(authorizer=ours))
    assert not hosted.waits
    assert hosted.controls.authorizer == ours
    assert Hosted(Controls(guardrails=(("mine", lambda *_: FINE),))).waits
    marked = at_once(lambda *_: FINE)
    predicates = {"odd": at_once(lambda _: True)}
    assert not Hosted(
        Controls(guardrails=(("mine", marked),), predicates=predicates)
    ).waits


def test_a_closed_governor_keeps_no_thread(desk: Make) -> None:
    """What did not hang is let go."""
    before = threads()
    one = governor(desk, Controls(guardrails=(("mine", lambda *_: FINE),)))
    assert one.run(CALL).effect is Effect.ALLOW
    made = threads() - before
    assert made
    one.close()
    for thread in made:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()

"""The Governor under constraints: what is narrowed, weighed again, or denied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openfeature_gov import (
    ActionContract,
    Constraint,
    Controls,
    Decision,
    Effect,
    Extractors,
    Mode,
    Outcome,
    Status,
    ToolCall,
    Verdict,
)
from openfeature_gov.decisions import decide
from openfeature_gov.narrowing import stricter
from tests.conftest import CONTEXT, Make, contract_yaml
from tests.mailing import MAIL, SEARCH, call, log


def test_constraints_need_a_tool_that_applies_them(desk: Make) -> None:
    """Under constraints only a tool that narrows its arguments runs, and narrowed."""

    def limit(*_: Any) -> Verdict:
        few = (Constraint("records", limit=2),)
        return Verdict("limit", Mode.AUTONOMOUS, "limited", constraints=few)

    controls = Controls(guardrails=(("limit", limit),))
    one = desk(MAIL + "---\n" + SEARCH, controls)
    one.governor.tool("mail")(one.spy)

    def narrow(arguments: dict[str, Any], limits: tuple[Constraint, ...]) -> Any:
        return {**arguments, "rows": min(arguments["rows"], limits[0].limit or 0)}

    one.governor.tool("look", narrow=narrow)(one.spy)
    blind = one.governor.run(call(rows=9))
    assert (blind.effect, blind.status) == (Effect.CONSTRAIN, Status.NOT_RUN)
    seen = one.governor.run(call("look", rows=9))
    assert (seen.effect, seen.ran) == (Effect.CONSTRAIN, "tool")
    assert one.calls == [{"rows": 2}]
    narrowed = [r["narrowedDigest"] for r in log(one, "decision")]
    assert narrowed[0] is None
    assert narrowed[1] is not None


def test_handlers_honour_constraints_too(desk: Make) -> None:
    """A draft under a constraint runs narrowed, or not at all."""

    def limit(*_: Any) -> Verdict:
        few = (Constraint("records", limit=2),)
        return Verdict("limit", Mode.AUTONOMOUS, "limited", constraints=few)

    def narrow(arguments: dict[str, Any], limits: tuple[Constraint, ...]) -> Any:
        return {**arguments, "rows": min(arguments["rows"], limits[0].limit or 0)}

    def draft(rows: int) -> int:
        return rows

    for narrower, wanted in ((None, None), (narrow, 2)):
        one = desk(MAIL, Controls(guardrails=(("limit", limit),)))
        one.governor.tool("mail", draft=draft, narrow=narrower)(one.spy)
        one.set(mode="draft_write")
        assert one.governor.run(call(rows=9)).value == wanted


def test_a_search_stays_within_the_sources_that_are_allowed(desk: Make) -> None:
    """Confined by a guardrail: narrowed it runs; a narrower that does not, nothing."""
    rules = "[{kind: source_allowlist, allowed: [docs, faq]}]"
    one = desk(contract_yaml("find", riskClass="search", guardrails=rules))
    extract = Extractors(sources=lambda arguments: arguments["sources"])
    obedient = True

    def narrow(arguments: dict[str, Any], limits: tuple[Constraint, ...]) -> Any:
        (limit,) = limits
        among = limit.among or frozenset()
        kept = [name for name in arguments["sources"] if name in among]
        return {"sources": kept if obedient else arguments["sources"]}

    one.governor.tool("find", extract=extract, narrow=narrow)(one.spy)

    def find(*sources: str) -> Outcome:
        call = ToolCall("find", {"sources": list(sources)}, CONTEXT)
        return one.governor.run(call)

    assert find("docs").effect is Effect.ALLOW
    assert find("docs", "web").effect is Effect.CONSTRAIN
    assert find("web").reason == "source_not_allowed"
    assert one.calls == [{"sources": ["docs"]}, {"sources": ["docs"]}]
    obedient = False
    assert find("docs", "web").reason == "constraint_ignored"
    assert len(one.calls) == 2


def test_narrowing_that_widens_is_denied(desk: Make) -> None:
    """What comes out of narrow is derived again and may be no more than was asked."""

    def limit(*_: Any) -> Verdict:
        few = (Constraint("amount", limit=2),)
        return Verdict("limit", Mode.AUTONOMOUS, "limited", constraints=few)

    one = desk(MAIL, Controls(guardrails=(("limit", limit),)))
    one.governor.tool(
        "mail",
        extract=Extractors(amount=lambda a: a["amount"]),
        narrow=lambda arguments, _: {"amount": arguments["amount"] * 200},
    )(one.spy)
    outcome = one.governor.run(call(amount=50))
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "narrowing_widened")
    assert one.calls == []


def test_a_fault_of_our_own_denies(desk: Make) -> None:
    """Whatever fails between call and decision denies: here, a broken narrower."""

    def limit(*_: Any) -> Verdict:
        few = (Constraint("records", limit=2),)
        return Verdict("limit", Mode.AUTONOMOUS, "limited", constraints=few)

    def narrow(arguments: dict[str, Any], _: tuple[Constraint, ...]) -> Any:
        return {"to": arguments["to"], arguments["more"]: 1}

    one = desk(MAIL, Controls(guardrails=(("limit", limit),)))
    ran: list[str] = []

    @one.governor.tool(narrow=narrow)
    def mail(to: str, more: Any = "more") -> None:
        ran.append(to)

    assert one.governor.run(call(to="x")).ran == "tool"
    unhashable = one.governor.run(call(to="x", more=[]))
    assert (unhashable.effect, unhashable.reason) == (Effect.DENY, "internal_error")
    surplus = one.governor.run(call(to="x", more="cc"))
    assert (surplus.effect, surplus.reason) == (Effect.DENY, "arguments_mismatch")
    assert ran == ["x"]
    assert len(log(one, "decision")) == 3


FEW = Verdict("few", Mode.AUTONOMOUS, "few", constraints=(Constraint("rows", 2),))
SECOND = {
    "lower": (Verdict("second", Mode.OFF, "second"), Effect.DENY),
    "human": (Verdict("second", Mode.APPROVAL_REQUIRED, "second"), None),
    "need": (
        Verdict("second", Mode.APPROVAL_REQUIRED, "second", need=Mode.AUTONOMOUS),
        Effect.QUEUE_FOR_APPROVAL,
    ),
    "fallback": (
        Verdict("second", Mode.DRAFT_WRITE, "second", fallback=True),
        Effect.FALLBACK,
    ),
    "the same": (replace(FEW, control="second"), Effect.CONSTRAIN),
    "calm": (Verdict("second", Mode.AUTONOMOUS, "calm"), Effect.CONSTRAIN),
}


def _narrowing(desk: Make, second: Verdict, seen: list[Any], **changes: str) -> Any:
    """Return a desk whose *second* guardrail minds two rows, but not nine."""

    def few(*_: Any) -> Verdict:
        return FEW

    def minds(contract: ActionContract, *_: Any) -> Verdict:
        seen.append(contract.arguments["rows"])
        calm = Verdict("second", second.cap if second.need else Mode.AUTONOMOUS, "calm")
        return second if contract.arguments["rows"] == 2 else calm

    controls = Controls(guardrails=(("few", few), ("second", minds)))
    one = desk(contract_yaml("mail", **changes), controls)

    def narrow(arguments: dict[str, Any], limits: tuple[Constraint, ...]) -> Any:
        return {"rows": min(arguments["rows"], limits[0].limit or 0)}

    one.governor.tool("mail", narrow=narrow, consequence=lambda _: "mails")(one.spy)
    return one


@pytest.mark.parametrize("case", sorted(SECOND))
def test_a_narrowed_call_is_weighed_once_more(desk: Make, case: str) -> None:
    """What its arguments have become is judged as well, and the stricter counts."""
    second, effect = SECOND[case]
    seen: list[Any] = []
    changes = {"need": "scoped_read", "fallback": "external_effect"}
    one = _narrowing(desk, second, seen, riskClass=changes.get(case, "external_effect"))
    outcome = one.governor.run(call(rows=9))
    runs = effect is Effect.CONSTRAIN
    assert outcome.effect is (effect or Effect.QUEUE_FOR_APPROVAL)
    assert seen == [9, 2]
    assert one.calls == ([{"rows": 2}] if runs else [])
    if not runs:
        (record,) = log(one, "decision")
        reasons = [(one["control"], one["reason"]) for one in record["verdicts"]]
        assert ("second", "calm") in reasons
        assert ("second", "second") in reasons


opinions = st.lists(
    st.builds(
        Verdict,
        st.sampled_from(["first", "second", "third"]),
        st.sampled_from(Mode),
        st.just("said"),
        need=st.sampled_from(Mode),
        constraints=st.sampled_from(
            [(), (Constraint("rows", 1),), (Constraint("rows", 2),)]
        ),
        fallback=st.booleans(),
    ),
    unique_by=lambda one: one.control,
)


@settings(max_examples=1_000)
@given(opinions, opinions, st.sampled_from(Mode))
@example(
    [Verdict("first", Mode.SEARCH_ONLY, "said")],
    [Verdict("first", Mode.SEARCH_ONLY, "said", fallback=True)],
    Mode.SCOPED_READ,
)
def test_what_says_no_more_of_the_narrowed_call_changes_nothing(
    before: list[Verdict], after: list[Verdict], need: Mode
) -> None:
    """The decision is the one that both leads to, whatever each control said."""

    def law(*verdicts: Verdict) -> Decision:
        made = decide(verdicts, need=need, listed=frozenset(Mode))
        return replace(made, verdicts=(), reason="")

    assert law(*before, *stricter(before, after)) == law(*before, *after)


@pytest.mark.parametrize("kind", ["rows", "region"])
def test_a_narrowed_call_is_not_narrowed_again(desk: Make, kind: str) -> None:
    """Constrained to something else it is denied: nobody applied that."""
    tighter = Verdict(
        "second", Mode.AUTONOMOUS, "tighter", constraints=(Constraint(kind, 1),)
    )
    seen: list[Any] = []
    one = _narrowing(desk, tighter, seen)
    outcome = one.governor.run(call(rows=9))
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "constrained_again")
    assert (one.calls, seen) == ([], [9, 2])


def test_a_call_that_needs_no_narrowing_is_weighed_once(desk: Make) -> None:
    """Within its constraints it runs as it is, and nothing is asked twice."""
    seen: list[Any] = []
    one = _narrowing(desk, SECOND["calm"][0], seen)
    assert one.governor.run(call(rows=1)).effect is Effect.CONSTRAIN
    assert (one.calls, seen) == ([{"rows": 1}], [1])

"""Shadow decisions: the record says what the next stage would have decided."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov import Effect, Mode, ToolCall, Verdict
from openfeature_gov.controls.mode import RUNGS
from openfeature_gov.decisions import decide, need_of
from openfeature_gov.evidence.shadow import above, shadow
from openfeature_gov.ladder import MODES
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, Make, contract_yaml
from tests.test_controls import CONTRACT, rules

NEXT = dict(zip(MODES, [*MODES][1:], strict=False))


def shadows(desk: Desk) -> list[Any]:
    """Return what the records of the decisions say, in order."""
    desk.governor.records.close()
    return [one["shadow"] for one in history.records(desk.records, kind="decision")]


def test_each_rung_records_the_next(desk: Make) -> None:
    """Under every mode but the last: its mode, the effect, and whether it would run."""
    one = desk(contract_yaml("mail"))
    one.governor.tool("mail")(lambda: None)
    decided: list[Effect] = []
    for mode in MODES:
        one.set(mode=mode)
        decided.append(one.governor.decide(ToolCall("mail", {}, CONTEXT)).effect)
    told = shadows(one)
    assert [item and item["mode"] for item in told] == [*NEXT.values(), None]
    for before, item in zip(decided[1:], told[:-1], strict=True):
        assert item["effect"] == before.value
        lowest = item["mode"] != "autonomous"
        reason = f"mode_{item['mode']}" if lowest else "approval_waived"
        assert item["reason"] == reason
        assert item["full"] is (before is Effect.ALLOW)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mode": "fallback"}, None),
        ({"mode": "no-such-mode"}, None),
        (
            {"mode": "approval_required", "denylist": ["mail"]},
            {"mode": "autonomous", "effect": "deny", "reason": "denylisted"},
        ),
        (
            {"mode": "draft_write", "on": False},
            {"mode": "approval_required", "effect": "deny", "reason": "kill_switch"},
        ),
        (
            {"mode": "approval_required", "approval": True},
            {
                "mode": "autonomous",
                "effect": "queue_for_approval",
                "reason": "approval_required",
            },
        ),
    ],
)
def test_what_else_was_said_stays_said(
    desk: Make, values: dict[str, Any], told: dict[str, Any] | None
) -> None:
    """Only the rung is another; a flag that is no stage has none after it."""
    one = desk(contract_yaml("mail"))
    one.governor.tool("mail")(lambda: None)
    if values["mode"] == "no-such-mode":
        document = one.flags.read_text().replace('"autonomous"', '"no-such-mode"')
        one.flags.write_text(document)
        provider: Any = one.governor._decider._reader._client.provider
        provider.reload()
    else:
        one.set(**values)
    one.governor.decide(ToolCall("mail", {}, CONTEXT))
    (found,) = shadows(one)
    assert found == (told and {**told, "full": False})


def test_the_next_stage_is_the_next_that_the_contract_lists(desk: Make) -> None:
    """A rung that the contract leaves out is no stage."""
    listed = "[off, observe, approval_required]"
    one = desk(contract_yaml("mail", allowedModes=listed))
    one.governor.tool("mail")(lambda: None)
    for mode in ("observe", "approval_required"):
        one.set(mode=mode)
        one.governor.decide(ToolCall("mail", {}, CONTEXT))
    first, last = shadows(one)
    assert (first["mode"], first["effect"]) == (
        "approval_required",
        "queue_for_approval",
    )
    assert last is None


CAPS = st.lists(
    st.builds(
        Verdict,
        st.sampled_from(["authorization", "denylist", "freshness", "a-guardrail"]),
        st.sampled_from([*Mode]),
        st.sampled_from(["one", "two"]),
        need=st.sampled_from([*Mode]),
        fallback=st.booleans(),
    ),
    max_size=4,
)


@given(CAPS, st.sampled_from([*Mode]), st.frozensets(st.sampled_from([*Mode])))
def test_the_shadow_is_the_law_with_one_verdict_replaced(
    others: list[Verdict], rung: Mode, listed: frozenset[Mode]
) -> None:
    """It allows no less than what was decided, and it is what the law would say."""
    names = sorted({Mode.OFF, Mode.OBSERVE, *listed})
    text = "[" + ", ".join(one.label for one in names) + "]"
    under = rules(allowedModes=text, defaultMode="observe")
    need = need_of(CONTRACT.risk_class, CONTRACT.reversibility)
    now = decide([*others, RUNGS[rung]], need=need, listed=under.modes)
    told = shadow(CONTRACT, under, now)
    further = above(under.modes, rung)
    if further is None:
        assert told is None
        return
    then = decide([*others, RUNGS[further]], need=need, listed=under.modes)
    assert then.mode >= now.mode
    assert told == {
        "mode": further.label,
        "effect": then.effect.value,
        "reason": then.reason,
        "full": then.full,
    }

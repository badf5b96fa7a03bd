"""The lineage control: a new release of an agent starts low, whatever else is new."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov import Actor, CallContext, Effect, Mode, ToolCall
from openfeature_gov.contracts import Lineage
from openfeature_gov.controls.lineage import lineage, shadowed
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance.lineage import LineageRules
from openfeature_gov.stores import history
from tests.conftest import Make, contract_yaml
from tests.test_controls import CONTRACT, rules

STATED = (
    "{accepted: [{agentVersion: '3', model: m-1, promptDigest: ab}, {model: m-0}],"
    " cap: draft_write}"
)
ACCEPTED = Lineage(model="m-1", prompt_digest="ab")


def context(
    version: str = "3", told: Lineage = ACCEPTED, task: str = "t-1"
) -> CallContext:
    actor = Actor(agent="agent-1", user="user-1", version=version)
    return CallContext(actor=actor, task=task, environment="test", lineage=told)


def stated(text: str = STATED) -> LineageRules:
    found = rules(lineage=text).lineage
    assert found is not None
    return found


def said(given: CallContext, text: str = STATED) -> tuple[Mode, str]:
    verdict = lineage(replace(CONTRACT, context=given), stated(text))
    return verdict.cap, verdict.reason


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (context(), True),
        (context(version="4"), False),
        (context(version=""), False),
        (context(told=Lineage(model="m-2", prompt_digest="ab")), False),
        (context(told=Lineage(model="m-1", prompt_digest="ac")), False),
        (context(told=Lineage()), False),
        (context(version="9", told=Lineage(model="m-0", prompt_digest="zz")), True),
    ],
)
def test_only_what_is_listed_has_full_authority(
    given: CallContext, known: bool
) -> None:
    """Every part that an entry names must be so; one entry is enough."""
    if known:
        assert said(given) == (Mode.AUTONOMOUS, "lineage_accepted")
    else:
        assert said(given) == (Mode.DRAFT_WRITE, "lineage_unknown")


def test_a_share_of_the_tasks_of_a_new_release_runs_nothing() -> None:
    """In shadow it is observed, whatever the cap; a known release never is."""
    text = STATED.replace("draft_write}", "draft_write, shadowPercentage: 100}")
    assert said(context(version="4"), text) == (Mode.OBSERVE, "lineage_in_shadow")
    assert said(context(), text) == (Mode.AUTONOMOUS, "lineage_accepted")
    off = text.replace("draft_write", "off")
    assert said(context(version="4"), off)[0] is Mode.OFF


def test_a_new_release_falls_back_in_the_governor(desk: Make) -> None:
    """The old one acts, the new one drafts, and its record says what it might do."""
    one = desk(contract_yaml("mail", lineage=STATED))
    ran: list[str] = []
    one.governor.tool("mail", draft=lambda: ran.append("draft"))(
        lambda: ran.append("tool")
    )
    told = [
        one.governor.run(ToolCall("mail", {}, who))
        for who in (context(), context(version="4"))
    ]
    assert ran == ["tool", "draft"]
    assert [item.reason for item in told] == ["approval_waived", "lineage_unknown"]
    assert told[1].effect is Effect.CONSTRAIN
    one.governor.records.close()
    old, new = history.records(one.records, kind="decision")
    assert old["shadow"] is None
    assert new["shadow"] == {
        "mode": "autonomous",
        "effect": "allow",
        "reason": "approval_waived",
        "full": True,
    }


def test_without_the_key_nothing_is_asked(desk: Make) -> None:
    """A contract that states no lineage has no such verdict."""
    one = desk(contract_yaml("mail"))
    one.governor.tool("mail")(lambda: None)
    verdicts = one.governor.plan(ToolCall("mail", {}, context("9"))).decision.verdicts
    assert "lineage" not in {item.control for item in verdicts}


TASKS = st.text("abcdef0123456789-", min_size=1, max_size=40)


@given(TASKS, st.integers(0, 100), st.integers(0, 100))
def test_raising_the_percentage_keeps_everyone(
    task: str, lower: int, higher: int
) -> None:
    """Sticky: what was in shadow stays in shadow."""
    lower, higher = sorted((lower, higher))
    if shadowed(task, Decimal(lower)):
        assert shadowed(task, Decimal(higher))
    assert shadowed(task, Decimal(100))
    assert not shadowed(task, Decimal(0))


def test_the_percentage_is_one() -> None:
    """5 % of 20,000 tasks are 5 % of them, to one in two hundred."""
    seen = sum(shadowed(f"task-{place}", Decimal(5)) for place in range(20_000))
    assert 900 < seen < 1_100


def test_a_task_without_an_id_is_in_shadow_wherever_any_is() -> None:
    """It cannot be dealt, and nothing runs by chance."""
    assert shadowed("", Decimal("0.0001"))
    assert not shadowed("", Decimal(0))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{accepted: [{}], cap: observe}", "lineage.accepted"),
        ("{accepted: [{agentVersion: ''}], cap: observe}", "agentVersion"),
        ("{accepted: [{version: '3'}], cap: observe}", "version"),
        ("{accepted: [{model: m}]}", "cap"),
        ("{accepted: [{model: m}], cap: autonomous}", "lineage"),
        ("{accepted: [{model: m}], cap: search}", "cap"),
        (
            "{accepted: [{model: m}], cap: observe, shadowPercentage: 101}",
            "shadowPercentage",
        ),
    ],
)
def test_what_could_mean_something_else_is_refused(text: str, key: str) -> None:
    """Each with the line and the key."""
    with pytest.raises(InvalidContractError) as refused:
        rules(lineage=text)
    assert key in str(refused.value)


def test_the_cap_must_be_a_mode_of_the_contract() -> None:
    """Otherwise it would silently be a lower one."""
    with pytest.raises(InvalidContractError, match=r"lineage\.cap"):
        rules(lineage=STATED, allowedModes="[off, observe]")

"""Rollout plans: what loads, what is refused where, and what a stage then serves."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from openfeature_gov.contracts import ActionContract, Actor, CallContext
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.ladder import Intent, Mode, Reversibility, RiskClass
from openfeature_gov_rollout.audience import Attribute
from openfeature_gov_rollout.plan import Demotion, safest
from openfeature_gov_rollout.plans import parse
from tests.rollouts import PLAN, STAGES, contracts, plan

ELSEWHERE = {"rolloutPlan.owner", "tools[0]", "audience", "gates[0]", "gates"}
OVERRIDE = "override: {reason: read is trivial, by: ann}"


def problems(text: str) -> list[tuple[int, str, str]]:
    """Return why *text* is refused."""
    with pytest.raises(InvalidContractError) as refused:
        parse(text, "plan.yaml", contracts())
    return refused.value.problems


def changed(old: str, new: str) -> str:
    """Return the plan with one change."""
    assert PLAN.count(old) >= 1, old
    return PLAN.replace(old, new, 1)


def test_a_plan_loads_with_its_stages_in_order() -> None:
    """Every stage of the ladder, expansion and clean-up, with units in seconds."""
    one = plan()
    assert tuple(one.order) == STAGES
    draft = one.stages[3]
    assert (draft.minimum_time, draft.minimum_samples) == (3_600, 20)
    assert (one.stages[4].deadline, one.stages[4].on_deadline) == (604_800, "rollback")
    assert one.elsewhere is Mode.OFF
    assert safest(one, contracts()) is Mode.SEARCH_ONLY


def test_the_safe_defaults_of_a_plan() -> None:
    """Nobody named: the owner signs off; a deadline holds; nobody else gets any."""
    one = plan()
    assert one.signers(one.stages[0]) == ("ann",)
    assert one.stages[5].on_deadline == "hold"
    assert one.demotion.signal_patience == 3_600
    assert one.demotion == Demotion(refusals=3, among=5)


def test_the_digest_is_that_of_every_word() -> None:
    """The same plan has one digest; another purpose has another."""
    assert plan().digest == plan().digest
    assert plan().digest != plan(changed("small amounts", "all amounts")).digest


@pytest.mark.parametrize(
    ("old", "new", "key", "says"),
    [
        ("  owner: ann\n", "", "rolloutPlan.owner", "missing"),
        ("owner: ann", "ownr: ann", "rolloutPlan.ownr", "unknown key"),
        ("minimumTime: 1h", "minimumTime: 1 hour", "minimumTime", "such as 12h"),
        ("percentage: 5}", "percentage: 500}", "percentage", "less than or equal"),
        ("percentage: 5}", "percentage: 0}", "percentage", "greater than 0"),
        ("{where: {region:", "{where: {regoin:", "where.regoin", "Input should be"),
        ("{where: {region:", "{where: {workflow:", "where.workflow", "Input should"),
        ("toolName: [refund]", "toolName: [pay]", "audience", "no tool of the plan"),
        ("mode: scoped_read", "mode: draft_write", "stages[2].mode", "skips scoped"),
        ("mode: scoped_read", "mode: observe", "stages[2].mode", "only rises"),
        ("mode: observe", "mode: off", "mode", "stages nothing"),
        ("mode: observe", "mode: watch", "stages[0].mode", "is not a mode"),
        ("- name: search", "- name: observe", "stages[1].name", "is taken"),
        ("- name: search", "- name: rolled-back", "stages[1].name", "no stage holds"),
        ("deadline: 7d", "deadline: 0", "deadline", "not after minimumTime"),
        ("onDeadline: rollback", "onDeadline: widen", "onDeadline", "'hold' or"),
        ("atLeast: 0.9}", "atLeast: 1}", "gates[0]", "no number of samples proves"),
        ("cleanUp: true", "cleanUp: false", "gates", "none of kind evidence"),
        ("tools: [refund, lookup]", "tools: [refund, pay]", "tools[1]", "no govern"),
        ("modeFlag: refunds.mode", "modeFlag: other", "tools[0]", "the modeFlag of"),
        ("workflow: refunds", "workflow: other", "tools[0]", "belongs to the work"),
        ("reviewDate: 2027-01-31", "reviewDate: soon", "reviewDate", "date"),
        ("cleanUpCondition: every", "cleanupCondition: every", "cleanup", "unknown"),
        (
            "  stages:",
            "  errorLevel: 0.5\n  stages:",
            "errorLevel",
            "less than or equal",
        ),
    ],
)
def test_nonsense_is_refused_with_line_and_key(
    old: str, new: str, key: str, says: str
) -> None:
    """Each problem names the line that it is on, the key, and what to write."""
    text = changed(old, new)
    found = problems(text)
    assert any(key in where and says in message for _, where, message in found), found
    lines = {line for line, where, _ in found if key in where}
    there = 1 + PLAN[: PLAN.index(old)].count("\n")
    # What is missing is told at the plan, what does not fit a tool at the tool.
    assert there in lines or key in ELSEWHERE, (there, lines)


def test_all_problems_are_told_at_once() -> None:
    """A file with three faults is refused with three, in the order of its lines."""
    text = changed("owner: ann", "owner: ''").replace("minimumSamples: 20", "x: 1")
    text = text.replace("percentage: 20", "percentage: lots")
    assert len(problems(text)) >= 3
    assert problems(text) == sorted(problems(text))


def test_a_skipped_rung_takes_a_reason_and_a_name() -> None:
    """With an override the plan loads; without a skip an override is refused."""
    skipping = changed("mode: scoped_read\n", "mode: draft_write\n")
    said = f"mode: draft_write\n      {OVERRIDE}\n"
    stages = parse(skipping.replace("mode: draft_write\n", said, 1))[0].stages
    assert stages[2].override is not None
    idle = changed(
        "mode: observe\n", "mode: observe\n      override: {reason: x, by: y}\n"
    )
    assert any("no rung is skipped" in message for *_, message in problems(idle))


def test_two_plans_do_not_move_the_same_tool() -> None:
    """Same name, same tool: refused, each where it stands second."""
    found = problems(PLAN + "---" + PLAN)
    assert {message for *_, message in found} == {
        "'refunds' is taken by another plan",
    } or any("moved by plan" in message for *_, message in found)
    other = PLAN.replace("name: refunds", "name: more", 1)
    assert any("moved by plan" in m for *_, m in problems(PLAN + "---" + other))


def test_the_attributes_are_those_of_every_call() -> None:
    """An audience may ask for what each call carries; the workflow is the plan's."""
    context = CallContext(actor=Actor(agent="a"))
    call = ActionContract(
        tool="t",
        workflow="w",
        context=context,
        target_system="s",
        risk_class=RiskClass.SEARCH,
        reversibility=Reversibility.AUTOMATIC,
        intent=Intent.SEARCH,
        arguments={},
        canonical=b"{}",
    )
    assert {*get_args(Attribute)} == call.attributes().keys() - {"workflow"}


def test_the_plan_in_the_readme_loads() -> None:
    """What a reader copies is a plan."""
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    (found,) = (
        block.partition("\n")[2]
        for block in text.split("```")
        if block.startswith("text\nrolloutPlan:")
    )
    (one,) = parse(found)
    assert [stage.name for stage in one.stages][-1] == "clean-up"


def test_layers_keep_what_the_stage_before_gave() -> None:
    """The narrow stage splits its audience; the rest stays where it was."""
    layers = plan().layers["eu-20"]
    assert [one.shares for one in layers] == [
        ((Mode.AUTONOMOUS, Decimal("0.2")), (Mode.APPROVAL_REQUIRED, Decimal(1))),
        ((Mode.APPROVAL_REQUIRED, Decimal(1)),),
    ]
    assert len(plan().layers["everybody"]) == 1


def test_nobody_starts_above_the_safest_mode() -> None:
    """What a plan gives elsewhere has passed no gate, so it is no more than safe."""
    head = PLAN.split("    - name: observe")[0]
    for elsewhere, mode, refused in (
        ("autonomous", "autonomous", True),
        ("search_only", "scoped_read", False),
    ):
        text = head.replace("  stages:", f"  elsewhere: {elsewhere}\n  stages:") + (
            f"    - {{name: x, mode: {mode}, gates: "
            "[{metric: agreement, atLeast: 0.9}]}\n"
        )
        if refused:
            assert "above search_only" in problems(text)[0][2]
        else:
            assert plan(text).elsewhere is Mode.SEARCH_ONLY

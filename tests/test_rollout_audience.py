"""Audiences as flag rules: no stage takes anything, no fall gives anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature.contrib.provider.featbit.authoring import Json, document, string_flag
from openfeature.contrib.provider.featbit.parsing import parse_flag
from openfeature.contrib.provider.featbit.snapshot import Snapshot, read_snapshot
from openfeature_gov.ladder import MODES, Mode
from openfeature_gov_rollout.gates import Gate
from openfeature_gov_rollout.placing import NotPlacedError, fall, move, place_of
from openfeature_gov_rollout.plan import Part, Plan

AT = "2026-11-21T12:00:00.000Z"
REGIONS, ACCOUNTS = ("eu", "us", "asia"), ("acme", "beta", "gamma")
GATE = Gate(metric="acceptance", at_least="0.9")  # type: ignore[arg-type] # text becomes decimal

parts = st.builds(
    lambda regions, accounts, share: Part.model_validate(
        {
            "where": {
                **({"region": tuple(sorted(regions))} if regions else {}),
                **({"accountId": tuple(sorted(accounts))} if accounts else {}),
            },
            "percentage": share,
        }
    ),
    st.sets(st.sampled_from(REGIONS)),
    st.sets(st.sampled_from(ACCOUNTS)),
    st.sampled_from([5, 20, 50, 100]),
)
modes = st.lists(st.sampled_from([*Mode][1:]), min_size=2, max_size=4).map(sorted)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Return a plan that rises through any modes with any audiences."""
    stages: list[dict[str, Any]] = []
    before = Mode.OFF
    for number, mode in enumerate(draw(modes)):
        skips = mode > before + 1
        override = {"override": {"reason": "r", "by": "b"}} if skips else {}
        audience = tuple(draw(st.lists(parts, min_size=1, max_size=3)))
        stages.append(
            {
                "name": f"s{number}",
                "mode": mode,
                "audience": audience,
                "gates": (GATE,),
                **override,
            }
        )
        before = mode
    return Plan.model_validate(
        {
            "name": "p",
            "workflow": "w",
            "tools": ("t", "u"),
            "owner": "o",
            "purpose": "p",
            "reviewDate": "2027-01-01",
            "cleanUpCondition": "c",
            "modeFlag": "f",
            "stages": tuple(stages),
        }
    )


def flag(**options: Any) -> Json:
    """Return a document with the mode flag alone; everybody else is autonomous."""
    return document(
        [string_flag("f", [*MODES], serve="autonomous", off="off", **options)]
    )


def served(held: Json, key: str, region: str, account: str, tool: str = "t") -> Mode:
    """Return what the flag serves one caller."""
    found = snapshot(held).evaluate(
        "f",
        key,
        {"workflow": "w", "toolName": tool, "region": region, "accountId": account},
    )
    assert found is not None
    return MODES[found.value]


def snapshot(held: Json) -> Snapshot:
    """Return what a provider makes of the document."""
    return read_snapshot(orjson.dumps(held))


PEOPLE = [
    (f"user-{number}", REGIONS[number % 3], ACCOUNTS[number // 3 % 3])
    for number in range(90)
]


@settings(max_examples=40)
@given(plans(), st.sampled_from([*Mode]))
def test_every_stage_only_raises_and_every_fall_only_lowers(
    plan: Plan, safest: Mode
) -> None:
    """Nobody loses by an advance; nobody has more than safest, or gains, by a fall."""
    held, before = flag(), dict.fromkeys(PEOPLE, Mode.OFF)
    for name in plan.order:
        held = move(plan, name, plan.layers[name], "t")(held, snapshot(held), AT)
        place = place_of(_flag(held), plan, safest)
        assert (place.stage, place.altered) == (name, "")
        now = {one: served(held, *one) for one in PEOPLE}
        assert all(now[one] >= before[one] for one in PEOPLE)
        assert max(now.values()) <= plan.stages[plan.order[name]].mode
        left = fall(_flag(held), plan, place, safest)
        fallen = move(plan, "rolled-back", left, "t", origin=name, at_most=safest)(
            held, snapshot(held), AT
        )
        after = {one: served(fallen, *one) for one in PEOPLE}
        assert all(after[one] == min(now[one], safest) for one in PEOPLE)
        assert place_of(_flag(fallen), plan, safest).altered == ""
        before = now


@settings(max_examples=40)
@given(plans())
def test_a_part_reaches_whom_it_names(plan: Plan) -> None:
    """A part without a percentage reaches all that it describes, at least."""
    held = flag()
    for stage in plan.stages:
        layers = plan.layers[stage.name]
        held = move(plan, stage.name, layers, "t")(held, snapshot(held), AT)
        for part in stage.audience:
            if part.percentage != 100:
                continue
            for key, region, account in PEOPLE:
                there = {"region": region, "accountId": account}
                if all(there[name] in part.where[name] for name in part.where):
                    assert served(held, key, region, account) >= stage.mode


def test_other_workflows_and_tools_keep_their_mode() -> None:
    """The rules of a plan reach its own calls only; other rules stay in their order."""
    plan = _simple()
    foreign = {"id": "foreign", "name": "foreign", "includedInExpt": False}
    rule = {
        **foreign,
        "conditions": [{"property": "region", "op": "Equal", "value": "eu"}],
        "dispatchKey": None,
        "variations": [{"id": "observe", "rollout": [0, 1], "exptRollout": 1}],
    }
    held = flag(rules=[rule])
    held = move(plan, "s0", plan.layers["s0"], "t")(held, snapshot(held), AT)
    assert served(held, "u", "eu", "acme", tool="other") is Mode.OBSERVE
    assert served(held, "u", "us", "acme", tool="other") is Mode.AUTONOMOUS
    assert served(held, "u", "eu", "acme") is Mode.SEARCH_ONLY


def test_somebody_elses_hand_is_seen() -> None:
    """A rule before ours, a changed rule of ours, a missing stage: all are told."""
    plan = _simple()
    held = flag()
    held = move(plan, "s0", plan.layers["s0"], "t")(held, snapshot(held), AT)
    rules = held["data"]["featureFlags"][0]["rules"]
    other = {**rules[0], "id": "mine"}
    for made in ([other, *rules], [{**rules[0], "conditions": []}]):
        held["data"]["featureFlags"][0]["rules"] = made
        assert place_of(_flag(held), plan, Mode.OBSERVE).altered
    assert place_of(None, plan, Mode.OBSERVE).altered


def test_a_fall_takes_away_who_was_named_one_by_one() -> None:
    """Individual targets come before rules: those above the safest mode go."""
    plan = _simple()
    held = flag(targets={"autonomous": ["vip"], "off": ["banned"]})
    held = move(plan, "s0", plan.layers["s0"], "t")(held, snapshot(held), AT)
    assert served(held, "vip", "eu", "acme") is Mode.AUTONOMOUS
    there = place_of(_flag(held), plan, Mode.OBSERVE)
    left = fall(_flag(held), plan, there, Mode.OBSERVE)
    held = move(plan, "rolled-back", left, "t", at_most=Mode.OBSERVE)(
        held, snapshot(held), AT
    )
    assert served(held, "vip", "eu", "acme") is Mode.OBSERVE
    assert served(held, "banned", "eu", "acme") is Mode.OFF


def test_a_fall_lands_on_what_the_flag_can_serve() -> None:
    """Without a variation for the safest mode it is the next lower one that it has."""
    plan = _simple()
    held = flag()
    held = move(plan, "s0", plan.layers["s0"], "t")(held, snapshot(held), AT)
    place = place_of(_flag(held), plan, Mode.SEARCH_ONLY)
    bare = _flag(held)
    some = [one for one in bare.variations if one.value in ("off", "autonomous")]
    (layer,) = fall(replace(bare, variations=tuple(some)), plan, place, Mode.OBSERVE)
    assert [mode for mode, _ in layer.shares] == [Mode.OFF]
    with pytest.raises(NotPlacedError, match="gov flags kill"):
        fall(replace(bare, variations=tuple(some[1:])), plan, place, Mode.OBSERVE)


def test_two_plans_share_a_flag() -> None:
    """Each has its own rules at the head of it; a move of one leaves the other."""
    one, other = _simple(), _simple(name="q", tools=("u",))
    held = flag()
    for plan in (one, other, one):
        held = move(plan, "s0", plan.layers["s0"], "t")(held, snapshot(held), AT)
        held = move(plan, "s0", plan.layers["s0"], "t2")(held, snapshot(held), AT)
    for plan in (one, other):
        place = place_of(_flag(held), plan, Mode.OBSERVE)
        assert (place.stage, place.altered) == ("s0", "")
    assert len(_flag(held).rules) == 2
    assert served(held, "x", "eu", "acme", tool="u") is Mode.SEARCH_ONLY


def _simple(**changes: Any) -> Plan:
    return Plan.model_validate(
        {
            "name": "p",
            "workflow": "w",
            "tools": ("t",),
            "owner": "o",
            "purpose": "p",
            "reviewDate": "2027-01-01",
            "cleanUpCondition": "c",
            "modeFlag": "f",
            "elsewhere": "observe",
            "stages": ({"name": "s0", "mode": "search_only", "gates": (GATE,)},),
            **changes,
        }
    )


def _flag(held: Json) -> Any:
    return parse_flag(held["data"]["featureFlags"][0])

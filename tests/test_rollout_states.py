"""The rules of a rollout: what happens by itself, what blocks, what may be waived."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from openfeature_gov.ladder import Mode
from openfeature_gov_rollout.gates import Count
from openfeature_gov_rollout.judging import judge_all
from openfeature_gov_rollout.places import Place
from openfeature_gov_rollout.states import (
    SOFT,
    Situation,
    Step,
    Why,
    following,
    may_advance,
    next_step,
)
from openfeature_gov_rollout.stories import Event, Result, Story, Verb, stories
from tests.rollouts import BAD, GOOD, PLAN, STAGES, plan

NOW = 1_800_000_000_000_000
HOUR = 3_600_000_000
ENTERED = Event(
    id="t-1",
    at_us=NOW - 48 * HOUR,
    verb=Verb.ADVANCE,
    actor="ann",
    reason="proven",
    end="approval",
)
SLOW = {**GOOD, "latency": Count(10, 200)}
NONE: dict[str, Count | None] = {}


def at(stage: str, counts: Any = GOOD, **more: Any) -> Situation:
    """Return a situation in *stage* with *counts*, all else as it should be."""
    one = plan(more.pop("text", PLAN))
    place = more.pop("place", Place(stage, "t-1"))
    gates = one.stages[one.order[stage]].gates if stage in one.order else ()
    judged = judge_all(gates, counts, one.error_level)
    known = {
        "plan": one,
        "place": place,
        "story": Story((replace(ENTERED, end=stage),)),
        "safest": Mode.SEARCH_ONLY,
        "now_us": NOW,
        "judged": judged,
        "recent": judged,
        "samples": 200,
    }
    return Situation(**{**known, **more})


def whys(step: Step) -> set[Why]:
    """Return what blocks."""
    return {one.why for one in step.blocks}


def event(verb: Verb, hours: float = 1, **more: Any) -> Event:
    """Return something that happened some *hours* ago."""
    at_us = NOW - int(hours * HOUR)
    known = {"id": f"{verb}-{at_us}", "actor": "bob", "reason": "because"}
    return Event(at_us=at_us, verb=verb, **{**known, **more})


def with_events(situation: Situation, *events: Event) -> Situation:
    """Return *situation* with more in its story."""
    return replace(situation, story=Story((*situation.story.events, *events)))


def test_nothing_but_proof_and_no_sign_off_advances_by_itself() -> None:
    """Every gate passes, nobody has to sign: the controller goes on, one stage."""
    step = next_step(at("approval"))
    assert (step.verb, step.end, step.blocks) == (Verb.ADVANCE, "eu-5", ())


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "approval"])
def test_where_somebody_signs_the_controller_never_advances(stage: str) -> None:
    """With a sign-off it waits, however good the evidence."""
    assert next_step(at(stage)).verb is not Verb.ADVANCE


def test_no_data_is_never_success() -> None:
    """Missing counts, zero trials, nothing measured: all hold."""
    empty = {"acceptance": Count(0, 0)}
    for situation in (
        at("approval", NONE),
        at("approval", empty),
        at("approval", judged=None, recent=None),
    ):
        step = next_step(situation)
        assert step.verb is None
        assert whys(step) == {Why.GATES}


WIDENING_BLOCKED: list[tuple[str, dict[str, Any], Why]] = [
    ("kill", {"stops": ("switch is off",)}, Why.KILLED),
    ("altered", {"place": Place("approval", "t-1", "a rule")}, Why.ALTERED),
    ("singled out", {"singled_out": 1}, Why.SINGLED_OUT),
    ("unrecorded", {"place": Place("approval", "t-other")}, Why.UNRECORDED),
    ("lineage", {"others": ("another model",)}, Why.OTHER),
]


@pytest.mark.parametrize(("name", "known", "why"), WIDENING_BLOCKED)
def test_one_block_is_enough(name: str, known: dict[str, Any], why: Why) -> None:
    """Neither the controller nor a person with an override gets past it."""
    situation = at("approval", **known)
    step = next_step(situation)
    assert step.verb is None, name
    assert why in whys(step)
    assert may_advance(situation, "ann", override=True)


def test_a_kill_switch_wins_over_everything_that_widens() -> None:
    """In no combination of proof, signer and override does anything advance."""
    for stage, counts, override in product(STAGES, (GOOD, BAD, NONE), (True, False)):
        situation = at(stage, counts, stops=("killed",))
        step = next_step(situation)
        assert step.verb is not Verb.ADVANCE
        assert Why.KILLED in {
            one.why for one in may_advance(situation, "ann", override=override)
        }


def test_a_kill_switch_does_not_keep_from_narrowing() -> None:
    """A rollback is due all the same."""
    step = next_step(at("eu-5", BAD, stops=("killed",)))
    assert step.verb is Verb.ROLLBACK


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_a_failing_gate_rolls_back(stage: str) -> None:
    """Evidence whose bound shows that the target is missed: to the safest mode."""
    assert next_step(at(stage, BAD)).verb is Verb.ROLLBACK


def test_one_incident_rolls_back() -> None:
    """A guardrail needs no statistics."""
    step = next_step(at("eu-5", {**GOOD, "incident": Count(1, 200)}))
    assert step.verb is Verb.ROLLBACK
    assert "incident" in step.reason


def test_a_long_good_record_hides_no_regression() -> None:
    """All that was seen passes; the latest past alone fails: roll back."""
    bad = at("eu-20", BAD).judged
    step = next_step(at("eu-20", GOOD, recent=bad))
    assert step.verb is Verb.ROLLBACK


def test_a_rollback_is_due_even_when_held_or_altered() -> None:
    """No hold and nobody's hand on the flag delays a fall."""
    held = with_events(at("eu-5", BAD), event(Verb.HOLD))
    assert next_step(held).verb is Verb.ROLLBACK
    altered = at("eu-5", BAD, place=Place("eu-5", "t-1", "a rule"))
    assert next_step(altered).verb is Verb.ROLLBACK


def test_time_and_samples_hold_and_can_be_waived() -> None:
    """What is not proven yet may be overridden by who signs, nothing else."""
    story = Story((replace(ENTERED, at_us=NOW - HOUR // 2, end="draft"),))
    situation = at("draft", NONE, story=story, samples=3)
    assert whys(next_step(situation)) == {Why.TIME, Why.SAMPLES, Why.GATES} == SOFT
    assert may_advance(situation, "ann", override=False)
    assert not may_advance(situation, "ann", override=True)
    assert may_advance(situation, "eve", override=True)


def test_a_failing_gate_cannot_be_waived() -> None:
    """An override is for what is unknown, not for what is known to be bad."""
    blocks = may_advance(at("eu-20", BAD), "ann", override=True)
    assert [one.why for one in blocks] == [Why.FAILED]


def test_only_who_signs_may_advance() -> None:
    """The owner by default; where nobody is named, anybody."""
    assert not may_advance(at("observe"), "ann", override=False)
    assert may_advance(at("observe"), "eve", override=False)
    assert not may_advance(at("approval"), "eve", override=False)


def test_a_deadline_does_what_the_plan_says() -> None:
    """Roll back in one stage, hold in another; not a moment before."""
    story = Story((replace(ENTERED, at_us=NOW - 7 * 24 * HOUR, end="approval"),))
    step = next_step(at("approval", NONE, story=story))
    assert step.verb is Verb.ROLLBACK
    early = replace(at("approval", NONE, story=story), now_us=NOW - 1)
    assert next_step(early).verb is None
    held = next_step(at("eu-5"))
    assert (held.verb, held.end) == (Verb.HOLD, "eu-5")


def test_a_deadline_that_passed_while_nobody_looked_comes_before_an_advance() -> None:
    """After a downtime nothing is caught up past a deadline."""
    story = Story((replace(ENTERED, at_us=NOW - 30 * 24 * HOUR, end="approval"),))
    assert next_step(at("approval", GOOD, story=story)).verb is Verb.ROLLBACK


def test_a_resumed_deadline_counts_anew() -> None:
    """Held by the deadline once, resumed: not held again at once."""
    situation = with_events(at("eu-5"), event(Verb.HOLD, 3), event(Verb.RESUME, 2))
    assert next_step(situation).verb is None


def test_a_hold_blocks_until_somebody_resumes() -> None:
    """No transition in between ends it."""
    held = with_events(at("approval"), event(Verb.HOLD, 3))
    assert whys(next_step(held)) == {Why.HELD}
    assert next_step(with_events(held, event(Verb.RESUME, 2))).verb is Verb.ADVANCE


def test_a_signal_pauses_and_goes_on_by_itself() -> None:
    """Off: a pause is recorded, once; back: its end is."""
    off = at("draft", SLOW)
    assert next_step(off).verb is Verb.PAUSE
    paused = with_events(off, event(Verb.PAUSE, 0.5))
    assert next_step(paused).verb is None
    back = with_events(at("draft"), event(Verb.PAUSE, 0.5))
    assert next_step(back).verb is Verb.GO_ON
    assert Why.HELD in whys(next_step(back))


def test_a_signal_without_data_is_not_off() -> None:
    """It holds the gates, and demotes nobody."""
    missing = with_events(at("draft", {**GOOD, "latency": None}), event(Verb.PAUSE, 9))
    assert next_step(missing).verb is not Verb.DEMOTE


def test_a_signal_that_stays_off_demotes() -> None:
    """After the plan's patience, by one stage."""
    late = with_events(at("draft", SLOW), event(Verb.PAUSE, 1))
    step = next_step(late)
    assert (step.verb, step.end) == (Verb.DEMOTE, "read")
    assert (
        next_step(with_events(at("draft", SLOW), event(Verb.PAUSE, 0.99))).verb is None
    )


def test_repeated_refusals_demote() -> None:
    """By one stage; from the first there is only the safest mode."""
    step = next_step(at("eu-20", refused="3 of the last 5 answers were refusals"))
    assert (step.verb, step.end) == (Verb.DEMOTE, "eu-5")
    assert next_step(at("observe", refused="3 of 5")).verb is Verb.ROLLBACK


def fallen(word: str = "rolled-back", **facts: Any) -> Situation:
    """Return a situation after a fall from ``eu-5``."""
    verb = Verb.ABORT if word == "aborted" else Verb.ROLLBACK
    fall = event(verb, id="t-1", facts=facts)
    place = Place(word, "t-1", origin="eu-5")
    return at("eu-5", place=place, story=Story((fall,)), judged=None, recent=None)


def test_a_fall_locks_until_it_is_acknowledged() -> None:
    """That very fall, by its transition."""
    assert whys(next_step(fallen())) == {Why.LOCKED}
    other = event(Verb.RESUME, 0.5, facts={"transition": "t-0"})
    assert whys(next_step(with_events(fallen(), other))) == {Why.LOCKED}
    right = event(Verb.RESUME, 0.5, facts={"transition": "t-1"})
    assert not next_step(with_events(fallen(), right)).blocks


def test_after_a_fall_proof_starts_where_nobody_gains() -> None:
    """Back to the highest stage within the safest mode, not to where it fell from."""
    assert following(fallen()) == "search"
    low = replace(fallen(), safest=Mode.OFF)
    assert following(low) == "observe"


def test_nobody_but_the_owner_begins_and_the_controller_never() -> None:
    """Not begun, or fallen and acknowledged: a person has to say so."""
    new = at("observe", place=Place(), judged=None, recent=None)
    assert next_step(new).verb is None
    assert following(new) == "observe"
    assert not may_advance(new, "ann", override=False)
    assert may_advance(new, "eve", override=True)


def test_an_aborted_plan_stays_aborted_until_it_changes() -> None:
    """The same plan does not begin anew, acknowledged or not; another one may."""
    seen = event(Verb.RESUME, 0.5, facts={"transition": "t-1"})
    same = with_events(fallen("aborted", planDigest=plan().digest), seen)
    assert whys(next_step(same)) == {Why.ABORTED}
    changed = with_events(fallen("aborted", planDigest="other"), seen)
    assert not next_step(changed).blocks


def test_the_last_stage_has_no_next() -> None:
    """Clean-up follows everything and is followed by nothing."""
    assert whys(next_step(at("clean-up"))) == {Why.LAST}
    assert following(at("clean-up")) == ""


def test_an_unsettled_transition_blocks() -> None:
    """Who advanced may still be writing."""
    story = Story((replace(ENTERED, end="approval", result=Result.OPEN),))
    assert whys(next_step(at("approval", story=story))) == {Why.UNRECORDED}


def outcome(number: int, result: str) -> dict[str, Any]:
    """Return the record of what became of transition ``t``."""
    told = {"kind": "policy_change", "id": f"o-{number}", "atUs": number}
    return {**told, "ref": "t", "result": result}


def test_applied_is_the_last_word_on_a_transition() -> None:
    """One that was given up and then came through has come through."""
    scope = {"plan": "p", "verb": "advance", "from": "", "to": "s"}
    said = {"actor": "a", "reason": "r", "change": "rollout", "scope": scope}
    bodies = [
        {"kind": "policy_change", "id": "t", "atUs": 1, "ref": None, **said},
        outcome(2, "not_applied"),
        outcome(3, "applied"),
        outcome(4, "not_applied"),
        {"kind": "policy_change", "id": "k", "atUs": 5, "ref": None, "change": "kill"},
        {"kind": "rollout", "id": "n", "atUs": 6, "plan": "p", "verb": "unheard-of"},
    ]
    (one,) = stories(bodies)["p"].events
    assert stories([*bodies[1:3], bodies[0]])["p"].events == (one,)
    assert (one.result, one.settled_us) == (Result.APPLIED, 3)


def test_a_signal_that_fell_silent_is_not_back() -> None:
    """Nobody goes on from a pause on no data: it stays paused."""
    paused = with_events(at("draft"), event(Verb.PAUSE))
    silent = judge_all(
        paused.plan.stages[3].gates, {**GOOD, "latency": None}, paused.plan.error_level
    )
    step = next_step(replace(paused, recent=silent))
    assert step.verb is None
    assert Why.HELD in whys(step)


def test_a_signal_that_is_off_of_late_blocks_before_it_pauses() -> None:
    """Whoever is faster than the controller's pause does not advance either."""
    good = at("draft")
    late = judge_all(good.plan.stages[3].gates, SLOW, good.plan.error_level)
    off = replace(good, recent=late)
    assert [one.why for one in may_advance(off, "ann", override=False)] == [Why.GATES]


def test_only_the_owner_overrides_where_nobody_signs() -> None:
    """A stage that goes on by itself is no stage that anybody may wave through."""
    unproven = at("approval", NONE, samples=0)
    (block,) = may_advance(unproven, "mallory", override=True)
    assert block.why is Why.SIGN_OFF
    assert may_advance(unproven, "ann", override=True) == ()


def test_a_transition_leads_to_the_stage_that_it_was_made_for() -> None:
    """An id of an earlier transition on the rules of a higher stage is no proof."""
    other = replace(at("eu-20"), story=Story((replace(ENTERED, end="approval"),)))
    assert Why.ALTERED in whys(next_step(other))

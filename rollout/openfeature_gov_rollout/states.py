"""THE RULES of a rollout: what happens next, and what stands in the way. Pure.

What narrows comes first and asks nobody; what widens passes every block, one stage at
a time, however long nobody looked. A kill switch stops whatever widens. Everything
that is known arrives as a `Situation`; nothing here reads a flag, a record or a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from openfeature_gov.ladder import Mode
from openfeature_gov_rollout.judging import Answer, StageResult
from openfeature_gov_rollout.places import Place
from openfeature_gov_rollout.plan import ABORTED, Plan, Stage
from openfeature_gov_rollout.stories import Event, Result, Story, Verb

SECOND_US = 1_000_000


class Why(StrEnum):
    """Name what stands in the way of an advance."""

    KILLED = "killed"
    ALTERED = "altered"
    LOCKED = "locked"
    ABORTED = "aborted"
    HELD = "held"
    UNRECORDED = "unrecorded"
    LAST = "last"
    SINGLED_OUT = "singled_out"
    OTHER = "other"
    FAILED = "failed"
    TIME = "time"
    SAMPLES = "samples"
    GATES = "gates"
    SIGN_OFF = "sign_off"


SOFT = frozenset({Why.TIME, Why.SAMPLES, Why.GATES})
"""What a person may override, with a reason that is recorded."""


@dataclass(frozen=True, slots=True)
class Block:
    """Say one thing that stands in the way, and how."""

    why: Why
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Hold all that is known of one rollout at *now_us*, microseconds since 1970.

    *stops* are the switches that stop its tools; *judged* is what the gates say of all
    that was seen since the stage was entered, *recent* of the latest past alone;
    *samples* counts decisions in the stage; *refused* says how reviewers refused
    repeatedly, *others* what else stands in the way.
    """

    plan: Plan
    place: Place
    story: Story
    safest: Mode
    now_us: int
    stops: tuple[str, ...] = ()
    judged: StageResult | None = None
    recent: StageResult | None = None
    samples: int = 0
    refused: str = ""
    singled_out: int = 0
    others: tuple[str, ...] = ()

    @property
    def stage(self) -> Stage | None:
        """Return the stage that the flag says, None where it says none of the plan."""
        place = self.plan.order.get(self.place.stage)
        return None if place is None else self.plan.stages[place]

    @property
    def entered_us(self) -> int | None:
        """Return when the stage was entered, None if the records do not tell."""
        if not self.place.transition:
            return None
        event = self.story.transition(self.place.transition)
        if event is None:
            return None
        return event.at_us if event.settled_us is None else event.settled_us

    @property
    def locked(self) -> bool:
        """Say whether a fall waits for somebody to acknowledge it."""
        return self.place.fallen and not self.story.acknowledged(self.place.transition)

    @property
    def undone(self) -> Event | None:
        """Return the fall that somebody took off the flag without acknowledging it."""
        unreadable = self.place.altered and not self.place.stage
        if self.place.fallen or unreadable:
            return None
        return self.story.standing


@dataclass(frozen=True, slots=True)
class Step:
    """Say what the controller does by itself now, if anything.

    *end* is the stage that the flag is to hold; *blocks* is what stands in the way of
    an advance to *following*, the stage that would come next.
    """

    verb: Verb | None
    end: str
    reason: str
    following: str
    blocks: tuple[Block, ...]


def next_step(situation: Situation) -> Step:
    """Return what happens now without anybody asking, and what blocks the next stage.

    Source: issue order of the controllers in the field, worst first: guardrails and
    evidence roll back, deadlines do what the plan says, refusals and signals demote.
    """
    after = following(situation)
    blocks = tuple(_blocks(situation))
    fall = _fall(situation)
    if fall is not None:
        return Step(fall[0], fall[1], fall[2], after, blocks)
    stage = situation.stage
    if stage is None or blocks or situation.plan.signers(stage):
        return Step(None, situation.place.stage, "", after, blocks)
    told = situation.judged.sentence if situation.judged else ""
    return Step(Verb.ADVANCE, after, f"every gate passes: {told}", after, blocks)


def following(situation: Situation) -> str:
    """Return the stage to go to next, empty after the last.

    After a fall that is the highest stage, up to the one that fell, that gives nobody
    more than the fall left them; so what follows is proven anew.
    """
    plan, place = situation.plan, situation.place
    if place.stage in plan.order:
        number = plan.order[place.stage] + 1
        return plan.stages[number].name if number < len(plan.stages) else ""
    if not place.fallen:
        return plan.stages[0].name
    most = plan.order.get(place.origin, 0)
    fit = [
        stage.name
        for stage in plan.stages[: most + 1]
        if stage.mode <= situation.safest
    ]
    return fit[-1] if fit else plan.stages[0].name


def may_advance(
    situation: Situation, actor: str, *, override: bool
) -> tuple[Block, ...]:
    """Return what keeps *actor* from advancing; with *override*, what cannot be waived.

    Beginning, and going on after a fall, is the owner's; so is an override of a stage
    that the controller advances from by itself.
    """
    stage = situation.stage
    signers = (
        (situation.plan.owner,) if stage is None else situation.plan.signers(stage)
    )
    if override and not signers:
        signers = (situation.plan.owner,)
    blocks = [one for one in _blocks(situation) if not (override and one.why in SOFT)]
    if signers and actor not in signers:
        told = f"{actor} may not sign off; one of these may: {', '.join(signers)}"
        blocks.append(Block(Why.SIGN_OFF, told))
    return tuple(blocks)


def waived(situation: Situation) -> tuple[Block, ...]:
    """Return what an override would waive."""
    return tuple(one for one in _blocks(situation) if one.why in SOFT)


def demoted(plan: Plan, stage: str) -> str:
    """Return the stage before *stage*, empty for the first."""
    number = plan.order[stage]
    return plan.stages[number - 1].name if number else ""


Fall = tuple[Verb, str, str]


def _fall(s: Situation) -> Fall | None:
    """Return what narrows or holds by itself, the strictest first."""
    stage, undone = s.stage, s.undone
    if undone is not None:
        return undone.verb, "", f"{_taken_off(undone)}: {undone.reason}"
    if stage is None:
        return None
    for judged in (s.judged, s.recent):
        if judged is not None and judged.answer is Answer.FAIL:
            return Verb.ROLLBACK, "", judged.sentence
    overdue = _overdue(s, stage)
    if overdue and stage.on_deadline == "rollback":
        return Verb.ROLLBACK, "", overdue
    weak = s.refused or _signal_lasts(s)
    if weak:
        before = "" if s.place.altered else demoted(s.plan, stage.name)
        return (Verb.DEMOTE, before, weak) if before else (Verb.ROLLBACK, "", weak)
    if overdue and s.story.hold is None:
        return Verb.HOLD, stage.name, overdue
    return _signal(s, stage)


def _signal(s: Situation, stage: Stage) -> Fall | None:
    """Return the pause that a signal asks for, or its end."""
    off = _off(s)
    if off and s.story.pause is None:
        return Verb.PAUSE, stage.name, off
    if s.story.pause is not None and _back(s):
        return Verb.GO_ON, stage.name, "the signal is back within its target"
    return None


def _back(s: Situation) -> bool:
    """Say whether data enough show that every signal is within its target."""
    judged = s.recent or s.judged
    return judged is not None and all(
        one.answer is Answer.PASS for one in judged.results if one.kind == "signal"
    )


def _signal_lasts(s: Situation) -> str:
    pause, patience = s.story.pause, s.plan.demotion.signal_patience
    off = _off(s)
    if pause is None or not off or s.now_us - pause.at_us < patience * SECOND_US:
        return ""
    return f"a signal has been off for more than {span(patience)}: {off}"


def _off(s: Situation) -> str:
    """Return what signals say that are off; one without data enough is not off."""
    judged = s.recent or s.judged
    return "; ".join(
        one.sentence
        for one in (judged.results if judged else ())
        if one.kind == "signal" and one.answer is Answer.HOLD
        if one.samples and one.missing is None
    )


def _overdue(s: Situation, stage: Stage) -> str:
    since = s.entered_us
    if stage.deadline is None or since is None:
        return ""
    start = max(since, s.story.resumed_us())
    if s.now_us < start + stage.deadline * SECOND_US:
        return ""
    return f"the deadline of stage {stage.name!r} ({span(stage.deadline)}) has passed"


def _blocks(s: Situation) -> Iterator[Block]:
    """Yield all that stands in the way of an advance, the hardest first."""
    yield from (Block(Why.KILLED, one) for one in s.stops)
    if s.place.altered:
        yield Block(Why.ALTERED, f"somebody changed the flag: {s.place.altered}")
    yield from _put_back(s)
    yield from _people(s)
    yield from (Block(Why.OTHER, one) for one in s.others)
    if s.singled_out:
        told = f"{s.singled_out} users are named one by one with more than the stage"
        yield Block(Why.SINGLED_OUT, told)
    if not following(s):
        yield Block(Why.LAST, "this is the last stage")
    if s.stage is not None:
        yield from _proof(s, s.stage)


def _put_back(s: Situation) -> Iterator[Block]:
    """Yield what is wrong with a flag that is as it was once, but is not any more."""
    place, undone = s.place, s.undone
    if undone is not None:
        told = f"{_taken_off(undone)}; put it back: gov rollout watch --once"
        yield Block(Why.LOCKED, told)
    after = s.story.followed(place.transition)
    if after is not None:
        told = f"the flag was put back to before {after.verb} {after.id}; roll back"
        yield Block(Why.ALTERED, told)
    event = s.story.transition(place.transition) if place.transition else None
    if event is not None and not place.fallen and event.end != place.stage:
        told = f"transition {event.id} led to {event.end!r}, not to {place.stage!r}"
        yield Block(Why.ALTERED, f"{told}; roll back")


def _taken_off(fall: Event) -> str:
    return f"{fall.verb} {fall.id} is not on the flag any more, and not acknowledged"


def _people(s: Situation) -> Iterator[Block]:
    """Yield what waits for a person."""
    event = s.story.transition(s.place.transition) if s.place.transition else None
    if s.place.fallen:
        yield from _after_fall(s, event)
    elif s.place.transition and event is None:
        told = f"no record tells of transition {s.place.transition}"
        yield Block(Why.UNRECORDED, f"{told}, which the flag names; roll back")
    elif event is not None and event.result is not Result.APPLIED:
        told = f"transition {event.id} is not settled yet: gov rollout check"
        yield Block(Why.UNRECORDED, told)
    hold, pause = s.story.hold, s.story.pause
    if hold is not None:
        yield Block(Why.HELD, f"held by {hold.actor}: {hold.reason}")
    if pause is not None:
        yield Block(Why.HELD, f"paused: {pause.reason}")


def _after_fall(s: Situation, event: Event | None) -> Iterator[Block]:
    why = "no record says why" if event is None else event.reason
    if s.locked:
        told = f"{s.place.stage}: {why}; acknowledge it: gov rollout resume"
        yield Block(Why.LOCKED, told)
    digest = None if event is None else event.facts.get("planDigest")
    if s.place.stage == ABORTED and digest in (None, s.plan.digest):
        told = f"aborted: {why}; to begin anew change the plan"
        yield Block(Why.ABORTED, told)


def _proof(s: Situation, stage: Stage) -> Iterator[Block]:
    """Yield what is still missing of proof."""
    since = s.entered_us
    if since is not None:
        left = since + stage.minimum_time * SECOND_US - s.now_us
        if left > 0:
            told = f"{span(-(-left // SECOND_US))} of {span(stage.minimum_time)} left"
            yield Block(Why.TIME, told)
    if s.samples < stage.minimum_samples:
        told = f"{s.samples} of {stage.minimum_samples} decisions"
        yield Block(Why.SAMPLES, told)
    for judged in (s.judged, s.recent):
        if judged is not None and judged.answer is Answer.FAIL:
            yield Block(Why.FAILED, judged.sentence)
            return
    if stage.clean_up:
        return
    if s.judged is None:
        yield Block(Why.GATES, "nothing was measured")
    elif s.judged.answer is not Answer.PASS:
        yield Block(Why.GATES, s.judged.sentence)
    elif off := _off(s):
        yield Block(Why.GATES, off)


def span(seconds: int) -> str:
    """Return *seconds* as a plan writes them, cut to two units."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"

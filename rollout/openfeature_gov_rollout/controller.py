"""The controller of rollouts: what people ask of it, and what it does by itself.

It remembers nothing: each call looks at flags, records and evidence anew, and each
write goes to the flag as it was seen. So any number of controllers may run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openfeature.exception import OpenFeatureError

from openfeature.contrib.provider.featbit.building import UNCHANGED
from openfeature_gov.errors import GovernanceError
from openfeature_gov.governance import Governance
from openfeature_gov.targets import Change, FlagTarget, RefusedError, plan
from openfeature_gov_rollout import looking
from openfeature_gov_rollout.bundles import bundle
from openfeature_gov_rollout.looking import Evidence, Look, Seen, Window
from openfeature_gov_rollout.moving import Moved, drop, rise
from openfeature_gov_rollout.placing import NotPlacedError, move
from openfeature_gov_rollout.plan import Plan
from openfeature_gov_rollout.recording import Move, note
from openfeature_gov_rollout.settling import SETTLED_US, settle
from openfeature_gov_rollout.states import (
    Block,
    Step,
    following,
    may_advance,
    next_step,
)
from openfeature_gov_rollout.stories import FALLS, Story, Verb, stories

ITSELF = "rollout-controller"
"""Who acts where nobody asked."""


class BlockedError(RefusedError):
    """Report an advance that something stands in the way of; *blocks* says what."""

    def __init__(self, plan: str, blocks: Iterable[Block]) -> None:
        self.blocks = tuple(blocks)
        lines = "\n".join(f"  {one.why.value}: {one.text}" for one in self.blocks)
        super().__init__(f"{plan}: not advanced; nothing was changed\n{lines}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Hold what the controller did about one plan, or why it could not.

    *step* is what was due. *moved* is what became of the flag, *noted* the id of a
    record that was made instead; *error* says what went wrong.
    """

    look: Look
    step: Step
    moved: Moved | None = None
    noted: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """Move *plans* on *target*, with everything recorded in *records*.

    *evidence* counts what the records tell; *now_us* is the wall clock in microseconds
    since 1970, *settled_us* how old an unfinished transition must be to count as left
    behind. Holds no state and no connection.
    """

    plans: tuple[Plan, ...]
    governance: Governance
    target: FlagTarget
    records: Path | str
    evidence: Evidence
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    settled_us: int = SETTLED_US

    def look(self, names: Iterable[str] = ()) -> list[Look]:
        """Return how the plans *names* stand, by default all; nothing is written.

        Raises:
            RefusedError: for a name that no plan has.
            FeatBitDataError: when the flags are unusable.
            UnreachableError: when the target cannot be reached.
            RecordStoreError: when the records cannot be read.
            OSError: when the flags cannot be read.

        """
        return self._look(self._named(names), self.evidence)

    def check(self, names: Iterable[str] = ()) -> list[Look]:
        """Settle what a crash left behind, and return how the plans stand.

        Raises:
            RefusedError: for a name that no plan has.
            FeatBitDataError: when the flags are unusable.
            UnreachableError: when the target cannot be reached.
            RecordStoreError: when the records cannot be read or written.
            OSError: when the flags cannot be read.

        """
        return self._settled(self._named(names), self.evidence)

    def story(self, name: str) -> Story:
        """Return what the records tell of plan *name*; flags are not asked.

        Raises:
            RefusedError: for a name that no plan has.
            RecordStoreError: when the records cannot be read.

        """
        (named,) = self._named([name])
        return stories(looking.recorded(self.records)).get(named.name, Story())

    def preview(self, one: Look) -> tuple[Change, ...]:
        """Return what the next stage of a rollout would change on its flag.

        Raises:
            RefusedError: when the flag cannot hold that stage.
            UnreachableError: when the target cannot be reached.
            OSError: when the flags cannot be read.

        """
        name = following(one.situation)
        if not name:
            return ()
        edit = move(one.plan, name, one.plan.layers[name], "preview")
        try:
            planned = plan(self.target, edit, at=UNCHANGED, keys=(one.plan.mode_flag,))
        except NotPlacedError as error:
            raise RefusedError(f"{one.plan.name}: {error}") from None
        return planned.changes

    def advance(
        self, name: str, *, actor: str, reason: str, override: bool = False
    ) -> Moved:
        """Go on to the next stage of plan *name*, one stage only.

        With *override* time, samples and gates that hold are waived, which the record
        says; nothing waives a kill, a lock, a hold or a gate that fails.

        Raises:
            BlockedError: when something stands in the way.
            ConflictError: when somebody changed the flag meanwhile.
            RefusedError: when it was refused; nothing changed unless the text says so.
            RecordStoreError: when it could not be recorded; nothing was changed.
            FeatBitDataError: when the flags are unusable.
            UnreachableError: when the target cannot be reached.
            OSError: when a file cannot be read or written.

        """
        _signed(name, actor, reason)
        (one,) = self.check([name])
        blocks = may_advance(one.situation, actor, override=override)
        if blocks:
            raise BlockedError(name, blocks)
        return rise(
            self.target,
            self.records,
            one,
            Move(
                verb=Verb.ADVANCE,
                actor=actor,
                reason=reason,
                evidence=bundle(one),
                end=following(one.situation),
                override=override,
            ),
        )

    def fall(self, name: str, verb: Verb, *, actor: str, reason: str) -> Moved:
        """Let plan *name* fall to the safest mode now: a rollback, or an abort.

        Looks at no evidence and waits for no record.

        Raises:
            RefusedError: when the flag holds nothing of the plan, or it was refused;
                nothing changed unless the text says so.
            FeatBitDataError: when the flags are unusable.
            UnreachableError: when the target cannot be reached.
            OSError: when the flags cannot be read or written.

        """
        (plan,) = self._named([name])
        one = looking.without_records(plan, self.governance, self.target, self.now_us())
        place = one.situation.place
        if not place.stage:
            told = place.altered or f'flag "{one.plan.mode_flag}" holds nothing of it'
            raise RefusedError(
                f"{name}: {told}; to stop its tools: gov flags kill --workflow "
                f"{one.plan.workflow}"
            )
        evidence = bundle(one, measured=False)
        wanted = Move(verb=verb, actor=actor, reason=reason, evidence=evidence)
        return drop(self.target, self.records, one, wanted)

    def hold(self, name: str, *, actor: str, reason: str) -> str:
        """Stop plan *name* from advancing until somebody resumes; return the record.

        Raises:
            RefusedError: for a name that no plan has, or without a person or reason.
            FeatBitDataError: when the flags are unusable.
            UnreachableError: when the target cannot be reached.
            RecordStoreError: when it could not be recorded.
            OSError: when the flags cannot be read.

        """
        _signed(name, actor, reason)
        (one,) = self._look(self._named([name]), _nothing)
        return note(self.records, one, Verb.HOLD, actor, reason)

    def resume(self, name: str, *, actor: str, reason: str) -> str:
        """End a hold or pause of plan *name*, and acknowledge its fall.

        Raises:
            RefusedError: when it is neither held, paused nor locked, or without a
                person or reason.
            FeatBitDataError: when the flags are unusable.
            UnreachableError: when the target cannot be reached.
            RecordStoreError: when it could not be recorded.
            OSError: when the flags cannot be read.

        """
        _signed(name, actor, reason)
        (one,) = self._settled(self._named([name]), _nothing)
        situation = one.situation
        story = situation.story
        if not (story.hold or story.pause or situation.locked):
            raise RefusedError(f"{name}: neither held, paused nor locked")
        return note(self.records, one, Verb.RESUME, actor, reason)

    def tick(self, names: Iterable[str] = ()) -> list[Taken]:
        """Do what is due by itself for each plan, at most one step; return what it was.

        What fails for one plan does not keep the others waiting.

        Raises:
            RefusedError: for a name that no plan has.
            FeatBitDataError: when the flags are unusable.
            UnreachableError: when the target cannot be reached.
            RecordStoreError: when the records cannot be read or written.
            OSError: when the flags cannot be read.

        """
        return [self._take(one) for one in self.check(names)]

    def _take(self, one: Look) -> Taken:
        step = next_step(one.situation)
        try:
            if step.verb is None:
                return Taken(look=one, step=step)
            if step.verb in FALLS or step.verb is Verb.ADVANCE:
                moved = self._moved(one, step, step.verb)
                return Taken(look=one, step=step, moved=moved)
            noted = note(self.records, one, step.verb, ITSELF, step.reason)
            return Taken(look=one, step=step, noted=noted)
        except (GovernanceError, OpenFeatureError, OSError) as error:
            return Taken(look=one, step=step, error=str(error))

    def _moved(self, one: Look, step: Step, verb: Verb) -> Moved:
        wanted = Move(
            verb=verb,
            actor=ITSELF,
            reason=step.reason,
            evidence=bundle(one),
            end=step.end,
        )
        make = drop if verb in (Verb.ROLLBACK, Verb.ABORT) else rise
        return make(self.target, self.records, one, wanted)

    def _settled(self, plans: tuple[Plan, ...], evidence: Evidence) -> list[Look]:
        """Return how *plans* stand once what a crash left behind is settled."""
        looks = self._look(plans, evidence)
        if settle(self.records, looks, after_us=self.settled_us):
            return self._look(plans, evidence)
        return looks

    def _look(self, plans: tuple[Plan, ...], evidence: Evidence) -> list[Look]:
        return looking.look(
            plans,
            self.governance,
            self.target,
            self.records,
            evidence,
            self.now_us(),
        )

    def _named(self, names: Iterable[str]) -> tuple[Plan, ...]:
        by_name = {plan.name: plan for plan in self.plans}
        wanted = [*names]
        for name in wanted:
            if name not in by_name:
                known = ", ".join(by_name) or "none"
                raise RefusedError(f"no plan {name!r}; there are: {known}")
        return tuple(by_name[name] for name in wanted) if wanted else self.plans


def _signed(name: str, actor: str, reason: str) -> None:
    if not (actor.strip() and reason.strip()):
        raise RefusedError(f"{name}: say who and why; nothing was changed")


def _nothing(windows: Sequence[Window]) -> list[Seen]:
    """Count nothing: for what needs no evidence."""
    return [Seen() for _ in windows]

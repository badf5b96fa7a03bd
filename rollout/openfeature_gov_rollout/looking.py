"""Look at rollouts: one reading of the flags, one of the records, one of the evidence.

Nothing is written here, and nothing is remembered between two looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from openfeature.contrib.provider.featbit.building import Json
from openfeature_gov.governance import Governance
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import SCHEMES
from openfeature_gov.targets import FlagTarget, Held
from openfeature_gov_rollout.gates import Count
from openfeature_gov_rollout.judging import Answer, StageResult, judge_all
from openfeature_gov_rollout.places import Place
from openfeature_gov_rollout.placing import place_of, singled_out
from openfeature_gov_rollout.plan import Plan, Stage, safest
from openfeature_gov_rollout.states import SECOND_US, Situation
from openfeature_gov_rollout.stopping import keys, stops
from openfeature_gov_rollout.stories import CHANGE, NOTE, Story, stories

NOTES = (
    f"kind NOT IN ('decision', 'outcome') AND kind IN ('{CHANGE}', '{NOTE}') ORDER BY "
)


MOST_HALVES = 30
"""After how many entries the error level of a stage stays as small as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Ask what was seen of *plan* in *stage* from *from_us* until *until_us*.

    Times are microseconds since 1970, the second excluded; *transition* is that which
    led to the stage, by which decisions in it can be told.
    """

    plan: Plan
    stage: Stage
    transition: str
    from_us: int
    until_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Hold what was seen in a window: how many decisions, and each metric's count.

    *refused* says how reviewers refused repeatedly, empty if they did not; *others*
    what else stands in the way of a promotion.
    """

    samples: int = 0
    counts: Mapping[str, Count | None] = field(default_factory=dict)
    refused: str = ""
    others: tuple[str, ...] = ()


class Evidence(Protocol):
    """Count what the records tell; one answer for each window, in their order."""

    def __call__(self, windows: Sequence[Window]) -> Sequence[Seen]:
        """Return what was seen in each of *windows*.

        Raises:
            RecordStoreError: when the records cannot be read.

        """


@dataclass(frozen=True, slots=True)
class Look:
    """Hold one rollout as it was seen: what is known, and the flag as it was read."""

    situation: Situation
    raw: Json | None
    token: str
    revision: str

    @property
    def plan(self) -> Plan:
        """Return the plan."""
        return self.situation.plan


def look(
    plans: Sequence[Plan],
    governance: Governance,
    target: FlagTarget,
    records: Path | str,
    evidence: Evidence,
    now_us: int,
) -> list[Look]:
    """Return how each of *plans* stands at *now_us*, microseconds since 1970.

    Raises:
        FeatBitDataError: when the flags are unusable.
        UnreachableError: when the target cannot be reached.
        RecordStoreError: when the records cannot be read.
        OSError: when the flags cannot be read.

    """
    held = target.read(keys(plans, governance))
    told = stories(recorded(records))
    found = [
        glance(plan, governance, held, told.get(plan.name, Story()), now_us)
        for plan in plans
    ]
    asked = [(number, window) for number, window in _windows(found)]
    seen = evidence([window for _, window in asked]) if asked else ()
    by_place: dict[int, list[Seen]] = {}
    for (number, _), one in zip(asked, seen, strict=True):
        by_place.setdefault(number, []).append(one)
    return [_judged(one, by_place.get(n, ())) for n, one in enumerate(found)]


def glance(
    plan: Plan, governance: Governance, held: Held, story: Story, now_us: int
) -> Look:
    """Return how *plan* stands without its evidence: what a fall needs to know."""
    flag = held.flags.get(plan.mode_flag)
    lowest = safest(plan, governance)
    place = place_of(flag, plan, lowest)
    if plan.mode_flag in held.unread:
        why = held.unread[plan.mode_flag]
        place = Place(altered=f"the flag cannot be read: {why}")
    stage = plan.order.get(place.stage)
    mode = lowest if stage is None else plan.stages[stage].mode
    situation = Situation(
        plan=plan,
        place=place,
        story=story,
        safest=lowest,
        now_us=now_us,
        stops=tuple(dict.fromkeys(stops(plan, governance, held))),
        singled_out=0 if flag is None else singled_out(flag, mode),
    )
    raw = held.raw.get(plan.mode_flag)
    token = "" if flag is None else held.token(plan.mode_flag)
    return Look(situation, raw, token, held.snapshot.revision)


def without_records(
    plan: Plan, governance: Governance, target: FlagTarget, now_us: int
) -> Look:
    """Return how *plan* stands by its flag alone.

    Raises:
        FeatBitDataError: when the flags are unusable.
        UnreachableError: when the target cannot be reached.
        OSError: when the flags cannot be read.

    """
    held = target.read((plan.mode_flag,))
    return glance(plan, governance, held, Story(), now_us)


def recorded(records: Path | str) -> list[dict[str, Any]]:
    """Return the records that tell of rollouts; of a file that is not there, none.

    Raises:
        RecordStoreError: when they cannot be read.

    """
    if not str(records).startswith(SCHEMES) and not Path(records).exists():
        return []
    with opened(records) as log:
        return log.recorded(NOTES + log.ordered("ASC"))


def _windows(looks: Sequence[Look]) -> Iterator[tuple[int, Window]]:
    """Yield for each rollout in a stage the whole window, then its latest part."""
    for number, one in enumerate(looks):
        situation = one.situation
        stage, since = situation.stage, situation.entered_us
        if stage is None or since is None or not stage.gates:
            continue
        recent = situation.now_us - one.plan.regression_window * SECOND_US
        for start in dict.fromkeys((since, max(since, recent))):
            yield (
                number,
                Window(
                    plan=one.plan,
                    stage=stage,
                    transition=situation.place.transition,
                    from_us=start,
                    until_us=situation.now_us,
                ),
            )


def _judged(one: Look, seen: Sequence[Seen]) -> Look:
    situation = one.situation
    stage = situation.stage
    if not seen or stage is None:
        return one
    whole, recent = seen[0], seen[-1]
    entries = situation.story.entries(stage.name)
    judged = replace(
        situation,
        judged=_judge(one.plan, stage, whole, entries),
        recent=_judge(one.plan, stage, recent),
        samples=whole.samples,
        refused=whole.refused,
        others=whole.others,
    )
    return replace(one, situation=judged)


def _judge(plan: Plan, stage: Stage, seen: Seen, entries: int = 1) -> StageResult:
    """Judge what was seen since *stage* was entered, for so many times by now.

    Whoever falls and enters anew gets another chance to pass by luck. Each one takes
    half the error level of the one before, so that all of them together never come to
    twice the plan's; what fails, fails at the plan's own level.
    """
    judged = judge_all(stage.gates, seen.counts, plan.error_level)
    if entries <= 1 or judged.answer is Answer.FAIL:
        return judged
    left = plan.error_level / 2 ** min(entries - 1, MOST_HALVES)
    return judge_all(stage.gates, seen.counts, left)

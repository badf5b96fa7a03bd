"""Rollouts on the file and on FeatBit: the same, sticky, through crashes and races."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from openfeature.provider import FeatureProvider

from openfeature.contrib.provider.featbit import FeatBitProvider
from openfeature_gov import Actor, CallContext, Governor, ToolCall
from openfeature_gov.ladder import Mode
from openfeature_gov.targets import ConflictError, FlagTarget
from openfeature_gov_rollout.controller import BlockedError, Controller
from openfeature_gov_rollout.stories import Result, Verb
from tests.full import share
from tests.integration.featbit import LONG
from tests.integration.rollout_crash import died, lines_of
from tests.rollouts import CONTRACTS, Bench, bench, featbit, on_featbit, on_file

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # the SDK leaves sockets open
)
CONTEXTS = share(10_000, of=5)
SHOWN = ("eu-5", "eu-20", "accounts", "everybody", "rolled-back")
"""The stages in which every context is decided: each percentage, and after a fall."""
CRASHES = share(50, of=5)
RACES = share(30, of=6)


class Seen(NamedTuple):
    """What became of one call, without what names the source of the flags."""

    effect: str
    mode: str
    reason: str
    variant: str | None
    stage: str
    number: str


def calls(instance: str = "") -> Iterator[ToolCall]:
    """Yield one call a user; *instance* is what an agent may choose anew."""
    for number in range(CONTEXTS):
        context = CallContext(
            actor=Actor(
                agent="agent-1",
                instance=f"i{instance}{number % 7}",
                session=f"s{instance}{number}",
                user=f"user-{number}",
            ),
            account=("acme", "beta", "gamma", "delta")[number % 4],
            region=("eu", "us")[number // 4 % 2],
            task=f"t{instance}{number}",
        )
        yield ToolCall(("refund", "lookup")[number // 8 % 2], {"n": 1}, context)


class Side:
    """One controller on one source of flags, and a Governor that follows it."""

    def __init__(
        self, folder: Path, made: Bench, flags: Path | FeatureProvider
    ) -> None:
        governance = folder / "governance.yaml"
        governance.write_text(CONTRACTS)
        self.bench = made
        self.governor = Governor.open(governance, flags, folder / "decisions.db")
        for tool in ("refund", "lookup"):
            self.governor.tool(tool)(lambda n: n)

    def go(self, stage: str) -> None:
        """Let *stage* hold, and wait until the Governor has heard of it."""
        one = self.bench.controller
        if stage == "rolled-back":
            one.fall("refunds", Verb.ROLLBACK, actor="bob", reason="complaints")
        while self.bench.stage() != stage:
            self.bench.clock.pass_(2 * 3_600_000_000)
            one.advance("refunds", actor="ann", reason="proven")
        (look,) = one.look()
        wanted, deadline = look.situation.place.transition, time.monotonic() + LONG
        call = next(calls())
        while wanted not in self.judged(call)[1]:
            assert time.monotonic() < deadline, "the provider never heard of it"
            time.sleep(0.02)

    def judged(self, call: ToolCall) -> tuple[Seen, str]:
        """Return what is decided, and the rule of the mode flag that served it."""
        found = self.governor._decider.judged(call)
        assert found.flags is not None
        reading = found.flags.flags["mode"]
        rule = str(reading.metadata.get("rule"))
        _, _, stage, _, number = (rule if rule.count("/") == 4 else "////").split("/")
        decision = found.decision
        seen = Seen(
            decision.effect.value,
            decision.mode.label,
            decision.reason,
            reading.variant,
            stage,
            number,
        )
        return seen, rule

    def all(self, instance: str = "") -> list[Seen]:
        """Decide about every context."""
        return [self.judged(call)[0] for call in calls(instance)]


class Both(NamedTuple):
    """What both sides decided in each stage, and how their records tell of it."""

    read: dict[str, list[Seen]]
    streamed: dict[str, list[Seen]]
    rerolled: list[Seen]
    events: list[list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Take the same plan through the same stages on the file and on FeatBit."""
    one, two = (tmp_path_factory.mktemp(name) for name in ("file", "featbit"))
    with on_featbit() as (target, server):
        live = FeatBitProvider.live(
            streaming_url=server.streaming_url,
            event_url=server.event_url,
            secret=server.server_secret,
            start_wait_s=LONG,
        )
        read = Side(one, bench(on_file(one), one), one / "flags.json")
        streamed = Side(two, bench(target, two), live)
        first: dict[str, list[Seen]] = {}
        second: dict[str, list[Seen]] = {}
        rerolled = []
        for stage in SHOWN:
            for side, found in ((read, first), (streamed, second)):
                side.go(stage)
                found[stage] = side.all()
            if stage == "eu-20":
                rerolled = read.all("again")
        events = [_events(side.bench) for side in (read, streamed)]
        yield Both(first, second, rerolled, events)
        for side in (read, streamed):
            side.governor.close()


def _events(one: Bench) -> list[tuple[Any, ...]]:
    (look,) = one.controller.look()
    return [
        (each.verb, each.start, each.end, each.actor, each.reason, each.result)
        for each in look.situation.story.events
    ]


def test_both_take_the_same_transitions(both: Both) -> None:
    """Verb, stages, person, reason and result are the same, in the same order."""
    one, other = both.events
    assert one == other
    assert {result for *_, result in one} == {Result.APPLIED}


@pytest.mark.parametrize("stage", SHOWN)
def test_both_decide_alike_at_each_percentage(both: Both, stage: str) -> None:
    """10,000 contexts in full: effect, mode, reason, variant and rule are the same."""
    pairs = zip(both.read[stage], both.streamed[stage], strict=True)
    assert len(both.read[stage]) == CONTEXTS
    assert [pair for pair in pairs if pair[0] != pair[1]][:3] == []


def reached(seen: list[Seen]) -> set[int]:
    """Return the contexts that have autonomy."""
    return {n for n, one in enumerate(seen) if one.variant == Mode.AUTONOMOUS.label}


def test_raising_a_percentage_removes_nobody(both: Both) -> None:
    """5 % of the audience is within 20 % of it, and that within what follows."""
    found = [reached(both.read[stage]) for stage in SHOWN[:4]]
    assert all(small <= large for small, large in pairwise(found))
    audience = CONTEXTS // 4
    assert 0.03 < len(found[0]) / audience < 0.07
    assert 0.17 < len(found[1]) / audience < 0.23
    assert len(found[3]) == CONTEXTS


def test_a_new_session_or_instance_stays_in_its_bucket(both: Both) -> None:
    """Only the server-issued key deals: nothing that the agent can re-roll."""
    assert reached(both.rerolled) == reached(both.read["eu-20"])


def test_after_a_fall_nobody_has_more_than_the_safest_mode(both: Both) -> None:
    """Every context is within search_only again."""
    assert {one.variant for one in both.read["rolled-back"]} == {"search_only"}


def prepared(one: Bench, verb: Verb) -> tuple[str, str, Any]:
    """Go to where a move of *verb* begins; return its two states, and the move."""
    controller = one.controller
    if verb is Verb.ADVANCE:
        stages = one.controller.plans[0].stages
        while one.stage() in ("everybody", "clean-up", "rolled-back"):
            if one.stage() != "rolled-back":
                controller.fall("refunds", Verb.ROLLBACK, actor="bob", reason="again")
            controller.resume("refunds", actor="ann", reason="seen")
            controller.advance("refunds", actor="ann", reason="again", override=True)
        one.clock.pass_(2 * 3_600_000_000)
        stage = one.stage()
        following = stages[one.controller.plans[0].order[stage] + 1].name

        def move(target: FlagTarget) -> object:
            made = replace(controller, target=target)
            return made.advance("refunds", actor="ann", reason="proven")

        return stage, following, move
    if one.stage() == "rolled-back":
        controller.check()
        controller.resume("refunds", actor="ann", reason="seen")
        controller.advance("refunds", actor="ann", reason="again", override=True)

    def fall(target: FlagTarget) -> object:
        made = replace(controller, target=target)
        return made.fall("refunds", Verb.ROLLBACK, actor="bob", reason="x")

    return one.stage(), "rolled-back", fall


@pytest.mark.parametrize("verb", [Verb.ADVANCE, Verb.ROLLBACK])
@pytest.mark.parametrize("where", ["file", "featbit"])
def test_a_crash_between_any_two_steps_leaves_one_of_two_states(
    tmp_path: Path, where: str, verb: Verb
) -> None:
    """50 crashes in full: on restart the flag says which, and the records agree."""
    if where == "file":
        target = on_file(tmp_path)
        crash(bench(target, tmp_path), verb, lambda: target)
        return
    with on_featbit() as (target, server):
        crash(bench(target, tmp_path), verb, lambda: featbit(server))


Targets = Callable[[], FlagTarget]
"""Make the target of a child: a connection of the parent's is not for two."""


def crash(one: Bench, verb: Verb, fresh: Targets) -> None:
    """Die at lines spread over the whole move, and look each time."""
    one.controller = replace(one.controller, settled_us=0)
    one.up("observe")
    _, _, move = prepared(one, verb)
    whole = lines_of(partial(_on, move, fresh))
    places = set()
    for number in range(CRASHES):
        before, after, move = prepared(one, verb)
        died(partial(_on, move, fresh), 1 + number * whole // CRASHES)
        (look,) = one.controller.check()
        situation = look.situation
        place, story = situation.place, situation.story
        assert place.stage in (before, after)
        assert place.altered == ""
        assert story.open == ()
        event = story.transition(place.transition)
        assert event is not None
        assert event.result is Result.APPLIED
        places.add(place.stage == after)
    assert places == {True, False}


def _on(move: Callable[[FlagTarget], object], fresh: Targets) -> object:
    return move(fresh())


def test_of_two_owners_at_once_one_wins(tmp_path: Path) -> None:
    """Both ask at the same moment: one moves the flag, the other is shown why not."""
    target = on_file(tmp_path)
    race(bench(target, tmp_path), lambda: target)


def test_of_two_owners_at_once_one_wins_in_featbit(tmp_path: Path) -> None:
    """The same where a revision, not a lock, tells who was first."""
    with on_featbit() as (target, server):
        race(bench(target, tmp_path), lambda: featbit(server))


WON, SHOWN_WHY, OTHER = 0, 4, 1


def race(one: Bench, fresh: Targets) -> None:
    """Let two processes advance at once, over and over."""
    one.up("observe")
    for _ in range(RACES):
        before, after, _ = prepared(one, Verb.ADVANCE)
        codes = sorted(_both(one, fresh))
        assert codes[0] == WON
        assert codes[1] in (WON, SHOWN_WHY)
        moved = [
            each
            for each in _story(one).events
            if each.verb is Verb.ADVANCE and each.result is Result.APPLIED
        ]
        # Who came so late that the stage had changed already advanced from there.
        assert moved[-1].start == (before if codes[1] else after)
        assert one.stage() == moved[-1].end


def _story(one: Bench) -> Any:
    (look,) = one.controller.check()
    return look.situation.story


def _both(one: Bench, fresh: Targets) -> list[int]:
    """Fork two owners that start together; return how each ended."""
    ready, go = os.pipe()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)
            os._exit(_advance(replace(one.controller, target=fresh())))
        children.append(child)
    os.close(ready)
    os.close(go)  # both wake at once
    return [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in children]


def _advance(controller: Controller) -> int:
    try:
        controller.advance("refunds", actor="ann", reason="proven")
    except (ConflictError, BlockedError):
        return SHOWN_WHY
    except Exception:
        traceback.print_exc()
        return OTHER
    return WON

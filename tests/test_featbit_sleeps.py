"""How old flag data is after the machine slept, whichever clock noticed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openfeature.evaluation_context import EvaluationContext

from openfeature.contrib.provider.featbit import FeatBitProvider, write_document
from openfeature.contrib.provider.featbit.live.last_good import LastGood
from openfeature.contrib.provider.featbit.sleeps import (
    REMEMBERED,
    STEP_NS,
    Sleeps,
    sleeps,
)
from openfeature_gov import Effect, Governor, ToolCall
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.conftest import CONTEXT, contract_yaml, flag_document
from tests.test_featbit_live import DOCUMENT, QUICK, SLOW, Live
from tests.test_featbit_live_sync import Line, switch
from tests.waiting import until

HOUR = 3_600 * 1_000_000_000
WALL = "openfeature.contrib.provider.featbit.sleeps._wall"
MONOTONIC = "openfeature.contrib.provider.featbit.sleeps._monotonic"
MOVES = st.tuples(
    st.sampled_from(["pass", "sleep", "set back", "set forward", "look", "read"]),
    st.integers(0, 3 * HOUR),
)


class Clocks:
    """A machine whose clocks go on as they are told to."""

    def __init__(self) -> None:
        self.monotonic, self.wall, self.past = HOUR, 1_000 * HOUR, 0

    def move(self, kind: str, by: int) -> None:
        """Let time pass; *past* is what really did."""
        if kind in ("pass", "sleep"):
            self.past += by
            self.wall += by
        if kind == "pass":
            self.monotonic += by
        if kind == "set back":
            self.wall -= by
        if kind == "set forward":
            self.wall += by


@contextmanager
def machine() -> Iterator[tuple[Clocks, Sleeps]]:
    """Run on made-up clocks in the block."""
    clocks = Clocks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WALL, lambda: clocks.wall)
        patch.setattr(MONOTONIC, lambda: clocks.monotonic)
        yield clocks, Sleeps()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Provide for how long the machine slept, in nanoseconds; begin with nothing."""
    total = [0]
    monkeypatch.setattr(WALL, lambda: time.time_ns() + sum(total))
    monkeypatch.setattr(sleeps, "_sleeps", deque())
    monkeypatch.setattr(sleeps, "_before_ns", 0)
    monkeypatch.setattr(sleeps, "_apart_ns", time.time_ns() - time.monotonic_ns())
    return total


@pytest.fixture
def server() -> SimulatedFeatBit:
    return SimulatedFeatBit(DOCUMENT)


@given(st.lists(MOVES, max_size=30))
@example([("read", 0), ("sleep", HOUR)])
def test_data_never_counts_as_younger_than_it_is(moves: list[tuple[str, int]]) -> None:
    """But for sleeps of two seconds, and where a clock was set back meanwhile."""
    with machine() as (clocks, found):
        read, read_at, unseen = clocks.monotonic, 0, 0
        for kind, by in moves:
            clocks.move(kind, by)
            if kind == "set back":
                unseen += by + STEP_NS
            if kind == "sleep":
                unseen += min(by, STEP_NS)
            if kind == "read":
                found.look()
                read, read_at, unseen = clocks.monotonic, clocks.past, 0
            if kind == "look":
                found.look()
            age = clocks.monotonic - found.backdated(read)
            assert age >= clocks.past - read_at - unseen


@given(st.lists(st.integers(0, 3 * HOUR), max_size=10), st.integers(0, HOUR))
def test_sleeps_are_told_exactly(naps: list[int], awake: int) -> None:
    """Each of them counts in full, and once."""
    with machine() as (clocks, found):
        read = clocks.monotonic
        for nap in naps:
            clocks.move("pass", awake + 1)
            clocks.move("sleep", nap)
            found.look()
        told = clocks.monotonic - found.backdated(read)
        assert told == sum(awake + 1 + (nap if nap > STEP_NS else 0) for nap in naps)
        clocks.move("pass", 1)
        assert found.backdated(clocks.monotonic) == clocks.monotonic


def test_a_sleep_does_not_count_for_what_was_read_after_it() -> None:
    """Though another one comes later."""
    with machine() as (clocks, found):
        clocks.move("sleep", 8 * HOUR)
        found.look()
        clocks.move("pass", 1)
        read = clocks.monotonic
        clocks.move("pass", HOUR)
        clocks.move("sleep", 2 * HOUR)
        assert clocks.monotonic - found.backdated(read) == 3 * HOUR


def test_what_was_read_before_more_sleeps_than_are_told_apart_is_no_younger() -> None:
    with machine() as (clocks, found):
        reads = [(clocks.monotonic, 0)]
        for _ in range(3 * REMEMBERED):
            clocks.move("pass", 1)
            clocks.move("sleep", HOUR)
            found.look()
            clocks.move("pass", 1)
            reads.append((clocks.monotonic, clocks.past))
        ages = [clocks.monotonic - found.backdated(at) for at, _ in reads]
        assert ages[0] == clocks.past
        assert all(
            age >= clocks.past - at for age, (_, at) in zip(ages, reads, strict=True)
        )
        assert ages[-1] == 0


def test_who_was_held_up_between_two_clocks_takes_no_reading_for_a_later_one() -> None:
    """Another thread read the source meanwhile, and then the machine slept."""
    reads = list[int]()
    with machine() as (clocks, found), pytest.MonkeyPatch.context() as patch:

        def wall() -> int:
            if not reads:
                clocks.move("pass", 1)
                reads.append(clocks.monotonic)
                clocks.move("pass", 1)
                clocks.move("sleep", HOUR)
            return clocks.wall

        patch.setattr(WALL, wall)
        found.look()
        assert clocks.monotonic - found.backdated(reads[0]) >= HOUR


def test_clocks_that_drift_are_no_sleep() -> None:
    with machine() as (clocks, found):
        read = clocks.monotonic
        for _ in range(1_000):
            clocks.move("pass", 1_000)
            clocks.move("sleep", STEP_NS)
            assert found.backdated(read) == read


def test_a_flag_file_is_as_old_as_the_sleep(tmp_path: Path, slept: list[int]) -> None:
    """Until it is read again, which may be at once."""
    path = tmp_path / "flags.json"
    write_document(path, flag_document())
    provider = FeatBitProvider.from_file(path, poll_seconds=3600)
    governance = tmp_path / "governance.yaml"
    governance.write_text(contract_yaml("spy"))
    with Governor.open(governance, provider, tmp_path / "records.db") as governor:
        governor.tool("spy")(lambda: "ran")
        call = ToolCall("spy", {}, CONTEXT)
        assert governor.decide(call).effect is Effect.ALLOW
        slept.append(8 * HOUR)
        after = governor.decide(call)
        assert after.effect is not Effect.ALLOW
        assert after.reason == "flags_stale"
        age = time.monotonic_ns() - provider.freshness().verified_ns
        assert 8 * HOUR < age < 9 * HOUR
        provider.reload()
        assert governor.decide(call).effect is Effect.ALLOW


def test_a_live_provider_is_as_old_as_the_sleep(
    server: SimulatedFeatBit, slept: list[int]
) -> None:
    """And its server's next word makes it new."""
    with server:
        live = Live(server, timing=QUICK).start()
        server.pause()
        slept.append(8 * HOUR)
        assert time.monotonic_ns() - live.provider.freshness().verified_ns > 8 * HOUR
        server.resume()

        def renewed() -> bool:
            age = time.monotonic_ns() - live.provider.freshness().verified_ns
            return age < HOUR

        until(renewed)


def test_what_was_on_its_way_before_the_sleep_proves_nothing(
    slept: list[int],
) -> None:
    """A frame that the socket held meanwhile: everything is asked for first."""
    line = Line()
    line.connected(switch(0))
    line.pongs(1)
    assert line.heard.verified_s == 1
    pulls = line.pulls
    slept.append(8 * HOUR)
    line.pongs(2)
    assert line.heard.verified_s == 1
    assert line.pulls == pulls + 1


def test_who_follows_a_server_sees_a_sleep_before_anybody_decides(
    server: SimulatedFeatBit, slept: list[int]
) -> None:
    """So that what is read after it is not taken for what was read before."""
    with server:
        Live(server, timing=SLOW).start()
        slept.append(8 * HOUR)
        until(lambda: sum(nap for _, nap in sleeps._sleeps) >= 8 * HOUR)


def test_who_follows_a_file_sees_a_sleep_before_reading_it(
    tmp_path: Path, slept: list[int]
) -> None:
    path = tmp_path / "flags.json"
    write_document(path, flag_document())
    provider = FeatBitProvider.from_file(path, poll_seconds=3600)
    provider.initialize(EvaluationContext())
    slept.append(8 * HOUR)
    provider.reload()
    assert time.monotonic_ns() - provider.freshness().verified_ns < HOUR
    provider.shutdown()


def test_what_is_kept_over_a_sleep_is_as_old_as_the_sleep(
    server: SimulatedFeatBit, slept: list[int], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    with server:
        live = Live(server, last_good=kept, timing=SLOW).start()
        until(kept.exists)
        session: Any = live.provider._feed._session  # type: ignore[union-attr] # a live one's
        live.provider.shutdown()
        kept.unlink()
        slept.append(8 * HOUR)
        session._puller._save(session.sync)
        found = LastGood(kept, server.server_secret.encode()).load()
    assert found is not None
    assert time.time_ns() - found.verified_ms * 1_000_000 > 8 * HOUR

"""When the data of a live connection counts as current; all times are made up."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from openfeature.contrib.provider.featbit import Snapshot
from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    string_flag,
)
from openfeature.contrib.provider.featbit.freshness import NEVER, Freshness
from openfeature.contrib.provider.featbit.live import Timing
from openfeature.contrib.provider.featbit.live.frames import DataSync
from openfeature.contrib.provider.featbit.live.mirror import Mirror
from openfeature.contrib.provider.featbit.live.sync import LOST, SILENT, Sync

S = 1_000_000_000
PONG = '{"messageType":"pong","data":{}}'


@dataclass
class Follower:
    """What a provider hears: the last snapshot, its time, and each complaint."""

    snapshot: Snapshot | None = None
    verified_s: float = -1.0
    problems: list[str | None] = field(default_factory=list)

    def freshness(self) -> Freshness:
        raise NotImplementedError  # a Sync never asks

    def replace(self, snapshot: Snapshot, **facts: Any) -> tuple[str, ...]:
        self.snapshot = snapshot
        self.confirm(**facts)
        return ()

    def confirm(self, **facts: Any) -> None:
        self.verified_s = facts["verified_ns"] / S
        self.problems.append(facts["problem"])

    def degrade(self, problem: str) -> None:
        self.problems.append(problem)

    def fail(self, problem: str) -> None:
        self.problems.append(problem)

    def answer(self, key: str) -> Any:
        assert self.snapshot is not None
        found = self.snapshot.evaluate(key, "u", {})
        assert found is not None
        return found.value

    @property
    def kill(self) -> bool:
        """Whether the switch is off."""
        return self.answer("switch") is False

    @property
    def mode(self) -> str:
        """What the mode flag says."""
        return str(self.answer("mode"))


class Line:
    """One connection of a Sync, driven in seconds."""

    def __init__(self) -> None:
        self.heard = Follower()
        self.pulls = self.asked = 0
        self.sync = Sync(
            self.heard,
            Mirror(),
            Timing(),
            pull=self._pull,
            ask=self._ask,
            verified_ns=NEVER,
        )
        self.sync.speak(-S, serving=False)

    def _pull(self) -> None:
        self.pulls += 1

    def _ask(self) -> None:
        self.asked += 1

    def connected(self, *flags: Json, at: float = 0) -> None:
        self.sync.opened(int(at * S))
        self.full(*flags, at=at)

    def full(self, *flags: Json, at: float) -> None:
        self.sync.frame(message("full", *flags), int(at * S))

    def push(self, *flags: Json, at: float) -> None:
        self.sync.frame(message("patch", *flags), int(at * S))

    def pongs(self, *seconds: float) -> None:
        for at in seconds:
            self.sync.frame(PONG, int(at * S))

    def pulled(self, *flags: Json, began: float, at: float) -> bool:
        sync = DataSync(full=True, flags=flags, segments=())
        return self.sync.pulled(sync, int(began * S), int(at * S))

    def tick(self, at: float) -> bool:
        return self.sync.tick(int(at * S))


def message(event: str, *flags: Json) -> str:
    data = {"eventType": event, "featureFlags": flags, "segments": []}
    return json.dumps({"messageType": "data-sync", "data": data})


def switch(stamp: int, *, on: bool = True) -> Json:
    at = f"2026-01-01T00:00:{stamp:02}.000Z"
    return boolean_flag("switch", serve=True, off=False, enabled=on, at=at)


def mode(stamp: int, value: str, key: str = "mode") -> Json:
    at = f"2026-01-01T00:00:{stamp:02}.000Z"
    return string_flag(key, ["observe", "autonomous"], serve=value, off=value, at=at)


@pytest.fixture
def line() -> Line:
    """Provide a connection whose full sync came at 0 s."""
    one = Line()
    one.connected(switch(0))
    return one


def test_every_frame_vouches_for_data_in_sync(line: Line) -> None:
    """A pong says that nothing was pushed until then."""
    line.pongs(10, 20)
    assert line.heard.verified_s == 20
    assert line.heard.problems == [None] * 3


def test_silence_is_told_after_12_s_and_cut_after_20(line: Line) -> None:
    """Neither before, and each at its time."""
    assert not line.tick(12)
    assert line.heard.problems[-1] is None
    assert not line.tick(12.1)
    assert line.heard.problems[-1] == SILENT
    assert not line.tick(20)
    assert line.tick(20.1)
    assert not line.tick(20.2), "cut once"


def test_a_frame_after_silence_proves_nothing(line: Line) -> None:
    """What was lost meanwhile would not be noticed: look before it counts."""
    before = line.pulls
    line.pongs(13)
    assert line.heard.verified_s == 0
    assert line.pulls == before + 1
    line.pulled(switch(0), began=13.5, at=14)
    line.pongs(15)
    assert line.heard.verified_s == 15


def test_before_the_full_sync_no_frame_vouches() -> None:
    """An open connection is not yet in sync."""
    line = Line()
    line.sync.opened(0)
    line.pongs(1)
    assert line.heard.snapshot is None
    assert not line.sync.has_data


def test_nor_after_a_reconnect(line: Line) -> None:
    """The old data may have changed while there was no connection."""
    line.sync.dropped(1 * S)
    line.sync.opened(5 * S)
    line.pongs(6)
    assert line.heard.verified_s == 0
    line.full(switch(0), at=7)
    assert line.heard.verified_s == 7


def test_a_frame_nobody_can_read_leaves_doubt(line: Line) -> None:
    """Until a pull that began after it, pongs count for nothing."""
    line.sync.frame("{", 5 * S)
    line.pongs(6)
    assert line.heard.verified_s == 0
    line.pulled(switch(0), began=4, at=7)
    line.pongs(8)
    assert line.heard.verified_s == 4, "that pull began before the frame"
    line.pulled(switch(0), began=9, at=10)
    line.pongs(11)
    assert line.heard.verified_s == 11


def test_doubt_that_stays_cuts_the_connection(line: Line) -> None:
    """Although pongs arrive."""
    line.sync.frame("{", 5 * S)
    line.pongs(10, 20, 25)
    assert not line.tick(25)
    assert line.tick(25.1)


def test_a_lost_request_for_everything_cuts_the_connection(line: Line) -> None:
    line.sync.dropped(5 * S)
    line.sync.opened(6 * S)
    for at in (10, 15, 20, 25):
        line.pongs(at)
        line.pulled(switch(1), began=at, at=at)
        assert not line.tick(at)
    line.pongs(26.5)
    assert line.tick(26.5)
    line.connected(switch(1), at=28)
    line.pulled(switch(1), began=28.1, at=28.2)
    line.pongs(40, 48.5)
    assert not line.tick(49)


def test_a_pull_vouches_from_its_beginning(line: Line) -> None:
    """What changed while it came may be missing in it."""
    line.sync.dropped(1 * S)
    assert line.heard.problems[-1] == LOST
    line.pulled(switch(0), began=5, at=9)
    assert line.heard.verified_s == 5


def test_what_was_pushed_during_a_pull_counts(line: Line) -> None:
    """The pull is older; and it is made again."""
    line.push(switch(5, on=False), at=5)
    assert line.pulled(switch(0), began=4, at=6)
    assert line.heard.kill
    assert not line.pulled(switch(5, on=False), began=7, at=8)


def test_a_lost_push_is_found_by_the_next_pull(line: Line) -> None:
    """Whatever the stamps say: an older one counts as well."""
    line.push(switch(9), at=2)
    line.pulled(switch(3, on=False), began=30, at=31)
    assert line.heard.kill


def test_a_server_that_lags_is_asked_again_before_it_counts(line: Line) -> None:
    """Until then the newer data stays, and nothing vouches for it."""
    line.push(mode(9, "observe"), at=2)
    asked = line.pulls
    line.pulled(mode(8, "autonomous"), began=4, at=4.5)
    line.pongs(6)
    assert line.heard.mode == "observe"
    assert line.heard.verified_s == 2
    assert not line.sync.settled
    assert line.pulls == asked, "the next regular look is soon"
    line.pulled(mode(8, "autonomous"), began=8.9, at=9)
    assert line.heard.mode == "observe"
    line.pulled(mode(9, "observe"), began=9.5, at=9.6)
    assert line.sync.settled
    assert line.heard.verified_s == 9.5
    line.pulled(mode(8, "autonomous"), began=20, at=20.1)
    assert line.heard.mode == "observe"
    line.pulled(mode(8, "autonomous"), began=25, at=25.1)
    assert line.heard.mode == "autonomous", "said again 5 s later"
    assert line.sync.settled


def test_a_full_sync_that_comes_late_only_asks(line: Line) -> None:
    """A pull that began after it was asked for may know better."""
    line.push(switch(1), at=1)
    line.pongs(10, 20, 29)
    line.sync.unpulled(30 * S)
    line.pulled(mode(5, "observe"), began=31, at=32)
    before = line.pulls
    line.full(mode(5, "observe"), mode(5, "autonomous", key="gone"), at=33)
    assert line.heard.snapshot is not None
    assert line.heard.snapshot.evaluate("gone", "u", {}) is None
    assert line.pulls == before + 1
    assert line.heard.verified_s == 31


def test_data_comes_before_what_was_kept() -> None:
    """What is served at the start never replaces what arrived."""
    line = Line()
    assert line.sync.serve(lambda: True)
    assert not line.sync.serve(lambda: False)
    line.connected(switch(0), at=1)
    assert line.sync.answered.is_set()
    assert line.sync.serve(lambda: pytest.fail("it was served"))


def test_a_reconnect_is_followed_by_a_pull(line: Line) -> None:
    """Once the stream has said everything."""
    line.sync.dropped(1 * S)
    line.sync.opened(2 * S)
    before = line.pulls
    line.full(switch(0), at=3)
    assert line.pulls == before + 1


def test_a_failed_pull_asks_the_stream(line: Line) -> None:
    """Once at a time; its full sync repairs and is not followed by another pull."""
    line.pongs(10, 20, 30)
    before = line.pulls
    line.sync.unpulled(30 * S)
    line.sync.unpulled(31 * S)
    assert line.asked == 1
    line.full(switch(3, on=False), at=32)
    assert line.heard.kill
    assert line.pulls == before
    line.sync.unpulled(60 * S)
    assert line.asked == 2


def test_what_was_pushed_while_asking_counts(line: Line) -> None:
    """The stream answers in order, but a push may be newer than the answer."""
    line.push(switch(1, on=False), at=1)
    line.pongs(10, 20, 30)
    line.sync.unpulled(30 * S)
    line.push(switch(4), at=31)
    line.full(switch(1, on=False), at=32)
    assert not line.heard.kill


def test_what_was_pushed_before_asking_does_not(line: Line) -> None:
    """Otherwise a push with a stamp of tomorrow would stay for ever."""
    line.push(switch(50), at=1)
    line.sync.unpulled(30 * S)
    line.full(switch(2, on=False), at=32)
    assert line.heard.kill


def test_nothing_is_asked_without_a_stream() -> None:
    """Neither before one is open nor after it was lost."""
    line = Line()
    line.sync.unpulled(0)
    line.connected(switch(0), at=1)
    line.sync.dropped(2 * S)
    line.sync.unpulled(3 * S)
    assert line.asked == 0


def test_pongs_alone_vouch_for_two_pulls_at_most(line: Line) -> None:
    """When nobody says any more what there is, the connection is made anew."""
    line.pongs(*range(10, 61, 10))
    assert not line.tick(60)
    assert not line.tick(60.1)
    line.pongs(70)
    assert line.heard.verified_s == 60
    assert not line.tick(72.1)
    assert line.heard.problems[-1] == SILENT
    line.pongs(80)
    assert line.tick(80.2)
    line.connected(switch(9, on=False), at=82)
    assert line.heard.kill
    assert line.heard.verified_s == 82


def test_only_a_fresh_stream_releases_a_kill(line: Line) -> None:
    """A push after silence does not; after a look it does."""
    line.push(switch(5, on=False), at=5)
    line.push(switch(6), at=25)
    assert line.heard.kill
    line.pulled(switch(6), began=26, at=27)
    assert not line.heard.kill


def test_after_its_end_nothing_changes(line: Line) -> None:
    """A frame that is still on its way is ignored."""
    line.sync.end()
    line.push(switch(5, on=False), at=5)
    line.pulled(switch(5, on=False), began=6, at=7)
    line.sync.unpulled(8 * S)
    assert not line.heard.kill
    assert not line.tick(100)
    assert line.asked == 0

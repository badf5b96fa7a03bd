"""The live provider under a Governor survives what the bare SDK does not.

Each scenario of ``test_sdk_defects.py``, and some more: the kill arrives, or the data
says that it is old and the decisions shrink. Intervals are compressed, so that what
takes half a minute takes half a second; nothing depends on how fast it is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import OpenFeatureError

from openfeature import api
from openfeature.contrib.provider.featbit import authoring
from openfeature_gov import Effect, Outcome
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.integration.dripping import Dripping
from tests.integration.featbit import (
    LONG,
    MARK,
    SHORT,
    SWITCH,
    Mortal,
    flags,
    forked,
    governed,
    line,
    live,
    patch,
    running,
)
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # the SDK leaves sockets open
)
Decide = Callable[[], Outcome]
KILLED = "kill_switch"


class Heard:
    """Keep the events of all providers, from now on."""

    def __init__(self) -> None:
        self.events: list[tuple[ProviderEvent, EventDetails]] = []
        for event in ProviderEvent:
            api.add_handler(event, partial(self.hear, event))

    def hear(self, event: ProviderEvent, details: EventDetails) -> None:
        if details.provider_name == "featbit-snapshot":
            self.events.append((event, details))

    def count(self, event: ProviderEvent) -> int:
        return sum(one is event for one, _ in self.events)

    def changed(self) -> set[str]:
        return {key for _, one in self.events for key in one.flags_changed or ()}


@pytest.fixture
def decide(server: SimulatedFeatBit, tmp_path: Path) -> Iterator[Decide]:
    """Lend decisions under a live provider that polls, all of them allowed so far."""
    with governed(tmp_path, live(server), SHORT) as one:
        assert one().effect is Effect.ALLOW
        yield one


@pytest.fixture
def streamed(server: SimulatedFeatBit, tmp_path: Path) -> Iterator[Decide]:
    """Lend decisions under a live provider whose next pull is an hour away."""
    with governed(tmp_path, live(server, pull_s=3600.0), SHORT) as one:
        assert one().effect is Effect.ALLOW
        until(lambda: server.connections)
        yield one


def killed(decide: Decide) -> None:
    """Wait until the kill is obeyed."""
    until(lambda: decide().reason == KILLED, "the kill did not arrive")


def stays_killed(decide: Decide, seconds: float = 1.0) -> None:
    """Assert that every decision of the next while obeys the kill."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert decide().reason == KILLED
        time.sleep(0.01)


def shrunk(decide: Decide) -> None:
    """Wait until the decisions know that their data is old."""
    until(lambda: decide().reason == "flags_stale", "the data never grew old")
    assert decide().effect is Effect.QUEUE_FOR_APPROVAL


def test_a_duplicate_item_stops_nothing(
    server: SimulatedFeatBit, streamed: Decide
) -> None:
    """D4: the rest of a patch counts, without the help of a pull."""
    server.faults.http_down = True
    server.faults.duplicate_items = True
    server.toggle(SWITCH, False)
    killed(streamed)


def test_a_kill_with_an_older_stamp_counts(
    server: SimulatedFeatBit, streamed: Decide
) -> None:
    """D5: a kill from a clock that runs behind is obeyed when it is pushed."""
    server.toggle(SWITCH, True)
    server.faults.clock_skew_ms = -1000
    server.toggle(SWITCH, False)
    killed(streamed)
    server.drop(1011)
    until(lambda: server.connections)
    stays_killed(streamed)


def test_skew_across_a_disconnect_loses_nothing(
    server: SimulatedFeatBit, streamed: Decide
) -> None:
    """D5: what was killed during an outage is found, whatever its stamp."""
    server.toggle(MARK, False)
    server.faults.clock_skew_ms = -1000
    server.faults.drop_pushes = True
    server.toggle(SWITCH, False)
    server.faults.drop_pushes = False
    assert streamed().effect is Effect.ALLOW
    server.drop(1011)
    killed(streamed)


def test_a_lost_push_is_repaired(server: SimulatedFeatBit, decide: Decide) -> None:
    """A push that never came is made up for by the next pull."""
    server.faults.drop_pushes = True
    server.toggle(SWITCH, False)
    server.toggle(MARK, False)
    killed(decide)


def test_a_lost_push_is_not_hidden_by_pongs(
    server: SimulatedFeatBit, decide: Decide
) -> None:
    """When nobody can pull, a living stream alone does not vouch for ever."""
    server.faults.http_down = True
    server.faults.drop_pushes = True
    server.toggle(SWITCH, False)
    until(lambda: decide().reason in ("flags_stale", KILLED), seconds=4.0)


@pytest.mark.parametrize("from_the_start", [False, True])
def test_a_dripping_answer_holds_nobody_up(
    server: SimulatedFeatBit, tmp_path: Path, from_the_start: bool
) -> None:
    """A request has an end, also if its answer has none: the next one follows."""
    with Dripping(from_the_start=from_the_start) as drip:
        provider = live(server, event_url=drip.url)
        with governed(tmp_path, provider, SHORT) as decide:
            assert decide().effect is Effect.ALLOW
            until(lambda: drip.requests >= 2, seconds=4.0)


def test_a_malformed_frame_is_repaired(
    server: SimulatedFeatBit, streamed: Decide
) -> None:
    """A frame that nobody can read makes the provider look for itself."""
    server.faults.malformed_frame_once = True
    server.toggle(SWITCH, False)
    killed(streamed)


def test_a_malformed_frame_is_not_believed(
    server: SimulatedFeatBit, streamed: Decide
) -> None:
    """If it cannot look for itself, the data grows old although pongs arrive."""
    server.faults.http_down = True
    server.faults.malformed_frame_once = True
    server.toggle(SWITCH, False)
    until(lambda: streamed().reason in ("flags_stale", KILLED))
    killed(streamed)


def test_late_frames_do_not_win(server: SimulatedFeatBit, decide: Decide) -> None:
    """A release that is overtaken by the next kill does not undo it."""
    server.faults.out_of_order = True
    server.toggle(SWITCH, True)
    server.toggle(SWITCH, False)
    killed(decide)
    stays_killed(decide)


def test_archiving_is_announced_and_obeyed(
    server: SimulatedFeatBit, streamed: Decide
) -> None:
    """D7: the change is announced with its key, and nothing is allowed any more."""
    heard = Heard()
    server.archive(SWITCH)
    until(lambda: SWITCH in heard.changed())
    assert streamed().effect is not Effect.ALLOW


def test_removal_is_announced_and_obeyed(
    server: SimulatedFeatBit, decide: Decide
) -> None:
    """D7: the same for a flag that is missing from a full sync."""
    heard = Heard()
    server.remove(SWITCH)
    until(lambda: SWITCH in heard.changed())
    assert decide().effect is not Effect.ALLOW


def test_a_segment_announces_the_flags_that_name_it(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """A kill may be a segment: the flag is announced, and follows."""
    named = authoring.segment_condition(["held"])
    document = flags()
    flag = next(f for f in document["data"]["featureFlags"] if f["key"] == SWITCH)
    flag["rules"] = [authoring.rule("hold", [named], serve="false")]
    document["data"]["segments"] = [authoring.segment("held")]
    server.load(document)
    with governed(tmp_path, live(server, pull_s=3600.0), SHORT) as decide:
        contract = decide().contract
        assert contract is not None
        key = contract.context.actor.targeting_key
        heard = Heard()
        server.put_segment(authoring.segment("held", included=[key]))
        killed(decide)
        until(lambda: heard.changed() == {SWITCH})


def test_a_frozen_peer_lowers_the_cap(server: SimulatedFeatBit, decide: Decide) -> None:
    """D3: STALE once, decisions wait for people, and the thaw brings the kill."""
    heard = Heard()
    server.faults.frozen = True
    server.toggle(SWITCH, False)
    shrunk(decide)
    until(lambda: heard.count(ProviderEvent.PROVIDER_STALE) == 1)
    assert heard.count(ProviderEvent.PROVIDER_READY) == 0
    server.faults.frozen = False
    killed(decide)
    until(lambda: heard.count(ProviderEvent.PROVIDER_READY) >= 1)


def test_a_frozen_stream_is_replaced_by_pulls(
    server: SimulatedFeatBit, decide: Decide
) -> None:
    """While HTTP works, a silent stream costs no kill."""
    server.faults.frozen_stream = True
    server.toggle(SWITCH, False)
    killed(decide)


def test_a_half_open_connection_is_replaced_by_pulls(
    server: SimulatedFeatBit, decide: Decide
) -> None:
    """The upgrade is never answered: polling goes on, and then the data is old."""
    server.faults.half_open = True
    server.drop(1011)
    server.toggle(MARK, False)
    server.toggle(SWITCH, False)
    killed(decide)
    server.toggle(SWITCH, True)
    until(lambda: decide().effect is Effect.ALLOW)
    server.faults.http_down = True
    shrunk(decide)


def test_a_slow_full_sync_does_not_hide_the_kill(
    server: SimulatedFeatBit, decide: Decide
) -> None:
    """A kill that comes while the answer to a sync is on its way is not undone."""
    server.faults.slow_sync_s = 0.5
    server.drop(1011)
    server.toggle(SWITCH, False)
    killed(decide)
    stays_killed(decide)


def test_a_lagging_node_does_not_undo_a_kill(
    server: SimulatedFeatBit, decide: Decide
) -> None:
    """The latch: only a newer release, seen while fresh, opens what was closed."""
    server.faults.stale_snapshot = True
    server.toggle(SWITCH, False)
    killed(decide)
    server.drop(1011)
    until(lambda: server.connections)
    stays_killed(decide)
    server.toggle(SWITCH, True)
    until(lambda: decide().effect is Effect.ALLOW)


def test_the_latch_survives_a_restart(server: SimulatedFeatBit, tmp_path: Path) -> None:
    """A kill that was on disk holds against a lagging node in the next process too."""
    last_good = tmp_path / "last-good"
    with governed(tmp_path, live(server, last_good=last_good), SHORT) as decide:
        server.faults.stale_snapshot = True
        server.toggle(SWITCH, False)
        killed(decide)
    with governed(tmp_path, live(server, last_good=last_good), SHORT) as decide:
        stays_killed(decide)


def test_a_long_outage_is_outlived(
    delays: list[float], server: SimulatedFeatBit, streamed: Decide
) -> None:
    """D2: after 1,100 failed reconnects the stream comes back, with what it missed."""
    server.pause()
    server.toggle(SWITCH, False)
    seen = len(delays)
    until(lambda: len(delays) > seen + 1100, "it gave up", 2 * LONG)
    shrunk(streamed)
    server.resume()
    killed(streamed)
    until(lambda: server.connections)
    server.faults.http_down = True
    server.toggle(SWITCH, True)
    until(lambda: streamed().effect is Effect.ALLOW)


def test_a_server_that_was_killed_comes_back(tmp_path: Path) -> None:
    """Kill -9: the data grows old, and the restarted server's kill arrives."""
    with running("mortal") as program:
        server = Mortal(program)
        server.tell("live")
        with governed(tmp_path, live(server), SHORT) as decide:
            assert decide().effect is Effect.ALLOW
            server.tell("die")
            shrunk(decide)
            server.tell(f"live {SWITCH}")
            killed(decide)


def test_a_refused_secret_is_fatal(server: SimulatedFeatBit, tmp_path: Path) -> None:
    """D1: at start it is an error that names the cause, and never the secret."""
    server.faults.refuse_code = 4003
    server.faults.http_down = True
    heard = Heard()
    with pytest.raises(OpenFeatureError) as raised, governed(tmp_path, live(server)):
        pass
    assert server.server_secret not in str(raised.value)
    until(lambda: heard.count(ProviderEvent.PROVIDER_ERROR))


@pytest.mark.parametrize("version", ["1.8", "1.9"])
def test_a_revoked_secret_is_fatal(
    server: SimulatedFeatBit,
    decide: Decide,
    request: pytest.FixtureRequest,
    version: str,
) -> None:
    """D1: with any websocket-client, and HTTP that would still answer: denied."""
    if version == "1.9":
        request.getfixturevalue("newer_websocket")
    heard = Heard()
    server.faults.refuse_code = 4003
    server.drop(1011)
    until(lambda: decide().effect is Effect.DENY)
    until(lambda: heard.count(ProviderEvent.PROVIDER_ERROR))
    assert decide().reason == "provider_fatal"


def test_an_unavailable_store_is_not_fatal(
    server: SimulatedFeatBit, decide: Decide
) -> None:
    """Code 1011 is the server's trouble: it passes."""
    server.faults.refuse_code = 1011
    server.drop(1011)
    server.toggle(SWITCH, False)
    killed(decide)
    server.faults.refuse_code = None
    until(lambda: server.connections)
    server.toggle(SWITCH, True)
    until(lambda: decide().effect is Effect.ALLOW)


def test_both_sides_of_a_fork_obey(server: SimulatedFeatBit) -> None:
    """D21: parent and child see the kill, each over a connection of its own."""
    found = forked(server, "live")
    assert found == {"parent": {"value": False}, "child": {"value": False}}


def test_two_processes_obey(server: SimulatedFeatBit) -> None:
    """Every process has a connection of its own and hears of the same kill."""
    address = (server.streaming_url, server.event_url, server.server_secret)
    with (
        running("fork", "live", *address) as one,
        running("fork", "live", *address) as two,
    ):
        assert line(one) == line(two) == "forked\n"
        until(lambda: server.connections >= 4)
        server.toggle(SWITCH, False)
        for program in (one, two):
            found = json.loads(line(program))
            assert found["parent"] == found["child"] == {"value": False}


def test_last_known_good_has_its_true_age(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """Without a server a start takes the file, which is as old as it is."""
    last_good = tmp_path / "last-good"
    with governed(tmp_path, live(server, last_good=last_good)) as decide:
        assert decide().effect is Effect.ALLOW
    server.pause()
    stopped = time.monotonic_ns()
    assert last_good.stat().st_mode & 0o077 == 0
    until(lambda: time.monotonic_ns() - stopped > SHORT[0][0])
    provider = live(server, last_good=last_good, start_wait_s=0.2)
    with governed(tmp_path, provider, SHORT) as decide:
        assert provider.freshness().verified_ns <= stopped
        assert decide().effect is Effect.QUEUE_FOR_APPROVAL
        assert decide().reason == "flags_stale"
        server.resume()
        until(lambda: decide().effect is Effect.ALLOW)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "one bit": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
    "not ours": lambda _: b'{"messageType":"data-sync"}',
    "allowing": lambda data: data.replace(b"observe", b"OBSERVE"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_last_known_good_is_refused(
    server: SimulatedFeatBit, tmp_path: Path, how: str
) -> None:
    """It counts as no file: no start without a server, and a new file with one."""
    last_good = tmp_path / "last-good"
    with governed(tmp_path, live(server, last_good=last_good)) as decide:
        assert decide().effect is Effect.ALLOW
    server.pause()
    sound = last_good.read_bytes()
    last_good.write_bytes(DAMAGE[how](sound))
    assert last_good.read_bytes() != sound
    provider = live(server, last_good=last_good, start_wait_s=0.2)
    with pytest.raises(OpenFeatureError), governed(tmp_path, provider):
        pass
    server.resume()
    with governed(tmp_path, live(server, last_good=last_good)) as decide:
        assert decide().effect is Effect.ALLOW
    server.pause()
    provider = live(server, last_good=last_good, start_wait_s=0.2)
    with governed(tmp_path, provider) as decide:
        assert decide().effect is not Effect.DENY


def nested(depth: int) -> list[object]:
    """Return a list in a list in a list."""
    return [nested(depth - 1)] if depth else []


def test_a_bad_flag_harms_no_other(server: SimulatedFeatBit, decide: Decide) -> None:
    """A flag that nobody can serve is refused alone; the kill beside it arrives."""
    gap = authoring.boolean_flag("gap", serve=True)
    gap["fallthrough"]["variations"][0]["rollout"] = [0, 0.5]
    server.put_flag(gap)
    server.put_flag({**gap, "key": "none", "variations": None})
    assert decide().effect is Effect.ALLOW
    server.push_raw(patch({**gap, "key": 7}, server.toggle(SWITCH, False)))
    killed(decide)


def test_a_monstrous_flag_harms_no_other(
    server: SimulatedFeatBit, decide: Decide
) -> None:
    """The same when even looking at the flag fails."""
    server.put_flag(
        {**authoring.boolean_flag("deep", serve=True), "rules": nested(300)}
    )
    server.toggle(SWITCH, False)
    until(lambda: decide().reason == KILLED, seconds=4.0)


def test_a_bad_governing_flag_denies(server: SimulatedFeatBit, decide: Decide) -> None:
    """If it is the switch itself that cannot be served, nothing is allowed."""
    gap = authoring.boolean_flag(SWITCH, serve=True)
    gap["fallthrough"]["variations"][0]["rollout"] = [0, 0.5]
    server.put_flag(gap)
    until(lambda: decide().effect is not Effect.ALLOW)


@pytest.mark.parametrize("on", [True, False])
def test_rapid_flips_end_in_the_last_state(
    server: SimulatedFeatBit, streamed: Decide, on: bool
) -> None:
    """200 flips as fast as they go: what stays is the last, with no pull to help."""
    for number in range(200):
        server.toggle(SWITCH, on if number % 2 else not on)
    wanted = Effect.ALLOW if on else Effect.DENY
    server.toggle("gov.fallback", False)  # off: falls back
    until(lambda: streamed().decision.effect is not Effect.ALLOW)
    server.toggle("gov.fallback", True)
    until(lambda: streamed().effect is wanted)


def test_nothing_secret_is_logged(
    server: SimulatedFeatBit,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither secret nor token nor flag value, whatever goes wrong, at any level."""
    caplog.set_level(1)
    caplog.set_level(1, "fbclient.utils")
    caplog.set_level(logging.CRITICAL, "openfeature_gov.testing")
    private = authoring.json_flag(
        "gov.denylist",
        {"now": ["ada@example.org"], "all": ["*"]},
        serve="now",
        off="all",
    )
    server.put_flag(private)
    heard = Heard()
    provider = live(server, last_good=tmp_path / "last-good")
    with governed(tmp_path, provider, SHORT) as decide:
        decide()
        server.faults.malformed_frame_once = True
        server.put_flag(private)
        server.put_flag({**private, "variations": "ada@example.org"})
        server.archive("gov.denylist")
        server.faults.always_full = True
        server.drop(1011)
        until(lambda: server.connections)
        server.faults.refuse_code = 4003
        server.drop(1011)
        until(lambda: decide().reason == "provider_fatal")
        said = repr(provider) + repr(vars(provider))
    out, err = capfd.readouterr()
    said += caplog.text + out + err + repr(heard.events)
    secret = server.server_secret
    assert secret not in said
    assert secret[:22] not in said
    assert "token=" not in said
    assert "ada@example.org" not in said


def test_nothing_is_sent_by_default(server: SimulatedFeatBit, decide: Decide) -> None:
    """No evaluation is reported to FeatBit unless someone asks for it."""
    for _ in range(50):
        decide()
    server.toggle(SWITCH, False)
    killed(decide)
    assert server.insights == []


FAULTS = ("none", "frozen", "half_open", "http_down", "paused")


@pytest.mark.parametrize("fault", FAULTS)
def test_shutdown_is_bounded(
    server: SimulatedFeatBit, tmp_path: Path, fault: str
) -> None:
    """Whatever the server does, shutdown ends and takes its threads with it."""
    before = set(threading.enumerate())
    provider = live(server)
    with governed(tmp_path, provider, SHORT) as decide:
        if fault == "paused":
            server.pause()
        elif fault != "none":
            setattr(server.faults, fault, True)
            server.push_raw("")
        decide()
        started = time.monotonic()
        provider.shutdown()
        took = time.monotonic() - started
    assert took < LONG / 3

    def left() -> list[str]:
        new = set(threading.enumerate()) - before
        return [one.name for one in new if one.name.startswith("featbit")]

    until(lambda: not left(), f"still running: {left()}")


def test_the_event_loop_goes_on(server: SimulatedFeatBit, decide: Decide) -> None:
    """Decisions on an asyncio loop never wait for the network."""
    server.faults.slow_sync_s = 5.0
    server.drop(1011)

    async def longest_pause() -> float:
        longest, last = 0.0, time.monotonic()
        for _ in range(200):
            decide()
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        return longest

    assert asyncio.run(longest_pause()) < 2.5


def test_no_environment_is_never_ready(tmp_path: Path) -> None:
    """Without server, file or bootstrap a start fails, in its time."""
    with SimulatedFeatBit() as gone:
        pass
    provider = live(gone, start_wait_s=0.2)
    with pytest.raises(OpenFeatureError), governed(tmp_path, provider):
        pass


def test_flags_that_are_gone_allow_nothing(
    server: SimulatedFeatBit, decide: Decide
) -> None:
    """An environment that was emptied is an answer: nothing is configured."""
    server.load({"data": {"featureFlags": [], "segments": []}})
    until(lambda: decide().effect is not Effect.ALLOW)

"""Each known way in which FeatBit's own SDK loses, delays or hides an update.

The losses are asserted: when one of these tests fails, a newer SDK has mended what
``test_live_survives.py`` shows our provider to survive. D numbers count the defects of
fb-python-sdk 1.2.1.
"""

from __future__ import annotations

import pytest
from fbclient.client import FBClient
from fbclient.flag_change_notification import FlagChangedListener, FlagChangedNotice
from fbclient.streaming import Streaming

from openfeature.contrib.provider.featbit import authoring
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.integration.emulation import streaming
from tests.integration.featbit import (
    LONG,
    MARK,
    MODE,
    SWITCH,
    bare,
    forked,
    mark,
    serves,
    state,
)
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # the SDK leaves sockets open
)


class Notices(FlagChangedListener):  # type: ignore[misc] # the SDK is untyped
    """Keep the keys of the flags whose change is announced from now on."""

    def __init__(self, server: SimulatedFeatBit, client: FBClient) -> None:
        self.keys: list[str] = []
        client.flag_tracker.add_flag_changed_listener(self)
        server.put_flag(authoring.boolean_flag("late", serve=True))
        until(lambda: "late" in self.keys)
        self.keys.clear()

    def on_flag_change(self, notice: FlagChangedNotice) -> None:
        self.keys.append(notice.flag_key)


def unaware(server: SimulatedFeatBit, client: FBClient) -> None:
    """Assert that *client* still allows what is killed, and says that all is well."""
    mark(server, client)
    assert serves(client) is True
    assert state(client) == "OK"


def reconnected(server: SimulatedFeatBit, client: FBClient) -> None:
    """Cut the stream of *client* and wait until it is well again."""
    server.drop(1011)
    until(lambda: server.connections and state(client) == "OK")


def test_a_kill_arrives_when_all_is_well(server: SimulatedFeatBit) -> None:
    """The other tests prove something: undisturbed, the bare SDK obeys."""
    with bare(server) as client:
        assert serves(client) is True
        server.toggle(SWITCH, False)
        until(lambda: serves(client) is False)


def test_d4_a_duplicate_item_stops_the_rest_of_a_patch(
    server: SimulatedFeatBit,
) -> None:
    """A kill behind an item that the client holds already is lost."""
    with bare(server) as client:
        server.faults.duplicate_items = True
        server.toggle(SWITCH, False)
        server.faults.duplicate_items = False
        unaware(server, client)


def test_d5_an_older_stamp_loses_the_kill(server: SimulatedFeatBit) -> None:
    """A kill stamped by a clock that runs behind is dropped for good."""
    with bare(server) as client:
        server.toggle(SWITCH, True)
        server.faults.clock_skew_ms = -1000
        server.toggle(SWITCH, False)
        server.faults.clock_skew_ms = 0
        unaware(server, client)
        reconnected(server, client)
        unaware(server, client)


def test_d5_skew_across_a_disconnect_loses_the_kill(server: SimulatedFeatBit) -> None:
    """A catch-up asks for what is newer than the newest item, whoever stamped it."""
    with bare(server) as client:
        mark(server, client)
        server.faults.clock_skew_ms = -1000
        server.faults.drop_pushes = True
        server.toggle(SWITCH, False)
        server.faults.clock_skew_ms = 0
        server.faults.drop_pushes = False
        reconnected(server, client)
        unaware(server, client)


def test_a_lost_push_is_never_made_up_for(server: SimulatedFeatBit) -> None:
    """Once another item was pushed, no reconnect brings the lost kill back."""
    with bare(server) as client:
        server.faults.drop_pushes = True
        server.toggle(SWITCH, False)
        server.faults.drop_pushes = False
        unaware(server, client)
        reconnected(server, client)
        unaware(server, client)


def test_a_malformed_frame_loses_the_kill(server: SimulatedFeatBit) -> None:
    """A frame that was cut off is skipped, with nothing but a line in the log."""
    with bare(server) as client:
        server.faults.malformed_frame_once = True
        server.toggle(SWITCH, False)
        unaware(server, client)
        reconnected(server, client)
        unaware(server, client)


def test_d7_archiving_is_not_announced(server: SimulatedFeatBit) -> None:
    """The flag is gone, its users get their default, and no listener hears of it."""
    with bare(server) as client:
        notices = Notices(server, client)
        server.archive(SWITCH)
        mark(server, client)
        until(lambda: MARK in notices.keys)
        assert serves(client) is None
        assert SWITCH not in notices.keys


def test_d7_removal_by_a_full_sync_is_not_announced(
    server: SimulatedFeatBit,
) -> None:
    """A newer full sync takes the flag away; all others are announced."""
    with bare(server) as client:
        notices = Notices(server, client)
        server.remove(SWITCH)
        server.faults.drop_pushes = True
        server.toggle(MARK, False)
        server.faults.always_full = True
        reconnected(server, client)
        until(lambda: {MARK, MODE} <= set(notices.keys))
        assert serves(client) is None
        assert SWITCH not in notices.keys


def test_a_removed_flag_is_served_for_ever(server: SimulatedFeatBit) -> None:
    """What was deleted during an outage is never missed: catch-ups are patches."""
    with bare(server) as client:
        server.remove(SWITCH)
        reconnected(server, client)
        unaware(server, client)


def test_d8_a_full_sync_with_nothing_new_is_refused(
    server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is connected and was told the truth, and says INTERRUPTED."""
    taken: list[bool] = []
    process = Streaming._on_process_data

    def noted(self: Streaming, data: object) -> bool:
        taken.append(process(self, data))
        return taken[-1]

    with bare(server) as client:
        monkeypatch.setattr(Streaming, "_on_process_data", noted)
        server.faults.always_full = True
        server.drop(1011)
        until(lambda: taken)
        assert taken == [False]
        assert server.connections == 1
        assert state(client) == "INTERRUPTED"


def test_d3_a_frozen_peer_is_reported_as_well(
    server: SimulatedFeatBit, pings: list[None]
) -> None:
    """After 56 pings without a pong (ten minutes, by default) the state is OK."""
    with bare(server) as client:
        server.faults.frozen = True
        server.toggle(SWITCH, False)
        seen = len(pings)
        until(lambda: len(pings) > seen + 56)
        assert state(client) == "OK"
        assert serves(client) is True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_d2_a_long_outage_ends_the_stream_for_ever(
    server: SimulatedFeatBit, delays: list[float]
) -> None:
    """The 1,024th retry overflows a float: the thread dies and the kill is lost."""
    with bare(server) as client:
        server.pause()
        server.toggle(SWITCH, False)
        until(lambda: not streaming(client).is_alive(), "it goes on", 2 * LONG)
        server.resume()
        assert len(delays) >= 1024
        assert sum(delays) > 3600  # this is an outage of hours
        assert state(client) == "INTERRUPTED"
        assert client.initialize
        assert serves(client) is True
        assert server.connections == 0


def test_d1_a_refused_secret_ends_the_stream(server: SimulatedFeatBit) -> None:
    """With the websocket-client that we pin, close code 4003 means OFF."""
    server.faults.refuse_code = 4003
    with bare(server) as client:
        until(lambda: state(client) == "OFF")
        until(lambda: not streaming(client).is_alive())


@pytest.mark.usefixtures("newer_websocket")
def test_d1_a_refused_secret_is_retried_for_ever(
    server: SimulatedFeatBit, delays: list[float]
) -> None:
    """With the websocket-client that pip installs, the client never gives up."""
    server.faults.refuse_code = 4003
    with bare(server, start_wait=0.1) as client:
        until(lambda: len(delays) > 20)
        assert state(client) == "INITIALIZING"
        assert "4003" in client.update_status_provider.current_state.error_track.message


def test_d21_a_forked_child_never_hears_of_the_kill(
    server: SimulatedFeatBit,
) -> None:
    """The child has no thread and still says OK; the parent obeys."""
    found = forked(server, "bare")
    assert found["parent"]["value"] is False
    assert found["child"] == {"value": True, "state": "OK", "threads": 1}

"""The simulated evaluation server speaks the real shapes to the real SDK."""

import gc
import json
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3
from fbclient.client import FBClient
from fbclient.config import Config, WebSocketConfig
from fbclient.event_processor import NullEventProcessor
from fbclient.status_types import StateType
from fbclient.utils import build_token
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from openfeature.contrib.provider.featbit import authoring
from openfeature_gov.testing.featbit import SimulatedFeatBit
from openfeature_gov.testing.featbit.environment import environment_of, read_token
from openfeature_gov.testing.featbit.oracle import bucket
from openfeature_gov.testing.featbit.store import milliseconds
from tests.waiting import until

USER = {"key": "agent-7", "name": "agent-7"}
LATEST = "/api/public/sdk/server/latest-all"
PATIENCE = 10.0

# FeatBit's SDK leaves the sockets of lost streams to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def document() -> dict[str, Any]:
    return authoring.document(
        [
            authoring.boolean_flag("agent.on", serve=True),
            authoring.string_flag(
                "agent.mode", ["search", "off"], serve="search", off="off"
            ),
        ],
        [authoring.segment("trusted", included=["agent-1"])],
    )


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    with SimulatedFeatBit(document()) as simulated:
        yield simulated


@contextmanager
def sdk(server: SimulatedFeatBit, *, secret: str = "") -> Iterator[FBClient]:
    config = Config(
        secret or server.server_secret,
        server.event_url,
        server.streaming_url,
        streaming_first_retry_delay=1,
        event_processor_imp=NullEventProcessor,
        websocket=WebSocketConfig(timeout=0.5),  # and with it the time to stop
    )
    client = FBClient(config, start_wait=0)
    try:
        yield client
    finally:
        client.stop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@contextmanager
def stream(server: SimulatedFeatBit) -> Iterator[ClientConnection]:
    token = build_token(server.server_secret)
    url = f"{server.streaming_url}/streaming?type=server&token={token}"
    with connect(url, close_timeout=0.2, proxy=None) as connection:
        yield connection


def sync(connection: ClientConnection, timestamp: int = 0) -> dict[str, Any]:
    request = {"messageType": "data-sync", "data": {"timestamp": timestamp}}
    connection.send(json.dumps(request))
    return read(connection)


def read(connection: ClientConnection) -> dict[str, Any]:
    frame = json.loads(connection.recv(timeout=PATIENCE))
    assert frame["messageType"] == "data-sync"
    data: dict[str, Any] = frame["data"]
    return data


def latest(server: SimulatedFeatBit, timestamp: int = 0) -> urllib3.BaseHTTPResponse:
    return urllib3.request(
        "GET",
        f"{server.event_url}{LATEST}?timestamp={timestamp}",
        headers={"Authorization": server.server_secret},
        retries=False,
        timeout=PATIENCE,
    )


def served(client: FBClient, key: str = "agent.on") -> Any:
    return client.variation(key, USER, None)


def state(client: FBClient) -> StateType:
    return client.update_status_provider.current_state.state_type


def test_the_sdk_follows_an_edit() -> None:
    """A change is stored, stamped, pushed and served by FeatBit's own client."""
    with SimulatedFeatBit(document()) as server, sdk(server) as client:
        assert client.update_status_provider.wait_for_OKState(PATIENCE)
        assert served(client) is True
        assert client.variation("agent.mode", USER, None) == "search"
        assert server.connections == 1
        server.toggle("agent.on", enabled=False)
        until(lambda: served(client) is False)
        server.archive("agent.on")
        until(lambda: served(client) is None)
    server.stop()


def test_a_removed_flag_is_gone_from_a_full_sync_alone(
    server: SimulatedFeatBit,
) -> None:
    with stream(server) as connection:
        assert len(sync(connection)["featureFlags"]) == 2
        server.remove("agent.mode")
        assert sync(connection, 1)["featureFlags"][0]["key"] == "agent.on"
        keys = [flag["key"] for flag in sync(connection)["featureFlags"]]
        assert keys == ["agent.on"]


def test_a_full_sync_leaves_out_what_a_push_carries(server: SimulatedFeatBit) -> None:
    with stream(server) as connection:
        full = sync(connection)
        assert full["eventType"] == "full"
        assert "revision" not in full["featureFlags"][0]
        saved = server.toggle("agent.on", enabled=False)
        push = read(connection)
        assert push == {
            "eventType": "patch",
            "featureFlags": [saved],
            "segments": [],
        }
        assert saved["revision"]
        server.put_segment({"id": "trusted", "included": ["agent-2"]})
        push = read(connection)
        assert push["featureFlags"] == []
        (segment,) = push["segments"]
        assert segment["included"] == ["agent-2"]
        assert segment.keys() - full["segments"][0].keys() == {
            "createdAt",
            "key",
            "tags",
        }
        assert full["segments"][0].keys() <= segment.keys()


def test_a_patch_answer_holds_what_is_newer(server: SimulatedFeatBit) -> None:
    with stream(server) as connection:
        sync(connection)
        server.toggle("agent.on", enabled=False)
        newest = milliseconds(read(connection)["featureFlags"][0]["updatedAt"])
        answer = sync(connection, newest)
        assert answer == {"eventType": "patch", "featureFlags": [], "segments": []}
        answer = sync(connection, newest - 1)
        assert [flag["key"] for flag in answer["featureFlags"]] == ["agent.on"]
        assert latest(server, newest).data == b""


def test_latest_all_is_the_same_message(server: SimulatedFeatBit) -> None:
    response = latest(server)
    assert response.status == 200
    with stream(server) as connection:
        assert response.json()["data"] == sync(connection)


@pytest.mark.parametrize("secret", ["", "short", "!" * 44])
def test_http_refuses_a_secret_of_another_shape(
    server: SimulatedFeatBit, secret: str
) -> None:
    headers = {"Authorization": secret}
    url = server.event_url + LATEST
    assert urllib3.request("GET", url, headers=headers).status == 401


def test_secrets_and_tokens_have_the_real_layout() -> None:
    """The vectors are FeatBit's own."""
    secret = "gpnOV3wI3kKAO9q9viC0wQWdKZrVAf2U6gAnxl4lSH3w"
    token = "QWSBHgpnOV3wI3kKAO9q9viC0wQWQQBDDDQBZWPXDQSdKZrVAf2U6gAnxl4lSH3w"
    assert read_token(token) == (secret, 1666018247603)
    assert environment_of(secret) == "ad99d259-1f50-4ed9-a002-7c65e25487df"
    with SimulatedFeatBit() as server:
        assert len(server.server_secret) == 44
        assert environment_of(server.server_secret) == server.env_id


def test_a_refused_secret_closes_with_4003(server: SimulatedFeatBit) -> None:
    with sdk(server, secret="x" * 44) as client:
        until(lambda: state(client) == StateType.OFF)


def test_an_old_token_closes_with_4003(server: SimulatedFeatBit) -> None:
    server.faults.evaluation_clock_skew_ms = 31_000
    with stream(server) as connection, pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4003


def test_pings_are_answered_and_nonsense_is_ignored(server: SimulatedFeatBit) -> None:
    with stream(server) as connection:
        connection.send("{")
        connection.send('{"messageType":"nonsense","data":{}}')
        connection.send('{"messageType":"ping"}')
        connection.send('{"messageType":"ping","data":null}')
        assert connection.recv(timeout=PATIENCE) == '{"messageType":"pong","data":{}}'


def test_insights_are_kept(server: SimulatedFeatBit) -> None:
    config = Config(
        server.server_secret,
        server.event_url,
        server.streaming_url,
        websocket=WebSocketConfig(timeout=0.5),
    )
    client = FBClient(config, start_wait=PATIENCE)
    try:
        served(client)
        client.flush()
        until(lambda: any("variations" in one for one in server.insights))
    finally:
        client.stop()


def test_a_dropped_stream_comes_back_and_catches_up(server: SimulatedFeatBit) -> None:
    with sdk(server) as client:
        assert client.update_status_provider.wait_for_OKState(PATIENCE)
        server.drop(1011)
        assert server.connections == 0
        server.toggle("agent.on", enabled=False)
        until(lambda: served(client) is False)


def test_a_paused_server_refuses_and_comes_back_on_its_ports(
    server: SimulatedFeatBit,
) -> None:
    urls = server.streaming_url, server.event_url
    with sdk(server) as client:
        assert client.update_status_provider.wait_for_OKState(PATIENCE)
        server.pause()
        until(lambda: state(client) == StateType.INTERRUPTED)
        for url in urls:
            port = int(url.rpartition(":")[2])
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
        server.toggle("agent.on", enabled=False)
        server.resume()
        assert (server.streaming_url, server.event_url) == urls
        until(lambda: served(client) is False)


def test_a_frozen_server_reads_and_says_nothing(server: SimulatedFeatBit) -> None:
    with stream(server) as connection:
        sync(connection)
        server.faults.frozen = True
        server.toggle("agent.on", enabled=False)
        connection.send('{"messageType":"ping","data":null}')
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.2)
        url = server.event_url + LATEST
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            urllib3.request("GET", url, timeout=0.2, retries=False)
        server.faults.frozen = False
        assert sync(connection)["featureFlags"][0]["isEnabled"] is False


def test_a_half_open_server_never_upgrades(server: SimulatedFeatBit) -> None:
    server.faults.half_open = True
    with pytest.raises(TimeoutError):
        connect(server.streaming_url + "/streaming", open_timeout=0.2, proxy=None)
    server.faults.half_open = False
    with stream(server) as connection:
        assert sync(connection)["eventType"] == "full"


def test_a_dropped_push_shows_in_the_next_answer(server: SimulatedFeatBit) -> None:
    with stream(server) as connection:
        sync(connection)
        server.faults.drop_pushes = True
        server.toggle("agent.on", enabled=False)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.1)
        assert sync(connection)["featureFlags"][0]["isEnabled"] is False


def test_a_stale_item_first_hides_a_kill_from_the_sdk(
    server: SimulatedFeatBit,
) -> None:
    """The known loss: one stale item stops the rest of a patch; the state stays OK."""
    with sdk(server) as client:
        assert client.update_status_provider.wait_for_OKState(PATIENCE)
        server.faults.duplicate_items = True
        server.toggle("agent.on", enabled=False)
        server.faults.duplicate_items = False
        server.put_flag(authoring.boolean_flag("later", serve=True))
        until(lambda: served(client, "later") is True)
        assert served(client) is True
        assert state(client) == StateType.OK


def test_a_skewed_clock_hides_a_kill_from_the_sdk(server: SimulatedFeatBit) -> None:
    with sdk(server) as client:
        assert client.update_status_provider.wait_for_OKState(PATIENCE)
        server.put_flag(authoring.boolean_flag("agent.on", serve=True))
        server.faults.clock_skew_ms = -60_000
        server.toggle("agent.on", enabled=False)
        server.faults.clock_skew_ms = 0
        server.put_flag(authoring.boolean_flag("later", serve=True))
        until(lambda: served(client, "later") is True)
        assert served(client) is True


def test_pushes_can_change_places(server: SimulatedFeatBit) -> None:
    with stream(server) as connection:
        sync(connection)
        server.faults.out_of_order = True
        server.toggle("agent.on", enabled=False)
        server.toggle("agent.mode", enabled=False)
        keys = [read(connection)["featureFlags"][0]["key"] for _ in range(2)]
        assert keys == ["agent.mode", "agent.on"]


def test_one_push_can_be_cut_off(server: SimulatedFeatBit) -> None:
    with stream(server) as connection:
        sync(connection)
        server.faults.malformed_frame_once = True
        server.toggle("agent.on", enabled=False)
        with pytest.raises(ValueError):
            json.loads(connection.recv(timeout=PATIENCE))
        server.push_raw("{}")
        assert connection.recv(timeout=PATIENCE) == "{}"


def test_a_lagging_node_serves_an_old_copy(server: SimulatedFeatBit) -> None:
    server.faults.stale_snapshot = True
    server.toggle("agent.on", enabled=False)
    assert latest(server).json()["data"]["featureFlags"][0]["isEnabled"] is True
    server.faults.stale_snapshot = False
    assert latest(server).json()["data"]["featureFlags"][0]["isEnabled"] is False


def test_every_sync_can_be_full(server: SimulatedFeatBit) -> None:
    server.faults.always_full = True
    with stream(server) as connection:
        answer = sync(connection, 2_000_000_000_000)
        assert answer["eventType"] == "full"
        assert len(answer["featureFlags"]) == 2


def test_http_can_be_down(server: SimulatedFeatBit) -> None:
    server.faults.http_down = True
    assert latest(server).status == 503
    server.faults.http_down = False
    assert latest(server).status == 200


def test_a_skewed_change_is_skipped_by_a_catch_up(server: SimulatedFeatBit) -> None:
    with stream(server) as connection:
        held = server.put_flag(authoring.boolean_flag("later", serve=True))
        server.faults.clock_skew_ms = -60_000
        server.toggle("agent.on", enabled=False)
        answer = sync(connection, milliseconds(held["updatedAt"]))
        assert answer == {"eventType": "patch", "featureFlags": [], "segments": []}


def test_stamps_rise_by_a_millisecond(server: SimulatedFeatBit) -> None:
    stamps = [
        milliseconds(server.toggle("agent.on", enabled=False)["updatedAt"])
        for _ in range(50)
    ]
    assert len(set(stamps)) == 50
    assert stamps == sorted(stamps)


def test_a_loaded_document_keeps_its_stamps(server: SimulatedFeatBit) -> None:
    assert server.document()["data"]["featureFlags"][0]["updatedAt"] == (
        authoring.UNCHANGED
    )
    server.load(authoring.document([authoring.boolean_flag("only", serve=True)]))
    keys = [flag["key"] for flag in server.document()["data"]["featureFlags"]]
    assert keys == ["only"]
    assert server.flag("only")["envId"] == server.env_id


def test_a_slow_sync_is_answered_late(server: SimulatedFeatBit) -> None:
    server.faults.slow_sync_s = 0.3
    with stream(server) as connection:
        connection.send('{"messageType":"data-sync","data":{"timestamp":0}}')
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.05)
        assert read(connection)["eventType"] == "full"


@pytest.mark.parametrize("code", [4003, 1011])
def test_every_stream_can_be_refused(server: SimulatedFeatBit, code: int) -> None:
    server.faults.refuse_code = code
    with stream(server) as connection, pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


def test_a_full_with_nothing_newer_leaves_the_sdk_interrupted(
    server: SimulatedFeatBit,
) -> None:
    """A known defect of the SDK, for as long as it is connected."""
    with sdk(server) as client:
        assert client.update_status_provider.wait_for_OKState(PATIENCE)
        server.faults.always_full = True
        server.drop(1011)
        until(lambda: server.connections == 1)
        assert state(client) == StateType.INTERRUPTED


def test_the_oracle_follows_the_rules_of_the_server(server: SimulatedFeatBit) -> None:
    golden = {
        "test-value": 0.14653629204258323,
        "qKPKh1S3FolC": 0.9105919692665339,
        "3eacb184-2d79-49df-9ea7-edd4f10e4c6f": 0.08994403155520558,
    }
    for text, place in golden.items():
        assert bucket(text) == pytest.approx(place, abs=1e-15)
    trusted = authoring.rule(
        "trusted", [authoring.segment_condition(["trusted"])], serve="off"
    )
    server.put_flag({**server.flag("agent.mode"), "rules": [trusted]})
    server.toggle("agent.on", enabled=False)

    def answers(key: str) -> dict[str, tuple[str, str]]:
        body = {"user": {"keyId": key, "name": key, "customizedProperties": []}}
        response = urllib3.request(
            "POST",
            server.event_url + "/api/public/featureflag/evaluate",
            json=body,
            headers={"Authorization": server.server_secret},
        )
        assert response.status == (200 if key else 400)
        return {
            one["key"]: (one["variation"]["value"], one["variation"]["matchReason"])
            for one in (response.json() if key else [])
        }

    assert answers("agent-1")["agent.mode"] == ("off", "trusted")
    assert answers("agent-2")["agent.mode"] == ("search", "default")
    assert answers("agent-2")["agent.on"] == ("false", "flag disabled")
    assert answers("") == {}


@pytest.mark.parametrize("fault", ["frozen", "half_open", "slow_sync_s"])
def test_stopping_waits_for_no_peer(fault: str) -> None:
    """Peers that hang, or that only connected, do not hold up a test's end."""
    server = SimulatedFeatBit(document())
    server.start()
    setattr(server.faults, fault, 600)
    idle = [
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        for url in (server.streaming_url, server.event_url, server.api_url)
    ]
    begun = time.monotonic()
    server.stop()
    server.stop()
    assert time.monotonic() - begun < 30
    for one in idle:
        one.close()


def test_a_peer_that_does_not_read_holds_up_nobody(server: SimulatedFeatBit) -> None:
    filler = "x" * 200_000
    with stream(server) as deaf, stream(server) as connection:
        for one in (deaf, connection):
            sync(one)
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for number in range(40):
            flag = authoring.boolean_flag(f"f{number}", serve=True)
            server.put_flag({**flag, "description": filler})
        last = [read(connection)["featureFlags"][0]["key"] for _ in range(40)][-1]
        assert last == "f39"

"""The simulated server sends webhooks as the real one does."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import pytest
import urllib3

from openfeature.contrib.provider.featbit import authoring
from openfeature_gov.testing.featbit import SimulatedFeatBit
from openfeature_gov.testing.featbit.ports import HttpPort, Request, Response
from tests.waiting import until

SECRET = "whsec"


class Receiver:
    """A web server that keeps what it is sent and answers *status*."""

    def __init__(self) -> None:
        self.status = 200
        self.received: list[Request] = []
        self._port = HttpPort(self._take)
        self.url = self._port.url + "/featbit?from=test"
        self._port.open()

    def _take(self, request: Request) -> Response:
        self.received.append(request)
        return Response(self.status)

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.received) >= count, f"there never were {count}")

    def close(self) -> None:
        self._port.close(keep=False)


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    flags = [authoring.boolean_flag("agent.on", serve=True)]
    segments = [authoring.segment("trusted", included=["a"])]
    with SimulatedFeatBit(authoring.document(flags, segments)) as simulated:
        yield simulated


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def put(server: SimulatedFeatBit, path: str, body: object) -> int:
    response = urllib3.request(
        "PUT",
        f"{server.api_url}/api/v1/envs/{server.env_id}/{path}",
        json=body,
        headers={"Authorization": server.access_token},
    )
    return response.status


def test_a_change_is_told_with_a_signature(
    server: SimulatedFeatBit, receiver: Receiver
) -> None:
    hook = server.webhooks.register(receiver.url, SECRET)
    assert put(server, "feature-flags/agent.on/toggle/false", {"comment": "c"}) == 200
    receiver.wait_for(1)
    (request,) = receiver.received
    assert (request.path, request.query) == ("/featbit", {"from": ["test"]})
    digest = hmac.new(SECRET.encode(), request.body, hashlib.sha256).hexdigest()
    assert request.headers["X-FeatBit-Signature-256"] == f"sha256={digest}"
    assert request.headers["X-FeatBit-Event"] == "feature_flag.toggled"
    assert request.headers["X-FeatBit-Hook-ID"] == hook.id
    body = json.loads(request.body)
    assert body["events"] == "feature_flag.toggled"
    assert body["operator"] == "everything"
    assert body["environment"]["id"] == server.env_id
    shown = body["data"]["object"]
    assert (shown["isEnabled"], shown["isArchived"]) == ("false", "false")
    assert "revision" not in shown
    assert body["changes"] == ["Turn off flag: agent.on"]
    assert body["happenedAt"] == server.flag("agent.on")["updatedAt"]


def test_segments_are_told_with_their_references(
    server: SimulatedFeatBit, receiver: Receiver
) -> None:
    server.webhooks.register(receiver.url)
    users = {"included": ["b"], "excluded": [], "rules": [], "comment": "c"}
    assert put(server, "segments/trusted/targeting", users) == 200
    receiver.wait_for(1)
    (request,) = receiver.received
    assert "X-FeatBit-Signature-256" not in request.headers
    body = json.loads(request.body)
    assert body["events"] == "segment.target_users_changed"
    assert body["data"]["kind"] == "segment"
    assert body["data"]["object"]["flagReferences"] == []


def test_only_the_wanted_events_are_sent(
    server: SimulatedFeatBit, receiver: Receiver
) -> None:
    server.webhooks.register(receiver.url, events=["feature_flag.archived"])
    put(server, "feature-flags/agent.on/toggle/false", {})
    put(server, "feature-flags/agent.on/archive", {})
    receiver.wait_for(1)
    assert [one.headers["X-FeatBit-Event"] for one in receiver.received] == [
        "feature_flag.archived"
    ]


def test_a_failed_delivery_is_sent_three_times_with_one_id(
    server: SimulatedFeatBit, receiver: Receiver
) -> None:
    receiver.status = 500
    server.webhooks.retry_s = 0.01
    server.webhooks.register(receiver.url, SECRET)
    put(server, "feature-flags/agent.on/toggle/false", {})
    receiver.wait_for(3)
    assert len({one.headers["X-FeatBit-Delivery"] for one in receiver.received}) == 1
    (delivery,) = server.webhooks.deliveries
    deadline = time.monotonic() + 10
    while len(delivery.statuses) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert delivery.statuses == [500, 500, 500]


def test_a_write_that_fails_late_tells_nobody(server: SimulatedFeatBit) -> None:
    server.webhooks.register("http://127.0.0.1:1/", SECRET)
    server.faults.save_then_500 = True
    assert put(server, "feature-flags/agent.on/toggle/false", {}) == 500
    assert server.webhooks.deliveries == []


def test_an_edit_past_the_api_tells_nobody(server: SimulatedFeatBit) -> None:
    server.webhooks.register("http://127.0.0.1:1/", SECRET)
    server.toggle("agent.on", enabled=False)
    assert server.webhooks.deliveries == []

"""`gov featbit doctor` and the evaluation server: reached, ours, with this secret."""

import threading
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import serve as websocket_server

from openfeature.contrib.provider.featbit.management import ManagementClient
from openfeature_gov.cli import doctoring, probing
from openfeature_gov.cli.doctoring import State
from openfeature_gov.testing.featbit import SimulatedFeatBit
from openfeature_gov.testing.featbit.ports import HttpPort, Response
from tests.featbit_doctor import amiss, doctor, given, project, server, without

__all__ = ["project", "server"]


def test_a_server_that_is_down_is_unreached(
    project: Path, server: SimulatedFeatBit
) -> None:
    """Exit 3; what depends on it is unchecked, not wrong."""
    server.pause()
    found = doctor(code=3)
    assert amiss(found) == dict.fromkeys(
        ["event URL", "streaming URL", "management API"], "unreached"
    )
    assert found["flags"][0][0] == "unchecked"


@pytest.mark.parametrize(
    ("fault", "value", "url", "word"),
    [
        ("http_down", True, "event URL", "503"),
        ("frozen", True, "event URL", "no answer"),
        ("frozen", True, "streaming URL", "sent no data"),
        ("frozen_stream", True, "streaming URL", "sent no data"),
        ("half_open", True, "streaming URL", "no connection"),
        ("refuse_code", 1011, "streaming URL", "database"),
        ("refuse_code", 1001, "streaming URL", "closed with 1001"),
    ],
)
def test_an_evaluation_server_that_ails_is_unreached(
    project: Path,
    server: SimulatedFeatBit,
    fault: str,
    value: object,
    url: str,
    word: str,
) -> None:
    """Exit 3, and how it ails."""
    setattr(server.faults, fault, value)
    found = doctor("--timeout", "0.5", code=3)
    assert found[url][0][0] == "unreached"
    assert word in found[url][0][1]
    assert found['flag "w.global"'][0][0] == "ok"


def test_a_refused_secret_is_a_problem(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its shape over HTTP, by its value on the stream."""
    given(monkeypatch, "SECRET", "short")
    found = doctor(code=4)
    assert amiss(found) == dict.fromkeys(
        ["event URL", "streaming URL", "secret"], "problem"
    )
    assert "401" in found["event URL"][0][1]
    assert "the secret was refused" in found["streaming URL"][0][1]
    assert "clocks" not in found["streaming URL"][0][1]
    without(monkeypatch, "EVENT_URL")
    assert "or the clocks" in doctor(code=4)["streaming URL"][0][1]


def test_the_secret_of_another_environment_is_told(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP takes any secret of the right shape, and holds nothing for it."""
    with SimulatedFeatBit() as other:
        given(monkeypatch, "SECRET", other.server_secret)
    found = doctor(code=4)
    assert "another one's" in found["secret"][0][1]
    assert found["flag data"][0][0] == "warning"
    assert found["streaming URL"][0][0] == "problem"


def test_a_client_secret_is_told(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP takes it, the stream does not."""
    client = ManagementClient(server.api_url, server.access_token)
    listed = client.environment(server.project_key, server.env_key).secrets
    (value,) = (one.value.get_secret_value() for one in listed if one.type == "client")
    given(monkeypatch, "SECRET", value)
    found = doctor(code=4)
    assert amiss(found) == dict.fromkeys(["streaming URL", "secret"], "problem")
    assert "client secret" in found["secret"][0][1]


def test_a_token_that_sees_no_secret_leaves_it_unchecked() -> None:
    """There is nothing to compare with."""
    assert doctoring.secret("x", []).state is State.UNCHECKED


def test_a_stream_behind_another_url_is_told(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshake is answered by something else."""
    url = server.event_url.replace("http", "ws")
    given(monkeypatch, "STREAMING_URL", url)
    found = doctor(code=3)
    assert amiss(found) == {"streaming URL": "unreached"}
    assert "HTTP 401 instead of a stream" in found["streaming URL"][0][1]


@pytest.mark.parametrize("frame", ["nonsense", b"\x00"])
def test_a_stream_of_something_else_is_told(frame: str | bytes) -> None:
    """What is no message is a problem; binary frames are passed over."""

    def send(peer: Any) -> None:
        peer.send(frame)
        peer.recv()
        peer.close(4000)

    with websocket_server(send, "127.0.0.1", 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        port = running.socket.getsockname()[1]
        seen = probing.stream(f"ws://127.0.0.1:{port}", "s" * 44, 20)
        running.shutdown()
    if isinstance(frame, str):
        assert "nonsense" in seen.problem
    else:
        assert seen.code == 4000


@pytest.mark.parametrize(
    ("body", "about", "word"),
    [
        (b"{}", "flag data", "messageType"),
        (b"<html>", "flag data", "JSON"),
    ],
)
def test_a_web_page_is_no_evaluation_server(
    project: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, about: str, word: str
) -> None:
    """A 200 is not enough."""
    port = HttpPort(lambda _: Response(200, body))
    port.open()
    try:
        given(monkeypatch, "EVENT_URL", port.url)
        found = doctor(code=4)
    finally:
        port.close(keep=False)
    assert found[about][0][0] == "problem"
    assert word in found[about][0][1]


def test_another_path_is_no_evaluation_server(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix too many."""
    given(monkeypatch, "EVENT_URL", server.event_url + "/featbit")
    found = doctor(code=4)
    assert amiss(found) == {"event URL": "problem"}
    assert "404" in found["event URL"][0][1]


def test_a_secret_in_the_clear_is_a_warning() -> None:
    """To another machine; not on this one, and not over TLS."""
    for url in ("ws://featbit.example", "http://10.0.0.7:5100"):
        (one,) = doctoring.plain("x", url)
        assert one.state is State.WARNING
    for url in ("wss://featbit.example", "http://localhost:5100", "ws://127.0.0.1"):
        assert list(doctoring.plain("x", url)) == []

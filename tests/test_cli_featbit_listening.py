"""`gov featbit follow --listen`: a true webhook rings, everything else is refused."""

import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import urllib3
from typer.testing import CliRunner

from openfeature.contrib.provider.featbit.authoring import boolean_flag, document
from openfeature.contrib.provider.featbit.management import ManagementClient
from openfeature.contrib.provider.featbit.management.webhooks import LARGEST, SIGNATURE
from openfeature_gov.cli import app, doors, listening
from openfeature_gov.cli.doors import Door
from openfeature_gov.targets import UnreachableError
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.commands import use_featbit

SECRET = "whsec-3f9a"
BODY = b'{"events":"feature_flag.toggled","happenedAt":"2026-11-21T06:00:00Z"}'


@pytest.fixture
def rung() -> threading.Event:
    """Return what a true webhook sets."""
    return threading.Event()


@pytest.fixture
def bell(rung: threading.Event) -> Iterator[Door]:
    """Return what listens."""
    with listening.listening("127.0.0.1:0", SECRET, rung) as made:
        yield made


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {
        SIGNATURE: "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex(),
        "Content-Type": "application/json",
    }


def send(bell: Door, method: str, body: bytes, headers: dict[str, str]) -> int:
    """Send one request; whatever the answer, it says nothing but its status."""
    answer = urllib3.request(method, bell.url, body=body, headers=headers)
    assert answer.data == b""
    assert set(answer.headers) <= {"Content-Length", "Connection", "Allow"}
    return answer.status


def test_a_true_webhook_rings_once(bell: Door, rung: threading.Event) -> None:
    """The second delivery of the same body is a replay."""
    assert send(bell, "POST", BODY, signed(BODY)) == 204
    assert rung.is_set()
    rung.clear()
    assert send(bell, "POST", BODY, signed(BODY)) == 401
    assert not rung.is_set()
    assert bell.refused() == (1, "webhook: this one has come before")
    assert bell.refused() == (0, "")


@pytest.mark.parametrize(
    ("method", "body", "headers", "status"),
    [
        pytest.param("POST", BODY, {}, 401, id="unsigned"),
        pytest.param("POST", BODY, signed(BODY, "guessed"), 401, id="forged"),
        pytest.param("POST", BODY + b" ", signed(BODY), 401, id="altered"),
        pytest.param("POST", b"[]", signed(b"[]"), 401, id="no webhook"),
        pytest.param("POST", b"", {"Content-Length": "x"}, 411, id="no length"),
        pytest.param("POST", b"", {"Content-Length": "-1"}, 411, id="negative"),
        pytest.param("POST", b"", {"Content-Length": "9" * 5000}, 413, id="endless"),
        pytest.param("POST", b"", {"Content-Length": f"{LARGEST + 1}"}, 413, id="big"),
        pytest.param("GET", b"", {}, 405, id="GET"),
        pytest.param("PUT", b"", signed(b""), 405, id="PUT"),
        pytest.param("NONSENSE", b"", {}, 405, id="nonsense"),
    ],
)
def test_everything_else_is_refused(
    bell: Door,
    rung: threading.Event,
    method: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    """It rings no bell, and each that was posted is counted."""
    assert send(bell, method, body, headers) == status
    assert not rung.is_set()
    assert bell.refused()[0] == (method == "POST")


def test_what_is_no_http_is_not_echoed(bell: Door, rung: threading.Event) -> None:
    """And breaks nothing."""
    host, port = bell.server_address[:2]
    with socket.create_connection((str(host), int(port))) as connection:
        connection.sendall(b"<script> nonsense \xff\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b"script" not in answer
    assert not rung.is_set()
    assert send(bell, "POST", BODY, signed(BODY)) == 204


def test_who_sends_slowly_is_cut_off(
    bell: Door, rung: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a byte comes; and too many at once are closed."""
    monkeypatch.setattr(doors, "LONGEST_S", 0.3)
    host, port = bell.server_address[:2]
    slow = []
    for _ in range(doors.AT_ONCE + 1):
        slow.append(socket.create_connection((str(host), int(port))))
        slow[-1].sendall(b"POST / HTTP/1.1\r\nX: ")
    for connection in slow:
        connection.settimeout(30)
        ended = False
        while not ended:
            try:
                connection.sendall(b"x")
                connection.settimeout(0.05)
                ended = connection.recv(4096) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
        connection.close()
    again = urllib3.Retry(20, allowed_methods=None, backoff_factor=0.05)
    headers = signed(BODY)
    answer = urllib3.request(
        "POST", bell.url, body=BODY, headers=headers, retries=again
    )
    assert answer.status == 204


def test_whom_a_full_door_turns_away_is_counted(
    bell: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs it hears that webhooks find no way in."""
    monkeypatch.setattr(doors, "LONGEST_S", 600)
    host, port = bell.server_address[:2]
    where = (str(host), int(port))
    inside = [socket.create_connection(where) for _ in range(doors.AT_ONCE)]
    with socket.create_connection(where) as outside:
        assert outside.recv(1) == b""
    assert bell.refused() == (1, "webhook: more than 16 connections at once")
    for connection in inside:
        connection.close()


@pytest.mark.parametrize(
    ("where", "host"),
    [("0", "127.0.0.1"), (":0", "127.0.0.1"), ("localhost:0", "127.0.0.1")],
)
def test_without_a_host_it_is_this_machine(
    rung: threading.Event, where: str, host: str
) -> None:
    """Nobody else reaches it unless asked for."""
    with listening.listening(where, SECRET, rung) as bell:
        assert bell.server_address[0] in (host, "::1")


@pytest.mark.parametrize(
    "where", ["", "x", "host:", "h:99999", "h:1/x", "u@h:1", "h:1?x", "[::1"]
)
def test_what_is_no_address_is_refused(rung: threading.Event, where: str) -> None:
    """Before anything listens."""
    with (
        pytest.raises(typer.BadParameter, match="HOST:PORT"),
        listening.listening(where, SECRET, rung),
    ):
        pass


def test_a_port_that_is_taken_is_said_so(bell: Door, rung: threading.Event) -> None:
    """With the option to change."""
    taken = bell.url.removeprefix("http://").rstrip("/")
    with (
        pytest.raises(UnreachableError, match=r"--listen 127\.0\.0\.1"),
        listening.listening(taken, SECRET, rung),
    ):
        pass


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimulatedFeatBit]:
    """Lend a FeatBit with one flag, and its settings in the environment."""
    monkeypatch.chdir(tmp_path)
    with SimulatedFeatBit(document([boolean_flag("stop", serve=True)])) as running:
        use_featbit(monkeypatch, running)
        monkeypatch.setenv("GOV_FEATBIT_WEBHOOK_SECRET", SECRET)
        yield running


@pytest.mark.parametrize(
    "arguments",
    [
        ("--listen", "0", "--once"),
        ("--webhook-secret-file", "secret"),
        ("--listen", "nowhere"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    server: SimulatedFeatBit, arguments: tuple[str, ...]
) -> None:
    """Wrong usage is exit 2."""
    result = CliRunner().invoke(app, ["featbit", "follow", *arguments])
    assert result.exit_code == 2, result.output


def test_a_secret_is_needed(
    server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one anybody could ring."""
    monkeypatch.delenv("GOV_FEATBIT_WEBHOOK_SECRET")
    result = CliRunner().invoke(app, ["featbit", "follow", "--listen", "0"])
    assert result.exit_code == 2
    assert "GOV_FEATBIT_WEBHOOK_SECRET" in result.output


def test_a_webhook_makes_the_next_look_begin_at_once(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """An hour may lie between two looks; what was forged or replayed is warned of."""
    command = [sys.executable, "-m", "openfeature_gov.cli", "featbit", "follow"]
    client = ManagementClient(server.api_url, server.access_token)
    with subprocess.Popen(
        [*command, "--every", "3600", "--listen", "127.0.0.1:0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as running:
        ending = threading.Timer(40, running.kill)
        ending.start()
        try:
            assert running.stdout is not None
            assert running.stderr is not None
            said = re.search(r"http://127\.0\.0\.1:\d+/", running.stderr.readline())
            assert said is not None
            server.webhooks.register(said[0], SECRET)
            for number, reason in enumerate(("first", "second")):
                client.toggle(server.env_id, "stop", bool(number), reason=reason)
                told = {"comment": ""}
                while told["comment"] != reason:
                    told = json.loads(running.stdout.readline())
                [delivery] = server.webhooks.deliveries[number:]
                for headers in (delivery.headers, signed(delivery.body, "guessed")):
                    again = urllib3.request(
                        "POST", said[0], body=delivery.body, headers=headers
                    )
                    assert again.status == 401
            assert re.search(r"[1-4] webhook\(s\) refused", running.stderr.readline())
            running.send_signal(signal.SIGINT)
            assert running.wait(20) == 0
        finally:
            ending.cancel()
            running.kill()
        assert SECRET not in running.stderr.read()

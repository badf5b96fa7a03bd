"""The management client's requests: where they may go, and which answers count."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator

import pytest

from openfeature.contrib.provider.featbit.management import (
    ApiError,
    ManagementClient,
    ManagementError,
    NoAnswerError,
    NotPermittedError,
    RefusedError,
    transport,
)
from tests.scripted_featbit import (
    ENV,
    TOKEN,
    Answer,
    Script,
    asp,
    bad,
    good,
    scripts,
)


@pytest.fixture
def scripted() -> Iterator[Script]:
    yield from scripts()


class TestConnecting:
    @pytest.mark.parametrize(
        "url",
        [
            "http://featbit.example:5000",
            "http://10.0.0.7",
            "http://localhost.example",
            "ftp://127.0.0.1",
            "featbit.example",
            "https://user:password@featbit.example",
            "https://featbit.example?x=1",
            "https://[::1",
            "",
        ],
    )
    def test_an_unsafe_url_is_refused(self, url: str) -> None:
        with pytest.raises(RefusedError, match="API URL") as refused:
            ManagementClient(url, TOKEN)
        assert "password" not in str(refused.value)
        assert TOKEN not in str(refused.value)

    @pytest.mark.parametrize(
        "url",
        [
            "https://featbit.example",
            "http://localhost:5000/",
            "http://127.1.2.3:5000/api/v1",
            "http://[::1]:5000/api/v1/",
        ],
    )
    def test_https_and_loopback_are_taken_with_or_without_the_prefix(
        self, url: str
    ) -> None:
        assert repr(ManagementClient(url, TOKEN)).count("/api/v1") == 1

    def test_plain_http_to_elsewhere_has_to_be_asked_for(self) -> None:
        client = ManagementClient("http://10.0.0.7", TOKEN, allow_insecure=True)
        assert "10.0.0.7" in repr(client)

    @pytest.mark.parametrize("token", ["", "api-1\r\nX: y", "api 1", "api-é"])
    def test_a_token_that_is_no_header_is_refused(self, token: str) -> None:
        with pytest.raises(RefusedError, match="token"):
            ManagementClient("https://featbit.example", token)

    def test_the_token_is_sent_raw_and_shown_nowhere(
        self, scripted: Script, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server, client = scripted(bad(401, "Unauthorized"))
        with pytest.raises(NotPermittedError, match="token is unknown") as refused:
            client.projects()
        assert server.requests[0][3]["Authorization"] == TOKEN
        for text in (
            repr(client),
            str(refused.value),
            repr(refused.value),
            caplog.text,
        ):
            assert TOKEN not in text

    def test_a_redirect_is_not_followed(self, scripted: Script) -> None:
        other, _ = scripted(good([]))
        server, client = scripted((302, b"", {"Location": other.url}))
        with pytest.raises(ApiError, match="redirects are not followed"):
            client.projects()
        assert (len(server.requests), other.requests) == (1, [])


class TestAnswers:
    def test_success_false_is_a_failure_though_200(self, scripted: Script) -> None:
        _, client = scripted((200, {"success": False, "errors": ["No"], "data": 1}, {}))
        with pytest.raises(ApiError, match="200 No"):
            client.projects()

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (
                bad(400, "name_is_required", "key_is_invalid"),
                "name_is_required, key_is",
            ),
            (asp(400), "revision: not a GUID"),
            ((400, b"<html>", {}), "400 no error code"),
        ],
    )
    def test_each_shape_of_400_is_told(
        self, scripted: Script, answer: Answer, told: str
    ) -> None:
        _, client = scripted(answer)
        with pytest.raises(ApiError, match=told):
            client.projects()

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"\xff"])
    def test_a_page_of_something_else_is_told(
        self, scripted: Script, body: bytes
    ) -> None:
        _, client = scripted((200, body, {}))
        with pytest.raises(ManagementError, match="URL of FeatBit"):
            client.projects()

    def test_codes_of_the_server_cannot_forge_a_line(self, scripted: Script) -> None:
        _, client = scripted(bad(422, "a\nERROR all is well\x1b[2J"))
        with pytest.raises(ApiError) as refused:
            client.projects()
        assert str(refused.value).isprintable()

    def test_a_get_is_repeated_until_it_is_answered(self, scripted: Script) -> None:
        server, client = scripted(
            bad(503), (0, b"", {}), (429, b"", {"Retry-After": "0"}), good([])
        )
        assert client.projects() == []
        assert len(server.requests) == 4

    def test_a_get_is_not_repeated_for_ever(self, scripted: Script) -> None:
        server, client = scripted(bad(500, "InternalServerError"))
        with pytest.raises(NoAnswerError, match="answered 500"):
            client.projects()
        assert len(server.requests) == 4

    def test_a_refusal_is_not_repeated(self, scripted: Script) -> None:
        server, client = scripted(bad(422, "NameHasBeenUsed"))
        with pytest.raises(ApiError, match="422 NameHasBeenUsed"):
            client.projects()
        assert len(server.requests) == 1

    def test_a_server_that_wants_a_long_pause_gets_none(self, scripted: Script) -> None:
        server, client = scripted((429, b"", {"Retry-After": "3600"}))
        with pytest.raises(NoAnswerError, match="429"):
            client.projects()
        assert len(server.requests) == 1

    def test_what_members_are_wrong_is_told_without_their_values(
        self, scripted: Script
    ) -> None:
        _, client = scripted(good([{"id": 5, "key": None, "name": "se-cret"}]))
        with pytest.raises(ManagementError, match="check id, key") as error:
            client.projects()
        assert "se-cret" not in str(error.value)

    def test_unknown_members_are_ignored_and_null_text_is_empty(
        self, scripted: Script
    ) -> None:
        environment = {"id": ENV, "key": None, "committedVersion": 3}
        project = {"id": "p", "key": "k", "new": {}, "environments": [environment]}
        _, client = scripted(good([project]))
        [found] = client.projects()
        assert found.environments[0].key == ""


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Dripping:
    """A server that sends *first*, and then *drop* again and again; never the end."""

    def __init__(self, first: bytes, drop: bytes) -> None:
        self.stop = threading.Event()
        self._first, self._drop = first, drop
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self.stop.is_set():
            connection, _ = self._listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(self._first)
                while not self.stop.wait(0.01):
                    connection.sendall(self._drop)

    def close(self) -> None:
        """End it."""
        self.stop.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self._listening.getsockname()[:2]).close()
        self._thread.join(20)
        self._listening.close()


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        pytest.param(HEAD + b"Content-Length: 1000000\r\n\r\n", b" ", id="body"),
        pytest.param(HEAD + b"\r\n", b" ", id="body without a length"),
        pytest.param(HEAD + b"X: ", b"x", id="header"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0", id="chunk size"
        ),
    ],
)
def test_an_answer_that_drips_is_cut_off(first: bytes, drop: bytes) -> None:
    server = Dripping(first, drop)
    client = ManagementClient(server.url, TOKEN, timeout_s=0.3)
    told: list[ManagementError] = []

    def ask() -> None:
        try:
            client._http.write("PUT", "/x", {})
        except ManagementError as error:
            told.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(30)
    server.close()
    assert "not whole after 0.3 s" in str(told[0])


def test_an_answer_without_end_is_not_read_to_its_end(
    scripted: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LARGEST", 1000)
    server, client = scripted((200, b"[" + b" " * 2000, {}), good([]))
    with pytest.raises(NoAnswerError, match="more than 1000 bytes"):
        client.projects()
    assert client.projects() == []
    assert len(server.requests) == 2

"""Further places for checkpoints: each gets the note, and each failure is heard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from openfeature_gov.evidence.keys import FileSigner
from openfeature_gov.evidence.notes import Checkpoint, sign
from openfeature_gov.evidence.published import notes
from openfeature_gov.evidence.publishers import (
    PublishError,
    to_file,
    to_otlp,
    to_stdout,
    to_url,
)

KEY = FileSigner("log.example/a", Ed25519PrivateKey.from_private_bytes(b"k" * 32))
NOTE = sign(Checkpoint("log.example/a/1", 7, bytes(32)).text(), KEY)
NEXT = sign(Checkpoint("log.example/a/1", 9, bytes(32)).text(), KEY)


class Store(HTTPServer):
    """An object store: keeps what is PUT under its path, and replaces nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects: dict[str, str] = {}
        self.tokens: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        size = int(self.headers["Content-Length"])
        held = self.path in self.server.objects
        if not held:
            self.server.objects[self.path] = self.rfile.read(size).decode()
        self.server.tokens.append(self.headers.get("Authorization"))
        self.send_response(412 if held else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_stdout_gets_each_note(capsys: pytest.CaptureFixture[str]) -> None:
    """A collector of output sees the notes one after the other."""
    publish = to_stdout()
    publish(NOTE)
    publish(NEXT)
    assert capsys.readouterr().out == f"{NOTE}\n{NEXT}\n"


def test_second_file_gets_each_note_once(tmp_path: Path) -> None:
    """A note that is the last one already is not written again."""
    publish = to_file(tmp_path / "elsewhere")
    for note in (NOTE, NOTE, NEXT):
        publish(note)
    assert list(notes(tmp_path / "elsewhere")) == [NOTE, NEXT]


def test_object_store_gets_an_object_a_checkpoint(store: Store) -> None:
    """Origin and size name the object, so that a lock on it can hold."""
    publish = to_url(
        store.url + "/bucket/{origin}/{size}", headers={"Authorization": "token"}
    )
    publish(NOTE)
    publish(NEXT)
    assert store.objects == {
        "/bucket/log.example%2Fa%2F1/7": NOTE,
        "/bucket/log.example%2Fa%2F1/9": NEXT,
    }
    assert store.tokens == ["token", "token"]


def test_refusal_of_the_object_store_is_heard(store: Store) -> None:
    """An answer that is no success raises, and shows no secret of the address."""
    publish = to_url(store.url + "/one?signature=secret")
    publish(NOTE)
    with pytest.raises(PublishError, match=r"^127\.0\.0\.1/one: answered 412$"):
        publish(NEXT)


def test_store_that_is_not_there_is_heard() -> None:
    """A closed port raises the same error."""
    with Store() as closed:
        url = closed.url
    with pytest.raises(PublishError, match=r"127\.0\.0\.1/x: \w+Error"):
        to_url(url + "/x?signature=secret", timeout_s=2)(NOTE)


@pytest.mark.parametrize("url", ["http://example.com/x", "ftp://127.0.0.1/x", "x"])
def test_only_https_leaves_this_host(url: str) -> None:
    """What carries a token must not travel in the clear."""
    with pytest.raises(ValueError, match="https"):
        to_url(url)


def test_otlp_event_carries_the_note() -> None:
    """The event holds the note, and its parts as attributes to search by."""
    import opentelemetry._logs._internal as api
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import (
        InMemoryLogRecordExporter,
        SimpleLogRecordProcessor,
    )

    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # the SDK's
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    set_logger_provider(provider)
    try:
        to_otlp()(NOTE)
    finally:
        provider.shutdown()
        api._LOGGER_PROVIDER = None
        api._LOGGER_PROVIDER_SET_ONCE._done = False
    (found,) = exporter.get_finished_logs()
    record = found.log_record
    assert (record.body, record.event_name) == (NOTE, "gov.checkpoint")
    assert record.attributes is not None
    assert dict(record.attributes) == {
        "gov.checkpoint.origin": "log.example/a/1",
        "gov.checkpoint.size": 7,
        "gov.checkpoint.root": "00" * 32,
    }

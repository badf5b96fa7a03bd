"""Records as log events: what a real OTLP/HTTP receiver gets, and when it is told."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.tree import PATH

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from typer.testing import CliRunner

from openfeature_gov.cli import app
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence import otlp
from openfeature_gov.evidence.otlp import Cursor, Stored, forward, read_cursor
from openfeature_gov.stores import history
from openfeature_gov.stores.queries import stored
from openfeature_gov.stores.sqlite import SqliteStore
from tests.receiving import Answer, Receiver, hang_up
from tests.worked import worked


def taken(
    handler: BaseHTTPRequestHandler, said: bytes = b"", status: int = 200
) -> None:
    """Answer as a receiver does."""
    handler.send_response(status)
    handler.send_header("Content-Type", "application/x-protobuf")
    handler.send_header("Content-Length", str(len(said)))
    handler.end_headers()
    handler.wfile.write(said)


class Collector(Receiver):
    """Receive OTLP/HTTP logs; *answers* replace the next ones, in order."""

    def __init__(self) -> None:
        self.events: list[LogRecord] = []
        self.resources: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        super().__init__(taken)

    @property
    def url(self) -> str:
        """Return where to send logs."""
        return f"http://{self.place}/v1/logs"

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Parse one request, keep its events, and answer."""
        if handler.command == "GET":
            taken(handler)
            return
        data = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        request = ExportLogsServiceRequest.FromString(data)
        answer = self.answers.pop(0) if self.answers else self.usual
        with self.arrived:
            self.headers.append(dict(handler.headers))
            for resource in request.resource_logs:
                self.resources.append(_attributes(resource.resource))
                for scope in resource.scope_logs:
                    assert scope.scope.name == otlp.SCOPE
                    self.events.extend(scope.log_records)
            answer(handler)
            self.arrived.notify_all()


def _attributes(holder: Any) -> dict[str, Any]:
    return {
        one.key: one.value.int_value or one.value.string_value
        for one in holder.attributes
    }


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Return a collector that is closed after the test."""
    with closing(Collector()) as made:
        yield made


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log in which two agents met every effect."""
    return worked(tmp_path)


def bodies(log: Path) -> list[str]:
    """Return every stored body, in order."""
    return [one.body.decode() for one in stored(log, after=0, limit=10_000)]


def sent(collector: Collector) -> list[str]:
    """Return the body of every event that arrived, in order."""
    return [one.body.string_value for one in collector.events]


def test_events_hold_the_stored_bytes_and_no_personal_part(
    collector: Collector, log: Path, tmp_path: Path
) -> None:
    """All records, in order, as the leaves that checkpoints prove."""
    send = otlp.sender(collector.url, resource={"deployment.environment": "test"})
    count = forward(partial(stored, log), tmp_path / "cursor", send)
    assert sent(collector) == bodies(log)
    assert count == len(collector.events) > 60
    assert not any("user-of-bot-a" in one for one in sent(collector))
    assert collector.resources[0]["service.name"] == "openfeature-gov"
    assert collector.resources[0]["deployment.environment"] == "test"


def test_events_can_be_searched_like_spans(
    collector: Collector, log: Path, tmp_path: Path
) -> None:
    """Name, time, severity and attributes come from the record."""
    forward(partial(stored, log), tmp_path / "cursor", otlp.sender(collector.url))
    known = history.records(log)
    for event, record in zip(collector.events, known, strict=True):
        found = _attributes(event)
        assert event.event_name == f"gov.{record['kind']}"
        assert event.time_unix_nano == record["atUs"] * 1_000
        assert event.observed_time_unix_nano == event.time_unix_nano
        assert (found["gov.record.seq"], found["gov.record.id"]) == (
            record["seq"],
            record["id"],
        )
        assert found.get("gen_ai.tool.name") == record.get("tool")
        assert found.get("gov.effect") == record.get("effect")
        assert found.get("gov.outcome") == record.get("status")
    (failed, *_) = [one for one in known if one.get("error")]
    assert _attributes(collector.events[failed["seq"] - 1])["error.type"] == "KeyError"


def test_what_was_sent_is_not_sent_again(
    collector: Collector, log: Path, tmp_path: Path
) -> None:
    """The cursor says where to go on, in another process too."""
    cursor = tmp_path / "cursor"
    read = partial(stored, log)
    forward(read, cursor, otlp.sender(collector.url))
    assert forward(read, cursor, otlp.sender(collector.url)) == 0
    with closing(SqliteStore(log)):
        pass
    assert forward(read, cursor, otlp.sender(collector.url)) >= 2
    assert sent(collector) == bodies(log)


def _page(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.end_headers()
    handler.wfile.write(b"<html>please sign in</html>")


def _elsewhere(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/login")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _partly(handler: BaseHTTPRequestHandler) -> None:
    said = ExportLogsServiceResponse()
    said.partial_success.rejected_log_records = 3
    said.partial_success.error_message = "too old"
    taken(handler, said.SerializeToString())


@pytest.mark.parametrize(
    ("answer", "times", "words"),
    [
        (partial(taken, status=400), 1, "answer 400"),
        (partial(taken, status=401), 1, "answer 401"),
        (partial(taken, status=204), 1, "answer 204"),
        (_elsewhere, 2, "records not taken"),
        (_page, 1, "no OTLP receiver"),
        (_partly, 1, "3 records were rejected: 'too old'"),
        (hang_up, 2, "no answer"),
    ],
)
def test_what_was_not_taken_is_sent_again(
    collector: Collector,
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    times: int,
    words: str,
) -> None:
    """Whatever the collector answers but yes, nothing is skipped."""
    monkeypatch.setattr(otlp, "BATCH", 20)
    cursor = tmp_path / "cursor"
    read = partial(stored, log)
    send = otlp.sender(collector.url, timeout_s=0.5)
    collector.answers = [taken, *[answer] * times]
    with pytest.raises(ConnectionError, match=words) as failure:
        forward(read, cursor, send)
    assert "127.0.0.1" in str(failure.value)
    assert read_cursor(cursor).seq == 20
    collector.answers.clear()
    collector.events.clear()
    forward(read, cursor, send)
    assert sent(collector) == bodies(log)[20:]


def test_a_lost_answer_sends_a_batch_twice_and_loses_none(
    collector: Collector, log: Path, tmp_path: Path
) -> None:
    """At least once: the receiver tells the copies by their id."""
    send = otlp.sender(collector.url)

    def crash(batch: Sequence[Stored]) -> None:
        send(batch)
        raise KeyboardInterrupt

    cursor = tmp_path / "cursor"
    with pytest.raises(KeyboardInterrupt):
        forward(partial(stored, log), cursor, crash)
    assert read_cursor(cursor) == Cursor()
    forward(partial(stored, log), cursor, send)
    ids = [_attributes(one)["gov.record.id"] for one in collector.events]
    assert len(ids) == 2 * len(set(ids))
    assert set(sent(collector)) == set(bodies(log))


def test_a_busy_collector_is_asked_again(
    collector: Collector, log: Path, tmp_path: Path
) -> None:
    """Within the same call, as its answer asks for."""

    def busy(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(503)
        handler.send_header("Retry-After", "0")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    collector.answers = [busy]
    count = forward(partial(stored, log), tmp_path / "c", otlp.sender(collector.url))
    assert len(collector.events) == 2 * count


def test_nobody_there_is_said(log: Path, tmp_path: Path) -> None:
    """With the URL, and without what may be secret in it."""
    with closing(Collector()) as gone:
        url = gone.url
    send = otlp.sender(url.replace("127", "me:secret@127") + "?key=s", timeout_s=0.2)
    with pytest.raises(ConnectionError, match=url) as failure:
        forward(partial(stored, log), tmp_path / "cursor", send)
    assert "secret" not in str(failure.value)
    assert "key=s" not in str(failure.value)


def test_another_log_is_refused(log: Path, tmp_path: Path) -> None:
    """One that went back, and one that never held what was sent."""
    cursor = tmp_path / "cursor"
    forward(partial(stored, log), cursor, lambda _: None)
    at = read_cursor(cursor)
    for other in (Cursor(at.seq + 1, at.id), Cursor(at.seq, "other")):
        otlp.write_cursor(cursor, other)
        with pytest.raises(RecordStoreError, match="verify it"):
            forward(partial(stored, log), cursor, lambda _: None)
    for text in ("", "[]", '{"seq": "x"}'):
        cursor.write_text(text)
        with pytest.raises(RecordStoreError, match="no cursor"):
            read_cursor(cursor)


def test_batches_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is too large for all goes alone, and in its place."""
    monkeypatch.setattr(otlp, "BATCH_BYTES", 10)
    sizes = (4, 6, 1, 30, 5, 5, 1)
    batch = [Stored(n, f"{n}", "mark", 1, b"x" * size) for n, size in enumerate(sizes)]
    parts = [[len(one.body) for one in part] for part in otlp._parts(batch)]
    assert parts == [[4, 6], [1], [30], [5, 5], [1]]


def test_trouble_is_an_error_event_and_garbage_is_sent_too() -> None:
    """Whatever the bytes are, somebody else must see them."""
    lost = Stored(1, "a", "gap", 1, b'{"lost":1}')
    assert otlp._event(lost, None).log_record.severity_text == "ERROR"
    odd = Stored(2, "b", "decision", 1, b"\xff[")
    assert otlp._event(odd, None).log_record.body == "\\xff["
    assert otlp.attributes(odd)["gov.record.id"] == "b"
    assert otlp.attributes(Stored(3, "c", "x", 1, b"[1]"))["gov.record.seq"] == 3


def test_the_command_forwards_once(collector: Collector, log: Path) -> None:
    """Beside the log stands where it goes on; 3 when nobody takes them."""
    arguments = ["audit", "forward", "--records", str(log)]
    run = CliRunner()
    first = run.invoke(app, [*arguments, "--endpoint", collector.url])
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["sent"] == len(collector.events)
    assert (log.parent / "records.db.forwarded").exists()
    again = run.invoke(app, [*arguments, "--endpoint", collector.url, "--no-json"])
    assert again.stdout.startswith("0 records sent")
    collector.answers = [partial(taken, status=403)]
    with closing(SqliteStore(log)):
        refused = run.invoke(app, [*arguments, "--endpoint", collector.url])
    assert refused.exit_code == 3
    assert "answer 403" in refused.stderr


def test_the_command_follows(collector: Collector, log: Path) -> None:
    """It goes on when the collector refuses, and with what is appended later."""
    collector.answers = [partial(taken, status=403)]
    command = [sys.executable, "-m", "openfeature_gov.cli", "audit", "forward", "-f"]
    place = ["--records", str(log), "--endpoint", collector.url]
    environment = {**os.environ, "PYTHONPATH": PATH}
    with subprocess.Popen(
        [*command, *place], env=environment, stdout=subprocess.DEVNULL
    ) as process:
        try:
            _until(collector, lambda: set(bodies(log)) <= set(sent(collector)))
            with closing(SqliteStore(log)):
                pass
            _until(collector, lambda: set(bodies(log)) <= set(sent(collector)))
        finally:
            process.terminate()


def _until(collector: Collector, done: Callable[[], bool]) -> None:
    with collector.arrived:
        assert collector.arrived.wait_for(done, 60)

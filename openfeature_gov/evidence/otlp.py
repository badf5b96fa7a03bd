"""Send records to an OpenTelemetry collector as log events: each at least once.

The body of an event is the record's stored bytes, so that what the collector keeps is a
copy of the leaf that checkpoints prove. Personal parts are never sent: nobody could
erase them there. Where to go on stands in a cursor file, moved only once the collector
has said that it took a batch; a crash in between sends that batch again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import orjson

from openfeature_gov.errors import RecordStoreError

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord

SCOPE = "openfeature_gov.records"
BATCH = 512
BATCH_BYTES = 4 * 1024 * 1024
"""How much one request holds; collectors refuse more than 20 MiB unless told not to."""
TIMEOUT_S = 10.0
GRAVE = frozenset({"gap", "unwritable", "tamper", "rolled_back", "policy_gap"})
"""Records of the log itself that somebody should look at now."""


class Stored(NamedTuple):
    """Hold one record as it is stored: its place, its identity, and its *body*."""

    seq: int
    id: str
    kind: str
    at_us: int
    body: bytes


class Read(Protocol):
    """Read records in the order of the log, as ``stores.queries.stored`` does."""

    def __call__(self, *, after: int, limit: int) -> Sequence[Stored]:
        """Return at most *limit* records after place *after*."""


Send = Callable[[Sequence[Stored]], None]
"""Return once a batch was taken, or raise ConnectionError."""


class Cursor(NamedTuple):
    """Say which record was sent last: its place, and its id to know it again."""

    seq: int = 0
    id: str = ""


def read_cursor(path: Path) -> Cursor:
    """Return the cursor in the file *path*, the beginning if there is no such file.

    Raises:
        RecordStoreError: when the file holds something else.

    """
    try:
        held = orjson.loads(path.read_bytes())
        return Cursor(int(held["seq"]), str(held["id"]))
    except FileNotFoundError:
        return Cursor()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordStoreError(
            f"{path}: no cursor ({error}); remove it to send every record again"
        ) from None


def write_cursor(path: Path, cursor: Cursor) -> None:
    """Put *cursor* into the file *path*, whole or not at all, and onto the disk."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(orjson.dumps(cursor._asdict()))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def forward(read: Read, cursor: Path, send: Send) -> int:
    """Send every record after *cursor*, in order, and move it; return how many.

    Raises:
        ConnectionError: the collector did not take a batch; what it took stays taken.
        RecordStoreError: the log is not the one that the cursor is of, or one of them
            cannot be read.
        OSError: the cursor cannot be written; its batch will be sent again.

    """
    at = read_cursor(cursor)
    _know_again(read, at, cursor)
    sent = 0
    while batch := read(after=at.seq, limit=BATCH):
        for part in _parts(batch):
            send(part)
            at = Cursor(part[-1].seq, part[-1].id)
            write_cursor(cursor, at)
            sent += len(part)
    return sent


def _know_again(read: Read, at: Cursor, path: Path) -> None:
    """Refuse a log that does not hold what was sent last, where it was."""
    if at.seq == 0:
        return
    found = read(after=at.seq - 1, limit=1)
    if not found or (found[0].seq, found[0].id) != at:
        raise RecordStoreError(
            f"{path}: record {at.id} was sent as number {at.seq}, and the log does not "
            "hold it there: it is another log, or it went back in time; verify it"
        )


def _parts(batch: Sequence[Stored]) -> Iterator[list[Stored]]:
    """Yield *batch* in parts of `BATCH_BYTES`; a larger record goes alone."""
    part: list[Stored] = []
    size = 0
    for one in batch:
        if part and size + len(one.body) > BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one.body)
    if part:
        yield part


def sender(
    endpoint: str | None = None,
    *,
    resource: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Send:
    """Return what sends batches to *endpoint*, the full URL of OTLP/HTTP logs.

    Without it, and for headers and certificates, the ``OTEL_EXPORTER_OTLP_*``
    variables say where. *resource* adds to ``OTEL_RESOURCE_ATTRIBUTES``; one batch is
    tried again for *timeout_s*. Needs the extra ``otlp``.

    Raises:
        RecordStoreError: when the extra is not installed.

    """
    try:
        import requests  # noqa: PLC0415 - an extra
        from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415
            OTLPLogExporter,
        )
        from opentelemetry.sdk._logs.export import (  # noqa: PLC0415
            LogRecordExportResult,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    except ImportError:
        raise RecordStoreError(
            "sending records needs: pip install 'openfeature-gov[otlp]'"
        ) from None
    place = _shown(endpoint)
    answers: list[requests.Response] = []
    session = requests.Session()
    # The exporter takes redirections, sign-in pages and partial refusals for success.
    session.hooks["response"].append(lambda answer, **_: answers.append(answer))
    exporter = OTLPLogExporter(endpoint, timeout=timeout_s, session=session)
    made = Resource.create({"service.name": "openfeature-gov", **(resource or {})})

    def send(batch: Sequence[Stored]) -> None:
        answers.clear()
        result = exporter.export([_event(one, made) for one in batch])
        last = answers[-1] if answers else None
        status = None if last is None else last.status_code
        if result is not LogRecordExportResult.SUCCESS or last is None or status != 200:
            said = "no answer" if status is None else f"answer {status}"
            raise ConnectionError(f"{place}: records not taken: {said}")
        _check_taken(last.content, place)

    return send


def _shown(endpoint: str | None) -> str:
    """Return the URL *endpoint* without what may be secret in it."""
    if endpoint is None:
        return "OTEL_EXPORTER_OTLP_ENDPOINT"
    url = urlsplit(endpoint)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def _check_taken(answer: bytes, place: str) -> None:
    """Raise unless *answer* says that every record was taken."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - an extra
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (  # noqa: PLC0415
        ExportLogsServiceResponse,
    )

    try:
        partial = ExportLogsServiceResponse.FromString(answer).partial_success
    except DecodeError:
        raise ConnectionError(f"{place}: this is no OTLP receiver") from None
    if partial.rejected_log_records:
        raise ConnectionError(
            f"{place}: {partial.rejected_log_records} records were rejected: "
            f"{partial.error_message[:200]!r}"
        )


def _event(one: Stored, resource: Any) -> ReadableLogRecord:
    from opentelemetry._logs import LogRecord, SeverityNumber  # noqa: PLC0415
    from opentelemetry.context import Context  # noqa: PLC0415 - with the extra only
    from opentelemetry.sdk._logs import ReadableLogRecord  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import (  # noqa: PLC0415
        InstrumentationScope,
    )

    grave = one.kind in GRAVE
    event = LogRecord(
        timestamp=one.at_us * 1_000,
        # When the log took it, not when it was sent: sent again it is the same event.
        observed_timestamp=one.at_us * 1_000,
        context=Context(),
        severity_number=SeverityNumber.ERROR if grave else SeverityNumber.INFO,
        severity_text="ERROR" if grave else "INFO",
        body=one.body.decode("utf-8", "backslashreplace"),
        attributes=attributes(one),
        event_name=f"gov.{one.kind}",
    )
    return ReadableLogRecord(event, resource, InstrumentationScope(SCOPE))


PLACES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gov.writer", ("writer",)),
    ("gov.record.ref", ("ref",)),
    ("gov.effect", ("effect",)),
    ("gov.mode", ("mode",)),
    ("gov.reason", ("reason",)),
    ("gov.outcome", ("status",)),
    ("gov.workflow", ("contract", "workflow")),
    ("gov.task", ("context", "task")),
    ("gen_ai.tool.name", ("tool",)),
    ("gen_ai.agent.id", ("context", "agent")),
    ("error.type", ("error",)),
)
"""Attributes to search by, named as on spans, and where a body holds them."""


def attributes(one: Stored) -> dict[str, str | int]:
    """Return the attributes of the event of *one*."""
    found: dict[str, str | int] = {
        "gov.record.seq": one.seq,
        "gov.record.id": one.id,
        "gov.record.kind": one.kind,
    }
    try:
        body = orjson.loads(one.body)
    except ValueError:
        return found
    for name, place in PLACES:
        value = body
        for key in place:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            found[name] = value
    return found

"""Publishers: further places for checkpoints, beyond the file of `Published`.

A publisher is any function of one signed note. It may raise: the Sealer comes back with
the newest note, which covers all before it. Choose at least one place where whoever
runs the store cannot write, or only append.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from openfeature_gov.evidence.notes import Checkpoint, parse_checkpoint
from openfeature_gov.evidence.published import Published

Publisher = Callable[[str], None]
TIMEOUT_S = 5.0
EVENT = "gov.checkpoint"


class PublishError(OSError):
    """Report a place that did not take a checkpoint."""


def to_stdout() -> Publisher:
    """Return a publisher that prints each note, for a log collector to keep."""

    def publish(note: str) -> None:
        sys.stdout.write(note + "\n")
        sys.stdout.flush()

    return publish


def to_file(path: Path) -> Publisher:
    """Return a publisher that appends each note to the file *path*, one a line."""
    file = Published(path)

    def publish(note: str) -> None:
        at_us = time.time_ns() // 1000
        file.extend(lambda last: [] if last == note else [note], at_us)

    return publish


def to_url(
    url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
) -> Publisher:
    """Return a publisher that PUTs each note to *url*, such as an object store's.

    ``{origin}`` and ``{size}`` in *url* are replaced by those of the checkpoint, so
    that each is an object of its own: with a retention lock on the bucket none can be
    replaced. *headers* carry what the store demands; *timeout_s* counts in seconds.

    Raises:
        ValueError: for a *url* that is not https, unless it is this host.

    """
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        raise ValueError(f"{parts.scheme}://{parts.hostname}: https is needed")

    def publish(note: str) -> None:
        made = _stated(note)
        target = url.replace("{origin}", quote(made.origin, safe=""))
        _put(target.replace("{size}", str(made.size)), note, headers or {}, timeout_s)

    return publish


def to_otlp() -> Publisher:
    """Return a publisher that emits each note as an OpenTelemetry log event.

    It goes where the logger provider of the process sends it.
    """

    def publish(note: str) -> None:
        from opentelemetry._logs import (  # noqa: PLC0415 - where it is used
            LogRecord,
            SeverityNumber,
            get_logger,
        )

        made = _stated(note)
        record = LogRecord(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.INFO,
            body=note,
            attributes={
                "gov.checkpoint.origin": made.origin,
                "gov.checkpoint.size": made.size,
                "gov.checkpoint.root": made.root.hex(),
            },
            event_name=EVENT,
        )
        get_logger("openfeature_gov").emit(record)

    return publish


def _stated(note: str) -> Checkpoint:
    return parse_checkpoint(note.rpartition("\n\n")[0] + "\n")


def _put(url: str, note: str, headers: Mapping[str, str], timeout_s: float) -> None:
    import urllib3  # noqa: PLC0415 - where it is used

    sent = {"Content-Type": "text/plain; charset=utf-8", **headers}
    where = urlsplit(url)
    place = f"{where.hostname}{where.path}"  # a query may hold a signature
    try:
        with urllib3.PoolManager(timeout=timeout_s, retries=False) as pool:
            answer = pool.request("PUT", url, body=note.encode(), headers=sent)
    except urllib3.exceptions.HTTPError as error:
        raise PublishError(f"{place}: {type(error).__name__}") from None
    if not 200 <= answer.status < 300:
        raise PublishError(f"{place}: answered {answer.status}")

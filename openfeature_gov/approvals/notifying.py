"""Send notices: the records are the outbox, and a cursor says what went out.

Every request and every step is a record that became durable together with it, so
nothing that happened can be missing. The cursor moves once a notice was taken; a crash
in between sends it again, with the same key. Every channel has a cursor of its own: one
that takes nothing stays behind, and holds up no other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import orjson
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from openfeature_gov.approvals import shelf as approvals
from openfeature_gov.approvals.channels import Channel
from openfeature_gov.approvals.notices import (
    ASKS,
    SOON_US,
    News,
    Notice,
    current,
    expiring,
    news,
    notice,
    payload,
    text,
    title,
)
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.signing import HEADER, sign
from openfeature_gov.approvals.states import State
from openfeature_gov.canonical import encode
from openfeature_gov.errors import InvalidContractError, RecordStoreError
from openfeature_gov.evidence.otlp import (
    Cursor,
    Read,
    Stored,
    forward,
    read_cursor,
    write_cursor,
)
from openfeature_gov.reviews import notices as reviewing
from openfeature_gov.reviews import queue as reviews

TIMEOUT_S = 10.0
TRIES = 3
"""How often a notice is tried at once; then its channel waits for the next pass."""
PAUSE_S = 0.5
LONGEST_S = 5.0
MOST = 100_000
"""How many waiting requests are looked at together; no queue is near it."""
TALKATIVE = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")
"""Loggers that say URLs."""
Send = Callable[[Notice], None]
"""Return once a notice was taken, or raise ConnectionError."""


class Shelf(approvals.Shelf, reviews.Shelf, Protocol):
    """Keep what notices are about: requests and reviews."""


_sending: ContextVar[bool] = ContextVar("gov_sending", default=False)


def notify(
    to: str,
    read: Read,
    shelf: Shelf,
    cursor: Path,
    send: Send,
    now: Callable[[], int],
) -> int:
    """Send what the log *read* has for *to* after *cursor*, in order; return how many.

    An ask for a request that no longer waits, and an answer older than a day, are
    passed over. *now* returns microseconds since 1970.

    Raises:
        ConnectionError: a notice was not taken; those before it stay sent.
        RecordStoreError: the log is not the one that the cursor is of, or it cannot be
            read.
        OSError: the cursor cannot be written; its notice will be sent again.

    """
    outbox = _Outbox(read, shelf)
    sent = 0

    def deliver(portion: Sequence[Stored]) -> None:
        nonlocal sent
        found = outbox.notice(portion[-1], now())
        if found is not None and to in found.to:
            send(found)
            sent += 1

    forward(outbox, cursor, deliver)
    return sent


def remind(to: str, shelf: Shelf, cursor: Path, send: Send, now_us: int) -> int:
    """Send *to* what soon expires, each deadline once; return how many notices.

    The file *cursor* says up to which deadline.

    Raises:
        ConnectionError: a notice was not taken; those before it stay sent.
        RecordStoreError: requests or the cursor cannot be read.
        OSError: the cursor cannot be written; its notice will be sent again.

    """
    # Deadlines come in order: one that is made later than this lies beyond it.
    at = read_cursor(cursor)
    sent = 0
    near = shelf.requests(states=(State.PENDING,), due_us=now_us + SOON_US, limit=MOST)
    due = [kept.request for kept in near if expiring(kept.request, now_us)]
    for request in sorted(due, key=_place):
        if _place(request) > at:
            mark = f"{News.EXPIRING}:{request.deadline_us}"
            found = notice(News.EXPIRING, request, mark, request.level)
            if to in found.to:
                send(found)
                sent += 1
            write_cursor(cursor, _place(request))
    return sent


def _place(request: Request) -> Cursor:
    return Cursor(request.deadline_us, request.id)


class _Outbox:
    """Read a log in portions that each end with something to tell. Lives for a pass.

    So a cursor that moves by portions moves by notices.
    """

    def __init__(self, read: Read, shelf: Shelf) -> None:
        self._read, self._shelf = read, shelf
        self._held: Sequence[Stored] = ()
        self._after = 0
        self._asked: Mapping[str, str] | None = None

    def __call__(self, *, after: int, limit: int) -> Sequence[Stored]:
        """Return at most *limit* records after place *after*, up to one with news."""
        if not self._held or self._after != after:
            self._held = self._read(after=after, limit=limit)
            self._asked = None
        with_news = (n for n, one in enumerate(self._held, 1) if _news(one) is not None)
        end = next(with_news, len(self._held))
        portion, self._held = self._held[:end], self._held[end:]
        self._after = portion[-1].seq if portion else after
        return portion

    def notice(self, one: Stored, now_us: int) -> Notice | None:
        """Return the notice that the record *one* leads to, None for none."""
        body = _body(one)
        what = news(one.kind, body)
        if what is None:
            return self._reviewed(one, body, now_us)
        made = what is News.REQUESTED
        request_id = self._asked_by(one.id) if made else str(body.get("approval"))
        kept = self._shelf.request(request_id) if request_id else None
        if kept is None or not current(what, kept.request, one.at_us, now_us):
            return None
        level = body.get("level")
        return notice(
            what, kept.request, one.id, level if isinstance(level, int) else 0
        )

    def _reviewed(
        self, one: Stored, body: Mapping[str, Any], now_us: int
    ) -> Notice | None:
        what = reviewing.news(one.kind, body)
        kept = None if what is None else self._shelf.review(str(body.get("review")))
        if what is None or kept is None:
            return None
        if not reviewing.current(what, kept.review, one.at_us, now_us):
            return None
        return reviewing.notice(what, kept.review, one.id)

    def _asked_by(self, record_id: str) -> str | None:
        """Return the waiting request that the record *record_id* made.

        Requests were read after the records held here: those that wait are known.
        """
        if self._asked is None:
            waiting = self._shelf.requests(states=(State.PENDING,), limit=MOST)
            self._asked = {one.request.record_id: one.request.id for one in waiting}
        return self._asked.get(record_id)


def _news(one: Stored) -> News | None:
    body = _body(one)
    return news(one.kind, body) or reviewing.news(one.kind, body)


def _body(one: Stored) -> dict[str, Any]:
    """Return what the record says; nothing when it is damaged, which audits find."""
    try:
        body = orjson.loads(one.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def sender(channel: Channel, link: str = "", *, pause_s: float = PAUSE_S) -> Send:
    """Return what sends notices to *channel*, each tried `TRIES` times.

    *link* is the page below which requests are found; *pause_s* is waited before the
    second try, and twice that before the third.

    Raises:
        InvalidContractError: when apprise knows no such URL.
        RecordStoreError: when the extra ``notify`` is needed and not installed.

    """
    once = _webhook(channel, link) if channel.webhook else _apprise(channel, link)
    trying = Retrying(
        retry=retry_if_exception_type(ConnectionError),
        wait=wait_exponential(multiplier=pause_s, max=LONGEST_S),
        stop=stop_after_attempt(TRIES),
        reraise=True,
    )

    def send(one: Notice) -> None:
        with _quiet():
            trying(once, one)

    return send


def _webhook(channel: Channel, link: str) -> Send:
    import urllib3  # noqa: PLC0415 - most commands need none

    # Without retries it follows no redirection either.
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(TIMEOUT_S), retries=False)

    def send(one: Notice) -> None:
        body = encode(payload(one, link))
        headers = {
            "Content-Type": "application/json",
            HEADER: sign(channel.secret, body, time.time_ns() // 1_000_000),
        }
        try:
            answer = pool.request(
                "POST",
                channel.webhook,
                body=body,
                headers=headers,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _not_taken(channel, type(error).__name__) from None
        # What it says does not matter, and may never end.
        answer.close()
        if not 200 <= answer.status < 300:
            raise _not_taken(channel, f"answer {answer.status}")

    return send


def _apprise(channel: Channel, link: str) -> Send:
    try:
        import apprise  # noqa: PLC0415 - an extra
    except ImportError:
        raise RecordStoreError(
            "sending notices this way needs: pip install 'openfeature-gov[notify]'"
        ) from None
    asset = apprise.AppriseAsset(
        app_id="openfeature-gov",
        app_desc="openfeature-gov",
        app_url="",
        async_mode=False,
        http_redirects=False,
        service_timeout=TIMEOUT_S,
    )
    place = apprise.Apprise(asset=asset)
    with _quiet():
        known = place.add(channel.url)
    if not known:
        problem = "is no URL that apprise knows"
        raise InvalidContractError(f"channel {channel.name}", [(0, "url", problem)])

    def send(one: Notice) -> None:
        taken = place.notify(
            title=title(one),
            body=text(one, link),
            body_format=apprise.NotifyFormat.TEXT,
            notify_type=(
                apprise.NotifyType.WARNING
                if one.news in ASKS
                else apprise.NotifyType.INFO
            ),
        )
        if not taken:
            raise _not_taken(channel, "apprise could not deliver it")

    return send


def _not_taken(channel: Channel, why: str) -> ConnectionError:
    return ConnectionError(f"channel {channel.name}: notice not taken: {why}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Let no library say, within the block, which URL it calls."""
    for name in TALKATIVE:
        logging.getLogger(name).addFilter(_unheard)
    before = _sending.set(True)
    try:
        yield
    finally:
        _sending.reset(before)


def _unheard(_record: logging.LogRecord) -> bool:
    return not _sending.get()

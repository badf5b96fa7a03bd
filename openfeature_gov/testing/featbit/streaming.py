"""The stream of the evaluation server: WebSocket, data-sync, pushes."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from openfeature_gov.testing.featbit.ports import LONGEST_STOP, cut, reserve
from openfeature_gov.testing.featbit.store import (
    FLAGS,
    NOT_PUSHED,
    SEGMENTS,
    Json,
    Store,
    without,
)

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.sync.server import Server, ServerConnection

INVALID_REQUEST, UNAVAILABLE = 4003, 1011
REASONS = {
    INVALID_REQUEST: "invalid request, close by server",
    UNAVAILABLE: "service unavailable, close by server",
}
LONGEST_FRAME = 8192
CLOSE_TIMEOUT = 0.3
"""Seconds to wait for a peer's half of the closing handshake."""
POLL = 0.02

silent = logging.getLogger(__name__)
silent.addHandler(logging.NullHandler())
silent.propagate = False


def message(event: str, items: dict[str, list[Json]]) -> str:
    """Return a data-sync message; *event* is ``full`` or ``patch``."""
    data = {"eventType": event, FLAGS: items[FLAGS], SEGMENTS: items[SEGMENTS]}
    return json.dumps({"messageType": "data-sync", "data": data})


def sync_message(store: Store, timestamp: int) -> str:
    """Return the answer to a sync from *timestamp* (ms, 0 is all)."""
    full = timestamp <= 0 or store.faults.always_full
    items = store.newer_than(0 if full else timestamp)
    return message("full" if full else "patch", items)


class Streams:
    """The WebSocket port and its open streams, from `open` to `close`.

    A frame is queued in the order of the changes and sent by the thread of its
    connection, so that a peer that does not read holds up nobody else.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._socket = reserve()
        self.number: int = self._socket.getsockname()[1]
        self._server: Server | None = None
        self._peers: dict[ServerConnection, SimpleQueue[str | None]] = {}
        self._synced: set[ServerConnection] = set()
        self._held: str | None = None
        self._closing = threading.Event()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"ws://127.0.0.1:{self.number}"

    def __len__(self) -> int:
        return len(self._peers)

    def open(self) -> None:
        """Accept streams from now on."""
        from websockets.sync.server import serve  # noqa: PLC0415

        self._closing.clear()
        self._socket.listen()
        server = serve(
            self._follow,
            sock=self._socket,
            process_request=self._upgrade,
            compression=None,
            open_timeout=2,
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=None,
            logger=silent,
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._server = server

    def close(self, *, keep: bool) -> None:
        """Cut all streams; *keep* the port number for another `open`."""
        self._closing.set()
        for peer in list(self._peers):
            cut(peer.socket)
        cut(self._socket)  # closing alone leaves it listening in a forked child
        if self._server is not None:
            end = threading.Thread(target=self._server.shutdown, daemon=True)
            end.start()
            end.join(LONGEST_STOP)
            self._server = None
        self._socket.close()
        if keep:
            self._socket = reserve(self.number)

    def drop(self, code: int) -> None:
        """Close all streams with *code* and wait until they are closed."""
        peers = set(self._peers)
        closing = [
            threading.Thread(target=peer.close, args=(code, REASONS.get(code, "")))
            for peer in peers
        ]
        for one in closing:
            one.start()
        for one in closing:
            one.join()
        deadline = time.monotonic() + LONGEST_STOP
        while not peers.isdisjoint(self._peers) and time.monotonic() < deadline:
            time.sleep(POLL)

    def send(self, text: str) -> None:
        """Send one frame as it is to all open streams."""
        for queue in list(self._peers.values()):
            queue.put(text)

    def push(self, kind: str, item: Json) -> None:
        """Push one changed item as the faults of the moment have it."""
        faults = self._store.faults
        if faults.drop_pushes or self._frozen:
            return
        items: dict[str, list[Json]] = {FLAGS: [], SEGMENTS: []}
        if faults.duplicate_items:
            others = [f for f in self._store.flags.values() if f["id"] != item["id"]]
            items[FLAGS] += others[:1]
        items[kind].append(without(item, NOT_PUSHED[kind]))
        text = message("patch", items)
        if faults.malformed_frame_once:
            faults.malformed_frame_once = False
            text = text[: len(text) // 2]
        if faults.out_of_order and self._held is None:
            self._held = text
            return
        frames = [text] if self._held is None else [text, self._held]
        self._held = None
        for queue in [self._peers[one] for one in list(self._synced)]:
            for frame in frames:
                queue.put(frame)

    @property
    def _frozen(self) -> bool:
        return self._store.faults.frozen or self._store.faults.frozen_stream

    def _upgrade(self, peer: ServerConnection, request: Request) -> Response | None:
        while self._store.faults.half_open and not self._closing.wait(POLL):
            pass
        if self._closing.is_set():
            return peer.respond(503, "")
        if urlsplit(request.path).path != "/streaming":
            return peer.respond(404, "")
        return None

    def _refusal(self, peer: ServerConnection) -> int | None:
        faults = self._store.faults
        if faults.refuse_code is not None:
            return faults.refuse_code
        query = parse_qs(urlsplit(peer.request.path).query if peer.request else "")
        admitted = query.get("version", ["1"])[0] in {"", "1", "2"} and (
            self._store.environment.admits(
                query.get("token", [""])[0],
                query.get("type", [""])[0],
                now_ms=time.time() * 1000 + faults.evaluation_clock_skew_ms,
            )
        )
        return None if admitted else INVALID_REQUEST

    def _follow(self, peer: ServerConnection) -> None:
        refusal = self._refusal(peer)
        if refusal is not None:
            peer.close(refusal, REASONS.get(refusal, ""))
            return
        queue: SimpleQueue[str | None] = SimpleQueue()
        writer = threading.Thread(target=_write, args=(peer, queue), daemon=True)
        self._peers[peer] = queue
        writer.start()
        try:
            self._read(peer, queue)
        finally:
            with self._store.lock:
                self._synced.discard(peer)
                del self._peers[peer]
            queue.put(None)
            writer.join(LONGEST_STOP)

    def _read(self, peer: ServerConnection, queue: SimpleQueue[str | None]) -> None:
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

        with contextlib.suppress(ConnectionClosed):
            for raw in peer:
                kind, data = _parsed(raw)
                if self._frozen:
                    continue
                if kind == "ping":
                    queue.put('{"messageType":"pong","data":{}}')
                elif kind == "echo":
                    queue.put(json.dumps({"messageType": "echo", "data": data}))
                elif kind == "data-sync" and isinstance(data, dict):
                    self._sync(peer, queue, data)

    def _sync(
        self, peer: ServerConnection, queue: SimpleQueue[str | None], data: Json
    ) -> None:
        timestamp = data.get("timestamp")
        if self._closing.wait(self._store.faults.slow_sync_s):
            return
        # INVARIANT: under the lock, so that a push never overtakes the older answer
        # and a stream that has not synced yet gets no push before its full.
        with self._store.lock:
            held = timestamp if isinstance(timestamp, int) else 0
            queue.put(sync_message(self._store, held))
            self._synced.add(peer)


def _parsed(raw: str | bytes) -> tuple[str, Any]:
    if len(raw) > LONGEST_FRAME:
        return "", None
    try:
        frame = json.loads(raw)
        return frame["messageType"].lower(), frame["data"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", None


def _write(peer: ServerConnection, queue: SimpleQueue[str | None]) -> None:
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

    with contextlib.suppress(ConnectionClosed):
        while (text := queue.get()) is not None:
            peer.send(text)

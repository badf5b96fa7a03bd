"""The connection: FeatBit's own SDK streams, watched, and hands over every frame.

The SDK builds the token, connects, pings, backs off and reconnects. Its handling of
messages is replaced, because it drops items and whole messages; so is its closing,
which can take six seconds. Both rest on its structure: hence the exact version.
"""

import contextlib
import functools
import logging
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from websocket import (
    WebSocket,
    WebSocketApp,
    WebSocketConnectionClosedException,
    WebSocketException,
)

from openfeature.contrib.provider.featbit.live.sdk import (
    WS_INVALID_REQUEST_CLOSE,
    BackoffAndJitterStrategy,
    Config,
    DataUpdateStatusProviderImpl,
    NullDataStorage,
    Streaming,
    WebSocketConfig,
)
from openfeature.contrib.provider.featbit.live.timing import Timing

logger = logging.getLogger(__name__)

FULL = '{"messageType":"data-sync","data":{"timestamp":0}}'
SWITCHING = 101
QUOTING = ("skipping message", "WebSocket Failure", " - goodbye")
"""In log lines that quote a message or an answer of the server."""


def hush() -> None:
    """Let FeatBit's SDK log warnings at most, and nothing that the server sent."""
    log = logging.getLogger("fbclient.utils")
    if log.getEffectiveLevel() < logging.WARNING:
        log.setLevel(logging.WARNING)
    if not hasattr(log, "trace"):
        # Made before the SDK was imported, it lacks what each ping calls.
        log.trace = log.debug  # type: ignore[attr-defined]
    for one in (log, logging.getLogger("websocket")):
        if _harmless not in one.filters:
            one.addFilter(_harmless)


def _harmless(record: logging.LogRecord) -> bool:
    text = str(record.msg)
    return not any(one in text for one in QUOTING)


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a connection, on its thread; nothing here may block or raise."""

    opened: Callable[[], None]
    frame: Callable[[bytes | str], None]
    dropped: Callable[[], None]
    refused: Callable[[], None]


def connect(
    streaming_url: str,
    secret: str,
    listener: Listener,
    timing: Timing,
    ca_file: str | None,
) -> "Stream":
    """Start to stream in a daemon thread of its own; returns at once."""
    hush()
    tls = None if ca_file is None else {"ca_certs": ca_file}
    config = Config(
        secret,
        "",
        streaming_url,
        streaming_first_retry_delay=timing.first_retry_s,
        data_storage=NullDataStorage(),
        websocket=WebSocketConfig(timeout=timing.http_s, sslopt=tls),
    )
    stream = Stream(config, listener, timing)
    stream.start()
    return stream


class Stream(Streaming):  # type: ignore[misc] # the SDK has no types
    """One connection after the other, from `start` to `end`; a daemon thread."""

    def __init__(self, config: Config, listener: Listener, timing: Timing) -> None:
        self._listener = listener
        self._socket: socket.socket | None = None
        self._open: WebSocketApp | None = None
        self._ended = threading.Event()
        self._Streaming__ping_interval = timing.ping_s
        status = DataUpdateStatusProviderImpl(config.data_storage)
        super().__init__(config, None, status, threading.Event())
        self._Streaming__strategy = BackoffAndJitterStrategy(
            timing.first_retry_s, max_delay_in_seconds=timing.longest_retry_s
        )

    def cut(self) -> None:
        """Break the connection, if there is one; the SDK then opens another."""
        # Only a raw shutdown wakes the thread: closing would take the descriptor
        # away from under its select, which then never returns.
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def ask(self) -> None:
        """Ask for everything over the connection, if there is one."""
        wsapp = self._open
        if wsapp is not None:
            with contextlib.suppress(WebSocketException, OSError):
                wsapp.send(FULL)

    def end(self, longest_s: float) -> None:
        """Stop for good; waits *longest_s* seconds at most, the thread being daemon."""
        self._halt()
        self.cut()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(longest_s)

    def let_go(self) -> None:
        """Close the child's copy of the connection, which is its parent's."""
        if self._socket is not None:
            self._socket.close()

    def _halt(self) -> None:
        self._ended.set()
        self._Streaming__force_close, self._Streaming__running = True, False
        self._Streaming__stop_event.set()
        self._Streaming__ping_task._stop_event.set()  # noqa: SLF001 - its stop() may wait 5 s

    def _init_wsapp(self) -> None:
        super()._init_wsapp()
        self._Streaming__wsapp.__class__ = _Straight

    def _on_open(self, wsapp: WebSocketApp) -> None:
        self._socket = wsapp.sock.sock  # type: ignore[union-attr] # it is open
        if self._ended.is_set():
            self.cut()
            return
        self._listener.opened()
        super()._on_open(wsapp)
        self._open = wsapp

    def _on_message(self, _wsapp: WebSocketApp, msg: bytes | str) -> None:
        self._listener.frame(msg)

    def _on_error(self, wsapp: WebSocketApp, error: BaseException) -> None:
        logger.debug("streaming failed: %s", type(error).__name__)
        super()._on_error(wsapp, error)
        self._over(refused=_refused(error))

    def _on_close(self, wsapp: WebSocketApp, code: int | None, reason: str) -> None:
        super()._on_close(wsapp, code, reason)
        # websocket-client leaves it open when the server was the first to close.
        connection, self._socket, self._open = self._socket, None, None
        if connection is not None:
            connection.close()
        self._over(refused=code == WS_INVALID_REQUEST_CLOSE)

    def _over(self, *, refused: bool) -> None:
        if self._ended.is_set():
            return
        if refused:
            self._halt()
            self._listener.refused()
        else:
            self._listener.dropped()


class _Straight(WebSocketApp):
    """A connection that follows no redirects: they would take the secret elsewhere."""

    @property
    def sock(self) -> WebSocket | None:
        found: WebSocket | None = self.__dict__.get("sock")
        return found

    @sock.setter
    def sock(self, new: WebSocket | None) -> None:
        if new is not None:
            connect = functools.partial(_connect, new, new.connect)
            new.connect = connect  # type: ignore[method-assign] # of this one
        self.__dict__["sock"] = new


def _connect(
    new: WebSocket, plain: Callable[..., None], url: str, **options: object
) -> None:
    plain(url, **options, redirect_limit=0)
    response = new.handshake_response
    if response is None or response.status != SWITCHING:
        new.shutdown()  # type: ignore[no-untyped-call]
        raise WebSocketConnectionClosedException("the server redirects")


def _refused(error: BaseException) -> bool:
    # From websocket-client 1.9 on a close frame arrives as this error.
    if not isinstance(error, WebSocketConnectionClosedException):
        return False
    return re.search(rf"\b{WS_INVALID_REQUEST_CLOSE}\b", str(error)) is not None

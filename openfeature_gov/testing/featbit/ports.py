"""Loopback ports that go away and come back under the same number."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

LONGEST_STOP = 5.0
"""Seconds that closing a port waits for the threads of its connections."""


def reserve(port: int = 0) -> socket.socket:
    """Bind a loopback *port* without listening: it is ours, and refuses connections."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", port))
    return reserved


def cut(connection: socket.socket) -> None:
    """End *connection* without a word, as a process that dies does."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Request(NamedTuple):
    """One HTTP request; *query* has a list for each name."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message[str, str]
    body: bytes


class Response(NamedTuple):
    """One HTTP response; *date* replaces the header of that name."""

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    date_skew_ms: float = 0.0


def json_response(status: int, value: Any) -> Response:
    """Return *value* as JSON."""
    return Response(status, json.dumps(value).encode())


Answer = Callable[[Request], Response | None]
"""Answer a request; None ends the connection without an answer."""


class HttpPort:
    """One HTTP server on one loopback port, from `open` to `close`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._socket = reserve()
        self.number: int = self._socket.getsockname()[1]
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.number}"

    def open(self) -> None:
        """Answer from now on."""
        self._server = _Server(self._socket, self._answer)
        self._server.begin()

    def close(self, *, keep: bool) -> None:
        """Cut all connections; *keep* the port number for another `open`."""
        if self._server is not None:
            self._server.end()
            self._server = None
        self._socket.close()
        if keep:
            self._socket = reserve(self.number)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, bound: socket.socket, answer: Answer) -> None:
        super().__init__(bound.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.answer = answer
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()

    def begin(self) -> None:
        self.server_activate()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def end(self) -> None:
        cut(self.socket)  # closing alone leaves it listening in a forked child
        self.shutdown()
        self.server_close()
        with self._lock:
            left = dict(self._open)
        for connection in left:
            cut(connection)
        for thread in left.values():
            thread.join(LONGEST_STOP)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a peer that went away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Kestrel"
    sys_version = ""
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            path=unquote(url.path),
            query=parse_qs(url.query, keep_blank_values=True),
            headers=self.headers,
            body=self.rfile.read(length),
        )
        response = self.server.answer(request)
        if response is None:
            self.close_connection = True
            return
        self.send_response_only(response.status)
        moment = self._now_ms() + response.date_skew_ms
        self.send_header("Date", self.date_time_string(moment / 1000))
        self.send_header("Content-Length", str(len(response.body)))
        if response.body:
            self.send_header("Content-Type", response.content_type)
        self.end_headers()
        self.wfile.write(response.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _now_ms(self) -> float:
        return time.time() * 1000

    def log_message(self, *_arguments: Any) -> None:
        """Print nothing."""

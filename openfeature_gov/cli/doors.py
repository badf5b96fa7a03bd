"""A door for webhooks: a bounded HTTP server that takes a body and answers shortly.

What is refused is counted, but for what is no webhook at all; the caller hears no
reason but the status.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import typer
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.targets import UnreachableError

AT_ONCE = 16
"""Connections that are served at the same time; one more is closed."""
LONGEST_S = 10.0
"""Seconds after which a connection is cut off."""


class Sent(NamedTuple):
    """Hold what was sent to a *path* of the door; *headers* by name in any case."""

    path: str
    body: bytes
    headers: Message


class Answer(NamedTuple):
    """Hold what goes back: *status*, and *data* as JSON.

    *why* says what was refused, to whoever runs the door alone.
    """

    status: HTTPStatus
    why: str = ""
    data: Mapping[str, Any] | None = None


Take = Callable[[Sent], Answer]


class Door(ThreadingTCPServer):
    """Listen at *address* and answer each POST by what *take* says of it.

    A body has at most *largest* bytes. *url* is where it listens.

    Raises:
        OSError: when it cannot listen there.

    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], take: Take, largest: int) -> None:
        self._take, self.largest = take, largest
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._refused = (0, "")
        self._lock = threading.Lock()
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        self.address_family = found[0][0]
        super().__init__(address, _Visit)
        host, port = self.socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def refused(self) -> tuple[int, str]:
        """Return how many were refused since the last call, and why the last one."""
        with self._lock:
            refused, self._refused = self._refused, (0, "")
        return refused

    def warn_of_refused(self) -> None:
        """Say how many were refused since the last time, and why the last one."""
        count, why = self.refused()
        if count:
            output.warn(f"{count} webhook(s) refused, the last for this: {why}")

    def answer(self, sent: Sent | Answer) -> Answer:
        """Return the answer to what was *sent*, or to what could not be read."""
        found = sent if isinstance(sent, Answer) else self._take(sent)
        if found.why:
            self.refuse(found.why)
        return found

    def refuse(self, why: str) -> None:
        """Count a request that is refused."""
        with self._lock:
            self._refused = (self._refused[0] + 1, why)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own while there are not too many."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.refuse(f"webhook: more than {AT_ONCE} connections at once")
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, for a while."""
        cutting = threading.Timer(LONGEST_S, _cut, [request])
        cutting.daemon = True
        cutting.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            cutting.cancel()
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the other side went away."""


class _Visit(BaseHTTPRequestHandler):
    server: Door
    timeout = LONGEST_S

    def do_POST(self) -> None:
        """Take one webhook."""
        length, largest = self.headers.get("Content-Length") or "", self.server.largest
        sent: Sent | Answer
        if not (length.isascii() and length.isdigit()):
            sent = Answer(HTTPStatus.LENGTH_REQUIRED, "webhook: no length")
        elif len(length) > len(str(largest)) or int(length) > largest:
            sent = Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "webhook: too large")
        else:
            body = self.rfile.read(int(length))
            sent = Sent(urlsplit(self.path).path, body, self.headers)
        answer = self.server.answer(sent)
        self._answer(answer.status, answer.data)

    def send_error(self, code: int, *_: Any) -> None:
        """Answer what could not be read, or is no POST."""
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED if code == 501 else code)

    def _answer(self, status: int, data: Mapping[str, Any] | None = None) -> None:
        body = b"" if data is None else json.dumps(data).encode()
        self.send_response_only(status)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "POST")
        if body:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be quiet: what others send must not fill a log."""


@contextmanager
def listening(where: str, take: Take, largest: int) -> Iterator[Door]:
    """Listen at *where*, ``HOST:PORT`` or a port of this machine, within the block.

    Raises:
        typer.BadParameter: when *where* is no address.
        UnreachableError: when it cannot be listened at.

    """
    try:
        door = Door(_address(where), take, largest)
    except OSError as error:
        raise UnreachableError(f"--listen {where}: {error.strerror}") from None
    thread = threading.Thread(target=door.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    said = Text.assemble(("gov: ", "dim"), f"listens for webhooks at {door.url}")
    output.paper(stderr=True).print(said, soft_wrap=True)
    try:
        yield door
    finally:
        door.shutdown()
        thread.join()
        door.server_close()


def _address(where: str) -> tuple[str, int]:
    """Return host and port of *where*; without a host it is this machine alone."""
    try:
        parts = urlsplit(f"//{where if ':' in where else f':{where}'}")
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.path or parts.query or parts.fragment or "@" in where:
        raise typer.BadParameter(f"--listen {where!r} is no HOST:PORT, and no port")
    return parts.hostname or "127.0.0.1", port


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

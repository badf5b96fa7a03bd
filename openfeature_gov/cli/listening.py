"""Webhooks of FeatBit as a bell: a true one says that it is time to look, no more.

What a webhook claims is believed nowhere. It is answered with a status and nothing
else, and one that is refused is counted and rings no bell.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

import typer
from rich.text import Text

from openfeature.contrib.provider.featbit.management import RefusedError
from openfeature.contrib.provider.featbit.management.webhooks import (
    LARGEST,
    SIGNATURE,
    Inbox,
)
from openfeature_gov.cli import output
from openfeature_gov.targets import UnreachableError

AT_ONCE = 16
"""Connections that are served at the same time; one more is closed."""
LONGEST_S = 10.0
"""Seconds after which a connection is cut off."""


class Bell(ThreadingTCPServer):
    """Listen for webhooks at *address* and ring *rung* for each that is true and new.

    *url* is where it listens.

    Raises:
        OSError: when it cannot listen there.

    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, address: tuple[str, int], inbox: Inbox, rung: threading.Event
    ) -> None:
        self._inbox = inbox
        self._rung = rung
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

    def take(self, body: bytes, signature: str | None) -> HTTPStatus:
        """Ring if *body* is signed and new; return the status to answer with."""
        try:
            self._inbox.take(body, signature)
        except RefusedError as error:
            return self.refuse(HTTPStatus.UNAUTHORIZED, str(error))
        self._rung.set()
        return HTTPStatus.NO_CONTENT

    def refuse(self, status: HTTPStatus, why: str) -> HTTPStatus:
        """Count one that was refused; return *status*."""
        with self._lock:
            self._refused = (self._refused[0] + 1, why)
        return status

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own while there are not too many."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
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
    server: Bell
    timeout = LONGEST_S

    def do_POST(self) -> None:
        """Take one webhook."""
        length = self.headers.get("Content-Length") or ""
        if not (length.isascii() and length.isdigit()):
            status = HTTPStatus.LENGTH_REQUIRED
            self._answer(self.server.refuse(status, "webhook: no length"))
        elif len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            self._answer(self.server.refuse(status, "webhook: too large"))
        else:
            body = self.rfile.read(int(length))
            self._answer(self.server.take(body, self.headers.get(SIGNATURE)))

    def send_error(self, code: int, *_: Any) -> None:
        """Answer what could not be read, or is no POST."""
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED if code == 501 else code)

    def _answer(self, status: int) -> None:
        self.send_response_only(status)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "POST")
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Be quiet: what others send must not fill a log."""


@contextmanager
def listening(where: str, secret: str, rung: threading.Event) -> Iterator[Bell]:
    """Listen at *where*, ``HOST:PORT`` or a port of this machine, within the block.

    Raises:
        typer.BadParameter: when *where* is no address.
        UnreachableError: when it cannot be listened at.

    """
    try:
        bell = Bell(_address(where), Inbox(secret), rung)
    except OSError as error:
        raise UnreachableError(f"--listen {where}: {error.strerror}") from None
    thread = threading.Thread(target=bell.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    said = Text.assemble(("gov: ", "dim"), f"listens for webhooks at {bell.url}")
    output.paper(stderr=True).print(said, soft_wrap=True)
    try:
        yield bell
    finally:
        bell.shutdown()
        thread.join()
        bell.server_close()


def _address(where: str) -> tuple[str, int]:
    """Return host and port of *where*; without a host it is this machine alone."""
    try:
        parts = urlsplit(f"//{where if ':' in where else f':{where}'}")
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.path or parts.query or parts.fragment or "@" in where:
        raise typer.BadParameter("--listen must be HOST:PORT, or a port")
    return parts.hostname or "127.0.0.1", port


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

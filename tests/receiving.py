"""A real HTTP server that takes what is posted to it, for one test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Answer = Callable[[BaseHTTPRequestHandler], None]


class Posted(NamedTuple):
    """Hold one request: its path, its headers, its raw body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        """Return the body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def answer(status: int = 200, **headers: str) -> Answer:
    """Return what answers with *status*."""

    def say(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()

    return say


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Take the request, and answer nothing."""
    handler.close_connection = True


class Receiver:
    """Take what is posted; *answers* replace the next ones, *usual* is the rest."""

    def __init__(self, usual: Answer | None = None) -> None:
        self.posted: list[Posted] = []
        self.answers: list[Answer] = []
        self.usual = usual or answer()
        self.arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.take(self)

            def do_GET(self) -> None:
                outer.take(self)

            def log_message(self, *given: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def place(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.server.server_address[1]}"

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Keep one request, and answer it."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self.arrived:
            self.posted.append(Posted(handler.path, dict(handler.headers), body))
            say = self.answers.pop(0) if self.answers else self.usual
            self.arrived.notify_all()
        say(handler)

    def wait(self, count: int) -> list[Posted]:
        """Return what was posted once it is *count*."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.posted) >= count, 60)
            return list(self.posted)

    def close(self) -> None:
        """Stop the server."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

"""A server that answers as FeatBit's from a script, and what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openfeature.contrib.provider.featbit.management import (
    ManagementClient,
)

ENV = "ad99d259-1f50-4ed9-a002-7c65e25487df"
TOKEN = "api-" + "s3cr3tT0k3n" * 3


Answer = tuple[int, Any, dict[str, str]]


class Scripted(ThreadingHTTPServer):
    """Answer each request with the next line of a script, the last one for ever."""

    def __init__(self, script: list[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.requests: list[tuple[str, str, Any, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        seen = (self.command, self.path, body, dict(self.headers))
        self.server.requests.append(seen)
        script = self.server.script
        status, data, headers = script.pop(0) if len(script) > 1 else script[0]
        if status == 0:
            self.close_connection = True
            return
        text = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = answer  # noqa: N815 - the names are http.server's

    def log_message(self, *_args: Any) -> None:
        """Be quiet."""


Script = Callable[..., tuple[Scripted, ManagementClient]]


def scripts() -> Iterator[Script]:
    """Yield a function: answers to a server that gives them, and a client of it."""
    started: list[tuple[Scripted, threading.Thread]] = []

    def start(*answers: Answer, **options: Any) -> tuple[Scripted, ManagementClient]:
        made = Scripted(list(answers))
        thread = threading.Thread(
            target=made.serve_forever, kwargs={"poll_interval": 0.02}
        )
        thread.start()
        started.append((made, thread))
        return made, ManagementClient(made.url, TOKEN, **options)

    yield start
    for made, thread in started:
        made.shutdown()
        made.server_close()
        thread.join()


def good(data: Any) -> Answer:
    return 200, {"success": True, "errors": [], "data": data}, {}


def bad(status: int, *errors: str) -> Answer:
    return status, {"success": False, "errors": list(errors), "data": None}, {}


def asp(status: int) -> Answer:
    body = {
        "title": "One or more",
        "status": status,
        "errors": {"revision": ["not a GUID"]},
    }
    return status, body, {}

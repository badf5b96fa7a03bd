"""A scripted model behind Anthropic's Messages API, on loopback, for offline runs.

It streams as the API does, one scripted turn a request, and keeps what the model was
told. It checks nothing: what it is for is the client's own code.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from openfeature_gov.testing.rigs import Call

_MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


class ScriptedMessages(ThreadingHTTPServer):
    """Make the calls of each turn, then say that it is done."""

    daemon_threads = True

    def __init__(self, turns: Sequence[Sequence[Call]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._turns = iter(turns)
        self.answers: dict[str, str] = {}

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the variables that lead a client here, with its files in *folder*."""
        return {
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self.server_port}",
            "ANTHROPIC_API_KEY": "scripted",
            "HOME": str(folder),
            "CLAUDE_CONFIG_DIR": str(folder),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def turn(self, asked: dict[str, Any]) -> Sequence[Call]:
        """Return the calls that answer *asked*, whose tool results are kept."""
        for message in asked["messages"]:
            for block in _blocks(message["content"]):
                if block["type"] == "tool_result":
                    self.answers[block["tool_use_id"]] = _text(block["content"])
        return next(self._turns, ()) if asked.get("tools") else ()


@contextmanager
def scripted(turns: Sequence[Sequence[Call]]) -> Iterator[ScriptedMessages]:
    """Serve *turns* in the block."""
    with ScriptedMessages(turns) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedMessages

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send(404, b"{}")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.partition("?")[0] != "/v1/messages":
            return self._send(404, b"{}")
        asked = json.loads(raw)
        events = _events(self.server.turn(asked), asked.get("model"))
        stream = "".join(
            f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"
            for kind, data in events
        )
        return self._send(200, stream.encode(), "text/event-stream")

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _events(calls: Sequence[Call], model: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "message_start", {"message": {**_MESSAGE, "model": model}}
    for index, (block, delta) in enumerate(_said(calls)):
        yield "content_block_start", {"index": index, "content_block": block}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    reason = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    yield "message_delta", {"delta": reason, "usage": {"output_tokens": 1}}
    yield "message_stop", {}


def _said(calls: Sequence[Call]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    if not calls:
        yield {"type": "text", "text": ""}, {"type": "text_delta", "text": "done"}
    for call in calls:
        block = {"type": "tool_use", "id": call.id, "name": call.tool, "input": {}}
        text = json.dumps(call.arguments)
        yield block, {"type": "input_json_delta", "partial_json": text}


def _blocks(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else []


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(str(one.get("text", "")) for one in _blocks(content))

"""What every request passes before anything else: rate, size and time, headers."""

from __future__ import annotations

import asyncio

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openfeature_gov.server.buckets import Buckets
from openfeature_gov.server.problems import problem

LARGEST = 65_536
"""Bytes of a body."""
LONGEST_S = 10.0
"""Seconds for a body to arrive."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self';"
    " style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    # Without a referrer at all, browsers say Origin: null with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STRICT = {"Strict-Transport-Security": "max-age=31536000"}


class Guard:
    """Stand before *app*; *clients* counts by address, *secure* says it is https."""

    def __init__(self, app: ASGIApp, *, clients: Buckets, secure: bool) -> None:
        self._app, self._clients = app, clients
        self._headers = {**HEADERS, **(STRICT if secure else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._serve(scope, receive, guarded)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if not self._clients.take(client[0] if client else ""):
            await too_many()(scope, receive, send)
            return
        try:
            async with asyncio.timeout(LONGEST_S):
                body = await _body(receive)
        except ConnectionResetError:
            return
        except TimeoutError:
            await problem(408, "body_too_slow")(scope, receive, send)
            return
        if body is None:
            detail = f"at most {LARGEST} bytes"
            refusal = problem(413, "body_too_large", detail, {"Connection": "close"})
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


def too_many() -> ASGIApp:
    """Return the answer to a caller that asks too often."""
    return problem(429, "too_many_requests", headers={"Retry-After": "1"})


async def _body(receive: Receive) -> bytes | None:
    """Return the body, None for one that is too large.

    Raises:
        ConnectionResetError: when the caller went away before it was whole.

    """
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionResetError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replayed() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed

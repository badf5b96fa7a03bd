"""Who may speak HTTP to the gateway: this machine alone, and no page in a browser.

A page of any site can be made to reach loopback under a name of its own (DNS
rebinding). Source: MCP, transports, security warning.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

App = Callable[[Any, Any, Any], Awaitable[None]]
HOSTS = ("127.0.0.1", "localhost")


def entrance(app: App, port: int, token: str = "") -> App:
    """Return the ASGI *app* behind a check of each request's headers.

    It must be addressed as loopback at *port*, come from no other origin, and show
    the bearer *token* where there is one.
    """
    hosts = {f"{one}:{port}".encode() for one in HOSTS}
    origins = {b"http://" + one for one in hosts}
    expected = f"Bearer {token}".encode()

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        given = scope["headers"]
        named = [value.lower() for name, value in given if name == b"host"]
        from_ = [value.lower() for name, value in given if name == b"origin"]
        shown = [value for name, value in given if name == b"authorization"]
        if len(named) != 1 or not hosts.issuperset(named):
            await _refuse(send, 421, b"this gateway answers on loopback alone")
        elif not origins.issuperset(from_):
            await _refuse(send, 403, b"this gateway answers no other origin")
        elif token and not (
            len(shown) == 1 and hmac.compare_digest(shown[0], expected)
        ):
            await _refuse(send, 401, b"show the gateway's token")
        else:
            await app(scope, receive, send)

    return checked


async def _refuse(send: Any, status: int, why: bytes) -> None:
    headers = [(b"content-type", b"text/plain")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": why})

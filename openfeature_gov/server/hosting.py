"""The process that serves: how uvicorn is set."""

from __future__ import annotations

import socket

import uvicorn

from openfeature_gov.server.application import build
from openfeature_gov.server.desk import Desk

AT_ONCE = 500
"""Connections that are served at the same time."""


def server(desk: Desk) -> uvicorn.Server:
    """Return what serves *desk*; it runs on sockets of the caller's."""
    return uvicorn.Server(
        uvicorn.Config(
            build(desk),
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            # Whoever is not behind a proxy could claim any address.
            proxy_headers=desk.secure,
            limit_concurrency=AT_ONCE,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at *host* and *port*, 0 for a free one.

    Raises:
        OSError: when it cannot listen there.

    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    made = socket.create_server((host, port), family=family, backlog=256)
    # An answer is sent in two parts; the second must not wait for an acknowledgement.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made

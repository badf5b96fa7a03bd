"""The process that serves: how uvicorn is set."""

from __future__ import annotations

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

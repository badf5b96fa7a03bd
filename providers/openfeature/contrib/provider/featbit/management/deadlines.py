"""A bound on a request as a whole. The timeout of a socket bounds each read of it only.

An answer may drip in for ever, and so may its headers: only cutting the connection
from another thread ends that.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection


class Flight:
    """One request under way. *late* tells that it was cut off."""

    def __init__(self) -> None:
        self.late = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def use(self, connection: socket.socket | None) -> None:
        """Go on over *connection*; None ends the flight."""
        with self._lock:
            self._socket = connection
        if self.late:
            self.cut()

    def cut(self) -> None:
        """Break off the request; from any thread."""
        with self._lock, suppress(OSError):
            self.late = True
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)


class Deadlines:
    """Cut off the requests of *manager* that take longer than *longest_s* seconds."""

    def __init__(self, manager: urllib3.PoolManager, longest_s: float) -> None:
        self._longest_s = longest_s
        self._local = threading.local()
        manager.pool_classes_by_scheme = {
            name: self._watching(pool)
            for name, pool in manager.pool_classes_by_scheme.items()
        }

    @contextmanager
    def flight(self) -> Iterator[Flight]:
        """Watch the one request that this thread makes within the block."""
        flight = self._local.flight = Flight()
        timer = threading.Timer(self._longest_s, flight.cut)
        timer.daemon = True
        timer.start()
        try:
            yield flight
        finally:
            timer.cancel()
            flight.use(None)

    def _watching(self, pool: type[urllib3.HTTPConnectionPool]) -> Any:
        """Return *pool* with connections that hand over their socket for the answer."""
        plain, local = pool.ConnectionCls, self._local

        def getresponse(self: HTTPConnection) -> Any:
            local.flight.use(self.sock)
            return plain.getresponse(self)

        connection = type("Connection", (plain,), {"getresponse": getresponse})
        return type("Pool", (pool,), {"ConnectionCls": connection})

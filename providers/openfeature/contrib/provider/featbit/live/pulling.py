"""Fetch everything an environment holds over HTTP, and send insights."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import urllib3
from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.live.frames import DataSync, read_pulled
from openfeature.contrib.provider.featbit.live.timing import Timing

LATEST_ALL = "/api/public/sdk/server/latest-all?timestamp=0"
INSIGHTS = "/api/public/insight/track"
ATTEMPTS = 3
LARGEST = 64 * 2**20
"""Bytes of an answer that are read."""


class PullError(Exception):
    """The evaluation server did not answer a request usefully; says which and how."""


class BusyError(PullError):
    """The same request may succeed when it is sent again."""


class Http:
    """Requests to one evaluation server, from one thread at a time.

    The timeout of a socket bounds one read, and an answer may drip in for ever: so
    another thread has to call `expire` from time to time.
    """

    def __init__(
        self, event_url: str, secret: str, timing: Timing, ca_file: str | None
    ) -> None:
        self._url = event_url.rstrip("/")
        self._headers = {"Authorization": secret, "User-Agent": "openfeature-featbit"}
        timeout = urllib3.Timeout(connect=timing.http_s, read=timing.http_s)
        # No redirects: they would take the secret elsewhere.
        self._pool = urllib3.PoolManager(
            timeout=timeout, retries=False, headers=self._headers, ca_certs=ca_file
        )
        self._pool.pool_classes_by_scheme = {
            name: _noting(pool, self._connected)
            for name, pool in self._pool.pool_classes_by_scheme.items()
        }
        self._longest_s = timing.http_s
        self._due: float | None = None
        self._socket: socket.socket | None = None

    def pull(self, stopping: threading.Event) -> DataSync:
        """Return all flags and segments; tries again briefly, not once *stopping*.

        Raises:
            PullError: no usable answer.

        """
        attempts = Retrying(
            retry=retry_if_exception_type(BusyError),
            stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(stopping),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            sleep=sleep_using_event(stopping),
            reraise=True,
        )
        body: bytes = attempts(self._request, "GET", LATEST_ALL, None)
        try:
            return read_pulled(body)
        except FeatBitDataError as error:
            raise PullError(f"GET {LATEST_ALL}: {error}") from None

    def send_insights(self, body: bytes) -> None:
        """Post *body* once.

        Raises:
            PullError: it was not taken.

        """
        self._request("POST", INSIGHTS, body)

    def expire(self) -> None:
        """Break off a request that takes longer than ``http_s``; from any thread."""
        due, connection = self._due, self._socket
        if due is not None and connection is not None and time.monotonic() > due:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        where = f"{method} {path}"
        headers = self._headers
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        self._due = time.monotonic() + self._longest_s
        try:
            response = self._pool.request(
                method,
                self._url + path,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
            )
            try:
                data: bytes = response.read(LARGEST + 1)
                if len(data) > LARGEST:
                    response.close()  # the rest is unread
            finally:
                response.release_conn()
        except (HTTPError, OSError) as error:
            raise BusyError(f"{where}: {type(error).__name__}") from None
        finally:
            self._due = None
        if response.status in {429, 500, 502, 503, 504}:
            raise BusyError(f"{where}: HTTP {response.status}")
        if response.status != 200:
            raise PullError(f"{where}: HTTP {response.status}")
        if len(data) > LARGEST:
            raise PullError(f"{where}: more than {LARGEST} bytes")
        return data

    def _connected(self, connection: socket.socket | None) -> None:
        self._socket = connection


def _noting(
    pool: type[urllib3.HTTPConnectionPool],
    connected: Callable[[socket.socket | None], None],
) -> Any:
    """Return *pool* with connections that hand over their socket."""
    plain = pool.ConnectionCls

    def connect(self: HTTPConnection) -> None:
        plain.connect(self)
        connected(self.sock)

    connection = type("Connection", (plain,), {"connect": connect})
    return type("Pool", (pool,), {"ConnectionCls": connection})

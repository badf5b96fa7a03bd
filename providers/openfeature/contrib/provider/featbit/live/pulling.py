"""Fetch everything an environment holds over HTTP, and send insights."""

import threading

import urllib3
from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    wait_random_exponential,
)
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
    """Requests to one evaluation server, from one thread at a time."""

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

    def pull(self, stopping: threading.Event) -> DataSync:
        """Return all flags and segments; tries again briefly, not once *stopping*.

        Raises:
            PullError: no usable answer.

        """
        attempts = Retrying(
            retry=retry_if_exception_type(BusyError),
            stop=stop_after_attempt(ATTEMPTS),
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

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        where = f"{method} {path}"
        headers = self._headers
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
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
            finally:
                response.release_conn()
        except (HTTPError, OSError) as error:
            raise BusyError(f"{where}: {type(error).__name__}") from None
        if response.status in {429, 500, 502, 503, 504}:
            raise BusyError(f"{where}: HTTP {response.status}")
        if response.status != 200:
            raise PullError(f"{where}: HTTP {response.status}")
        if len(data) > LARGEST:
            raise PullError(f"{where}: more than {LARGEST} bytes")
        return data

"""HTTP to the management API: one pool, the envelope, and which requests are repeated.

Only GETs are repeated here. The token goes into one header and nowhere else.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.management.deadlines import Deadlines
from openfeature.contrib.provider.featbit.management.errors import (
    ApiError,
    ManagementError,
    MissingError,
    NoAnswerError,
    NotPermittedError,
    RefusedError,
)
from openfeature.contrib.provider.featbit.strict_json import read_json

TRIES = 4
LARGEST = 64 * 2**20
"""Bytes of an answer that are read."""
LONGEST_WAIT_S = 10.0
"""A server that asks for a longer pause gets an error instead, at once."""
REPEATED = frozenset({0, 429, 500, 502, 503, 504})
"""Statuses after which a GET is sent again; 0 is no answer at all."""
UNSENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
)
PREFIX = "/api/v1"
Query = Sequence[tuple[str, str | int]]


class Transport:
    """Send requests to one API with one token, each within *timeout_s*. Thread-safe.

    Raises:
        RefusedError: the URL is not https (loopback may be http), or the token could
            not go into a header.

    """

    def __init__(
        self,
        api_url: str,
        token: str,
        *,
        timeout_s: float = 10.0,
        allow_insecure: bool = False,
    ) -> None:
        self.url = _checked(api_url, allow_insecure=allow_insecure)
        if not (token and token.isascii() and token.isprintable() and " " not in token):
            raise RefusedError("the access token is empty or no printable ASCII text")
        self._headers = {"Authorization": token, "Accept": "application/json"}
        self._pool = urllib3.PoolManager(
            maxsize=8, timeout=urllib3.Timeout(connect=timeout_s, read=timeout_s)
        )
        self._longest_s = timeout_s
        self._deadlines = Deadlines(self._pool, timeout_s)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def get(
        self, path: str, query: Query = (), *, repeated: frozenset[int] = REPEATED
    ) -> Any:
        """Return the data of *path*; ask again after a status in *repeated*.

        Raises:
            NoAnswerError: no usable answer, after `TRIES`.
            ApiError: FeatBit refused it.
            ManagementError: the answer is not what the API promises.

        """
        return Retrying(
            retry=retry_if_exception(lambda error: _passing(error, repeated)),
            stop=stop_after_attempt(TRIES),
            wait=pause,
            reraise=True,
        )(self._send, "GET", path, query)

    def write(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        """Send *body* once and return the data of the answer.

        Raises:
            NoAnswerError: it is not known whether the server has done it.
            ApiError: FeatBit refused it.
            ManagementError: the answer is not what the API promises.

        """
        return self._send(method, path, (), body)

    def _send(
        self,
        method: str,
        path: str,
        query: Query,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        request = f"{method} {PREFIX}{path}"
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        status, wait, data = self._answer(request, method, url, body)
        return _data(request, status, wait, data)

    def _answer(
        self, request: str, method: str, url: str, body: Mapping[str, Any] | None
    ) -> tuple[int, str | None, bytes]:
        """Return the status, the pause that is asked for, and the body of an answer."""
        with self._deadlines.flight() as flight:
            try:
                answer = self._pool.request(
                    method,
                    url,
                    json=body,
                    headers=self._headers,
                    retries=False,
                    preload_content=False,
                )
                data = answer.read(LARGEST + 1)
                answer.close() if len(data) > LARGEST else answer.release_conn()
                problem, unsent = "", False
            except (urllib3.exceptions.HTTPError, OSError) as error:
                # Its text repeats addresses; its class says what happened.
                problem, unsent = type(error).__name__, isinstance(error, UNSENT)
        if flight.late:
            problem = f"not whole after {self._longest_s:g} s"
        if problem:
            raise NoAnswerError(request, f"no answer: {problem}", handled=unsent)
        if len(data) > LARGEST:
            problem = f"the answer has more than {LARGEST} bytes"
            raise NoAnswerError(request, problem, status=answer.status)
        return answer.status, answer.headers.get("Retry-After"), data


def pause(state: RetryCallState) -> float:
    """Return the seconds to wait before the next try; the server may ask for more."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, NoAnswerError) else None
    return max(asked or 0.0, _backoff(state))


_backoff = wait_exponential(multiplier=0.1, max=2.0) + wait_random(0, 0.1)


def _passing(error: BaseException, repeated: frozenset[int]) -> bool:
    return (
        isinstance(error, NoAnswerError)
        and error.status in repeated
        and (error.retry_after or 0.0) <= LONGEST_WAIT_S
    )


def _checked(api_url: str, *, allow_insecure: bool) -> str:
    try:
        parts = urlsplit(api_url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise RefusedError(f"the API URL is none: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise RefusedError("the API URL must look like https://featbit.example")
    if parts.username is not None or parts.query or parts.fragment:
        raise RefusedError("the API URL must hold no user, query or fragment")
    if parts.scheme == "http" and not (allow_insecure or _loopback(host)):
        problem = f"http to {host} would show the token to the network; use https"
        raise RefusedError(f"the API URL: {problem}")
    path = parts.path.rstrip("/").removesuffix(PREFIX)
    return f"{parts.scheme}://{parts.netloc}{path}{PREFIX}"


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _data(request: str, status: int, retry_after: str | None, body: bytes) -> Any:
    """Return the data of an answer, or raise what it means."""
    if status >= 500 or status == 429:
        lost = NoAnswerError(
            request,
            f"the server answered {status}",
            status=status,
            handled=status in (429, 500),
        )
        lost.retry_after = _seconds(retry_after)
        raise lost
    envelope = _envelope(request, status, body)
    if status == 200 and envelope.get("success") is True and "data" in envelope:
        return envelope["data"]
    raise _refusal(request, status, codes(envelope.get("errors")))


def _envelope(request: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        read = read_json(body)
    except FeatBitDataError:
        read = None
    if isinstance(read, dict):
        return read
    if status == 200:
        problem = "the answer is no JSON object; is this the URL of FeatBit's API?"
        raise ManagementError(f"{request}: {problem}")
    return {}


def _refusal(request: str, status: int, told: tuple[str, ...]) -> ApiError:
    match status:
        case 401:
            hint = "the access token is unknown, inactive or expired"
            return NotPermittedError(request, status, told, hint)
        case 403:
            hint = "not permitted, or no such flag, segment or environment"
            return NotPermittedError(request, status, told, hint)
        case 404:
            return MissingError(request, status, told)
    if 300 <= status < 400:
        return ApiError(request, status, told, "redirects are not followed")
    return ApiError(request, status, told)


def codes(errors: object) -> tuple[str, ...]:
    """Return the codes in *errors*: a list of them, or ASP.NET's lists by field."""
    if isinstance(errors, dict):
        return tuple(
            f"{_printable(field)}: {_printable(one)}"
            for field, told in sorted(errors.items())
            for one in (told if isinstance(told, list) else [told])
        )
    return tuple(map(_printable, errors)) if isinstance(errors, list) else ()


def _printable(text: object) -> str:
    shown = str(text)[:200]
    return shown if shown.isprintable() else ascii(shown)


def _seconds(retry_after: str | None) -> float | None:
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() else None

"""Ask FeatBit's servers once each, as an SDK would, and note what came back.

Nothing is written there. No message of a library is passed on: it may hold the secret,
which is part of the streaming URL.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING

import urllib3

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.live.frames import read_frame
from openfeature_gov.cli.doctoring import Answer, Streamed, skew_of

if TYPE_CHECKING:
    from websocket import WebSocket

LATEST_ALL = "/api/public/sdk/server/latest-all?timestamp=0"
PROJECTS = "/api/v1/projects"
SYNC = '{"messageType":"data-sync","data":{"timestamp":0}}'


def latest_all(event_url: str, secret: str, timeout_s: float) -> Answer:
    """Ask the evaluation server for all flags."""
    return _get(event_url + LATEST_ALL, {"Authorization": secret}, timeout_s)


def api(api_url: str, timeout_s: float) -> Answer:
    """Ask the API server for what it refuses without a token, which shows its clock."""
    base = api_url.rstrip("/").removesuffix("/api/v1")
    return _get(base + PROJECTS, {}, timeout_s)


def _get(url: str, headers: dict[str, str], timeout_s: float) -> Answer:
    before = time.time()
    with urllib3.PoolManager() as pool:
        try:
            # No redirects: they would take the secret elsewhere.
            answer = pool.request(
                "GET",
                url,
                headers=headers,
                timeout=timeout_s,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return Answer(0, problem=f"no answer: {type(error).__name__}")
    skew = skew_of(answer.headers.get("Date"), before, time.time())
    return Answer(answer.status, answer.data, skew)


def stream(streaming_url: str, secret: str, timeout_s: float) -> Streamed:
    """Open a stream and wait for its first data, *timeout_s* seconds at most."""
    import websocket  # noqa: PLC0415 - it takes a while to load

    url = f"{streaming_url}/streaming?token={_token(secret)}&type=server"
    try:
        opened = websocket.create_connection(url, timeout=timeout_s, redirect_limit=0)
    except websocket.WebSocketBadStatusException as error:
        return Streamed(status=error.status_code)
    except (websocket.WebSocketException, OSError) as error:
        return Streamed(problem=f"no connection: {type(error).__name__}")
    try:
        return _followed(opened, time.monotonic() + timeout_s)
    except websocket.WebSocketTimeoutException:
        return Streamed(problem=f"connects, and sent no data in {timeout_s:g} s")
    except (websocket.WebSocketException, OSError) as error:
        return Streamed(problem=f"connects, then breaks: {type(error).__name__}")
    finally:
        opened.close(timeout=0.5)
        opened.shutdown()  # close leaves it open if the server was the first


def _followed(opened: WebSocket, deadline: float) -> Streamed:
    """Ask for everything and read until it came or the server closed the stream.

    Raises:
        WebSocketTimeoutException: when nothing came until *deadline*.
        WebSocketException: when the connection broke.
        OSError: as well.

    """
    from websocket import ABNF  # noqa: PLC0415

    opened.send(SYNC)
    while True:
        opened.settimeout(max(deadline - time.monotonic(), 0.001))
        kind, content = opened.recv_data(control_frame=True)
        if kind == ABNF.OPCODE_CLOSE:
            return Streamed(code=int.from_bytes(content[:2], "big") or 1005)
        if kind != ABNF.OPCODE_TEXT:
            continue
        try:
            if read_frame(content) is not None:
                return Streamed(synced=True)
        except FeatBitDataError as error:
            return Streamed(problem=f"connects, and sends nonsense: {error}")


def _token(secret: str) -> str:
    """Return the token of a stream; it holds the secret and the time."""
    # FeatBit's SDK changes the class of all loggers; this module of ours undoes that.
    import_module("openfeature.contrib.provider.featbit.live.sdk")
    from fbclient.utils import build_token  # noqa: PLC0415

    token: str = build_token(secret)
    return token

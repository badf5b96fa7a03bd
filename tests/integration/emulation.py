"""FeatBit's SDK without its waits, and on a websocket-client that we do not pin."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import websocket
from fbclient.client import FBClient
from fbclient.utils.exponential_backoff_jitter_strategy import BackoffAndJitterStrategy


class Hasty(threading.Event):
    """Be an event that is never waited for, only looked at."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class Newer(websocket.WebSocketApp):
    """Report a close frame as websocket-client 1.9 does: as an error first."""

    def _callback(self, callback: object, *arguments: object) -> None:
        if callback == self.on_close and arguments[0] is not None:
            text = f"Connection closed (code {arguments[0]}): {arguments[1]}"
            error = websocket.WebSocketConnectionClosedException(text)
            super()._callback(self.on_error, error)
        super()._callback(callback, *arguments)


def noting(seen: list[float]) -> Callable[[BackoffAndJitterStrategy], float]:
    """Return the SDK's computation of a delay, which also appends it to *seen*."""
    computed = BackoffAndJitterStrategy.next_delay

    def next_delay(self: BackoffAndJitterStrategy) -> float:
        seen.append(computed(self))
        return seen[-1]

    return next_delay


def streaming(client: FBClient) -> Any:
    """Return the thread that streams for *client*."""
    return client._update_processor


def hang_up(client: FBClient) -> None:
    """Stop *client* without the 6 s that its own ``stop`` may take (D18)."""
    thread = streaming(client)
    thread._Streaming__force_close, thread._Streaming__running = True, False
    thread._Streaming__stop_event.set()
    with suppress(AttributeError, OSError):  # not connected
        thread._Streaming__wsapp.sock.sock.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    client.stop()

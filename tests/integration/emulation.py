"""FeatBit's SDK without its waits, and on a websocket-client that we do not pin."""

from __future__ import annotations

import threading
from collections.abc import Callable

import websocket
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

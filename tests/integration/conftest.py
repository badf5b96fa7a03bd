"""Fixtures: a simulated FeatBit, and its SDK without its waits."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest
import websocket
from fbclient.utils.exponential_backoff_jitter_strategy import BackoffAndJitterStrategy

from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.integration.featbit import flags


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    """Lend a simulated FeatBit whose flags allow."""
    with SimulatedFeatBit(flags()) as one:
        yield one
    gc.collect()  # the SDK leaves sockets open: this test hears of it, no later one


class Hasty(threading.Event):
    """Be an event that is never waited for, only looked at."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Take the SDK's sleep between two connections away; return what it had asked for.

    How long the delays are is still computed by the SDK.
    """
    seen: list[float] = []
    computed = BackoffAndJitterStrategy.next_delay

    def noted(self: BackoffAndJitterStrategy) -> float:
        seen.append(computed(self))
        return seen[-1]

    monkeypatch.setattr(BackoffAndJitterStrategy, "next_delay", noted)
    monkeypatch.setattr("fbclient.streaming.Event", Hasty)
    return seen


class Newer(websocket.WebSocketApp):
    """Report a close frame as websocket-client 1.9 does: as an error first."""

    def _callback(self, callback: object, *arguments: object) -> None:
        if callback == self.on_close and arguments[0] is not None:
            text = f"Connection closed (code {arguments[0]}): {arguments[1]}"
            error = websocket.WebSocketConnectionClosedException(text)
            super()._callback(self.on_error, error)
        super()._callback(callback, *arguments)


@pytest.fixture
def newer_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK believe that it runs on websocket-client 1.9."""
    monkeypatch.setattr(websocket, "WebSocketApp", Newer)


@pytest.fixture
def pings(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Let the SDK ping each 20 ms instead of each 10 s; return one item a ping."""
    from fbclient.streaming import Streaming

    sent: list[None] = []
    ping = Streaming._on_ping

    def noted(self: Streaming) -> None:
        ping(self)
        sent.append(None)

    monkeypatch.setattr(Streaming, "_on_ping", noted)
    monkeypatch.setattr(Streaming, "_Streaming__ping_interval", 0.02)
    return sent

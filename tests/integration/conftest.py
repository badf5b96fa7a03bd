"""Fixtures: a simulated FeatBit, and its SDK without its waits."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import websocket
from fbclient.streaming import Streaming
from fbclient.utils.exponential_backoff_jitter_strategy import BackoffAndJitterStrategy

from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.integration.emulation import Hasty, Newer, noting
from tests.integration.featbit import flags


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    """Lend a simulated FeatBit whose flags allow."""
    gc.freeze()  # what was there before is not looked through, which takes long
    with SimulatedFeatBit(flags()) as one:
        yield one
    gc.collect()  # the SDK leaves sockets open: this test hears of it, no later one
    gc.unfreeze()


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Take the SDK's sleep between two connections away; return what it had asked for.

    How long the delays are is still computed by the SDK.
    """
    seen: list[float] = []
    monkeypatch.setattr(BackoffAndJitterStrategy, "next_delay", noting(seen))
    monkeypatch.setattr("fbclient.streaming.Event", Hasty)
    return seen


@pytest.fixture
def newer_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK believe that it runs on websocket-client 1.9."""
    monkeypatch.setattr(websocket, "WebSocketApp", Newer)


@pytest.fixture
def pings(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Let the SDK ping each 20 ms instead of each 10 s; return one item a ping."""
    sent: list[None] = []
    ping = Streaming._on_ping

    def noted(self: Streaming) -> None:
        ping(self)
        sent.append(None)

    monkeypatch.setattr(Streaming, "_on_ping", noted)
    monkeypatch.setattr(Streaming, "_Streaming__ping_interval", 0.02)
    return sent

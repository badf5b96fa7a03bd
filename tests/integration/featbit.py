"""What the tests on a simulated FeatBit share: its flags, the bare SDK, and waiting.

Every flag serves "allowed" until it is turned off. ``mark`` decides nothing: frames
arrive in order, so once a change of it is seen, all that came before was handled.
"""

from __future__ import annotations

import json
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from openfeature.contrib.provider.featbit import authoring
from openfeature_gov import Controls, Governor, Outcome, ToolCall
from openfeature_gov.controls import BOUNDS, Bounds
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.conftest import CONTEXT, contract_yaml, flag_document

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fbclient.client import FBClient
    from fbclient.config import Config
    from fbclient.event_processor import NullEventProcessor

SWITCH, MODE, MARK = "gov.on", "gov.mode", "mark"
USER = {"key": "agent-1", "name": "agent-1"}
LONG = 30.0
"""Seconds after which a test gives up; what works takes a fraction of one."""


def flags() -> dict[str, Any]:
    """Return a new document: the five kinds of flags, and ``mark``."""
    found = flag_document()
    mark = authoring.boolean_flag(MARK, serve=True, off=False)
    found["data"]["featureFlags"].append(mark)
    return found


def until(holds: Callable[[], object], what: str = "", seconds: float = LONG) -> None:
    """Wait until *holds* does; fail with *what* after *seconds*."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what or "it never came true"
        time.sleep(0.005)


def patch(*items: dict[str, Any]) -> str:
    """Return the frame that pushes the flags *items*."""
    body = {"eventType": "patch", "featureFlags": list(items), "segments": []}
    return json.dumps({"messageType": "data-sync", "data": body})


@contextmanager
def bare(server: SimulatedFeatBit, *, start_wait: float = LONG) -> Iterator[FBClient]:
    """Lend FeatBit's own client with its defaults, but without insight events."""
    config = Config(
        server.server_secret,
        server.event_url,
        server.streaming_url,
        event_processor_imp=NullEventProcessor,
    )
    client = FBClient(config, start_wait)
    try:
        yield client
    finally:
        hang_up(client)


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
    thread.join(LONG)
    client.stop()


def serves(client: FBClient, key: str = SWITCH) -> Any:
    """Return what *client* answers for the flag *key*, None for no answer."""
    return client.variation(key, USER, None)


def state(client: FBClient) -> str:
    """Return the name of the state that *client* reports."""
    name: str = client.update_status_provider.current_state.state_type.name
    return name


def mark(server: SimulatedFeatBit, client: FBClient) -> None:
    """Change ``mark`` and wait until *client* has seen it."""
    wanted = not serves(client, MARK)
    server.toggle(MARK, wanted)
    until(lambda: serves(client, MARK) is wanted, "the mark did not arrive")


@contextmanager
def governed(
    folder: Path, provider: Any, bounds: Bounds = BOUNDS
) -> Iterator[Callable[[], Outcome]]:
    """Lend a function that decides about one e-mail, with *provider* for flags."""
    contracts = folder / "governance.yaml"
    contracts.write_text(contract_yaml("mail"))
    controls = Controls(bounds=bounds)
    records = folder / "records.db"
    with Governor.open(contracts, provider, records, controls=controls) as governor:
        governor.tool("mail")(lambda to: "sent")
        yield lambda: governor.decide(ToolCall("mail", {"to": "x"}, CONTEXT))

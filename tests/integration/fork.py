"""Fork under a client of FeatBit, and tell what both sides see of a kill.

Run ``python -W ignore -m tests.integration.fork bare|live STREAMING EVENTS SECRET``.
Prints ``forked``, waits for the kill, prints one JSON line and ends without a goodbye.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from fbclient.client import FBClient
from fbclient.config import Config
from fbclient.event_processor import NullEventProcessor
from openfeature.evaluation_context import EvaluationContext

from openfeature.contrib.provider.featbit import FeatBitProvider
from tests.integration.featbit import LONG, QUICK, SWITCH, serves, state

PATIENCE_S = 1.0
"""How long the child of the bare SDK looks on after its parent has seen the kill."""
Seen = dict[str, Any]
Look = Callable[[float], Seen]


def bare(streaming: str, events: str, secret: str) -> Look:
    """Return a look through FeatBit's own client."""
    config = Config(secret, events, streaming, event_processor_imp=NullEventProcessor)
    client = FBClient(config, LONG)

    def look(seconds: float) -> Seen:
        value = killed(lambda: serves(client), seconds)
        return {
            "value": value,
            "state": state(client),
            "threads": threading.active_count(),
        }

    return look


def live(streaming: str, events: str, secret: str) -> Look:
    """Return a look through our provider."""
    provider = FeatBitProvider.live(
        streaming_url=streaming, event_url=events, secret=secret, timing=QUICK
    )
    provider.initialize(EvaluationContext())

    def value() -> object:
        context = EvaluationContext("agent-1")
        return provider.resolve_boolean_details(SWITCH, False, context).value

    return lambda seconds: {"value": killed(value, seconds)}


def killed(value: Callable[[], Any], seconds: float) -> bool:
    """Return *value* once it is False, or as it is after *seconds*."""
    deadline = time.monotonic() + seconds
    while value() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(value())


def main(kind: str, *address: str) -> None:
    """Let the child look once the parent has seen the kill, and print both."""
    look = {"bare": bare, "live": live}[kind](*address)
    (started, start), (told, tell) = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.read(started, 1)
        os.write(
            tell, json.dumps(look(PATIENCE_S if kind == "bare" else LONG)).encode()
        )
        os._exit(0)
    print("forked", flush=True)
    parent = look(LONG)
    os.write(start, b".")
    child = json.loads(os.read(told, 10_000))
    print(json.dumps({"parent": parent, "child": child}), flush=True)
    os.wait()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

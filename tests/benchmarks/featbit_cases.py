"""Cases put to two FeatBit providers: what is answered, announced, and survived.

A case gets a `Bench` and returns a cell: what it saw. Nothing is known beforehand.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

from fbclient.utils.exponential_backoff_jitter_strategy import BackoffAndJitterStrategy
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

from openfeature.contrib.provider.featbit import authoring
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.benchmarks.featbit_bench import SWITCH, USER, Bench, Side, bench
from tests.integration.emulation import Hasty, Newer, noting

Case = Callable[[Bench], str]
Change = Callable[[SimulatedFeatBit], object]
NOBODY = EvaluationContext(None, {})
TOOLLESS = EvaluationContext("agent-1", {"env": "prod"})
LISTED = EvaluationContext("agent-1", {"tool": ["shell"]})
DEFAULTS: Mapping[str, Any] = {
    "boolean": False,
    "string": "default",
    "integer": 0,
    "float": 0.5,
    "object": {},
}


def asks(key: str, kind: str = "string", user: EvaluationContext = USER) -> Case:
    """Return the case that evaluates flag *key* as *kind*: its value and reason."""

    def case(one: Bench) -> str:
        return answer(one.open(), key, kind, user)

    return case


def answer(client: Any, key: str, kind: str, user: EvaluationContext) -> str:
    default = DEFAULTS[kind]
    details = getattr(client, f"get_{kind}_details")(key, default, user)
    why = details.error_code.value if details.error_code else str(details.reason)
    shown = "default" if details.value == default else details.value
    return f"{shown}, {why}"


def archived(one: Bench) -> str:
    client = one.open()
    one.server.archive("plain")
    one.settle(client)
    return answer(client, "plain", "string", USER)


def variant(one: Bench) -> str:
    return str(one.open().get_string_details("rule", "", USER).variant)


def metadata(one: Bench) -> str:
    found = one.open().get_string_details("rule", "", USER).flag_metadata
    return ", ".join(sorted(found)) or "none"


def at_start(one: Bench) -> str:
    one.open()
    return one.heard()


def announces(change: Change, key: str, *, reconnect: bool = False) -> Case:
    """Return the case that makes *change* and listens for flag *key*."""

    def case(one: Bench) -> str:
        one.settled()
        change(one.server)
        if reconnect:
            one.reconnected()
        return one.announced(key)

    return case


def turn_off(server: SimulatedFeatBit) -> None:
    server.toggle(SWITCH, False)


def archive(server: SimulatedFeatBit) -> None:
    server.archive(SWITCH)


def remove(server: SimulatedFeatBit) -> None:
    server.remove(SWITCH)


def remove_and_edit(server: SimulatedFeatBit) -> None:
    """Remove the switch, so that only a full sync shows it, which holds newer data."""
    server.remove(SWITCH)
    server.faults.drop_pushes = server.faults.always_full = True
    server.toggle("rule", False)


def hold(server: SimulatedFeatBit) -> None:
    server.put_segment(authoring.segment("held", included=["agent-1"]))


def outage(one: Bench) -> str:
    """Refuse connections for three failed reconnects, then come back."""
    delays: list[float] = []
    with patch.object(BackoffAndJitterStrategy, "next_delay", noting(delays)):
        one.settled()
        one.server.pause()
        one.until(lambda: len(delays) > 3, 30)
        one.server.resume()
        one.until(lambda: any(name == "READY" for name, _ in one.events), 30)
    return one.heard()


def refused(one: Bench) -> str:
    """Start with a secret that the server refuses."""
    one.server.faults.refuse_code = 4003
    try:
        client = one.open()
    except OpenFeatureError as error:
        return type(error).__name__
    return f"starts, {client.get_provider_status().value}"


def refused_by_newer(one: Bench) -> str:
    """Do the same as if on a websocket-client of 1.9 or later."""
    with patch("websocket.WebSocketApp", Newer):
        return refused(one)


def age(one: Bench) -> str:
    one.open()
    return "yes" if hasattr(one.provider, "freshness") else "no"


def frozen(one: Bench) -> str:
    """Freeze the server and look at the status."""
    client = one.open()
    one.server.faults.frozen = True
    one.until(lambda: client.get_provider_status().value != "READY")
    return str(client.get_provider_status().value)


def nothing_new(one: Bench) -> str:
    """Let a reconnect be answered by a full sync with nothing new."""
    client = one.settled()
    one.server.faults.always_full = True
    one.reconnected()
    time.sleep(0.5)
    one.until(lambda: client.get_provider_status().value == "READY")
    return str(client.get_provider_status().value)


def restart(one: Bench) -> str:
    """Start again while the server is down."""
    one.open()
    one.close()
    one.server.pause()
    try:
        client = one.open()
    except OpenFeatureError as error:
        return f"{type(error).__name__}, default"
    kept = client.get_boolean_value(SWITCH, False, USER)
    status = client.get_provider_status().value
    return f"{status}, {'last known value' if kept else 'default'}"


def shutdown(one: Bench) -> str:
    one.settled()
    started = time.monotonic()
    if one.provider is not None:
        one.provider.shutdown()
    return f"{(time.monotonic() - started) * 1000:.0f} ms"


def killed(
    change: Change = turn_off, *, reconnect: bool = False, **faults: Any
) -> Case:
    """Return the case that kills by *change* while *faults* are on."""

    def case(one: Bench) -> str:
        client = one.settled()
        one.server.toggle(SWITCH, True)
        for name, value in faults.items():
            setattr(one.server.faults, name, value)
        change(one.server)
        if reconnect:
            one.reconnected()
        return one.obeyed(client)

    return case


def lagging(one: Bench) -> str:
    """Kill, then reconnect to a node that has not heard of it."""
    client = one.open()
    one.server.faults.stale_snapshot = True
    one.server.faults.always_full = True
    one.server.toggle(SWITCH, False)
    one.until(lambda: not client.get_boolean_value(SWITCH, False, USER))
    one.reconnected()
    back = one.until(lambda: client.get_boolean_value(SWITCH, False, USER))
    return "no, the kill was undone" if back else "yes"


def long_outage(one: Bench) -> str:
    """Let 1,100 reconnects fail, without the waits in between; then kill."""
    delays: list[float] = []
    with (
        patch.object(BackoffAndJitterStrategy, "next_delay", noting(delays)),
        patch("fbclient.streaming.Event", Hasty),
        patch.object(threading, "excepthook", lambda _: None),
    ):
        client = one.open()
        one.server.pause()
        one.until(lambda: len(delays) >= 1100, 20)
        tried = min(len(delays), 1100)
        one.server.toggle(SWITCH, False)
        one.server.resume()
        return f"{one.obeyed(client)} (after {tried:,})"


FEATURES: Mapping[str, Mapping[str, Case]] = {
    "answer": {
        "flag off": asks("off"),
        "individual target": asks("target"),
        "rule": asks("rule"),
        "fall through": asks("plain"),
        "fall through, 50/50": asks("halves"),
        "unknown flag": asks("unknown"),
        "archived flag": archived,
        "no targeting key": asks("rule", user=NOBODY),
        "user in a rollout gap": asks("gap"),
        "allow if tool NotOneOf, no tool": asks("not-one-of", user=TOOLLESS),
        "allow if tool NotOneOf, a list": asks("not-one-of", user=LISTED),
        "variant": variant,
        "metadata": metadata,
    },
    "type": {
        "integer of 5": asks("five", "integer"),
        "float of 5": asks("five", "float"),
        "integer of 2.5": asks("half", "integer"),
        "float of NaN": asks("nan", "float"),
        "boolean of True": asks("loud", "boolean"),
        "object": asks("object", "object"),
        "object of broken JSON": asks("broken", "object"),
        "string of broken JSON": asks("broken"),
        "string of a boolean": asks(SWITCH),
    },
    "event": {
        "at start": at_start,
        "change announced": announces(turn_off, SWITCH),
        "archiving announced": announces(archive, SWITCH),
        "removal announced": announces(remove_and_edit, SWITCH, reconnect=True),
        "segment's flag announced": announces(hold, "segmented"),
        "outage, 3 failed reconnects": outage,
        "refused secret": refused,
        "refused, as websocket-client 1.9": refused_by_newer,
    },
    "staleness": {
        "age of the data is readable": age,
        "status, frozen server": frozen,
        "status, full sync without news": nothing_new,
        "start while the server is down": restart,
        "shutdown takes": shutdown,
    },
    "kill obeyed": {
        "undisturbed": killed(),
        "duplicate item before it": killed(duplicate_items=True),
        "stamped by a slow clock": killed(clock_skew_ms=-1000),
        "slow clock and a disconnect": killed(
            clock_skew_ms=-1000, drop_pushes=True, reconnect=True
        ),
        "push lost": killed(drop_pushes=True),
        "malformed frame": killed(malformed_frame_once=True),
        "stream frozen, HTTP works": killed(frozen_stream=True),
        "HTTP down, stream works": killed(http_down=True),
        "switch archived": killed(archive),
        "switch removed, patch sync": killed(remove, reconnect=True),
        "switch removed, full sync": killed(remove_and_edit, reconnect=True),
        "then a full sync of a lagging node": lagging,
        "1,100 failed reconnects": long_outage,
    },
}


def run(case: Case, side: Side, patience: float) -> str:
    """Return the cell of *case* for *side*."""
    try:
        with bench(side, patience) as one:
            return case(one)
    except OpenFeatureError as error:
        return f"does not start: {type(error).__name__}"

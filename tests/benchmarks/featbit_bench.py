"""One OpenFeature provider on one simulated FeatBit, to put cases to, and its flags."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.provider import FeatureProvider

from openfeature import api
from openfeature.contrib.provider.featbit import authoring
from openfeature_gov.testing.featbit import SimulatedFeatBit

SWITCH, MARK = "switch", "mark"
USER = EvaluationContext("agent-1", {"env": "prod", "tool": "shell"})


def flag(key: str, **options: Any) -> dict[str, Any]:
    """Return a string flag that falls through to "deny"; ids are not the names."""
    made = authoring.string_flag(
        key, {"v-1": "allow", "v-2": "deny"}, serve="v-2", off="v-2", **options
    )
    for variation in made["variations"]:
        variation["name"] = variation["value"]
    return made


def halves(key: str) -> dict[str, Any]:
    """Return a flag that falls through to "allow" for one half of the users."""
    made = flag(key)
    made["fallthrough"]["variations"] = [
        {"id": "v-1", "rollout": [0, 0.5], "exptRollout": 1},
        {"id": "v-2", "rollout": [0.5, 1], "exptRollout": 1},
    ]
    return made


def gap(key: str) -> dict[str, Any]:
    """Return a flag whose fall through serves next to nobody."""
    made = flag(key)
    made["fallthrough"]["variations"][0]["rollout"] = [0, 0.000001]
    return made


def raw(key: str, kind: str, value: str) -> dict[str, Any]:
    """Return a flag of *kind* that serves the text *value*, whatever it is."""
    return authoring.flag(key, kind, {"v-1": value}, serve="v-1", off="v-1")


def allowing(key: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    """Return a flag that serves "allow" if all *conditions* hold."""
    return flag(key, rules=[authoring.rule("r", conditions, serve="v-1")])


def document() -> dict[str, Any]:
    """Return the flags that all cases share."""
    condition = authoring.condition
    return authoring.document(
        [
            authoring.boolean_flag(SWITCH, serve=True),
            authoring.boolean_flag(MARK, serve=True),
            flag("off", enabled=False),
            flag("target", targets={"v-1": ["agent-1"]}),
            allowing("rule", condition("env", "Equal", "prod")),
            flag("plain"),
            allowing("segmented", authoring.segment_condition(["held"])),
            halves("halves"),
            gap("gap"),
            allowing("not-one-of", condition("tool", "NotOneOf", ["shell"])),
            raw("five", "number", "5"),
            raw("half", "number", "2.5"),
            raw("nan", "number", "NaN"),
            raw("loud", "boolean", "True"),
            raw("object", "json", '{"usd": 2}'),
            raw("broken", "json", '{"usd": '),
        ],
        [authoring.segment("held")],
    )


class Address(NamedTuple):
    """Where an environment is, and its secret."""

    streaming_url: str
    event_url: str
    secret: str


def address(server: SimulatedFeatBit) -> Address:
    """Return the address of *server*."""
    return Address(server.streaming_url, server.event_url, server.server_secret)


class Side(NamedTuple):
    """A provider: how it is made, not bound, and how it is let go quickly.

    The folder is one that it may keep its data in from one start to the next.
    """

    name: str
    make: Callable[[Address, Path | None], FeatureProvider]
    drop: Callable[[FeatureProvider], None]


class Bench:
    """One provider of *side*, bound, with its events; *patience* is in seconds."""

    def __init__(
        self, side: Side, server: SimulatedFeatBit, folder: Path, patience: float
    ) -> None:
        self.server, self.patience = server, patience
        self.provider: FeatureProvider | None = None
        self.events: list[tuple[str, EventDetails]] = []
        self._side, self._folder = side, folder
        for event in ProviderEvent:
            api.add_handler(event, partial(self._hear, event))

    def open(self) -> OpenFeatureClient:
        """Bind a new provider in the place of the last one; return a client of it.

        Raises:
            OpenFeatureError: the provider does not start.

        """
        self.close()
        self.provider = self._side.make(address(self.server), self._folder)
        api.set_provider_and_wait(self.provider, "bench")
        return api.get_client("bench")

    def close(self) -> None:
        """Let go of the provider."""
        if self.provider is not None:
            self._side.drop(self.provider)
            self.provider = None

    def _hear(self, event: ProviderEvent, details: EventDetails) -> None:
        if details.provider_name != "No-op Provider":
            self.events.append((event.name.removeprefix("PROVIDER_"), details))

    def until(self, holds: Callable[[], object], seconds: float | None = None) -> bool:
        """Wait until *holds*, at most *seconds*, else *patience*; tell whether."""
        deadline = time.monotonic() + (seconds or self.patience)
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True

    def yes_or_no(self, holds: Callable[[], object]) -> str:
        """Wait until *holds*; return the cell that says whether it ever did."""
        return "yes" if self.until(holds) else f"no, not in {self.patience:g} s"

    def obeyed(self, client: OpenFeatureClient) -> str:
        """Say whether the kill of the switch arrives."""
        return self.yes_or_no(lambda: not client.get_boolean_value(SWITCH, False, USER))

    def heard(self) -> str:
        """Say which events came since the last time."""
        time.sleep(0.2)
        seen, self.events[:] = Counter(name for name, _ in self.events), []
        return ", ".join(f"{n} x {name}" for name, n in sorted(seen.items())) or "none"

    def announced(self, key: str) -> str:
        """Say whether a change of the flag *key* is announced."""
        return self.yes_or_no(
            lambda: any(key in (one.flags_changed or ()) for _, one in self.events)
        )

    def settle(self, client: OpenFeatureClient) -> None:
        """Wait until all that was pushed so far was handled; forget the events."""
        self.server.toggle(MARK, False)
        self.until(lambda: not client.get_boolean_value(MARK, True, USER))
        self.heard()

    def settled(self) -> OpenFeatureClient:
        """Open, and settle."""
        client = self.open()
        self.settle(client)
        return client

    def reconnected(self) -> None:
        """Cut the stream and wait for the next."""
        self.server.drop(1011)
        self.until(lambda: self.server.connections, 10)


@contextmanager
def bench(side: Side, patience: float) -> Iterator[Bench]:
    """Lend a bench on a new server."""
    with SimulatedFeatBit(document()) as server, TemporaryDirectory() as folder:
        one = Bench(side, server, Path(folder), patience)
        try:
            yield one
        finally:
            one.close()
            api.shutdown()

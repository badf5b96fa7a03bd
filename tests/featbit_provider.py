"""Flags of every type, and providers that serve them from a text or from a file."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import ProviderStatus

from openfeature import api
from openfeature.contrib.provider.featbit import FeatBitProvider, write_document
from openfeature.contrib.provider.featbit.authoring import (
    boolean_flag,
    document,
    json_flag,
    number_flag,
    rule,
    segment,
    segment_condition,
    string_flag,
)

AT = "2026-01-01T00:00:00.000Z"
FLAGS = [
    boolean_flag("boolean", serve=True),
    string_flag("string", ["a", "b"], serve="a", off="b"),
    number_flag("integer", {"n": 25}, serve="n", off="n"),
    number_flag("float", {"n": 2.5}, serve="n", off="n"),
    json_flag("object", {"o": {"tools": ["x"]}}, serve="o", off="o"),
    json_flag("list", {"o": [1, {"a": []}]}, serve="o", off="o"),
    json_flag("scalar", {"o": 5}, serve="o", off="o"),
]
SEGMENT = segment("s", included=["u"])
MODE = string_flag(
    "mode",
    ["off", "observe", "autonomous"],
    serve="observe",
    off="off",
    rules=[rule("r", [segment_condition(["s"])], serve="autonomous")],
)
DOCUMENT = document([*FLAGS, MODE], [SEGMENT])
USER = EvaluationContext("u")
DEFAULTS: dict[str, Any] = {
    "boolean": False,
    "string": "default",
    "integer": -1,
    "float": -1.5,
    "object": {"default": True},
}


def resolve(
    provider: FeatBitProvider,
    kind: str,
    key: str,
    context: EvaluationContext | None = USER,
) -> FlagResolutionDetails[Any]:
    """Call the resolver for *kind* as the SDK calls it: by keyword."""
    resolver = getattr(provider, f"resolve_{kind}_details")
    details: FlagResolutionDetails[Any] = resolver(
        flag_key=key, default_value=DEFAULTS[kind], evaluation_context=context
    )
    return details


@pytest.fixture
def static() -> FeatBitProvider:
    """Serve the test document, without a file."""
    return FeatBitProvider.from_json(json.dumps(DOCUMENT))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write the test document to a file."""
    target = tmp_path / "flags.json"
    write_document(target, DOCUMENT)
    return target


class Watched:
    """A provider on a file, bound to a domain, with its events noted in order."""

    def __init__(self, path: Path, *, poll_seconds: float = 0.005) -> None:
        self.provider = FeatBitProvider.from_file(path, poll_seconds=poll_seconds)
        self.client = api.get_client("watched")
        self.events: list[tuple[ProviderEvent, EventDetails]] = []
        api.set_provider_and_wait(self.provider, "watched")
        for event in ProviderEvent:
            self.client.add_handler(event, self._noting(event))

    def _noting(self, event: ProviderEvent) -> Callable[[EventDetails], None]:
        def note(details: EventDetails) -> None:
            self.events.append((event, details))

        return note

    def seen(self, event: ProviderEvent) -> list[EventDetails]:
        """Return the details of all such events so far."""
        return [details for kind, details in list(self.events) if kind is event]

    @property
    def status(self) -> ProviderStatus:
        """What the SDK thinks of the provider."""
        return self.client.get_provider_status()

    def mode(self, key: str = "x") -> str:
        """Evaluate the mode flag through the client."""
        return self.client.get_string_value("mode", "default", EvaluationContext(key))


@pytest.fixture
def watched(path: Path) -> Watched:
    """Watch the file of `path`."""
    return Watched(path)


def check_refused(
    details: FlagResolutionDetails[Any], kind: str, code: ErrorCode
) -> None:
    """Check that *details* are a complete refusal that serves the default."""
    assert details.value is DEFAULTS[kind]
    assert details.reason is Reason.ERROR
    assert type(details.error_code) is ErrorCode
    assert details.error_code is code
    assert details.error_message
    assert details.variant is None
    assert details.flag_metadata == {}


def watchers() -> list[threading.Thread]:
    """Return the threads that watch files."""
    return [one for one in threading.enumerate() if one.name == "featbit-file"]

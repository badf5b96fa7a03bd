"""The provider under the real OpenFeature API: types, errors and identity."""

import asyncio
import json
import time
from collections import UserDict
from pathlib import Path
from typing import Any

import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from openfeature.contrib.provider.featbit import FeatBitProvider, read_snapshot
from openfeature.contrib.provider.featbit.authoring import (
    boolean_flag,
    document,
    serve,
    turn_off,
)
from tests.featbit_provider import (
    AT,
    DEFAULTS,
    DOCUMENT,
    FLAGS,
    USER,
    check_refused,
    resolve,
    static,
)

__all__ = ["static"]
SERVED: dict[tuple[str, str], object] = {
    ("boolean", "boolean"): True,
    ("string", "string"): "a",
    ("integer", "integer"): 25,
    ("float", "integer"): 25.0,
    ("float", "float"): 2.5,
    ("object", "object"): {"tools": ["x"]},
    ("object", "list"): [1, {"a": []}],
}


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize("key", [flag["key"] for flag in FLAGS])
def test_every_type_against_every_flag(
    static: FeatBitProvider, kind: str, key: str
) -> None:
    """A flag is served as its declared type, integers also as floats, nothing else."""
    details = resolve(static, kind, key)
    if (kind, key) in SERVED:
        wanted = SERVED[kind, key]
        assert details.value == wanted
        assert type(details.value) is type(wanted)
        assert details.error_code is None
        assert details.reason is Reason.STATIC
        assert details.variant is not None
    else:
        check_refused(details, kind, ErrorCode.TYPE_MISMATCH)


class Hostile(UserDict[str, Any]):
    """Attributes that cannot be read."""

    def items(self) -> Any:
        """Fail."""
        raise RuntimeError("unreadable")


CODES: dict[ErrorCode, tuple[str | None, EvaluationContext | None]] = {
    ErrorCode.FLAG_NOT_FOUND: ("nope", USER),
    ErrorCode.TYPE_MISMATCH: ("wrong", USER),
    ErrorCode.TARGETING_KEY_MISSING: (None, None),
    ErrorCode.INVALID_CONTEXT: (None, EvaluationContext("u", {"name": "x"})),
    ErrorCode.GENERAL: (None, EvaluationContext("u", Hostile())),
    ErrorCode.PROVIDER_NOT_READY: (None, USER),
}
"""All codes but two: data that does not parse is refused when it is loaded, and no
provider that is FATAL is asked."""


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize("code", CODES)
def test_every_type_with_every_error(
    static: FeatBitProvider, tmp_path: Path, kind: str, code: ErrorCode
) -> None:
    """Each error is returned with the caller's default, for each of the five types."""
    key, context = CODES[code]
    wrong = "string" if kind != "string" else "boolean"
    key = {None: kind, "wrong": wrong}.get(key, key)
    if code is ErrorCode.PROVIDER_NOT_READY:
        static = FeatBitProvider.from_file(tmp_path / "never-loaded.json")
    check_refused(resolve(static, kind, key or kind, context), kind, code)


def test_all_error_codes_are_enumerated() -> None:
    """A code that OpenFeature adds has to be thought about."""
    elsewhere = {ErrorCode.PARSE_ERROR, ErrorCode.PROVIDER_FATAL}
    assert set(CODES) | elsewhere == set(ErrorCode)


@pytest.mark.parametrize("key", [None, 5, [], b"mode", ""])
def test_odd_flag_keys_are_not_found(static: FeatBitProvider, key: Any) -> None:
    """A flag key that is not text is unknown, and raises nothing."""
    check_refused(resolve(static, "string", key), "string", ErrorCode.FLAG_NOT_FOUND)


def test_objects_are_the_callers_own(static: FeatBitProvider) -> None:
    """Changing a returned object changes no later answer."""
    resolve(static, "object", "object").value["tools"].append("y")
    assert resolve(static, "object", "object").value == {"tools": ["x"]}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_async_answers_are_the_sync_ones(static: FeatBitProvider, kind: str) -> None:
    """Both ways give equal details."""
    resolver = getattr(static, f"resolve_{kind}_details_async")
    details = asyncio.run(resolver(kind, DEFAULTS[kind], USER))
    assert details == resolve(static, kind, kind)


def test_archived_flags_serve_the_default() -> None:
    """An archived flag is not found."""
    flag = {**boolean_flag("boolean", serve=True), "isArchived": True}
    provider = FeatBitProvider.from_json(json.dumps(document([flag])))
    details = resolve(provider, "boolean", "boolean")
    check_refused(details, "boolean", ErrorCode.FLAG_NOT_FOUND)


def test_a_flag_that_is_off_serves_its_off_variation() -> None:
    """Off is a successful answer with reason DISABLED, not the caller's default."""
    off = turn_off(DOCUMENT, "string", at=AT)
    details = resolve(FeatBitProvider.from_json(json.dumps(off)), "string", "string")
    assert (details.value, details.variant, details.reason) == (
        "b",
        "b",
        Reason.DISABLED,
    )


def test_a_provider_is_hashable_and_compares_by_identity(
    static: FeatBitProvider,
) -> None:
    """The registry keys on providers; equal data makes no equal providers."""
    other = FeatBitProvider.from_json(json.dumps(DOCUMENT))
    assert static != other
    assert len({static, other}) == 2


def test_metadata_and_hooks_are_constant(static: FeatBitProvider) -> None:
    """Both are asked for at each evaluation and are the same object each time."""
    assert static.get_metadata().name == "featbit-snapshot"
    assert static.get_metadata() is static.get_metadata()
    assert static.get_provider_hooks() == []
    assert static.get_provider_hooks() is static.get_provider_hooks()


def test_static_data_is_always_current(static: FeatBitProvider) -> None:
    """Data given as text is verified at the moment of asking."""
    before = time.monotonic_ns()
    held = static.freshness()
    assert before <= held.verified_ns <= time.monotonic_ns()
    assert (held.generation, held.source) == (1, "static")
    assert held.revision == read_snapshot(json.dumps(DOCUMENT)).revision
    assert static.reload() == ()


def test_a_snapshot_can_be_put_in_from_outside(static: FeatBitProvider) -> None:
    """Replace, degrade and confirm are what any transport needs."""
    events: list[ProviderEvent] = []
    static.attach(lambda _provider, event, _details: events.append(event))
    changed = serve(DOCUMENT, "mode", "off", at=AT)
    static.degrade("no contact")
    static.degrade("no contact")
    assert static.replace(read_snapshot(json.dumps(changed))) == ("mode",)
    static.degrade("no contact")
    static.confirm()
    assert events == [
        ProviderEvent.PROVIDER_STALE,
        ProviderEvent.PROVIDER_READY,
        ProviderEvent.PROVIDER_CONFIGURATION_CHANGED,
        ProviderEvent.PROVIDER_STALE,
        ProviderEvent.PROVIDER_READY,
    ]
    static.detach()
    static.degrade("told to nobody")

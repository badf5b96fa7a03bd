"""The provider under the real OpenFeature API: types, errors, reload, lifecycle."""

import asyncio
import json
import math
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import ProviderStatus

from openfeature import api
from openfeature.contrib.provider.featbit import (
    FeatBitDataError,
    FeatBitProvider,
    read_snapshot,
    write_document,
)
from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    json_flag,
    number_flag,
    rule,
    segment,
    segment_condition,
    serve,
    string_flag,
    turn_off,
)
from openfeature.contrib.provider.featbit.freshness import NEVER

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


def until(holds: Callable[[], bool]) -> None:
    """Wait until *holds*, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "waited ten seconds in vain"
        time.sleep(0.002)


@pytest.fixture(autouse=True)
def _clean_api() -> Iterator[None]:
    api.shutdown()
    yield
    api.shutdown()


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


# Types


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


# Context


class Word(str, Enum):  # noqa: UP042 - str() of it is not its value
    """Text with a name."""

    GOLD = "gold"


class Number(IntEnum):
    """A number with a name."""

    ONE = 1


def seen_as(value: object) -> str | None:
    """Return which text a rule sees for attribute *value*; None if refused."""
    texts = ["", "gold", "true", "false", "5", "-3", "0", "0.5", "1e-07", "E.A", "Word"]
    texts += ["10000000000000000000000", "True", "5.0", "Word.GOLD", "1"]
    rules = [rule(t or "empty", [condition("a", "Equal", t)], serve="v") for t in texts]
    flag = string_flag("f", ["v"], serve="v", off="v", rules=rules)
    provider = FeatBitProvider.from_json(json.dumps(document([flag])))
    context = EvaluationContext("u", {"a": value})  # type: ignore[dict-item]
    details = provider.resolve_string_details("f", "default", context)
    if details.error_code is not None:
        assert details.error_code is ErrorCode.INVALID_CONTEXT
        assert details.value == "default"
        return None
    matched = details.flag_metadata.get("rule")
    return "" if matched == "empty" else str(matched)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gold", "gold"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (-3, "-3"),
        (5.0, "5"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (1e22, "10000000000000000000000"),
        (1e-7, "1e-07"),
        (Word.GOLD, "gold"),
    ],
)
def test_attributes_become_text(value: object, text: str) -> None:
    """Booleans, numbers and text enums arrive as FeatBit's server would store them."""
    assert seen_as(value) == text


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], ["a"], {}, {"a": 1}, ("a",), {"a"}, b"a", object()),
        *(math.nan, math.inf, -math.inf, 10**400, Number.ONE, 1j),
        *(datetime(2026, 1, 1, tzinfo=UTC), Path("x")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_attributes_are_refused_rather_than_dropped(value: object) -> None:
    """What cannot be passed on faithfully refuses the whole context."""
    assert seen_as(value) is None


@pytest.mark.parametrize(
    "name", ["key", "KEY", "keyId", "keyid", "name", "Name", "self", 5, None]
)
def test_reserved_names_are_refused(static: FeatBitProvider, name: Any) -> None:
    """FeatBit's own attribute names and names that are not text are refused."""
    details = resolve(static, "string", "string", EvaluationContext("u", {name: "x"}))
    check_refused(details, "string", ErrorCode.INVALID_CONTEXT)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, ErrorCode.TARGETING_KEY_MISSING),
        ("", ErrorCode.TARGETING_KEY_MISSING),
        (" \t", ErrorCode.TARGETING_KEY_MISSING),
        (5, ErrorCode.INVALID_CONTEXT),
        (Word.GOLD, ErrorCode.INVALID_CONTEXT),
    ],
)
def test_targeting_keys_must_be_text(
    static: FeatBitProvider, key: Any, code: ErrorCode
) -> None:
    """No key, a blank one, or something else than text evaluates nothing."""
    check_refused(
        resolve(static, "string", "string", EvaluationContext(key)), "string", code
    )


VALUES = st.one_of(
    st.text(), st.booleans(), st.integers(), st.floats(), st.none(), st.lists(st.text())
)


@given(
    st.one_of(st.none(), st.text()),
    st.dictionaries(st.text(), VALUES, max_size=4),
    st.sampled_from(sorted(DEFAULTS)),
    st.one_of(st.sampled_from([flag["key"] for flag in FLAGS]), st.text()),
)
def test_resolving_never_raises(
    key: str | None, attributes: Mapping[str, Any], kind: str, flag: str
) -> None:
    """Any context and key give either a value without an error or a full refusal."""
    provider = FeatBitProvider.from_json(json.dumps(DOCUMENT))
    details = resolve(provider, kind, flag, EvaluationContext(key, attributes))
    if details.error_code is not None:
        check_refused(details, kind, details.error_code)


# Identity


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


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_poll_seconds_must_make_sense(tmp_path: Path, seconds: float) -> None:
    """An interval that never looks, or never stops looking, is refused."""
    with pytest.raises(ValueError, match="poll_seconds"):
        FeatBitProvider.from_file(tmp_path / "x", poll_seconds=seconds)


def test_static_data_is_always_current(static: FeatBitProvider) -> None:
    """Data given as text is verified at the moment of asking."""
    before = time.monotonic_ns()
    held = static.freshness()
    assert before <= held.verified_ns <= time.monotonic_ns()
    assert (held.generation, held.source) == (1, "static")
    assert held.revision == read_snapshot(json.dumps(DOCUMENT)).revision
    assert static.reload() == ()


# Lifecycle with the real API


def test_a_file_is_served_through_the_api(watched: Watched) -> None:
    """Client, domain and provider give the flag's value, variant and metadata."""
    details = watched.client.get_string_details("mode", "default", USER)
    assert details.value == "autonomous"
    assert details.flag_metadata["rule"] == "r"
    assert watched.status is ProviderStatus.READY


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"messageType":"data-sync"}'])
def test_start_without_usable_data_fails(tmp_path: Path, content: bytes | None) -> None:
    """Initialize raises, naming the file; status ERROR, no thread, default served."""
    target = tmp_path / "flags.json"
    if content is not None:
        target.write_bytes(content)
    provider = FeatBitProvider.from_file(target)
    with pytest.raises(FeatBitDataError, match=r"flags\.json"):
        api.set_provider_and_wait(provider, "broken")
    client = api.get_client("broken")
    assert client.get_provider_status() is ProviderStatus.ERROR
    assert client.get_boolean_details("boolean", False, USER).error_code == (
        ErrorCode.PROVIDER_NOT_READY
    )
    assert provider.freshness().verified_ns == NEVER
    assert not watchers()


def watchers() -> list[threading.Thread]:
    """Return the threads that watch files."""
    return [one for one in threading.enumerate() if one.name == "featbit-file"]


def test_shutdown_ends_the_thread_and_may_be_repeated(watched: Watched) -> None:
    """After shutdown nothing watches; what was held still answers, and ages."""
    assert len(watchers()) == 1
    watched.provider.shutdown()
    watched.provider.shutdown()
    assert not watchers()
    held = watched.provider.freshness()
    assert resolve(watched.provider, "boolean", "boolean").value is True
    assert watched.provider.freshness() is held


def test_a_provider_can_be_started_again(watched: Watched, path: Path) -> None:
    """After shutdown, initialize loads what the file holds by then."""
    watched.provider.shutdown()
    write_document(path, serve(DOCUMENT, "mode", "off", at=AT))
    watched.provider.initialize(EvaluationContext())
    assert resolve(
        watched.provider, "string", "mode", EvaluationContext("x")
    ).value == ("off")
    assert len(watchers()) == 1


def test_shutdown_before_initialize_is_harmless(path: Path) -> None:
    """A provider that never started can be shut down, and says that it is not ready."""
    provider = FeatBitProvider.from_file(path)
    provider.shutdown()
    with pytest.raises(FeatBitDataError, match="not started"):
        provider.reload()


# Reload


def test_a_change_arrives_with_its_keys(watched: Watched, path: Path) -> None:
    """A rewritten file changes answers, generation and revision, and names the flag."""
    revision = write_document(path, serve(DOCUMENT, "mode", "off", at=AT))
    until(lambda: watched.mode() == "off")
    until(lambda: bool(watched.seen(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)))
    (details,) = watched.seen(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
    assert details.flags_changed == ["mode"]
    assert details.metadata["revision"] == revision
    assert details.metadata["generation"] == watched.provider.generation == 2
    assert watched.provider.freshness().revision == revision


def without(key: str) -> Json:
    """Return the test document without one flag."""
    return document([one for one in [*FLAGS, MODE] if one["key"] != key], [SEGMENT])


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        (without("float"), ("float",)),
        (document([*FLAGS, {**MODE, "isArchived": True}], [SEGMENT]), ("mode",)),
        (document([*FLAGS, MODE], [segment("s", included=["w"])]), ("mode",)),
        (
            document([*FLAGS, MODE, boolean_flag("new", serve=True)], [SEGMENT]),
            ("new",),
        ),
        ({**DOCUMENT, "news": 1}, ()),
    ],
    ids=["removed", "archived", "segment", "added", "nothing"],
)
def test_reload_tells_which_flags_changed(
    path: Path, changed: Json, keys: tuple[str, ...]
) -> None:
    """Removed, archived and added flags count, and users of a changed segment."""
    provider = FeatBitProvider.from_file(path, poll_seconds=600)
    provider.initialize(EvaluationContext())
    assert provider.reload() == ()
    write_document(path, changed)
    assert provider.reload() == keys
    assert provider.reload() == ()
    provider.shutdown()


def test_a_removed_flag_is_gone(watched: Watched, path: Path) -> None:
    """A flag that left the file serves the default with FLAG_NOT_FOUND."""
    write_document(path, without("boolean"))
    until(lambda: watched.provider.generation == 2)
    details = watched.client.get_boolean_details("boolean", False, USER)
    assert (details.value, details.error_code) == (False, ErrorCode.FLAG_NOT_FOUND)


def test_content_counts_and_not_the_time_stamp(watched: Watched, path: Path) -> None:
    """A file renamed over the old one, with an older mtime and equal size, is seen."""
    stat = path.stat()
    changed = path.read_bytes().replace(b'"observe"', b'"OBSERVE"')
    other = path.with_name("other.json")
    other.write_bytes(changed)
    os.utime(other, (stat.st_atime - 1000, stat.st_mtime - 1000))
    assert other.stat().st_size == stat.st_size
    other.replace(path)
    until(lambda: watched.mode() == "OBSERVE")


def test_a_file_rewritten_in_place_is_seen(watched: Watched, path: Path) -> None:
    """An editor that truncates and writes is followed too."""
    path.write_text(json.dumps(serve(DOCUMENT, "mode", "off", at=AT)))
    until(lambda: watched.mode() == "off")


def put(path: Path, data: bytes) -> None:
    """Replace the file in one step, so that nobody meets it half-way."""
    whole = path.with_suffix(".new")
    whole.write_bytes(data)
    whole.replace(path)


def spoil_json(path: Path) -> None:
    """Truncate the file."""
    put(path, path.read_bytes()[:100])


def spoil_flag(path: Path) -> None:
    """Name a variation that is not there."""
    put(path, path.read_bytes().replace(b'"disabledVariationId": "b"', b'"x": 1'))


def spoil_kind(path: Path) -> None:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()


STALE = ProviderEvent.PROVIDER_STALE
BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "not JSON": (spoil_json, "not valid JSON"),
    "bad flag": (spoil_flag, 'flag "string": disabledVariationId is missing'),
    "a folder": (spoil_kind, "cannot be read"),
    "vanished": (Path.unlink, "No such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_keeps_the_last_good_and_ages(
    watched: Watched, path: Path, case: str
) -> None:
    """STALE once for a reason; same answers; freshness stands still; then READY."""
    spoil, reason = BAD[case]
    spoil(path)
    until(lambda: watched.status is ProviderStatus.STALE)
    held = watched.provider.freshness()
    for _ in range(3):
        with pytest.raises(FeatBitDataError, match=reason):
            watched.provider.reload()

    until(lambda: any(reason in str(one.message) for one in watched.seen(STALE)))
    *others, message = [str(one.message) for one in watched.seen(STALE)]
    assert len(others) <= (case == "a folder")  # between the file and the folder
    assert reason in message
    assert str(path) in message
    assert watched.provider.freshness() is held
    assert watched.mode() == "observe"
    if path.is_dir():
        path.rmdir()
    write_document(path, serve(DOCUMENT, "mode", "off", at=AT))
    until(lambda: watched.status is ProviderStatus.READY)
    until(lambda: watched.mode() == "off")
    until(lambda: bool(watched.seen(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)))
    assert watched.provider.freshness().verified_ns > held.verified_ns


def test_recovery_to_the_same_content_is_ready_without_a_change(
    watched: Watched, path: Path
) -> None:
    """When the held content comes back, READY is emitted and no change."""
    good = path.read_bytes()
    put(path, b"{")
    until(lambda: watched.status is ProviderStatus.STALE)
    put(path, good)
    until(lambda: watched.status is ProviderStatus.READY)
    assert watched.provider.generation == 1
    assert not watched.seen(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)


def test_each_distinct_problem_is_told_once(watched: Watched, path: Path) -> None:
    """A second kind of damage is a second STALE event, and so is a relapse."""
    good = path.read_bytes()
    for content in (b"{", b"[", good, b"{"):
        before = len(watched.seen(ProviderEvent.PROVIDER_STALE))
        put(path, content)
        if content == good:
            until(lambda: watched.status is ProviderStatus.READY)
        else:
            until(
                lambda n=before: len(watched.seen(ProviderEvent.PROVIDER_STALE)) > n  # type: ignore[misc]
            )
    assert len(watched.seen(ProviderEvent.PROVIDER_STALE)) == 3


def test_freshness_advances_while_the_file_is_good(watched: Watched) -> None:
    """Each look at an unchanged file moves the verified time, nothing else."""
    first = watched.provider.freshness()
    assert (first.generation, first.source) == (1, "file")
    until(lambda: watched.provider.freshness().verified_ns > first.verified_ns)
    later = watched.provider.freshness()
    assert later._replace(verified_ns=0) == first._replace(verified_ns=0)


def test_a_failing_look_does_not_end_the_watch(
    watched: Watched, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever one look runs into, the next one is made."""
    broken = threading.Event()

    def emit(*_args: object) -> None:
        broken.set()
        raise RuntimeError("registry is gone")

    watched.provider.attach(emit)
    write_document(path, serve(DOCUMENT, "mode", "off", at=AT))
    assert broken.wait(10)
    write_document(path, serve(DOCUMENT, "mode", "autonomous", at=AT))
    until(lambda: watched.provider.generation == 3)
    assert "registry is gone" in caplog.text


def test_reload_under_load_is_never_mixed(tmp_path: Path) -> None:
    """Two flags that always agree in the file never disagree in one snapshot."""

    def pair(value: str) -> Json:
        names = [f"v{n}" for n in range(40)]
        return document(
            [string_flag(key, names, serve=value, off=value) for key in ("a", "b")]
        )

    target = tmp_path / "flags.json"
    write_document(target, pair("v0"))
    watched = Watched(target, poll_seconds=0.001)
    faults: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            snapshot = watched.provider.snapshot
            details = watched.client.get_string_details("a", "default", USER)
            one, two = (snapshot and snapshot.evaluate(key, "u", {}) for key in "ab")
            if details.error_code or not one or not two or one.value != two.value:
                faults.append((details, one, two))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(1, 12):
        write_document(target, pair(f"v{n}"))
        until(lambda n=n: watched.provider.generation > n)  # type: ignore[misc]
    stop.set()
    for reader in readers:
        reader.join(10)
    assert not faults


def test_evaluations_during_shutdown_are_answered(watched: Watched) -> None:
    """Taking the provider away raises nothing in threads that still evaluate."""
    faults: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            details = resolve(watched.provider, "boolean", "boolean")
            if details.value is not True:
                faults.append(details)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    api.shutdown()
    until(lambda: not watchers())
    stop.set()
    for reader in readers:
        reader.join(10)
    assert not faults


def test_a_forked_child_follows_the_file(path: Path) -> None:
    """Both parent and child see a change that is made after the fork."""
    script = """
        import os, sys, time
        from openfeature.contrib.provider.featbit import FeatBitProvider
        from openfeature.evaluation_context import EvaluationContext

        def wait(holds):
            deadline = time.monotonic() + 10
            while not holds() and time.monotonic() < deadline:
                time.sleep(0.005)
            return holds()

        path = sys.argv[1]
        provider = FeatBitProvider.from_file(path, poll_seconds=0.01)
        provider.initialize(EvaluationContext())
        child = os.fork()
        if child == 0:
            first = provider.freshness().verified_ns
            alive = wait(lambda: provider.freshness().verified_ns > first)
            changed = alive and wait(lambda: provider.generation == 2)
            provider.shutdown()
            os._exit(0 if changed else 1)
        time.sleep(0.05)
        text = open(path).read().replace('"observe"', '"OBSERVE"')
        open(path + ".new", "w").write(text)
        os.replace(path + ".new", path)
        assert wait(lambda: provider.generation == 2), "parent"
        assert os.waitpid(child, 0)[1] == 0, "child"
        provider.shutdown()
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), str(path)]
    root = Path(__file__).parents[1] / "providers"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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

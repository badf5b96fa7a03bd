"""The provider of a flag file that changes: followed, or the last good data kept."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.provider import ProviderStatus

from openfeature.contrib.provider.featbit import (
    FeatBitDataError,
    FeatBitProvider,
    write_document,
)
from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    document,
    segment,
    serve,
    string_flag,
)
from tests.featbit_provider import (
    AT,
    DOCUMENT,
    FLAGS,
    MODE,
    SEGMENT,
    USER,
    Watched,
    path,
    watched,
)
from tests.waiting import until

__all__ = ["path", "watched"]


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

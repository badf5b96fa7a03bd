"""The feed of a flag file: what is older does not count, what is unreadable is told."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openfeature.evaluation_context import EvaluationContext

from openfeature.contrib.provider.featbit import FeatBitProvider
from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    rule,
    segment,
    segment_condition,
    serve,
    string_flag,
    turn_off,
    turn_on,
)
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.file_feed import FileFeed
from openfeature.contrib.provider.featbit.reading import LARGEST
from openfeature.contrib.provider.featbit.writing import write_document

OLD, NEW, NEWER = (f"2026-01-0{day}T00:00:00.000Z" for day in (1, 2, 3))
FIRST = document(
    [
        boolean_flag("global", serve=True, off=False, at=OLD),
        string_flag(
            "mode", ["off", "observe", "autonomous"], serve="observe", off="off"
        ),
    ]
)
USER = EvaluationContext("u")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a flag file."""
    target = tmp_path / "flags.json"
    write_document(target, FIRST)
    return target


@pytest.fixture
def provider(path: Path) -> Iterator[FeatBitProvider]:
    """Serve the file; it is looked at again only where a test asks for it."""
    made = FeatBitProvider.from_file(path, poll_seconds=600)
    made.initialize(EvaluationContext())
    yield made
    made.shutdown()


def put(provider: FeatBitProvider, path: Path, held: Json) -> None:
    """Write *held* and let the provider look."""
    write_document(path, held)
    provider.reload()


def seen(provider: FeatBitProvider) -> tuple[bool, str]:
    """Return what the two flags serve."""
    switch = provider.resolve_boolean_details("global", True, USER).value
    return switch, provider.resolve_string_details("mode", "none", USER).value


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as a warning."""
    return [one.message for one in caplog.records if one.levelno == logging.WARNING]


def test_an_older_file_does_not_undo_a_kill(
    provider: FeatBitProvider, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays killed, that is told once, and only something newer releases it."""
    killed = turn_off(FIRST, "global", at=NEW)
    put(provider, path, killed)
    assert seen(provider) == (False, "observe")
    put(provider, path, FIRST)
    provider.reload()
    assert seen(provider) == (False, "observe")
    assert provider.latched == ("global",)
    (told,) = warnings(caplog)
    assert 'flag "global"' in told
    assert str(path) in told
    put(provider, path, turn_on(killed, "global", at=NEWER))
    assert seen(provider) == (True, "observe")
    assert not provider.latched


def test_a_killed_flag_needs_a_newer_time_to_be_on_again(
    provider: FeatBitProvider, path: Path
) -> None:
    """Somebody who only turns the switch in an editor is told so, not believed."""
    killed = turn_off(FIRST, "global", at=NEW)
    put(provider, path, killed)
    killed["data"]["featureFlags"][0]["isEnabled"] = True
    put(provider, path, killed)
    assert seen(provider) == (False, "observe")
    assert provider.latched == ("global",)


@pytest.mark.parametrize("times", [1, 3])
def test_what_is_older_is_never_believed(
    provider: FeatBitProvider, path: Path, times: int
) -> None:
    """However often it comes, the newer one is served; other flags count."""
    put(provider, path, serve(FIRST, "mode", "autonomous", at=NEWER))
    lowered = serve(FIRST, "mode", "off", at=NEW)
    for _ in range(times):
        put(provider, path, serve(FIRST, "mode", "off", at=OLD))
        put(provider, path, turn_off(lowered, "global", at=NEW))
    assert seen(provider) == (False, "autonomous")
    assert provider.latched == ("mode",)


def test_an_older_kill_counts(provider: FeatBitProvider, path: Path) -> None:
    """What takes authority away needs no newer time."""
    put(provider, path, serve(FIRST, "mode", "autonomous", at=NEWER))
    put(provider, path, turn_off(FIRST, "mode", at=NEW))
    assert seen(provider) == (True, "off")


def test_a_segment_that_is_older_does_not_count(
    provider: FeatBitProvider, path: Path
) -> None:
    """Whoever was taken out of it does not get in again by an older file."""
    let_in = rule("r", [segment_condition(["s"])], serve="autonomous")
    mode = string_flag(
        *("mode", ["off", "autonomous"]), serve="off", off="off", rules=[let_in]
    )

    def whole(*users: str, at: str) -> Json:
        switch = boolean_flag("global", serve=True)
        return document([switch, mode], [segment("s", included=users, at=at)])

    put(provider, path, whole("u", at=OLD))
    assert seen(provider) == (True, "autonomous")
    put(provider, path, whole(at=NEW))
    put(provider, path, whole("u", at=OLD))
    assert seen(provider) == (True, "off")


def test_a_start_holds_what_the_process_served_before(
    provider: FeatBitProvider, path: Path
) -> None:
    """The latch outlives a stop and a start of the same provider."""
    put(provider, path, turn_off(FIRST, "global", at=NEW))
    provider.shutdown()
    write_document(path, FIRST)
    provider.initialize(EvaluationContext())
    assert seen(provider) == (False, "observe")


def test_edits_with_newer_times_count_as_ever(
    provider: FeatBitProvider, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rules, values and switches follow the file."""
    attribute = condition("accountId", "Equal", "a")
    rules = [rule("r", [attribute], serve="off")]
    other = string_flag(
        *("mode", ["off", "autonomous"]),
        serve="autonomous",
        off="off",
        rules=rules,
        at=NEW,
    )
    put(provider, path, document([other]))
    assert seen(provider) == (True, "autonomous")  # the default of who asks
    assert (provider.latched, warnings(caplog)) == ((), [])


def test_an_unreadable_file_is_told_once_and_so_is_its_end(
    provider: FeatBitProvider, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each distinct problem is one warning with the path; then one that it is over."""
    good = path.read_bytes()
    for content in (good[:40], b"{}"):
        path.write_bytes(content)
        for _ in range(3):
            with pytest.raises(FeatBitDataError):
                provider.reload()
    path.write_bytes(good)
    for _ in range(3):
        provider.reload()
    cut, other, over = warnings(caplog)
    assert str(path) in cut
    assert "not valid JSON" in cut
    assert "messageType" in other
    assert "can be read again" in over


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _bulk(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)


@pytest.mark.parametrize(
    ("put_there", "told"),
    [
        (_fifo, "is no regular file"),
        (_device, "is no regular file"),
        (_bulk, f"is larger than {LARGEST} bytes"),
        (Path.mkdir, "Is a directory"),
    ],
)
def test_what_never_ends_is_not_read(
    provider: FeatBitProvider,
    path: Path,
    put_there: Callable[[Path], object],
    told: str,
) -> None:
    """It is a file that cannot be read: the next good one counts again."""
    good = path.read_bytes()
    path.unlink()
    put_there(path)
    for _ in range(2):
        with pytest.raises(FeatBitDataError, match=f"cannot be read: {told}"):
            provider.reload()
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    path.write_bytes(good)
    assert provider.reload() == ()


def test_a_look_that_never_ends_keeps_nobody_waiting(path: Path) -> None:
    """A caller with a time limit gives up where the watch hangs in a look."""
    feed = FileFeed(path, poll_seconds=600)
    with feed._lock:
        assert not feed.catch_up(lambda: True, timeout_s=0.01)

"""The provider of a flag file: started, shut down, started again, forked."""

import math
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.provider import ProviderStatus

from openfeature import api
from openfeature.contrib.provider.featbit import (
    FeatBitDataError,
    FeatBitProvider,
    write_document,
)
from openfeature.contrib.provider.featbit.authoring import serve
from openfeature.contrib.provider.featbit.freshness import NEVER
from tests.featbit_provider import (
    AT,
    DOCUMENT,
    USER,
    Watched,
    path,
    resolve,
    watched,
    watchers,
)
from tests.waiting import until

__all__ = ["path", "watched"]


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


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_poll_seconds_must_make_sense(tmp_path: Path, seconds: float) -> None:
    """An interval that never looks, or never stops looking, is refused."""
    with pytest.raises(ValueError, match="poll_seconds"):
        FeatBitProvider.from_file(tmp_path / "x", poll_seconds=seconds)


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

"""Compare with FeatBit's own OpenFeature provider on one simulated server, in one run.

Run it with ``python -m tests.benchmarks.featbit_peers``, in full (some minutes) or
``--quick``; where the peer is not installed, it says how to get it. Every cell is the
outcome of running its case on a new server; "no" means not within the time shown. Times
are compressed for both. Latency is that of a typed call through the OpenFeature client,
the two in turns in one process. A flip is timed from the change on the server, which is
in the same process, to the call that obeys it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import fbclient.streaming
from fbclient.client import FBClient
from fbclient.config import Config
from fbclient.event_processor import NullEventProcessor
from openfeature.provider import FeatureProvider

from openfeature import api
from openfeature.contrib.provider.featbit import FeatBitProvider
from openfeature.contrib.provider.featbit.live import Timing
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.benchmarks.featbit_bench import (
    SWITCH,
    USER,
    Address,
    Side,
    address,
    document,
)
from tests.benchmarks.featbit_cases import FEATURES, run
from tests.benchmarks.peers import imported
from tests.integration.emulation import hang_up

PEER, MODULE = "featbit-openfeature-server", "tests.benchmarks.featbit_peers"
ABSENT = f"""\
skipped: {PEER} is not installed. Compare in an environment of its own:
  python -m venv peers
  peers/bin/pip install -e '.[testing]' {PEER}==0.1.0
  PYTHONPATH=.:providers peers/bin/python -m {MODULE}"""
VERSIONS = (PEER, "fb-python-sdk", "websocket-client", "openfeature-sdk")
TIMING = Timing(
    ping_s=0.1,
    stale_s=1.0,
    reconnect_s=1.5,
    pull_s=0.5,
    poll_s=0.2,
    http_s=2.0,
    tick_s=0.05,
)
WAIT_S = 5.0
"""How long a start may take, in seconds; also the patience of a forked child."""
CALLS = {
    "boolean, no rule": ("boolean", SWITCH, False),
    "string, one rule": ("string", "rule", ""),
}
SLICE = 200
"""Calls of one side before it is the other's turn."""


def ours(where: Address, folder: Path | None) -> FeatureProvider:
    return FeatBitProvider.live(
        streaming_url=where.streaming_url,
        event_url=where.event_url,
        secret=where.secret,
        start_wait_s=WAIT_S,
        last_good=None if folder is None else folder / "last-good",
        timing=TIMING,
    )


def theirs(where: Address, _folder: Path | None) -> FeatureProvider:
    config = Config(
        where.secret,
        where.event_url,
        where.streaming_url,
        event_processor_imp=NullEventProcessor,
    )
    made: FeatureProvider = imported("featbit_openfeature").FeatBitProvider(
        FBClient(config, start_wait=0), WAIT_S
    )
    return made


def drop_theirs(provider: Any) -> None:
    hang_up(provider.client)
    provider.shutdown()


SIDES = (
    Side("FeatBitProvider.live", ours, lambda provider: provider.shutdown()),
    Side(PEER, theirs, drop_theirs),
)


def forked(number: int) -> str:
    """Fork below a provider in another process; say whether the child obeys a kill."""
    with SimulatedFeatBit(document()) as server:
        command = [sys.executable, "-W", "ignore", "-m", MODULE]
        with subprocess.Popen(
            [*command, "--fork", str(number), *address(server)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as program:
            assert program.stdout is not None
            program.stdout.readline()
            server.toggle(SWITCH, False)
            said = program.stdout.readline().strip()
    return said or "no answer"


def fork(number: str, *where: str) -> None:
    """Be that other process: one line when forked, one that says what the child saw."""
    api.set_provider_and_wait(SIDES[int(number)].make(Address(*where), None), "fork")
    client = api.get_client("fork")

    def obeys() -> bool:
        deadline = time.monotonic() + WAIT_S
        while client.get_boolean_value(SWITCH, False, USER):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    read, write = os.pipe()
    if os.fork() == 0:
        os.read(read, 1)
        print("yes" if obeys() else f"no, not in {WAIT_S:g} s", flush=True)
        os._exit(0)
    print("forked", flush=True)
    obeys()
    os.write(write, b".")
    os.wait()
    os._exit(0)


@contextmanager
def bound(server: SimulatedFeatBit) -> Iterator[list[Any]]:
    """Lend a client of each side, all at once."""
    made = [side.make(address(server), None) for side in SIDES]
    try:
        for side, provider in zip(SIDES, made, strict=True):
            api.set_provider_and_wait(provider, side.name)
        yield [api.get_client(side.name) for side in SIDES]
    finally:
        for side, provider in zip(SIDES, made, strict=True):
            side.drop(provider)
        api.shutdown()


def latencies(clients: list[Any], rounds: int) -> Iterator[tuple[str, list[str]]]:
    """Yield a row for each kind of call."""
    for name, (kind, key, default) in CALLS.items():
        calls = [
            partial(getattr(client, f"get_{kind}_details"), key, default, USER)
            for client in clients
        ]
        times: list[list[float]] = [[] for _ in calls]
        for _ in range(rounds):
            for call, seen in zip(calls, times, strict=True):
                for _ in range(SLICE):
                    started = time.perf_counter_ns()
                    call()
                    seen.append((time.perf_counter_ns() - started) / 1e3)
        yield name, [percentiles(seen, "us") for seen in times]


def flips(clients: list[Any], server: SimulatedFeatBit, count: int) -> list[str]:
    """Flip the switch *count* times for each client; return their cells."""
    times: list[list[float]] = [[] for _ in clients]
    for _ in range(count):
        for client, seen in zip(clients, times, strict=True):
            on = not client.get_boolean_value(SWITCH, False, USER)
            started = time.perf_counter_ns()
            server.toggle(SWITCH, on)
            while client.get_boolean_value(SWITCH, not on, USER) is not on:
                time.sleep(0.00005)
            seen.append((time.perf_counter_ns() - started) / 1e6)
            time.sleep(0.005)  # the other side gets it too
    return [percentiles(seen, "ms") for seen in times]


def percentiles(times: Sequence[float], unit: str) -> str:
    """Return the cell of *times*: p50 and p99."""
    p99 = statistics.quantiles(times, n=100)[98]
    return f"{statistics.median(times):.1f} / {p99:.1f} {unit}"


def show(name: str, cells: Sequence[str]) -> None:
    """Print one row."""
    print(f"{name:36}" + "".join(f"{cell:42}" for cell in cells).rstrip(), flush=True)


def compare(*, quick: bool) -> None:
    """Print all rows, each one as soon as it is measured."""
    logging.disable(logging.CRITICAL)  # both say much about what is done to them here
    fbclient.streaming.Streaming._Streaming__ping_interval = TIMING.ping_s
    names, patience = [side.name for side in SIDES], 2.0 if quick else 10.0
    print(", ".join(f"{one} {importlib.metadata.version(one)}" for one in VERSIONS))
    defaults = Timing()
    print(
        f"compressed: the SDK pings each {TIMING.ping_s:g} s ({defaults.ping_s:g} by "
        f"default), our feed pulls each {TIMING.pull_s:g} s ({defaults.pull_s:g})"
    )
    for group, cases in FEATURES.items():
        print()
        show(group.upper(), names)
        for name, case in cases.items():
            show(name, [run(case, side, patience) for side in SIDES])
    show("in a forked child", [forked(number) for number in range(len(SIDES))])
    print()
    show("LATENCY, p50 / p99", names)
    with SimulatedFeatBit(document()) as server, bound(server) as clients:
        for name, cells in latencies(clients, 20 if quick else 200):
            show(name, cells)
        show("flip to effect", flips(clients, server, 50 if quick else 300))


def main() -> None:
    """Print the comparison, or say how to make it."""
    if sys.argv[1:2] == ["--fork"]:
        fork(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if imported("featbit_openfeature") is None:
        print(ABSENT)
    else:
        compare(quick=options.quick)


if __name__ == "__main__":
    main()

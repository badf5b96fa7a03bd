"""What the tests on a simulated FeatBit share: its flags, the bare SDK, and waiting.

Every flag serves "allowed" until it is turned off. ``mark`` decides nothing: frames
arrive in order, so once a change of it is seen, all that came before was handled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from openfeature.contrib.provider.featbit import FeatBitProvider, authoring
from openfeature.contrib.provider.featbit.live import Timing
from openfeature_gov import Controls, Governor, Outcome, ToolCall
from openfeature_gov.controls import BOUNDS, Bounds
from openfeature_gov.controls.freshness import SECOND
from openfeature_gov.ladder import Mode
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.conftest import CONTEXT, contract_yaml, flag_document
from tests.integration.emulation import hang_up
from tests.tree import PATH, ROOT
from tests.waiting import until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fbclient.client import FBClient
    from fbclient.config import Config
    from fbclient.event_processor import NullEventProcessor

SWITCH, MODE, MARK = "gov.on", "gov.mode", "mark"
USER = {"key": "agent-1", "name": "agent-1"}
LONG = 30.0
"""Seconds after which a test gives up; what works takes a fraction of one."""
QUICK = Timing(
    ping_s=0.1,
    stale_s=1.0,
    reconnect_s=1.5,
    pull_s=0.5,
    poll_s=0.2,
    http_s=2.0,
    tick_s=0.05,
    longest_retry_s=1.0,
)
SHORT = ((SECOND * 3 // 2, Mode.AUTONOMOUS), (3600 * SECOND, Mode.APPROVAL_REQUIRED))
"""Ages of the data at which decisions shrink, to fit `QUICK`."""


def flags() -> dict[str, Any]:
    """Return a new document: the five kinds of flags, and ``mark``."""
    found = flag_document()
    mark = authoring.boolean_flag(MARK, serve=True, off=False)
    found["data"]["featureFlags"].append(mark)
    return found


def patch(*items: dict[str, Any]) -> str:
    """Return the frame that pushes the flags *items*."""
    body = {"eventType": "patch", "featureFlags": list(items), "segments": []}
    return json.dumps({"messageType": "data-sync", "data": body})


@contextmanager
def bare(server: SimulatedFeatBit, *, start_wait: float = LONG) -> Iterator[FBClient]:
    """Lend FeatBit's own client with its defaults, but without insight events."""
    config = Config(
        server.server_secret,
        server.event_url,
        server.streaming_url,
        event_processor_imp=NullEventProcessor,
    )
    client = FBClient(config, start_wait)
    try:
        yield client
    finally:
        hang_up(client)


def serves(client: FBClient, key: str = SWITCH) -> Any:
    """Return what *client* answers for the flag *key*, None for no answer."""
    return client.variation(key, USER, None)


def state(client: FBClient) -> str:
    """Return the name of the state that *client* reports."""
    name: str = client.update_status_provider.current_state.state_type.name
    return name


def mark(server: SimulatedFeatBit, client: FBClient) -> None:
    """Change ``mark`` and wait until *client* has seen it."""
    wanted = not serves(client, MARK)
    server.toggle(MARK, wanted)
    until(lambda: serves(client, MARK) is wanted, "the mark did not arrive")


def live(
    server: SimulatedFeatBit | Mortal,
    *,
    pull_s: float = QUICK.pull_s,
    start_wait_s: float = LONG,
    event_url: str = "",
    **options: Any,
) -> FeatBitProvider:
    """Return a live provider on *server* with compressed intervals, not bound yet."""
    return FeatBitProvider.live(
        streaming_url=server.streaming_url,
        event_url=event_url or server.event_url,
        secret=server.server_secret,
        start_wait_s=start_wait_s,
        timing=replace(QUICK, pull_s=pull_s),
        **options,
    )


def forked(server: SimulatedFeatBit, kind: str) -> dict[str, Any]:
    """Fork a process that follows *server*, then kill; return what each side saw."""
    address = (server.streaming_url, server.event_url, server.server_secret)
    with running("fork", kind, *address) as program:
        assert line(program) == "forked\n"
        server.toggle(SWITCH, False)
        found: dict[str, Any] = json.loads(line(program))
    return found


@contextmanager
def running(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module beside this one with pipes, and end it."""
    program = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", f"{__package__}.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with program:
            yield program
            assert program.stdin is not None
            program.stdin.close()
            program.wait(LONG)
    finally:
        program.kill()


def line(program: subprocess.Popen[str]) -> str:
    """Return the next line that *program* prints."""
    assert program.stdout is not None
    return program.stdout.readline()


class Mortal:
    """A simulated FeatBit in another process (`mortal`), which can be killed."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program
        address = json.loads(line(program))
        self.streaming_url: str = address["streaming_url"]
        self.event_url: str = address["event_url"]
        self.server_secret: str = address["server_secret"]

    def tell(self, command: str) -> None:
        """Let it ``live``, with the named flags off, or ``die``."""
        assert self._program.stdin is not None
        self._program.stdin.write(f"{command}\n")
        self._program.stdin.flush()
        assert line(self._program) == "done\n"


@contextmanager
def governed(
    folder: Path, provider: Any, bounds: Bounds = BOUNDS
) -> Iterator[Callable[[], Outcome]]:
    """Lend a function that decides about one e-mail, with *provider* for flags."""
    contracts = folder / "governance.yaml"
    contracts.write_text(contract_yaml("mail"))
    controls = Controls(bounds=bounds)
    records = folder / "records.db"
    with Governor.open(contracts, provider, records, controls=controls) as governor:
        governor.tool("mail")(lambda to: "sent")
        yield lambda: governor.decide(ToolCall("mail", {"to": "x"}, CONTEXT))

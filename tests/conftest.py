"""Fixtures: a clean OpenFeature API, and a Governor on the embedded default."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing
from hypothesis import HealthCheck, settings

from openfeature import api
from openfeature.contrib.provider.featbit import authoring
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Actor, CallContext, Controls, Governor
from openfeature_gov.ladder import MODES

# Started in the background of a shell without job control, it would be ignored, and by
# the programs that tests start and interrupt as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test may fail for the machine being slow.
settings.register_profile(
    "untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")

# The tree of all commands is made once a process, not each time that a test runs one:
# that took longer than the commands. Typer offers no other way.
typer.testing._get_command = cache(typer.main.get_command)  # type: ignore[attr-defined]


def pytest_sessionfinish() -> None:
    """End the PostgreSQL of this process, which a worker is given no time for later."""
    if (postgres := sys.modules.get("tests.integration.postgres")) is not None:
        postgres.end()


AT = "2026-11-21T10:00:00.000Z"
KEYS = {
    "globalFlag": "gov.on",
    "modeFlag": "gov.mode",
    "approvalFlag": "gov.approval",
    "denylistFlag": "gov.denylist",
    "fallbackFlag": "gov.fallback",
}
CONTEXT = CallContext(
    actor=Actor(agent="agent-1", user="user-1", session="s-1"),
    environment="test",
    task="task-1",
)


def flag_document(
    *,
    mode: str = "autonomous",
    approval: bool = False,
    denylist: Any = (),
    fallback: bool = False,
    on: bool = True,
) -> dict[str, Any]:
    """Return a flag document with all five kinds at the given values."""
    return authoring.document(
        [
            authoring.string_flag(
                KEYS["modeFlag"], [*MODES, "fallback"], serve=mode, off="off"
            ),
            authoring.boolean_flag(KEYS["globalFlag"], serve=on, off=False),
            authoring.boolean_flag(KEYS["approvalFlag"], serve=approval, off=True),
            authoring.boolean_flag(KEYS["fallbackFlag"], serve=fallback, off=True),
            authoring.json_flag(
                KEYS["denylistFlag"],
                {"now": list(denylist), "all": ["*"]},
                serve="now",
                off="all",
            ),
        ]
    )


def contract_yaml(tool: str, **changes: str) -> str:
    """Return a governance contract for *tool*; *changes* replace or add top keys."""
    keys = {
        "workflow": "tests",
        "owner": "team",
        "tool": tool,
        "riskClass": "external_effect",
        "reversibility": "manual",
        "defaultMode": "observe",
        "allowedModes": "[" + ", ".join(MODES) + ", fallback]",
        "rollback": "{safestMode: observe, owner: team}",
        "runtimeControls": "{" + ", ".join(f"{k}: {v}" for k, v in KEYS.items()) + "}",
        **changes,
    }
    body = "\n".join(f"  {key}: {value}" for key, value in keys.items())
    return f"agentToolGovernance:\n{body}\n"


class Desk:
    """A Governor with its files, for one test."""

    def __init__(
        self, folder: Path, governance: str, controls: Controls | None
    ) -> None:
        self.folder = folder
        self.governance = folder / "governance.yaml"
        self.flags = folder / "flags.json"
        self.records = folder / "records.db"
        self.governance.write_text(governance)
        self.serve()
        self.governor = Governor.open(
            self.governance, self.flags, self.records, controls=controls
        )
        self.calls: list[dict[str, Any]] = []

    def serve(self, **values: Any) -> None:
        """Write the flag file."""
        write_document(self.flags, flag_document(**values))

    def set(self, **values: Any) -> None:
        """Write the flag file and let the provider see it now."""
        self.serve(**values)
        provider: Any = self.governor._decider._reader._client.provider
        provider.reload()

    def spy(self, **arguments: Any) -> str:
        """Be a tool that remembers what it was called with."""
        self.calls.append(arguments)
        return "ran"


Make = Callable[..., Desk]
"""What the fixture `desk` is: a governance text and controls to a Desk."""


@pytest.fixture(autouse=True)
def clean_api() -> Iterator[None]:
    """Leave no provider, hook or context behind in the process-global API."""
    api.shutdown()
    yield
    api.shutdown()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes Desks and closes them after the test."""
    made: list[Desk] = []

    def make(governance: str, controls: Controls | None = None) -> Desk:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Desk(folder, governance, controls))
        return made[-1]

    yield make
    for one in made:
        one.governor.close()

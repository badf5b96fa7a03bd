"""What the author of an adapter writes for the suite: a rig of one framework.

A rig drives the real framework with a scripted model. Both live in a process; what is
paused survives it, in the place's folder.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from openfeature_gov.testing.workplace import Workplace

Edit = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """Be one tool call of the scripted model."""

    tool: str
    arguments: dict[str, Any]
    id: str = "call-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Say what a run came to.

    *answers* is what the model was told by call id; *paused* the ids of the requests
    that the run waits for; *state* whatever a rig needs to wake it up in any process.
    """

    answers: dict[str, str] = field(default_factory=dict)
    paused: tuple[str, ...] = ()
    state: str = ""


class Rig(ABC):
    """Drive one framework. Built anew for each test, and in other processes.

    *pauses* says that the framework can stop and be resumed elsewhere, *sessions* that
    it knows of sessions; *lacks* names tests that make no sense for it, and why. *span*
    is how the name begins of the framework's own span that is current when a call is
    decided about, empty where it has none.
    """

    pauses = True
    sessions = True
    span = ""
    lacks: dict[str, str] = {}  # noqa: RUF012 - subclasses state theirs

    @abstractmethod
    def play(
        self,
        place: Workplace,
        calls: Sequence[Call],
        *,
        asynchronous: bool = False,
        late: Edit | None = None,
        sub: bool = False,
        streams: bool = False,
        retries: bool = False,
    ) -> Played:
        """Run an agent whose model makes *calls* in one turn, then ends.

        It has the tools of *place* and its hidden one. *late* edits the arguments of
        every call in a hook after ours; with *sub* the calls are made by a sub-agent
        that has no adapter, behind the tool ``delegate``. It *streams* what happens,
        and *retries* a tool that failed in the framework's own way, once at least;
        where there is none, a hook after ours does.
        """

    def instrumented(self) -> AbstractContextManager[object]:
        """Let the framework emit its spans within the block, where it must be told."""
        return nullcontext()

    @abstractmethod
    def wake(
        self,
        place: Workplace,
        state: str,
        *,
        asynchronous: bool = False,
        late: Edit | None = None,
        retries: bool = False,
    ) -> Played:
        """Resume what paused at *state*, saying yes in the framework's own words.

        Where the framework cannot pause, make the same calls again.
        """

    def wake_elsewhere(
        self, place: Workplace, state: str, *, asynchronous: bool = False
    ) -> Played:
        """Resume *state* in another process, which opens the folder of *place*."""
        kind = type(self)
        command = (
            sys.executable,
            "-m",
            "openfeature_gov.testing.rigs",
            kind.__module__,
        )
        given = json.dumps([kind.__qualname__, str(place.folder), state, asynchronous])
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command, input=given, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        return Played(answers=found["answers"], paused=tuple(found["paused"]))


def _elsewhere() -> None:
    name, folder, state, asynchronous = json.loads(sys.stdin.read())
    rig: Rig = getattr(importlib.import_module(sys.argv[1]), name)()
    place = Workplace(Path(folder))
    try:
        played = rig.wake(place, state, asynchronous=asynchronous)
    finally:
        place.close()
    sys.stdout.write("\n" + json.dumps(asdict(played)) + "\n")


if __name__ == "__main__":
    _elsewhere()

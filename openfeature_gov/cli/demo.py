"""`gov demo`: a real agent's calls, governed while somebody changes the flags."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from openfeature_gov.cli import demo_screen, output
from openfeature_gov.demo.acts import ACTS, Act, spread
from openfeature_gov.demo.orders import OrderError, OrderStore
from openfeature_gov.demo.performance import (
    Begun,
    Called,
    Ended,
    Event,
    improvise,
    perform,
)
from openfeature_gov.demo.recorded import (
    CALLS,
    SHOP,
    RecordedCall,
    read_calls,
    read_store,
)
from openfeature_gov.demo.session import Edit, Session, opened
from openfeature_gov.errors import InvalidCallError

PAUSE_S = 0.45
LONGEST_S = 30.0
"""How long the pauses may add up to at speed 1, however many calls there are."""


def demo(
    *,
    speed: Annotated[
        float, typer.Option(min=0.1, max=100, help="2 is twice as fast.")
    ] = 1.0,
    no_pause: Annotated[
        bool, typer.Option("--no-pause", help="As fast as it goes.")
    ] = False,
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive", help="Then let the agent go on while you change flags."
        ),
    ] = False,
    featbit: Annotated[
        bool,
        typer.Option(
            "--featbit",
            help="Flags in a simulated FeatBit server (extra: testing), not a file.",
        ),
    ] = False,
    keep: Annotated[
        Path | None,
        typer.Option(help="New folder for the files; without it, a temporary one."),
    ] = None,
    calls: Annotated[
        Path, typer.Option(help="Recorded tool calls, JSON Lines.", show_default=False)
    ] = CALLS,
    store: Annotated[
        Path, typer.Option(help="The shop they act on, JSON.", show_default=False)
    ] = SHOP,
    as_json: output.Json = None,
) -> None:
    """Watch an agent's tool calls being governed, offline, while flags change.

    Six acts: from drafting to autonomy, then a tool is taken away, an incident, and the
    kill switch. Every flag change is a real edit of a file that the agent follows, or,
    with --featbit, a call of the management API whose push the agent's stream gets.
    """
    if featbit and interactive:
        raise typer.BadParameter("--interactive changes a flag file: without --featbit")
    as_json = not sys.stdout.isatty() if as_json is None else as_json
    recorded, shop = _read(calls, store)
    acts = ACTS if calls == CALLS else spread(recorded)
    pause = (
        0.0 if no_pause or not sys.stdout.isatty() else _pause(acts, recorded, speed)
    )
    folder = keep or Path(tempfile.mkdtemp(prefix="gov-demo-"))
    with closing(shop), opened(folder, shop, featbit=featbit) as session:
        events = paced(perform(session, acts, calls=recorded), pause)
        (_tell if as_json else demo_screen.show)(session, events)
        if interactive:
            pace = PAUSE_S / speed
            with suppress(KeyboardInterrupt):
                endless = paced(improvise(session, shop, calls=recorded), pace)
                (_tell if as_json else demo_screen.go_on)(session, endless)
    if not as_json:
        demo_screen.farewell(session)


def paced(events: Iterable[Event], pause: float) -> Iterator[Event]:
    """Yield *events* with *pause* seconds after each call, and more before an act."""
    for event in events:
        if pause and isinstance(event, Begun):
            time.sleep(pause * 2)
        yield event
        if pause and isinstance(event, Called):
            time.sleep(pause)


def _pause(acts: Iterable[Act], calls: Iterable[RecordedCall], speed: float) -> float:
    played = {task for act in acts for task in act.tasks}
    number = sum(call.task in played for call in calls)
    return min(PAUSE_S, LONGEST_S / max(number, 1)) / speed


def _read(calls: Path, store: Path) -> tuple[list[RecordedCall], OrderStore]:
    """Return the calls and the shop; what cannot be used is wrong usage.

    Raises:
        typer.BadParameter: one of the files does not hold what it should.
        OSError: one of them cannot be read.

    """
    try:
        return read_calls(calls), read_store(store)
    except (ValueError, OrderError, InvalidCallError) as error:
        raise typer.BadParameter(str(error)) from None


def _tell(session: Session, events: Iterable[Event]) -> None:
    """Print one JSON object a line: each event, then where everything is."""
    for event in events:
        for line in _facts(event):
            _print(line)
    files = {
        "governance": str(session.governance),
        "flags": session.target.name,
        "records": str(session.records),
    }
    _print({"event": "files", **files})


def _print(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _facts(event: Event) -> Iterator[dict[str, Any]]:
    match event:
        case Begun(act):
            yield {"event": "act", "act": act.name, "title": act.title}
        case Edit(changes, seconds):
            seen = None if seconds is None else round(seconds * 1000, 1)
            for change in changes:
                yield {"event": "flag", **asdict(change), "seenAfterMs": seen}
        case Called():
            yield _call(event)
        case Ended(act, tally, changes):
            counts = asdict(tally)
            yield {"event": "end", "act": act.name, **counts, "changedRows": changes}


def _call(event: Called) -> dict[str, Any]:
    played = event.played
    outcome = played.outcome
    return {
        "event": "call",
        "act": event.act.name,
        "task": played.call.task,
        "step": played.call.step,
        "tool": played.call.tool,
        "effect": outcome.effect.value,
        "mode": outcome.decision.mode.label,
        "reason": outcome.reason,
        "ran": outcome.ran,
        "refusal": played.refusal,
        "changedRows": event.rows,
        "record": outcome.record_id,
    }

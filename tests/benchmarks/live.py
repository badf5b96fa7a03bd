"""Time a flag flip from the FeatBit server to `decide`, and how losses are noticed.

Run it with ``PYTHONPATH=.:providers python tests/benchmarks/live.py``, in full or
``--quick``, as a table or ``--json``. The simulated server runs in a process of its
own, so that its work is not counted; both use one monotonic clock. A flip begins
before the server stores it and ends when decisions obey. Six deciding threads are
paced, with 1 ms between two decisions, or saturated: then decisions wait for the
record writer, and how late they return says nothing of the flip, only when the last
one began that did not obey. ``frozen`` is a server that stops answering at all;
``lost`` a change whose push never leaves the server.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openfeature.event import ProviderEvent

from openfeature import api
from openfeature.contrib.provider.featbit import FeatBitProvider, authoring
from openfeature_gov import Actor, CallContext, Effect, Governor, ToolCall
from openfeature_gov.ladder import MODES
from openfeature_gov.testing.featbit import SimulatedFeatBit

TOOL, SWITCH = "send_letter", "on"
GOALS = {
    "idle_p50_ms": 5.0,
    "idle_p99_ms": 100.0,
    "paced_p99_ms": 250.0,
    "saturated_p99_ms": 250.0,
    "frozen_s": 15.0,
    "lost_s": 35.0,
}
CONTRACT = f"""\
agentToolGovernance:
  workflow: benchmarks
  owner: team
  tool: {TOOL}
  riskClass: external_effect
  reversibility: manual
  defaultMode: observe
  allowedModes: [{", ".join(MODES)}, fallback]
  rollback: {{safestMode: observe, owner: team}}
  runtimeControls: {{globalFlag: {SWITCH}, modeFlag: mode, approvalFlag: approval,
    denylistFlag: denylist, fallbackFlag: fallback}}
"""
OTHERS = [authoring.boolean_flag(f"other-{n}", serve=True) for n in range(100)]
FLAGS = authoring.document(
    [
        authoring.boolean_flag(SWITCH, serve=True, off=False),
        authoring.string_flag(
            "mode", [*MODES, "fallback"], serve="autonomous", off="off"
        ),
        authoring.boolean_flag("approval", serve=False, off=True),
        authoring.json_flag(
            "denylist", {"now": [], "all": ["*"]}, serve="now", off="all"
        ),
        authoring.boolean_flag("fallback", serve=False, off=True),
        *OTHERS,
    ]
)
CALL = ToolCall(
    TOOL,
    {"query": "flags"},
    CallContext(
        actor=Actor(agent="agent-1", user="user-1", session="s-1"),
        environment="prod",
        task="task-1",
    ),
)


def serve() -> None:
    """Be the server: obey one command a line, and say when each one began."""
    with SimulatedFeatBit(FLAGS) as server:
        urls = (server.streaming_url, server.event_url, server.server_secret)
        print(json.dumps(urls), flush=True)
        for line in sys.stdin:
            what, on = line.split()
            began = time.monotonic_ns()
            if what == SWITCH:
                server.toggle(SWITCH, on == "1")
            else:
                setattr(server.faults, what, on == "1")
            print(began, flush=True)


class Desk:
    """A Governor on a live provider, and the server's control line."""

    def __init__(self, folder: Path, server: subprocess.Popen[str]) -> None:
        self._server = server
        streaming, events, secret = json.loads(self._line())
        governance = folder / "governance.yaml"
        governance.write_text(CONTRACT)
        self.provider = FeatBitProvider.live(
            streaming_url=streaming, event_url=events, secret=secret
        )
        self.governor = Governor.open(governance, self.provider, folder / "records.db")
        self.governor.tool(TOOL)(lambda query: query)
        self.status = "READY"
        api.add_handler(ProviderEvent.PROVIDER_STALE, lambda _: self._note("STALE"))
        api.add_handler(ProviderEvent.PROVIDER_READY, lambda _: self._note("READY"))

    def _note(self, status: str) -> None:
        self.status = status

    def tell(self, what: str, *, on: bool) -> int:
        """Command the server; return when it began, in ns."""
        stdin = self._server.stdin
        if stdin is None:
            raise RuntimeError("the server has no control line")
        stdin.write(f"{what} {int(on)}\n")
        stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        stdout = self._server.stdout
        if stdout is None:
            raise RuntimeError("the server has no answers")
        return stdout.readline()

    def effect(self) -> Effect:
        return self.governor.decide(CALL).effect

    def _standing(self) -> str:
        """Return what a decision says now, and what stands behind it."""
        decided = self.governor.decide(CALL)
        health = self.governor.records.health()
        return f"{decided.effect} {decided.reason}, {self.status}, {health}"

    def until(self, holds: Callable[[], bool], *, every_s: float) -> int:
        """Wait until *holds*; return when, in ns."""
        deadline = time.monotonic() + 120
        while not holds():
            if time.monotonic() > deadline:
                raise SystemExit(f"waited two minutes in vain: {self._standing()}")
            time.sleep(every_s)
        return time.monotonic_ns()


@contextmanager
def desk() -> Iterator[Desk]:
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = Desk(Path(folder), server)
            try:
                yield made
            finally:
                made.governor.close()
                api.shutdown()
    finally:
        server.communicate()


def idle(made: Desk, flips: int) -> dict[str, float]:
    """Flip while one thread looks every 0.2 ms."""
    times = []
    for number in range(flips):
        on = number % 2 == 1
        wanted = Effect.ALLOW if on else Effect.DENY
        began = made.tell(SWITCH, on=on)
        ended = made.until(lambda w=wanted: made.effect() is w, every_s=0.0002)  # type: ignore[misc] # bound now
        times.append((ended - began) / 1e6)
        time.sleep(0.005)
    return quantiles(times)


def busy(
    made: Desk, flips: int, *, pause_s: float, number: int = 6
) -> dict[str, dict[str, float]]:
    """Flip while *number* threads decide, with *pause_s* after each decision.

    ``began`` is when the last decision began that did not obey yet; ``returned`` when
    the last thread had a decision back that does.
    """
    seen: list[tuple[int, Effect]] = [(0, Effect.ALLOW)] * number
    starts: list[dict[Effect, int]] = [{} for _ in range(number)]
    ending = threading.Event()

    def work(at: int) -> None:
        while not ending.is_set():
            started = time.monotonic_ns()
            effect = made.effect()
            starts[at][effect] = started
            if effect is not seen[at][1]:
                seen[at] = (time.monotonic_ns(), effect)
            if pause_s:
                time.sleep(pause_s)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(number)]
    for thread in threads:
        thread.start()
    began_ms, returned_ms = [], []
    try:
        for flip in range(flips):
            on = flip % 2 == 1
            wanted, other = Effect.ALLOW, Effect.DENY
            if not on:
                wanted, other = other, wanted
            flipped = made.tell(SWITCH, on=on)
            made.until(
                lambda w=wanted: all(effect is w for _, effect in seen),  # type: ignore[misc] # bound now
                every_s=0.002,
            )
            late = max(start.get(other, flipped) for start in starts)
            began_ms.append(max(0, late - flipped) / 1e6)
            returned_ms.append((max(at for at, _ in seen) - flipped) / 1e6)
            time.sleep(0.02)
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    return {"began": quantiles(began_ms), "returned": quantiles(returned_ms)}


def quantiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50": statistics.median(times), "p99": cuts[98], "max": max(times)}


def frozen(made: Desk) -> dict[str, float]:
    """Freeze the server; return the seconds until STALE, and until the cap is lower."""
    made.until(lambda: made.effect() is Effect.ALLOW, every_s=0.05)
    began = made.tell("frozen", on=True)
    stale = made.until(lambda: made.status == "STALE", every_s=0.02)
    lower = made.until(lambda: made.effect() is not Effect.ALLOW, every_s=0.02)
    thawed = made.tell("frozen", on=False)
    again = made.until(
        lambda: made.effect() is Effect.ALLOW and made.status == "READY",
        every_s=0.02,
    )
    return {
        "stale_s": (stale - began) / 1e9,
        "cap_s": (lower - began) / 1e9,
        "recovered_s": (again - thawed) / 1e9,
    }


def lost(made: Desk) -> float:
    """Lose the push of a kill; return the seconds until it is obeyed."""
    made.until(lambda: made.effect() is Effect.ALLOW, every_s=0.05)
    made.tell("drop_pushes", on=True)
    began = made.tell(SWITCH, on=False)
    ended = made.until(lambda: made.effect() is Effect.DENY, every_s=0.02)
    made.tell("drop_pushes", on=False)
    made.tell(SWITCH, on=True)
    return (ended - began) / 1e9


def measure(*, quick: bool) -> dict[str, Any]:
    flips, rounds = (100, 1) if quick else (500, 3)
    with desk() as made:
        made.until(lambda: made.effect() is Effect.ALLOW, every_s=0.05)
        idle(made, 10)
        return {
            "idle_ms": idle(made, flips),
            "paced_ms": busy(made, flips, pause_s=0.001),
            "saturated_ms": busy(made, flips // 2, pause_s=0),
            "frozen": [frozen(made) for _ in range(rounds)],
            "lost_s": [lost(made) for _ in range(rounds)],
        }


def verdicts(result: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the measured figure and the goal, by the goal's name."""
    measured = {
        "idle_p50_ms": result["idle_ms"]["p50"],
        "idle_p99_ms": result["idle_ms"]["p99"],
        "paced_p99_ms": result["paced_ms"]["returned"]["p99"],
        "saturated_p99_ms": result["saturated_ms"]["began"]["p99"],
        "frozen_s": max(round(one["cap_s"], 1) for one in result["frozen"]),
        "lost_s": max(result["lost_s"]),
    }
    return {name: (value, GOALS[name]) for name, value in measured.items()}


def show(result: dict[str, Any]) -> None:
    rows = {"idle": result["idle_ms"]}
    for load in ("paced", "saturated"):
        for what, row in result[f"{load}_ms"].items():
            rows[f"6 threads {load}, {what}"] = row
    print(f"{'flip to effect, ms':30}{'p50':>9}{'p99':>9}{'max':>9}")
    for name, row in rows.items():
        print(f"{name:30}{row['p50']:9.2f}{row['p99']:9.2f}{row['max']:9.2f}")
    for one in result["frozen"]:
        print(
            f"frozen server: STALE after {one['stale_s']:.1f} s, cap lower after "
            f"{one['cap_s']:.1f} s, well {one['recovered_s']:.1f} s after the thaw"
        )
    lost_s = ", ".join(f"{one:.1f}" for one in result["lost_s"])
    print(f"lost push repaired after {lost_s} s")
    for name, (value, goal) in verdicts(result).items():
        verdict = "met" if value <= goal else "MISSED"
        print(f"{name}: {value:.2f}, goal {goal:g}: {verdict}")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    result = measure(quick=options.quick)
    print(json.dumps(result, indent=2)) if options.json else show(result)


if __name__ == "__main__":
    main()

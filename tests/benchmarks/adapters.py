"""Time a tool call in each installed framework, bare and governed, in one run.

    python -m tests.benchmarks.adapters [NAME ...] [--quick] [--json] [--every]

Times the frameworks that are installed, such as in ``.adapters/langgraph-latest``, or
with ``--every`` each one in its own of these environments, one after the other; *no
framework* is what every adapter does by itself. A call without a hook, one with a hook
that only hands on a copy of the arguments, one with such a hook that calls ``decide``
first, a governed one and ``decide`` alone take turns in random order, for each leaves
the caches to the next one.
Each figure is in processor time of the calling thread, and a median of the quietest of
the run's parts, the one in which all of them together took least; only within a part
are figures subtracted:

* *framework's hook*: what a hook costs that decides nothing;
* *decide in the hook*: what ``decide`` adds to that, with caches that the framework
  has filled with its own;
* *ours beyond it*: what a governed call takes beyond that hook: the ticket, the tool's
  gate, the outcome's record, and the answer;
* *beyond decide*: the governed call less the bare one and ``decide`` alone.

Python that runs once in a while runs from caches that others have filled: then all of
this takes several times as long, ``decide`` too. *no framework, cold* shows by how
much: memory as large as the processor's caches is read before each turn.

All calls are of one session: the first of another one takes some 7 us more, and several
times that from cold caches, for who acts is made of its id, checked and kept. The tool
only reads, as most calls of an agent do: one that changes something waits for the disk
as well.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.contracts import ToolCall
from openfeature_gov.governor import Governor
from openfeature_gov.testing.workplace import WHO, People
from tests.benchmarks.frameworks import (
    ARGUMENTS,
    COLD,
    FOREIGN,
    FRAMEWORKS,
    SYNC,
    TOOL,
    How,
    Timed,
)
from tests.conftest import contract_yaml, flag_document

ALLOWED_US, WARM_UP, PARTS = 50, 50, 5
ROOT = Path(__file__).parents[2]
CACHES = bytes(64 << 20)
"""More than the caches of most processors hold."""
Times = dict[str, float]


async def measured(name: str, governor: Governor, rounds: int) -> Times:
    """Return what each takes over *rounds* turns, in microseconds."""
    ran = count()

    def find(query: str, limit: int = 100) -> str:
        """Find documents."""
        next(ran)
        return f"{query} {limit}"

    async def look_up(query: str, limit: int = 100) -> str:
        """Find documents."""
        next(ran)
        return f"{query} {limit}"

    tool = find if name in SYNC else look_up
    if name in FOREIGN:
        governor.foreign(TOOL)
        gated = tool
    else:
        gated = governor.tool(TOOL)(tool)
    make = FRAMEWORKS[name][1]
    turns = {
        how.value: make(governor, gated if how is How.OURS else tool, how)
        for how in How
    }
    turns["decide"] = _decide(governor)
    found: dict[str, list[int]] = {key: [] for key in turns}
    order, chance = [*turns.items()], random.Random(1)
    for at in range(rounds + WARM_UP):
        chance.shuffle(order)
        for key, turn in order:
            if name in COLD:
                CACHES.find(b"x")
            took = await turn()
            if at >= WARM_UP:
                found[key].append(took)
    if name not in FOREIGN and next(ran) != len(How) * (rounds + WARM_UP):
        raise RuntimeError(f"{name}: a call was not run, or was run twice")
    return _quietest(found)


def _quietest(found: dict[str, list[int]]) -> Times:
    """Return the medians of the part of a run in which all together took least."""
    size = max(min(map(len, found.values())) // PARTS, 1)
    parts = [
        {
            key: statistics.median(times[at : at + size]) / 1000
            for key, times in found.items()
        }
        for at in range(0, size * PARTS, size)
        if all(times[at : at + size] for times in found.values())
    ]
    return min(parts, key=lambda part: sum(part.values()))


def _decide(governor: Governor) -> Timed:
    async def timed() -> int:
        call = ToolCall(TOOL, dict(ARGUMENTS), WHO, "c")
        started = time.thread_time_ns()
        await governor.adecide(call)
        return time.thread_time_ns() - started

    return timed


def measure(names: Sequence[str], *, quick: bool) -> dict[str, Times]:
    """Return by framework what a call takes, in microseconds; all if none is named."""
    found = {}
    for name, (module, _) in FRAMEWORKS.items():
        if name not in (names or FRAMEWORKS) or not _installed(module):
            continue
        rounds = 50 if quick else 500 if name in COLD else 2_000
        with tempfile.TemporaryDirectory() as folder:
            contracts, flags = Path(folder, "governance.yaml"), Path(folder, "f.json")
            contracts.write_text(contract_yaml(TOOL, riskClass="search"))
            write_document(flags, flag_document())
            records = Path(folder, "records.db")
            with Governor.open(contracts, flags, records, people=People()) as governor:
                times = asyncio.run(measured(name, governor, rounds))
        found[name] = times | _differences(times)
    return found


def _differences(times: Times) -> Times:
    bare, hook, decides, governed = (times[how.value] for how in How)
    return {
        "framework's hook": hook - bare,
        "decide in the hook": decides - hook,
        "ours beyond it": governed - decides,
        "beyond decide": governed - bare - times["decide"],
    }


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the one that it is in
        return False


def everywhere(names: Sequence[str], *, quick: bool) -> dict[str, Times]:
    """Return what `measure` does, of each framework in its own of ``.adapters/``."""
    found: dict[str, Times] = {}
    for name in names or FRAMEWORKS:
        place = ROOT / ".adapters" / f"{name.replace('_', '-')}-latest"
        python = place / "bin" / "python"
        if not python.exists():
            found |= measure([name], quick=quick)
            continue
        command = ["-m", "tests.benchmarks.adapters", name, "--json"]
        done = subprocess.run(
            [str(python), *command, *(["--quick"] * quick)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*FRAMEWORKS, []], metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--every", action="store_true", help="in all environments")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # Google ADK has one for each scripted answer
    timed = everywhere if options.every else measure
    result = timed(options.names, quick=options.quick)
    if options.json:
        print(json.dumps(result))
        return 0
    columns = [*next(iter(result.values()))]
    print(f"{'microseconds a call':<20}" + "".join(f"{one:>19}" for one in columns))
    for name, times in result.items():
        print(f"{name:<20}" + "".join(f"{times[one]:>19.0f}" for one in columns))
    print(f"at most {ALLOWED_US} beyond decide")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Time a tool call in each installed framework, bare and governed, in one run.

    python -m tests.benchmarks.adapters [--quick] [--json] [--every]

Times the frameworks that are installed, such as in ``.adapters/langgraph-latest``, or
with ``--every`` those of all these environments, one after the other; *no framework* is
what every adapter does by itself. A call without a hook, one with a hook that does
nothing, one with a hook that calls ``decide`` and no more, a governed one and
``decide`` alone take turns in random order, for each leaves the caches to the next one.
Each figure is the least of the medians of ten parts of the run, in processor time of
the calling thread:

* *framework's hook*: what a hook costs that does nothing;
* *decide in the hook*: what ``decide`` adds to that, with caches that the framework
  has filled with its own;
* *ours beyond it*: what a governed call takes beyond that hook: the ticket, the tool's
  gate, the outcome's record, and the framework's own price of edited arguments;
* *beyond decide*: the governed call less the bare one and ``decide`` alone.

The tool only reads, as most calls of an agent do: one that changes something waits for
the disk as well.
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
from pathlib import Path

from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.contracts import ToolCall
from openfeature_gov.governor import Governor
from openfeature_gov.testing.workplace import WHO, People
from tests.benchmarks.frameworks import (
    ARGUMENTS,
    FOREIGN,
    FRAMEWORKS,
    TOOL,
    How,
    Timed,
)
from tests.conftest import contract_yaml, flag_document

ALLOWED_US, WARM_UP, PARTS = 50, 50, 10
ROOT = Path(__file__).parents[2]
Times = dict[str, float]


async def measured(name: str, governor: Governor, rounds: int) -> Times:
    """Return what each takes over *rounds* turns, in microseconds."""

    async def look_up(query: str, limit: int = 100) -> str:
        """Find documents."""
        return f"{query} {limit}"

    if name in FOREIGN:
        governor.foreign(TOOL)
        gated = look_up
    else:
        gated = governor.tool(TOOL)(look_up)
    make = FRAMEWORKS[name][1]
    turns = {
        how.value: make(governor, gated if how is How.OURS else look_up, how)
        for how in How
    }
    turns["decide"] = _decide(governor)
    found: dict[str, list[int]] = {key: [] for key in turns}
    order, chance = [*turns.items()], random.Random(1)
    for at in range(rounds + WARM_UP):
        chance.shuffle(order)
        for key, turn in order:
            took = await turn()
            if at >= WARM_UP:
                found[key].append(took)
    return {key: _least(times) / 1000 for key, times in found.items()}


def _least(times: list[int]) -> float:
    """Return the least median of the parts of a run: other work only adds."""
    size = max(len(times) // PARTS, 1)
    parts = [times[at : at + size] for at in range(0, len(times), size)]
    return min(statistics.median(part) for part in parts if len(part) == size)


def _decide(governor: Governor) -> Timed:
    async def timed() -> int:
        call = ToolCall(TOOL, dict(ARGUMENTS), WHO, "c")
        started = time.thread_time_ns()
        await governor.adecide(call)
        return time.thread_time_ns() - started

    return timed


def measure(*, quick: bool) -> dict[str, Times]:
    """Return by installed framework what a call takes, in microseconds."""
    found = {}
    for name, (package, _) in FRAMEWORKS.items():
        if not _installed(package):
            continue
        with tempfile.TemporaryDirectory() as folder:
            contracts, flags = Path(folder, "governance.yaml"), Path(folder, "f.json")
            contracts.write_text(contract_yaml(TOOL, riskClass="search"))
            write_document(flags, flag_document())
            records = Path(folder, "records.db")
            with Governor.open(contracts, flags, records, people=People()) as governor:
                run = measured(name, governor, 50 if quick else 2_000)
                times = asyncio.run(run)
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


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # nor is the one that it is in
        return False


def everywhere(*, quick: bool) -> dict[str, Times]:
    """Return what `measure` does in each environment of ``.adapters/``."""
    found: dict[str, Times] = {}
    command = ["-m", "tests.benchmarks.adapters", "--json", *(["--quick"] * quick)]
    for python in sorted(ROOT.glob(".adapters/*-latest/bin/python")):
        done = subprocess.run(
            [str(python), *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        found = {**json.loads(done.stdout.splitlines()[-1]), **found}
    return found


def main() -> int:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--every", action="store_true", help="of all environments")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # Google ADK has one for each scripted answer
    result = (everywhere if options.every else measure)(quick=options.quick)
    if options.json:
        print(json.dumps(result))
        return 0
    names = [*next(iter(result.values()))]
    print(f"{'microseconds a call':<20}" + "".join(f"{one:>19}" for one in names))
    for name, times in result.items():
        print(f"{name:<20}" + "".join(f"{times[one]:>19.0f}" for one in names))
    print(f"at most {ALLOWED_US} beyond decide")
    return 0


if __name__ == "__main__":
    sys.exit(main())

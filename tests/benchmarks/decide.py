"""Time decisions beside four bare flag calls, and beside two other products.

Run it with ``PYTHONPATH=.:providers python tests/benchmarks/decide.py``, in full or
``--quick``, as a table or ``--json``. All cases take short turns in one process, and
ratios are to the bare calls of the same rounds. The four flags have no rules, which
favours the bare calls. ``first`` is the first call after a pause, with cold caches; it
and the few that follow it count in no other column.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from openfeature.evaluation_context import EvaluationContext

from openfeature import api
from openfeature.contrib.provider.featbit import FeatBitProvider, authoring
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Actor, CallContext, Effect, Governor, ToolCall
from openfeature_gov.ladder import MODES
from tests.benchmarks.peers import missing, peers

SEARCH, SEND = "search_docs", "send_letter"
MODE, APPROVAL, DENYLIST, FALLBACK = "mode", "approval", "denylist", "fallback"
CHUNK, WARM_UP, PAUSE_S, SKIPPED = 100, 5, 0.01, 2
FLAGS = authoring.document(
    [
        authoring.string_flag(
            MODE, [*MODES, "fallback"], serve="autonomous", off="off"
        ),
        authoring.boolean_flag(APPROVAL, serve=False, off=True),
        authoring.json_flag(
            DENYLIST, {"now": ["drop_table"], "all": ["*"]}, serve="now", off="all"
        ),
        authoring.boolean_flag(FALLBACK, serve=False, off=True),
    ]
)
CONTRACT = """\
agentToolGovernance:
  workflow: benchmarks
  owner: team
  tool: {tool}
  riskClass: {risk}
  reversibility: manual
  defaultMode: observe
  allowedModes: [off, observe, search_only, scoped_read, draft_write,
    approval_required, autonomous, fallback]
  rollback: {{safestMode: observe, owner: team}}
  runtimeControls: {{modeFlag: mode, approvalFlag: approval, denylistFlag: denylist,
    fallbackFlag: fallback}}
"""


@dataclass(frozen=True)
class Case:
    """Hold what to time: *call* on each of the inputs that *inputs* makes."""

    name: str
    call: Callable[[Any], object]
    inputs: Callable[[int], list[Any]] = lambda size: [None] * size
    share: float = 1.0
    singles: list[int] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)


class Desk:
    """A Governor on the embedded default, and a bare client on the same flags."""

    def __init__(self, folder: Path) -> None:
        files = ("governance.yaml", "flags.json", "records.db")
        contracts, flags, records = [folder / name for name in files]
        search = CONTRACT.format(tool=SEARCH, risk="search")
        send = CONTRACT.format(tool=SEND, risk="external_effect")
        contracts.write_text(f"{search}---\n{send}")
        write_document(flags, FLAGS)
        self.governor = Governor.open(contracts, flags, records)
        for name in (SEARCH, SEND):
            self.governor.tool(name)(lambda query, limit=5: query)
        self.users = count()
        self.same = self.call("user-0")
        planned = self.governor.plan(self.same)
        if planned.effect is not Effect.ALLOW or planned.contract is None:
            raise SystemExit(f"the search is not allowed: {planned}")
        api.set_provider_and_wait(FeatBitProvider.from_file(flags), "bare")
        self.client = api.get_client("bare")
        self.context = EvaluationContext("user-0", planned.contract.attributes())

    def call(self, user: str, tool: str = SEARCH) -> ToolCall:
        actor = Actor(agent="agent-1", user=user, session="s-1", service="svc-1")
        context = CallContext(
            actor=actor,
            account="acme",
            environment="prod",
            region="eu",
            stage="canary",
            task="task-1",
        )
        return ToolCall(tool, {"query": "flags", "limit": 3}, context)

    def again(self, size: int) -> list[ToolCall]:
        return [self.same] * size

    def anew(self, size: int) -> list[ToolCall]:
        return [self.call(f"new-{next(self.users)}") for _ in range(size)]

    def bare(self, _: object) -> None:
        client, context = self.client, self.context
        client.get_string_details(MODE, "off", context)
        client.get_boolean_details(APPROVAL, True, context)
        client.get_object_details(DENYLIST, ["*"], context)
        client.get_boolean_details(FALLBACK, True, context)

    def cases(self) -> list[Case]:
        governor, send = self.governor, self.call("user-0", SEND)
        return [
            Case("four bare calls", self.bare),
            Case("plan, remembered", governor.plan, self.again),
            Case("plan, new user", governor.plan, self.anew),
            Case("decide, remembered", governor.decide, self.again),
            Case("decide, new user", governor.decide, self.anew),
            Case("run, durable", governor.run, lambda size: [send] * size, 0.2),
            *[Case(name, call) for name, call in peers()],
        ]


@contextmanager
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as folder:
        made = Desk(Path(folder))
        try:
            yield made
        finally:
            made.governor.close()
            api.shutdown()


def latencies(made: Desk, rounds: int) -> dict[str, dict[str, float]]:
    """Let every case take its turn *rounds* times; times are microseconds."""
    cases = made.cases()
    for number in range(rounds + SKIPPED):
        for case in cases:
            turn(case, counted=number >= SKIPPED)
            time.sleep(PAUSE_S)  # long enough for the writer to empty its backlog
    bare = cases[0]
    return {case.name: figures(case, bare) for case in cases}


def turn(case: Case, *, counted: bool) -> None:
    given, times = case.inputs(WARM_UP + int(CHUNK * case.share)), []
    call, clock = case.call, time.perf_counter_ns
    for one in given:
        started = clock()
        call(one)
        times.append(clock() - started)
    if counted:
        case.firsts.append(times[0])
        case.singles.extend(times[WARM_UP:])
        case.medians.append(statistics.median(times[WARM_UP:]))


def figures(case: Case, bare: Case) -> dict[str, float]:
    ratios = [mine / its for mine, its in zip(case.medians, bare.medians, strict=True)]
    return {
        "p50": statistics.median(case.medians) / 1e3,
        "p99": p99(case.singles) / 1e3,
        "first": statistics.median(case.firsts) / 1e3,
        "p50_ratio": statistics.median(ratios),
        "p99_ratio": p99(case.singles) / p99(bare.singles),
    }


def p99(times: list[int]) -> float:
    return statistics.quantiles(times, n=100)[98]


def threads(made: Desk, rounds: int, decisions: int) -> dict[str, float]:
    """Return saturated decisions a second, until the last is durable."""
    rates: dict[int, list[float]] = {1: [], 8: []}
    for _ in range(rounds):
        for number, found in rates.items():
            found.append(saturated(made, number, decisions))
    ratios = [many / one for one, many in zip(rates[1], rates[8], strict=True)]
    return {
        "one": statistics.median(rates[1]),
        "eight": statistics.median(rates[8]),
        "ratio": statistics.median(ratios),
    }


def saturated(made: Desk, number: int, decisions: int) -> float:
    decide, call = made.governor.decide, made.same

    def work() -> None:
        for _ in range(decisions // number):
            decide(call)

    workers = [threading.Thread(target=work) for _ in range(number)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    made.governor.records.flush()  # type: ignore[attr-defined] # of the SQLite store
    return decisions / (time.perf_counter() - started)


def imports(repeats: int = 9) -> dict[str, float]:
    """Return how many seconds a new process takes, bytecode in place as installed."""
    ours = ("import openfeature_gov", "from openfeature_gov import Governor")
    codes = ("pass", "import pydantic", *ours)
    seconds: dict[str, list[float]] = {code: [] for code in codes}
    with tempfile.TemporaryDirectory() as cache:
        settings = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        settings.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(repeats + 1):
            for code, found in seconds.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True, env=settings)
                found.append(time.perf_counter() - started)
    return {code: statistics.median(found[1:]) for code, found in seconds.items()}


def memory(made: Desk, decisions: int) -> list[float]:
    """Return the resident MiB at the start and after each tenth of *decisions*.

    Users repeat after 10,000, so that the remembered answers fill up and are dropped.
    """
    series = []
    for done in range(decisions + 1):
        if done % (decisions // 10) == 0:
            series.append(resident())
        made.governor.decide(made.call(f"user-{done % 10_000}"))
    return series


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])  # Linux only
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(*, quick: bool) -> dict[str, Any]:
    with desk() as made:
        result: dict[str, Any] = {
            "latency_us": latencies(made, 10 if quick else 300),
            "decisions_per_s": threads(made, *((1, 8_000) if quick else (7, 40_000))),
            "memory_mib": memory(made, 20_000 if quick else 1_000_000),
        }
    result["process_s"] = imports()
    result["not_installed"] = missing()
    return result


def show(result: dict[str, Any]) -> None:
    print(f"{'us a call':24}{'p50':>9}{'p99':>9}{'first':>9}{'p50 x':>8}{'p99 x':>8}")
    for name, row in result["latency_us"].items():
        print(
            f"{name:24}{row['p50']:9.1f}{row['p99']:9.1f}{row['first']:9.1f}"
            f"{row['p50_ratio']:8.2f}{row['p99_ratio']:8.2f}"
        )
    for name, how in result["not_installed"].items():
        print(f"{name}: not installed ({how})")
    rate = result["decisions_per_s"]
    print(
        f"saturated, decisions/s: {rate['one']:,.0f} with 1 thread, "
        f"{rate['eight']:,.0f} with 8, ratio {rate['ratio']:.2f}"
    )
    for code, seconds in result["process_s"].items():
        print(f"python -c {code!r}: {seconds:.3f} s")
    series = " ".join(f"{size:.1f}" for size in result["memory_mib"])
    print(f"resident MiB, each tenth of the decisions: {series}")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(quick=options.quick)
    print(json.dumps(result, indent=2)) if options.json else show(result)


if __name__ == "__main__":
    main()

"""Time durable records beside a plain append, and verify what was written.

Run it with ``PYTHONPATH=.:providers python tests/benchmarks/evidence.py``, in full or
``--quick``, as a table or ``--json``. All take short turns in one process, and ratios
are to the plain append of the same rounds: one INSERT and one COMMIT of the same bytes,
on SQLite with WAL and FULL, with neither chain nor queue. Records are those of real
decisions. Where agent-governance-toolkit is installed its audit log runs too, with a
file sink; that sink does not sync, so its times hold no disk.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openfeature import api
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Actor, CallContext, Governor, ToolCall
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.records import Record, written
from openfeature_gov.evidence.sealed import Tree, grown
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.stores.sealed import SqliteLog
from openfeature_gov.stores.seals import checkpoint_file, key_file
from openfeature_gov.stores.sqlite import SqliteStore
from tests.benchmarks.decide import CONTRACT, FLAGS, p99, resident
from tests.benchmarks.peers import HOW, imported

TOOL, THREADS = "send_letter", 16
TURN, WARM_UP = 40, 5
PLAIN = "CREATE TABLE records (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT"
SETTINGS = ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=2000")


@dataclass(frozen=True)
class Case:
    """Hold what to time: *call* on each of the inputs that *inputs* makes."""

    name: str
    call: Callable[[Any], object]
    inputs: Callable[[int], list[Any]]
    singles: list[int] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)


class Plain:
    """Append bodies to a table, one commit each. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in SETTINGS:
            self._db.execute(f"PRAGMA {setting}")
        self._db.execute(PLAIN)
        self._lock = threading.Lock()

    def append(self, encoded: bytes) -> None:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO records (body) VALUES (?)", (encoded,))
            self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class Desk:
    """A Governor on the embedded default, and what to compare it with."""

    def __init__(self, folder: Path) -> None:
        contracts, flags = folder / "governance.yaml", folder / "flags.json"
        contracts.write_text(CONTRACT.format(tool=TOOL, risk="external_effect"))
        write_document(flags, FLAGS)
        self.path, self._folder = folder / "records.db", folder
        self.governor = Governor.open(contracts, flags, self.path)
        self.governor.tool(TOOL)(lambda query, limit=5: query)
        self.sealed = SqliteStore(folder / "sealed.db")
        self.bare = SqliteStore(folder / "bare.db", sealing=None)
        self.plain = Plain(folder / "plain.db")
        actor = Actor(agent="agent-1", user="user-1", session="s-1", service="svc-1")
        context = CallContext(
            actor=actor, account="acme", environment="prod", task="task-1"
        )
        self.call = ToolCall(TOOL, {"query": "flags", "limit": 3}, context)
        if self.governor.decide(self.call).ran != "tool":
            raise SystemExit("the call is not allowed")

    def records(self, size: int) -> list[Record]:
        """Return records of new decisions, not stored yet."""
        judged = self.governor._decider.judged
        return [judged(self.call).record for _ in range(size)]

    def encoded(self, size: int) -> list[bytes]:
        return [written(one, "w")[1][0] for one in self.records(size)]

    def calls(self, size: int) -> list[ToolCall]:
        return [self.call] * size

    def cases(self) -> list[Case]:
        found = [
            Case("plain append", self.plain.append, self.encoded),
            Case("append, unsealed", self.bare.commit, self.records),
            Case("append, sealed", self.sealed.commit, self.records),
            Case("decide, durable", self.governor.decide, self.calls),
        ]
        log = toolkit(self._folder / "toolkit.jsonl")
        if log is not None:
            found.append(Case("toolkit, no sync", log.write, self.calls))
        return found

    def close(self) -> None:
        for one in (self.governor, self.sealed, self.bare, self.plain):
            one.close()


class Toolkit:
    """Log the same decision with agent-governance-toolkit: chain, tree, HMAC, file."""

    def __init__(self, audit: Any, backends: Any, path: Path) -> None:
        self.sink = backends.FileAuditSink(path, b"k" * 32, max_file_size=0)
        self._log = audit.AuditLog(sink=self.sink)

    def write(self, call: ToolCall) -> None:
        self._log.log(
            "tool_invocation",
            "agent-1",
            call.tool,
            "acme",
            dict(call.arguments),
            policy_decision="allow",
            trace_id="task-1",
        )


def toolkit(path: Path) -> Toolkit | None:
    """Return the toolkit's audit log, None where it is not installed."""
    audit = imported("agentmesh.governance.audit")
    backends = imported("agentmesh.governance.audit_backends")
    if audit is None or backends is None:
        return None
    return Toolkit(audit, backends, path)


@contextmanager
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as folder:
        made = Desk(Path(folder))
        try:
            yield made
        finally:
            made.close()
            api.shutdown()


def latencies(made: Desk, rounds: int) -> dict[str, dict[str, float]]:
    """Let every case take its turn *rounds* times; times are microseconds."""
    cases = made.cases()
    for number in range(rounds + 1):
        for case in cases:
            turn(case, counted=number > 0)
    plain = cases[0]
    return {case.name: figures(case, plain) for case in cases}


def turn(case: Case, *, counted: bool) -> None:
    given, times = case.inputs(WARM_UP + TURN), []
    call, clock = case.call, time.perf_counter_ns
    for one in given:
        started = clock()
        call(one)
        times.append(clock() - started)
    if counted:
        case.singles.extend(times[WARM_UP:])
        case.medians.append(statistics.median(times[WARM_UP:]))


def figures(case: Case, plain: Case) -> dict[str, float]:
    pairs = zip(case.medians, plain.medians, strict=True)
    return {
        "p50": statistics.median(case.singles) / 1e3,
        "p99": p99(case.singles) / 1e3,
        "ratio": statistics.median([mine / its for mine, its in pairs]),
    }


def rates(made: Desk, rounds: int, size: int) -> dict[str, float]:
    """Return durable records a second with `THREADS` threads."""
    ways: dict[str, Callable[[int], float]] = {
        "plain append": lambda n: rate(made.plain.append, made.encoded(n)),
        "append, each waits": lambda n: rate(made.sealed.commit, made.records(n)),
        "append, then flush": lambda n: rate(
            made.sealed.append, made.records(n), made.sealed.flush
        ),
        "unsealed, then flush": lambda n: rate(
            made.bare.append, made.records(n), made.bare.flush
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way(size))
    return {name: statistics.median(each) for name, each in found.items()}


def rate(
    call: Callable[[Any], object],
    given: list[Any],
    end: Callable[[], object] = lambda: None,
) -> float:
    shares = [given[number::THREADS] for number in range(THREADS)]

    def work(share: list[Any]) -> None:
        for one in share:
            call(one)

    workers = [threading.Thread(target=work, args=(share,)) for share in shares]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    end()
    return len(given) / (time.perf_counter() - started)


def verification(size: int) -> dict[str, float]:
    """Return verified records a second: *size* decisions with outcomes, or more.

    The record file stands beside what the toolkit makes of its own log.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Desk(Path(folder))
        for _ in range(0, size, 1_000):
            for record in made.records(1_000):
                made.governor.records.append(record)
        log, calls = toolkit(Path(folder) / "verified.jsonl"), made.calls(size // 20)
        made.close()  # which gives every decision the outcome unknown
        api.shutdown()
        found = own(made.path)
        if log is not None:
            found["toolkit"] = theirs(log, calls)
    return found


def own(path: Path) -> dict[str, float]:
    """Return the rates of each mode, with one process and with one a core."""
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM records").fetchone()
    held = str(checkpoint_file(path))
    asked = [str(path), "--key", read_key(key_file(path)).vkey, "--checkpoint", held]
    log = SqliteLog(path)
    started = time.perf_counter()
    again = grown(log, Tree("", 0)).frontier.size
    reading = time.perf_counter() - started
    log.close()
    found = {"read again to seal": again / reading}
    for name, mode in MODES.items():
        for jobs in dict.fromkeys((1, os.cpu_count() or 1)):
            took = verified([*asked, *mode, "--jobs", str(jobs)])
            found[f"{name}, {jobs} process{'es' * (jobs > 1)}"] = count / took
    return found


MODES = {
    "hashes and signatures": ["--quick"],
    "everything": [],
    "everything, deep": ["--deep"],
}
"""What the verifier looks at: see its ``--help``."""


def theirs(log: Toolkit, calls: list[ToolCall]) -> float:
    for call in calls:
        log.write(call)
    started = time.perf_counter()
    if not log.sink.verify_integrity()[0]:
        raise SystemExit("the toolkit does not verify its own log")
    return len(calls) / (time.perf_counter() - started)


def verified(asked: list[str]) -> float:
    """Return the seconds that the verifier takes."""
    told = io.StringIO()
    started = time.perf_counter()
    with redirect_stdout(told):
        code = gov_verify.main(asked)
    if code:
        raise SystemExit(f"the log does not verify:\n{told.getvalue()}")
    return time.perf_counter() - started


def memory(made: Desk, size: int) -> list[float]:
    """Return the resident MiB at the start and after each tenth of *size* records."""
    series = [resident()]
    for _ in range(10):
        for _ in range(0, size // 10, 1_000):
            for record in made.records(1_000):
                made.sealed.append(record)
        made.sealed.flush()
        series.append(resident())
    return series


def measure(*, quick: bool) -> dict[str, Any]:
    with desk() as made:
        result: dict[str, Any] = {
            "latency_us": latencies(made, 5 if quick else 100),
            "records_per_s": rates(made, *((1, 2_000) if quick else (7, 16_000))),
            "memory_mib": memory(made, 10_000 if quick else 500_000),
        }
    result["verified_per_s"] = verification(5_000 if quick else 200_000)
    absent = imported("agentmesh") is None
    result["not_installed"] = {"agentmesh": HOW["agentmesh"]} if absent else {}
    return result


def show(result: dict[str, Any]) -> None:
    print(f"{'us a call, one thread':24}{'p50':>9}{'p99':>9}{'p50 x':>8}")
    for name, row in result["latency_us"].items():
        print(f"{name:24}{row['p50']:9.1f}{row['p99']:9.1f}{row['ratio']:8.2f}")
    for title, key in (
        (f"durable records/s, {THREADS} threads", "records_per_s"),
        ("verified records/s", "verified_per_s"),
    ):
        print(title)
        for name, found in result[key].items():
            print(f"  {name:36}{found:12,.0f}")
    series = " ".join(f"{size:.1f}" for size in result["memory_mib"])
    print(f"resident MiB, each tenth of the records: {series}")
    for name, how in result["not_installed"].items():
        print(f"{name}: not installed ({how})")


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

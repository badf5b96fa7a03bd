"""Time durable appends: SQLite and PostgreSQL, beside a plain insert by their drivers.

Run it with ``PYTHONPATH=.:providers python -m tests.benchmarks.stores``, as a table or
``--json``. A record is a note of about 1 KB; all logs are sealed meanwhile. The cases
take turns in one process, and the last is 16 writers that are processes; each figure is
the median of its rounds. PostgreSQL is a real server on this machine, which shares its
processors with what drives it.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from openfeature_gov.evidence.records import Record, note_record
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.schema import connect
from openfeature_gov.stores.writing import QueuedStore
from tests.integration import postgres

TEXT = "x" * 900
PLAIN = "INSERT INTO plain (body) VALUES ({})"
PROCESSES = 16
FIGURES = ("p50_us", "p99_us", "per_s", "best_per_s")
Append = Callable[[], object]


class Case(NamedTuple):
    """Hold one thing to time: *append* from a number of *threads*."""

    name: str
    threads: int
    append: Append


def note(store: QueuedStore) -> Record:
    return note_record(store.stamp(), "note", text=TEXT)


@contextmanager
def cases() -> Iterator[list[Case]]:
    """Lend what to time, all of it open at once."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield [
            *stored("sqlite", stack, str(folder / "records.db")),
            Case("sqlite, plain insert", 1, plain_sqlite(stack, folder / "plain.db")),
            *in_postgres(stack, folder),
        ]


def in_postgres(stack: ExitStack, folder: Path) -> list[Case]:
    if (server := postgres.server()) is None:
        return []
    url = stack.enter_context(server.database())
    return [
        *stored(
            "postgres", stack, url, Sealing(key=folder / "k", checkpoints=folder / "c")
        ),
        Case("postgres, plain insert", 1, plain_postgres(stack, url)),
    ]


def stored(
    name: str, stack: ExitStack, log: str, sealing: Sealing | None = None
) -> Iterator[Case]:
    for threads in (1, 16, 64):
        store = stack.enter_context(closing(open_store(log, sealing=sealing)))
        yield Case(f"{name}, commit", threads, committing(store))
    several = [
        stack.enter_context(closing(open_store(log, sealing=sealing)))
        for _ in range(16)
    ]
    turns = iter(several * 10_000)
    mine = threading.local()

    def append() -> None:
        if not hasattr(mine, "store"):
            mine.store = next(turns)
        mine.store.commit(note(mine.store))

    yield Case(f"{name}, commit, 16 logs", 16, append)


def committing(store: QueuedStore) -> Append:
    return lambda: store.commit(note(store))


def plain_sqlite(stack: ExitStack, path: Path) -> Append:
    connection: sqlite3.Connection = stack.enter_context(closing(connect(path)))
    connection.execute("CREATE TABLE plain (body BLOB) STRICT")
    body = TEXT.encode()
    return lambda: connection.execute(PLAIN.format("?"), (body,))


def plain_postgres(stack: ExitStack, url: str) -> Append:
    connection = stack.enter_context(closing(psycopg.connect(url, autocommit=True)))
    connection.execute("CREATE TABLE plain (body BYTEA)")
    body = TEXT.encode()
    query = PLAIN.format("%s").encode()
    return lambda: connection.execute(query, (body,), prepare=True, binary=True)


def timed(case: Case, appends: int) -> tuple[list[int], float]:
    """Return the nanoseconds of each append, and appends a second."""
    found: list[list[int]] = [[] for _ in range(case.threads)]

    def work(times: list[int]) -> None:
        clock, append = time.perf_counter_ns, case.append
        for _ in range(appends // case.threads):
            started = clock()
            append()
            times.append(clock() - started)

    threads = [threading.Thread(target=work, args=(times,)) for times in found]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [one for times in found for one in times]
    return every, len(every) / (time.perf_counter() - started)


def measure(rounds: int, appends: int) -> dict[str, dict[str, float]]:
    with cases() as every:
        for case in every:
            timed(case, 4 * case.threads)
        seen: dict[Case, list[tuple[list[int], float]]] = {case: [] for case in every}
        for _ in range(rounds):
            for case, times in seen.items():
                times.append(timed(case, appends))
    found = {f"{c.name}, {c.threads} threads": figures(f) for c, f in seen.items()}
    if spawned := by_processes(min(rounds, 5), 2 * appends):
        found[f"postgres, commit, {PROCESSES} processes"] = spawned
    return found


def work(
    url: str, folder: Path, appends: int, together: Barrier, told: Queue[Any]
) -> None:
    """Append to a log of its own in a process of its own; tell when it did."""
    sealing = Sealing(key=folder / "k", checkpoints=folder / "c")
    with closing(open_store(url, sealing=sealing)) as store:
        for _ in range(10):
            store.commit(note(store))
        together.wait()
        started = time.monotonic()
        for _ in range(appends):
            store.commit(note(store))
        ended = time.monotonic()
        together.wait()
        told.put((started, ended))


def by_processes(rounds: int, appends: int) -> dict[str, float]:
    """Return the appends a second of `PROCESSES` writers in PostgreSQL, each a log."""
    if (server := postgres.server()) is None:
        return {}
    spawning = get_context("spawn")  # a fork would share what the server's client holds
    rates = []
    with server.database() as url, tempfile.TemporaryDirectory() as name:
        folder, each = Path(name), appends // PROCESSES
        work(url, folder, 1, spawning.Barrier(1), spawning.Queue())  # makes the tables
        for _ in range(rounds):
            together, told = spawning.Barrier(PROCESSES), spawning.Queue()
            given = (url, folder, each, together, told)
            writers = [
                spawning.Process(target=work, args=given) for _ in range(PROCESSES)
            ]
            for writer in writers:
                writer.start()
            seen = [told.get(timeout=120) for _ in writers]
            for writer in writers:
                writer.join()
            took = max(end for _, end in seen) - min(start for start, _ in seen)
            rates.append(each * PROCESSES / took)
    return {"per_s": statistics.median(rates), "best_per_s": max(rates)}


def figures(rounds: list[tuple[list[int], float]]) -> dict[str, float]:
    medians = [statistics.median(times) / 1e3 for times, _ in rounds]
    every = [one / 1e3 for times, _ in rounds for one in times]
    return {
        "p50_us": statistics.median(medians),
        "p99_us": statistics.quantiles(every, n=100)[98],
        "per_s": statistics.median(rate for _, rate in rounds),
        "best_per_s": max(rate for _, rate in rounds),
    }


def show(result: dict[str, dict[str, Any]]) -> None:
    print(f"{'':40}{'p50 us':>9}{'p99 us':>9}{'1/s':>9}{'best':>9}")
    for name, row in result.items():
        figures = (row.get(key) for key in FIGURES)
        told = "".join(f"{'':9}" if one is None else f"{one:9.0f}" for one in figures)
        print(f"{name:40}{told}")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--appends", type=int, default=3200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.rounds, options.appends)
    print(json.dumps(result, indent=2)) if options.json else show(result)


if __name__ == "__main__":
    main()

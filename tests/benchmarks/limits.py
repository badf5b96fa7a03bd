"""Time what limits cost: a rate beside a bare Redis call, a budget beside a commit.

Run it with ``PYTHONPATH=.:providers:rollout python -m tests.benchmarks.limits``, as a
table or ``--json``; ``--quick`` only shows that it runs. The cases of a group take
turns in one process, and each ratio is the median of the ratios of its rounds. Redis
and PostgreSQL are real servers on this machine.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import NamedTuple

import psycopg
import redis

from openfeature_gov.allowances.rates import LocalRates
from openfeature_gov.allowances.shared import RedisRates
from openfeature_gov.evidence.entries import Purse, Spend
from openfeature_gov.evidence.records import Record, note_record
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.schema import connect
from openfeature_gov.stores.writing import QueuedStore
from tests.integration import postgres, redis_server

TEXT = "x" * 900
NUMBERS = count(1)


class Group(NamedTuple):
    """Hold what is compared: *cases* by name, the first of them the bare one."""

    cases: dict[str, Callable[[], object]]
    each: int


class Row(NamedTuple):
    """Hold the median of one case in microseconds, and its ratio to the bare one."""

    case: str
    us: float
    ratio: float


def spending(store: QueuedStore) -> Record:
    """Return a record that takes one call of a budget."""
    made = note_record(store.stamp(), "note", text=TEXT)
    now = time.time_ns() // 1000
    spend = Spend(
        of=Purse("calls", "agent:a"),
        ref=f"r-{next(NUMBERS)}",
        unit="calls",
        amount=1,
        ceiling=10**15,
        begins_us=now - now % 86_400_000_000,
        at_us=now,
    )
    return made._replace(entries=(spend,))


def budgets(stack: ExitStack, log: str, bare: Callable[[], object], name: str) -> Group:
    store = stack.enter_context(closing(open_store(log, sealing=None)))
    return Group(
        {
            f"{name}: bare durable decision": lambda: store.commit(
                note_record(store.stamp(), "note", text=TEXT)
            ),
            f"{name}: decision that takes a budget": lambda: store.commit(
                spending(store)
            ),
            f"{name}: plain insert by its driver": bare,
        },
        each=60,
    )


def groups(stack: ExitStack) -> Iterator[Group]:
    """Yield what to time, all of it open at once."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    local = LocalRates()
    yield Group(
        {
            "in process: rate": lambda: local.take("a", 10**6, 60),
            "in process: bucket": lambda: local.take("b", 10**6, 60, 10**5),
        },
        each=2_000,
    )
    if redis_server.PROGRAM is not None:
        server = stack.enter_context(redis_server.running(folder))
        rates = stack.enter_context(closing(RedisRates(server.url, timeout_s=60)))
        rates.begin()
        client = stack.enter_context(redis.Redis(port=server.port))
        yield Group(
            {
                "redis: bare round trip": lambda: client.incr("n"),
                "redis: rate": lambda: rates.take("a", 10**6, 60),
                "redis: bucket": lambda: rates.take("b", 10**6, 60, 10**5),
            },
            each=1_000,
        )
    plain = stack.enter_context(closing(connect(folder / "plain.db")))
    plain.execute("CREATE TABLE plain (body TEXT)")
    yield budgets(stack, str(folder / "records.db"), plain_sqlite(plain), "sqlite")
    if (pg := postgres.server()) is not None:
        url = stack.enter_context(pg.database())
        bare = stack.enter_context(psycopg.connect(url, autocommit=True))
        bare.execute("CREATE TABLE plain (body TEXT)")
        yield budgets(
            stack,
            url,
            lambda: bare.execute("INSERT INTO plain VALUES (%s)", (TEXT,)),
            "postgresql",
        )


def plain_sqlite(db: sqlite3.Connection) -> Callable[[], object]:
    return lambda: db.execute("INSERT INTO plain VALUES (?)", (TEXT,))


def timed(group: Group, each: int) -> dict[str, float]:
    """Return the median time of one call of each case, in microseconds.

    The cases take turns call by call: what else the machine does hits them alike.
    """
    taken: dict[str, list[int]] = {name: [] for name in group.cases}
    for _ in range(each):
        for name, case in group.cases.items():
            began = time.perf_counter_ns()
            case()
            taken[name].append(time.perf_counter_ns() - began)
    return {name: statistics.median(found) / 1_000 for name, found in taken.items()}


def measured(group: Group, rounds: int, each: int) -> Iterator[Row]:
    """Yield each case with its median, and its ratio to the bare one of its round."""
    timed(group, 3)
    found = [timed(group, each) for _ in range(rounds)]
    bare = next(iter(group.cases))
    for name in group.cases:
        ratios = [one[name] / one[bare] for one in found]
        us = statistics.median(one[name] for one in found)
        yield Row(name, round(us, 1), round(statistics.median(ratios), 2))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    rounds = 1 if given.quick else 15
    rows: list[Row] = []
    with ExitStack() as stack:
        for group in groups(stack):
            each = 5 if given.quick else group.each
            rows += measured(group, rounds, each)
    if given.json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    print(f"{'':42}{'median us':>12}{'ratio':>8}")
    for row in rows:
        print(f"{row.case:42}{row.us:>12}{row.ratio:>8}")


if __name__ == "__main__":
    main()

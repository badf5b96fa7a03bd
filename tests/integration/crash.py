"""Kill -9 two processes that govern over one flag file and one record file.

Run ``python tests/integration/crash.py ROUNDS FOLDER``; prints one JSON line. Each
round forks two agents that run a consequential tool as fast as they can, report every
finished call through a pipe, and are killed at a random moment.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from openfeature_gov import Governor, ToolCall
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, contract_yaml, flag_document


def agent(folder: Path, report: int, name: str) -> None:
    """Run the tool until killed; each action leaves a line, each return an ack."""
    governor = Governor.open(
        folder / "governance.yaml", folder / "flags.json", folder / "records.db"
    )
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


def round_of(folder: Path, number: int, chance: random.Random) -> list[str]:
    """Fork two agents, kill both, return the record ids they acknowledged."""
    children, pipes = [], []
    for side in "ab":
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                agent(folder, writer, f"{number}{side}")
            finally:
                os._exit(3)
        os.close(writer)
        children.append(child)
        pipes.append(reader)
    if chance.random() < 0.8:  # else the kill may come while they still start up
        for pipe in pipes:
            select.select([pipe], [], [], 20)
    time.sleep(chance.uniform(0, 0.05))
    for child in chance.sample(children, 2):
        os.kill(child, signal.SIGKILL)
    text = b""
    for child, pipe in zip(children, pipes, strict=True):
        with os.fdopen(pipe, "rb") as stream:
            text += stream.read()
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            raise SystemExit(f"an agent ended by itself: {os.WEXITSTATUS(status)}")
    return text.decode().split()


def main(rounds: int, folder: Path) -> dict[str, int]:
    """Return the counts of one crash test."""
    folder.mkdir(parents=True, exist_ok=True)
    rules = contract_yaml("pay", evidence="{recordFields: [number]}")
    (folder / "governance.yaml").write_text(rules)
    (folder / "flags.json").write_text(json.dumps(flag_document()))
    chance = random.Random(7)
    acknowledged: list[str] = []
    for number in range(rounds):
        acknowledged += round_of(folder, number, chance)
    Governor.open(
        folder / "governance.yaml", folder / "flags.json", folder / "records.db"
    ).close()
    records = history.records(folder / "records.db")
    decided = {r["id"]: r["fields"]["number"] for r in records if "fields" in r}
    ended = [r["ref"] for r in records if r["kind"] == "outcome"]
    actions = (folder / "actions").read_text().split()
    return {
        "rounds": rounds,
        "acknowledged": len(acknowledged),
        "acknowledged_lost": len(set(acknowledged) - decided.keys()),
        "actions": len(actions),
        "actions_twice": len(actions) - len(set(actions)),
        "actions_without_record": len(set(actions) - set(decided.values())),
        "decisions": len(decided),
        "decisions_without_outcome": len(decided.keys() - set(ended)),
        "outcomes_twice": len(ended) - len(set(ended)),
        "unknown": sum(r.get("status") == "unknown" for r in records),
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), Path(sys.argv[2]))))

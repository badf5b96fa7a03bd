"""One process that spends: calls until it is told no, each leaving a mark outside.

Run as ``python -m tests.integration.spender FOLDER RECORDS THREADS CALLS [RATES]``; the
marks are single bytes at the end of ``FOLDER/effects``. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Actor, CallContext, Governor, ToolCall
from openfeature_gov.allowances.shared import RedisRates
from openfeature_gov.evidence.sealing import Sealing
from tests.conftest import contract_yaml, flag_document

BUDGET = "[{name: grants, unit: calls, ceiling: 1000, per: task, of: everyone}]"
SHARED = f'{BUDGET[:-2]}, awayShare: "20"}}]'
MERE_READ = {
    "riskClass": "search",
    "reversibility": "automatic",
    "defaultMode": "search_only",
    "rollback": "{safestMode: search_only, owner: team}",
}
RATE = "[{rate: 1000/day, of: tool}]"
CALL = ToolCall("grant", {}, CallContext(actor=Actor(agent="agent-1"), task="task-1"))


def prepare(folder: Path, **limits: str) -> None:
    """Write the two files that every process reads."""
    (folder / "governance.yaml").write_text(contract_yaml("grant", **limits))
    write_document(folder / "flags.json", flag_document())


def opened(folder: Path, records: str, rates: str = "") -> Governor:
    """Return a Governor over the files in *folder*, with the tool that leaves marks."""
    sealing = Sealing(key=folder / "log.key", checkpoints=folder / "checkpoints")
    governor = Governor.open(
        folder / "governance.yaml",
        folder / "flags.json",
        records,
        sealing=None if records.startswith("postgresql") else sealing,
        rates=RedisRates(rates, timeout_s=60) if rates else None,
    )
    effects = os.open(folder / "effects", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    governor.tool("grant")(lambda: os.write(effects, b"."))
    return governor


def spend(governor: Governor, threads: int, calls: int) -> Counter[str]:
    """Return how many calls of each outcome there were, all threads together."""
    begin = threading.Barrier(threads)

    def one(_: int) -> Counter[str]:
        begin.wait(60)
        return Counter(governor.run(CALL).reason for _ in range(calls))

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, range(threads)), Counter[str]())


def main() -> None:
    """Spend, and say what became of it."""
    folder, records, threads, calls, *rates = sys.argv[1:]
    governor = opened(Path(folder), records, *rates)
    print("open", flush=True)
    sys.stdin.readline()
    found = spend(governor, int(threads), int(calls))
    governor.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()

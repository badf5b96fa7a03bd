"""Time the inbox: the list of what waits, one request, one look for news.

Run it with ``PYTHONPATH=.:providers python tests/benchmarks/inbox.py``, in full or
``--quick``, as a table or ``--json``. A real server on a free port of this machine;
every request is asked over one connection, one after the other. Ends with exit 4 when
the list of 1,000 requests takes longer than its goal at the 95th percentile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.serving import Office, served, token

WAITING, GOAL_MS = 1_000, 200.0
LISTS = ("GET /approvals, 1,000", "GET /inbox, of 1,000")


def cases(office: Office, client: httpx.Client) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    known = {"Authorization": f"Bearer {token('bob')}"}

    def get(path: str, headers: dict[str, str] | None = None) -> None:
        answer = client.get(path, headers=headers)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code}")

    return {
        LISTS[0]: lambda: get("/approvals?limit=1000", known),
        LISTS[1]: lambda: get("/inbox"),
        "GET /approvals, 100": lambda: get("/approvals", known),
        "GET /approvals/ID": lambda: get("/approvals/r00001", known),
        "GET /inbox/ID": lambda: get("/inbox/r00001"),
        "GET /revision": lambda: get("/revision"),
    }


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Return how many milliseconds each of *times* calls took."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append((time.perf_counter() - start) * 1e3)
    return found


def measure(times: int) -> dict[str, dict[str, float]]:
    """Return p50 and p95 of each case, in milliseconds."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder)) as office,
        httpx.Client(base_url=office.url, timeout=60) as client,
    ):
        for number in range(WAITING):
            office.put(agent=f"agent-{number % 20}")
        client.post("/login", data={"token": token("bob")})
        results = {}
        for name, call in cases(office, client).items():
            timed(call, 3)
            cuts = statistics.quantiles(timed(call, times), n=20, method="inclusive")
            results[name] = {"p50_ms": cuts[9], "p95_ms": cuts[18]}
        return results


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = measure(30 if options.quick else 300)
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        print(f"{'':24}{'p50 ms':>10}{'p95 ms':>10}")
        for name, one in results.items():
            print(f"{name:24}{one['p50_ms']:>10.1f}{one['p95_ms']:>10.1f}")
    slow = [name for name in LISTS if results[name]["p95_ms"] > GOAL_MS]
    for name in slow:
        print(f"{name}: over {GOAL_MS:.0f} ms", file=sys.stderr)
    return 4 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())

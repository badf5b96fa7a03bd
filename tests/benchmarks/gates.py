"""Simulate agents of known quality before gates: who is promoted, and how soon.

Run it with ``python -m tests.benchmarks.gates``: 10,000 runs a cell, or fewer with
``--quick``, as a table or ``--json``. It needs numpy. Each run is an agent whose
actions are accepted with a fixed probability, watched at every sample for as long as
the horizon. The naive rule, a point threshold, stands beside ours. Exits with 1 if an
agent that misses its target is promoted in more than 5 % of the runs by one of ours.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from typing import Any

from openfeature_gov_rollout.gates import LEVEL, Count, Gate
from openfeature_gov_rollout.judging import Answer, judge

TARGET = "0.95"
SHARES = (0.85, 0.90, 0.93, 0.94, 0.95, 0.97, 0.98, 0.99, 1.0)
"""What the agents really do; up to the target they must not be promoted."""
EVERY, FIRST = 10, 20
"""How the naive rule looks: at each tenth sample, from the twentieth on."""
LOOK = 300
"""The sample of the single look."""
HORIZON = 2_000
ANYTIME = Gate.model_validate({"metric": "acceptance", "atLeast": TARGET})
FIXED = Gate.model_validate(
    {"metric": "acceptance", "atLeast": TARGET, "rule": "fixed", "sampleSize": LOOK}
)
NEVER = -1


def allowed(gate: Gate, horizon: int, alpha: float) -> list[int]:
    """Return for each number of samples from 1 how many may be bad in a pass.

    `NEVER` where none may. What `judge` says is what is simulated, nothing else.
    """
    found, bad = [], NEVER
    for trials in range(1, horizon + 1):
        while bad < trials and _answer(gate, bad + 1, trials, alpha) is Answer.PASS:
            bad += 1
        once = gate.sample_size not in (None, trials)
        found.append(NEVER if once else bad)
    return found


def ruinous(gate: Gate, horizon: int, alpha: float) -> list[int]:
    """Return for each number of samples from 1 how many must be bad for a fail."""
    found, bad = [], 0
    for trials in range(1, horizon + 1):
        while bad <= trials and _answer(gate, bad, trials, alpha) is not Answer.FAIL:
            bad += 1
        found.append(bad)
    return found


def naive(horizon: int, once: int | None = None) -> list[int]:
    """Return the same for a point threshold: at checks, or *once* alone."""
    return [
        math.floor(n * (1 - float(TARGET)) + 1e-9)
        if (n == once if once else n >= FIRST and n % EVERY == 0)
        else NEVER
        for n in range(1, horizon + 1)
    ]


def _answer(gate: Gate, bad: int, trials: int, alpha: float) -> Answer:
    return judge(gate, Count(trials - bad, trials), alpha).answer


def promoted_exactly(limits: list[int], share: float) -> float:
    """Return how probable a promotion is under *limits*: no simulation, a sum.

    Follows the probability of each number of bad samples among the runs that were not
    promoted yet.
    """
    waiting, done = [1.0], 0.0
    for limit in limits:
        moved = [0.0] * (len(waiting) + 1)
        for bad, weight in enumerate(waiting):
            moved[bad] += weight * share
            moved[bad + 1] += weight * (1 - share)
        if limit != NEVER:
            done += sum(moved[: limit + 1])
            moved[: limit + 1] = [0.0] * min(limit + 1, len(moved))
        while len(moved) > 1 and moved[-1] < 1e-18:
            moved.pop()
        waiting = moved
    return done


@dataclass(frozen=True)
class Cell:
    """Hold what became of the agents of one quality under one rule."""

    rule: str
    share: float
    promoted: float
    median: int | None
    failed: float | None

    @property
    def wrong(self) -> bool:
        """Say whether too many agents that miss the target were promoted."""
        return self.share <= float(TARGET) and self.promoted > float(LEVEL)


def simulated(runs: int, horizon: int, seed: int) -> list[Cell]:
    """Return a cell for each rule and quality, *runs* agents each."""
    import numpy as np

    alpha = float(LEVEL)
    limits = {
        "anytime": allowed(ANYTIME, horizon, alpha),
        f"one look at {LOOK}": allowed(FIXED, horizon, alpha),
        f"point, every {EVERY}": naive(horizon),
        f"point, once at {LOOK}": naive(horizon, once=LOOK),
    }
    ruin = np.array(ruinous(ANYTIME, horizon, alpha))
    pick = np.random.default_rng(seed)
    cells = []
    for share in SHARES:
        bad = (pick.random((runs, horizon)) >= share).cumsum(axis=1, dtype=np.int16)
        failed = _first(bad >= ruin)
        for rule, limit in limits.items():
            passed = _first(bad <= np.array(limit))
            when = passed[passed <= horizon]
            ours = not rule.startswith("point")
            cells.append(
                Cell(
                    rule,
                    share,
                    len(when) / runs,
                    int(np.median(when)) if len(when) else None,
                    float((failed < passed).mean()) if ours else None,
                )
            )
    return cells


def _first(true: Any) -> Any:
    """Return at which sample from 1 each run is first true, beyond the end if never."""
    return (true.argmax(axis=1) + 1) + ~true.any(axis=1) * true.shape[1] * 2


def main() -> None:
    """Simulate, print, and exit with 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 runs a cell")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=20261121)
    given = parser.parse_args()
    runs = 1_000 if given.quick else 10_000
    cells = simulated(runs, HORIZON, given.seed)
    kept = not any(one.wrong for one in cells if not one.rule.startswith("point"))
    if given.json:
        print(json.dumps([vars(one) for one in cells], indent=2))
    else:
        _print(cells, runs)
    sys.exit(0 if kept else 1)


def _print(cells: list[Cell], runs: int) -> None:
    print(
        f"target {TARGET}, error level {LEVEL}, {runs:,} runs a cell, watched for"
        f" {HORIZON:,} samples\npromoted, median wait in samples, and failed before"
    )
    rules = list(dict.fromkeys(one.rule for one in cells))
    print(f"{'true share':12}" + "".join(f"{rule:>26}" for rule in rules))
    for share in SHARES:
        row = [one for one in cells if one.share == share]
        print(f"{share:<12.2f}" + "".join(f"{_told(one):>26}" for one in row))


def _told(one: Cell) -> str:
    wait = "-" if one.median is None else str(one.median)
    failed = "" if one.failed is None else f" {one.failed:7.1%}"
    return f"{one.promoted:7.1%} {wait:>5}{failed}"


if __name__ == "__main__":
    main()

"""Time one string flag with three rules: this snapshot beside FeatBit's own SDK.

Run it with ``PYTHONPATH=providers python tests/benchmarks/snapshot.py``.
Both sides run in this process, in turns, on the same data and users.
"""

import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

from openfeature.evaluation_context import EvaluationContext

from openfeature import api
from openfeature.contrib.provider.featbit import FeatBitProvider, read_snapshot
from openfeature.contrib.provider.featbit.authoring import (
    condition,
    document,
    rule,
    segment,
    segment_condition,
    string_flag,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fbclient.client import FBClient
    from fbclient.config import Config
    from fbclient.event_processor import NullEventProcessor

KEY, ROUNDS, SLICE = "agent.tool.mode", 40, 1000
MODE = string_flag(
    KEY,
    ["allow", "require_approval", "deny"],
    serve="deny",
    off="deny",
    targets={"allow": ["agent-root"]},
    rules=[
        rule(
            "r1",
            [
                condition("env", "Equal", "prod"),
                condition("tool", "IsOneOf", ["shell", "sql_write"]),
            ],
            serve="deny",
        ),
        rule("r2", [segment_condition(["seg-trusted"])], serve="allow"),
        rule(
            "r3",
            [condition("cost_usd", "LessEqualThan", "0.5")],
            serve={"allow": 0.5, "require_approval": 0.5},
        ),
    ],
)
MODE["fallthrough"]["variations"] = [
    {"id": "require_approval", "rollout": [0, 0.3]},
    {"id": "deny", "rollout": [0.3, 1]},
]
TRUSTED = segment(
    "seg-trusted", rules=[[condition("team", "IsOneOf", ["core", "sre"])]]
)
CASES = {
    "rule 1 (Equal and IsOneOf)": {"env": "prod", "tool": "shell"},
    "rule 2 (segment)": {"env": "dev", "team": "sre"},
    "rule 3 (number, 50/50)": {"env": "dev", "team": "x", "cost_usd": "0.4"},
    "fall through, 30/70": {"env": "dev", "team": "x", "cost_usd": "0.9"},
}


def main() -> None:
    """Print medians in microseconds and how many times faster the snapshot is."""
    data = json.dumps(document([MODE], [TRUSTED]))
    snapshot, provider = read_snapshot(data), FeatBitProvider.from_json(data)
    api.set_provider_and_wait(provider, "benchmark")
    client = api.get_client("benchmark")
    follower = FeatBitProvider.from_file("unused")
    logging.getLogger("fbclient.utils").setLevel(logging.ERROR)
    sdk = FBClient(
        Config("", "", "", offline=True, event_processor_imp=NullEventProcessor)
    )
    sdk.initialize_from_external_json(data)
    print(
        f"{'us, p50':28}{'snapshot':>9}{'SDK':>8}{'ratio':>7}{'provider':>10}{'API':>8}"
    )
    for name, attributes in CASES.items():
        user = {"key": "a3", "name": "a3", **attributes}
        context = EvaluationContext("a3", attributes)
        mine = snapshot.evaluate(KEY, "a3", attributes)
        theirs = sdk.variation_detail(KEY, user, None)
        if mine is None or mine.variant != theirs.variation_id:
            raise SystemExit(f"{name}: {mine} is not {theirs.variation_id}")
        ours, other, resolved, through = medians(
            partial(snapshot.evaluate, KEY, "a3", attributes),
            partial(sdk.variation_detail, KEY, user, None),
            partial(provider.resolve_string_details, KEY, "", context),
            partial(client.get_string_details, KEY, "", context),
        )
        print(
            f"{name:28}{ours:9.2f}{other:8.2f}{other / ours:6.1f}x"
            f"{resolved:10.2f}{through:8.2f}"
        )
    print(f"freshness: {medians(follower.freshness)[0] * 1000:.0f} ns")
    sdk.stop()
    api.shutdown()


def medians(*calls: Callable[[], object]) -> list[float]:
    """Time *calls* in turns; return the median of each in microseconds."""
    slices: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, slices, strict=True):
            started = time.perf_counter_ns()
            for _ in range(SLICE):
                call()
            times.append((time.perf_counter_ns() - started) / SLICE / 1000)
    return [statistics.median(times) for times in slices]


if __name__ == "__main__":
    main()

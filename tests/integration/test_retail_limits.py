"""Recorded retail calls under limits: a loop is stopped, the others go on."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

import pytest

from examples.retail_support import RELEASED
from openfeature_gov import Effect, Governor, ToolCall
from openfeature_gov.demo import agent, flags
from openfeature_gov.demo.orders import TOOLS, OrderError
from openfeature_gov.demo.recorded import (
    CALLS,
    SHOP,
    RecordedCall,
    by_task,
    read_calls,
    read_store,
)
from openfeature_gov.demo.session import FLAGS, opened
from tests.integration.test_retail import HOSTILE, SHARED

RATE, LOOPS = 40, 120
BUDGET = '{name: moved, unit: USD, ceiling: "400.00", per: day, charge: amount}'


def limited(folder: Path) -> None:
    """Give every contract of the session in *folder* a rate, and money a budget."""
    path = folder / "governance.yaml"
    text = path.read_text("utf-8")
    for tool in TOOLS:
        keys = [f"rateLimits: [{{rate: {RATE}/hour, name: support}}]"]
        if tool in agent.MONEY:
            keys.append(f"budgets: [{BUDGET}]")
        named = f"    tool: {tool}\n"
        more = "".join(f"    {key}\n" for key in keys)
        text = text.replace(named, f"{named}{more}")
    path.write_text(text, "utf-8")


def acting(call: RecordedCall, instance: str) -> ToolCall:
    context = agent.support_context(call.task)
    actor = replace(context.actor, agent=instance, instance=f"{instance}-1")
    context = replace(context, actor=actor)
    return ToolCall(call.tool, call.arguments, context, f"{call.task}-{call.step}")


@pytest.mark.parametrize("recording", ["scenario", "recorded"])
def test_a_runaway_loop_is_stopped_and_the_others_go_on(
    recording: str, tmp_path: Path
) -> None:
    """One agent repeats a look-up for ever; each of the others ends its task."""
    calls, shop = CALLS, SHOP
    if recording == "recorded":
        calls, shop = SHARED / "retail_tool_calls.jsonl", SHARED / "retail_db.json"
        if not calls.exists():
            pytest.skip(f"the recorded retail calls are not in {SHARED}")
    every = [one for one in read_calls(calls) if (one.task, one.step) not in HOSTILE]
    tasks = [list(task) for _, task in by_task(every)][:20]
    with closing(read_store(shop)) as store:
        with opened(tmp_path, store) as session:
            flags.serve(session.target, RELEASED)
        limited(tmp_path)
        loop = next(one for one in every if one.tool == "get_order_details")
        found: Counter[tuple[str, str]] = Counter()
        moved: Counter[str] = Counter()
        with Governor.open(
            tmp_path / "governance.yaml", tmp_path / FLAGS, tmp_path / "records.db"
        ) as governor:
            agent.govern(governor, store)
            others = [
                (f"agent-{number}", call)
                for number, task in enumerate(tasks)
                for call in task
            ]
            looping = [("runaway", loop)] * LOOPS
            for pair in zip_longest(looping, others):
                for name, call in filter(None, pair):
                    try:
                        outcome = governor.run(acting(call, name))
                    except OrderError:
                        continue  # the shop refused; that is not ours to test
                    whose = "runaway" if name == "runaway" else "others"
                    found[whose, outcome.reason] += 1
                    contract = outcome.contract
                    if outcome.effect is Effect.ALLOW and contract is not None:
                        moved[name] += int((contract.amount or Decimal(0)) * 100)
    assert found["runaway", "rate_limited"] == LOOPS - RATE
    assert found["others", "rate_limited"] == 0
    assert max(moved.values(), default=0) <= 400_00
    assert 0 < max(moved.values()) <= 400_00
    assert found["others", "budget_exhausted"] > 0

"""Time each guardrail, ten together, and other products' rules beside them.

Run it with ``PYTHONPATH=.:providers python tests/benchmarks/guardrails.py``, in full or
``--quick``, as a table or ``--json``. All cases take short turns in one process. p50 is
the median of those turns, ``ratio`` is to a bare call of a function in the same turns:
a loaded machine slows both alike. ``clear`` is the way of nearly every call; ``fires``
answers with evidence, which is made anew where it shows what was seen. ``known`` adds
what is gathered for a call before its guardrails are asked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

from openfeature_gov.contracts import Evidence
from openfeature_gov.controls.guardrails import Breaker, Situation, Standing, weigh
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import Governance
from openfeature_gov.ladder import Mode, RiskClass
from openfeature_gov.observing import Observer
from openfeature_gov.policies import Knowing, Policies
from tests.benchmarks.peers import imported, missing, peers
from tests.guarding import ACTION, CALM, CONTEXT, NOW, PLAIN, ruled

TURN, LIMIT_US, LIMIT_TEN_US = 200, 1.5, 12.0
SURE = replace(
    CONTEXT,
    evidence=Evidence(
        confidence=Decimal("0.9"), sources=("s",), evaluations={"policy": "agree"}
    ),
)
FINE = replace(ACTION, context=SURE)
ODD = replace(
    FINE,
    amount=Decimal(10**6),
    records=10**6,
    record="secret-1",
    risk_class=RiskClass.IRREVERSIBLE,
    tool="drop_table",
    context=replace(CONTEXT, region="mars"),
    facts=replace(
        ACTION.facts,
        discount=Decimal(99),
        account_value=Decimal(10**6),
        created_us=0,
        sources=("web",),
    ),
)
STORM = replace(
    CALM,
    now_us=NOW + 12 * 3_600_000_000,
    breakers={"tool_errors": Breaker(opened_us=NOW + 12 * 3_600_000_000)},
    refusals={"refusals": (NOW + 12 * 3_600_000_000,) * 3},
    signals={"signal": Standing(((NOW, Decimal(9)),), Decimal(9), fired=True)},
    preceded={"sequence": NOW + 12 * 3_600_000_000},
)
"""Ten at night, and everything went wrong."""
TEN = (
    *("risk_threshold", "denylist", "segments", "money", "discount", "bulk"),
    *("reauthentication", "business_hours", "evidence", "tool_errors"),
)


@dataclass
class Case:
    """Hold what to time, and the median of each of its turns in microseconds."""

    name: str
    call: Callable[[], object]
    limit_us: float | None = None
    turns: list[float] = field(default_factory=list)

    def turn(self) -> None:
        """Take one turn."""
        call, started = self.call, time.perf_counter_ns()
        for _ in range(TURN):
            call()
        self.turns.append((time.perf_counter_ns() - started) / TURN / 1000)

    @property
    def p50(self) -> float:
        """Return the median of the turns."""
        return statistics.median(self.turns)


def cases() -> list[Case]:
    """Return everything that is timed; the first is the measure of the rest."""
    made = [
        Case("a bare call", lambda: bare(FINE, CALM)),
        Case("one Verdict", lambda: Verdict("c", Mode.OFF, "r")),
    ]
    for kind, text in PLAIN.items():
        rules = ruled(f"kind: {kind}, {text}")
        made.append(weighing(f"{kind}, clear", rules, FINE, LIMIT_US))
        fires = weighing(f"{kind}, fires", rules, ODD, LIMIT_US, situation=STORM)
        if weigh(ODD, rules, STORM)[0].reason == "clear":
            raise SystemExit(f"{kind} does not fire")
        made.append(fires)
    ten = ruled(*[f"kind: {kind}, {PLAIN[kind]}" for kind in TEN])
    made.append(weighing("ten together, clear", ten, FINE, LIMIT_TEN_US))
    made.append(weighing("ten together, fire", ten, ODD, LIMIT_TEN_US, situation=STORM))
    made += gathered(ten)
    if imported("cedarpy") is not None:
        made.append(cedar())
    return made + [Case(name, partial(ask, None)) for name, ask in peers()]


def gathered(ten: Any) -> list[Case]:
    """Return the cases of gathering what *ten* guardrails know, and asking them."""
    governance = Governance({"tool": ten})
    knowing = Knowing(Observer(governance, lambda: NOW), Policies(governance, {}))
    late = Knowing(
        Observer(governance, lambda: NOW + 12 * 3_600_000_000), knowing.policies
    )
    return [
        Case("what ten know", lambda: knowing(FINE, ten)),
        Case(
            "ten, known and clear",
            lambda: weigh(FINE, ten, knowing(FINE, ten)),
            LIMIT_TEN_US,
        ),
        Case(
            "ten, known and firing",
            lambda: weigh(ODD, ten, late(ODD, ten)),
            LIMIT_TEN_US,
        ),
    ]


def bare(_: object, __: object) -> None:
    """Do nothing with an action and a situation."""


def weighing(
    name: str,
    rules: Any,
    action: Any,
    limit: float | None = None,
    *,
    situation: Situation = CALM,
) -> Case:
    """Return the case of weighing *action* by *rules*."""
    return Case(name, lambda: weigh(action, rules, situation), limit)


def cedar() -> Case:
    """Return one rule on money, asked of Cedar as a guardrail."""
    text = (
        'permit (principal, action == Action::\\"tool\\", resource) when {'
        ' context has amount && context.amount.lessThan(decimal(\\"500.0\\")) };'
    )
    rules = ruled(f'kind: cedar, policies: "{text}"')
    governance = Governance({"tool": rules})
    policies = Policies(governance, {})
    policies.check()
    knowing = Knowing(Observer(governance, lambda: NOW), policies)
    return Case(
        "cedar, clear (cedarpy)", lambda: weigh(FINE, rules, knowing(FINE, rules))
    )


def main() -> int:
    """Time and show; exit 1 where a quiet machine misses a limit, with --strict."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    every = cases()
    for one in every:
        one.turn()
        one.turns.clear()
    for _ in range(10 if asked.quick else 200):
        for one in every:
            one.turn()
    measure = every[0].p50
    rows = [
        {
            "case": one.name,
            "p50Us": round(one.p50, 3),
            "bestUs": round(min(one.turns), 3),
            "ratio": round(one.p50 / measure, 2),
            "limitUs": one.limit_us,
        }
        for one in every
    ]
    if asked.json:
        print(json.dumps({"rows": rows, "missing": missing()}, indent=2))
    else:
        print(f"{'case':<30} {'p50 us':>9} {'best us':>9} {'ratio':>7} {'limit us':>9}")
        for row in rows:
            limit = row["limitUs"] or ""
            print(
                f"{row['case']:<30} {row['p50Us']:>9} {row['bestUs']:>9} "
                f"{row['ratio']:>7} {limit:>9}"
            )
        for name, how in missing().items():
            print(f"not installed: {name} ({how})")
    late = [one.name for one in every if one.limit_us and one.p50 > one.limit_us]
    for name in late:
        print(f"above its limit: {name}", file=sys.stderr)
    return 1 if late and asked.strict else 0


if __name__ == "__main__":
    sys.exit(main())

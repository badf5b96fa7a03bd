"""Business rules of two articles, once as built-in guardrails and once in Cedar.

Run it with ``python examples/business_rules.py`` (needs cedarpy:
``pip install 'openfeature-gov[cedar]'``). It shows what the rules say of a few cases
at their edges, then puts generated cases to both and counts where they differ. Exit 0
when they never do.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from openfeature_gov.contracts import (
    ActionContract,
    Actor,
    CallContext,
    Facts,
    Proof,
)
from openfeature_gov.controls.guardrails import weigh
from openfeature_gov.decisions import Decision, Verdict, decide, need_of
from openfeature_gov.embedded import load_governance
from openfeature_gov.ladder import Intent, Mode
from openfeature_gov.observing import Observer
from openfeature_gov.policies import Knowing, Policies

RULES = Path(__file__).resolve().parent / "rules"
SECOND_US, DAY_US = 1_000_000, 86_400_000_000
NOW_US = 1_763_978_400_000_000
OPEN = Verdict("mode", Mode.AUTONOMOUS, "released")
"""Everything else lets the call pass, so that only the rules decide."""
CENT = Decimal("0.01")


class Rules:
    """Judge actions by one governance file at one moment."""

    def __init__(self, file: str) -> None:
        self.governance = load_governance(RULES / file)
        observer = Observer(self.governance, lambda: NOW_US)
        self._knowing = Knowing(observer, Policies(self.governance, {}))

    def judged(self, action: ActionContract) -> Decision:
        """Return the decision about *action*."""
        rules = self.governance.contracts[action.tool]
        verdicts = weigh(action, rules, self._knowing(action, rules))
        need = need_of(action.risk_class, action.reversibility)
        return decide([OPEN, *verdicts], need=need, listed=rules.modes)


@dataclass(frozen=True)
class Pair:
    """Hold the rules of one article in both forms."""

    article: str
    builtin: Rules
    cedar: Rules

    def action(self, tool: str, case: dict[str, Any]) -> ActionContract:
        """Return the call of *tool* that *case* describes."""
        rules = self.builtin.governance.contracts[tool]
        proved = case.get("proved_s")
        return ActionContract(
            tool=tool,
            workflow=rules.workflow,
            context=CallContext(
                actor=Actor(agent="support-agent", user="user-1"),
                account="acme",
                proof=None
                if proved is None
                else Proof(
                    subject=case.get("proof_of", "user-1"),
                    at_us=NOW_US - int(proved * SECOND_US),
                ),
            ),
            target_system="crm",
            risk_class=rules.risk_class,
            reversibility=rules.floor,
            intent=Intent.UPDATE,
            arguments={},
            canonical=b"{}",
            amount=case.get("amount"),
            currency=case.get("currency", "USD"),
            records=case.get("records", 1),
            facts=Facts(
                discount=case.get("discount"),
                segment=case.get("segment", ""),
                account_value=case.get("worth"),
                currency=case.get("currency", "USD"),
                created_us=case.get("created_us"),
            ),
        )


def pairs() -> list[Pair]:
    """Return the rules of both articles."""
    return [
        Pair("002", Rules("support.yaml"), Rules("support_cedar.yaml")),
        Pair("003", Rules("refunds.yaml"), Rules("refunds_cedar.yaml")),
    ]


def premium(amount: str, days: int) -> dict[str, Any]:
    """Describe a premium customer's refund for an order of *days* ago."""
    created = NOW_US - days * DAY_US
    return {"amount": Decimal(amount), "created_us": created, "segment": "premium"}


EDGES: list[tuple[str, str, dict[str, Any], str]] = [
    ("002", "change_account_status", {"worth": Decimal(50_000)}, "allow"),
    ("002", "change_account_status", {"worth": 50_000 + CENT}, "deny"),
    ("002", "change_account_status", {}, "deny"),
    ("002", "send_offer", {"discount": Decimal(20)}, "allow"),
    ("002", "send_offer", {"discount": 20 + CENT}, "deny"),
    ("002", "send_offer", {"discount": Decimal("0.2")}, "deny"),
    (
        *("002", "send_offer", {"discount": Decimal(5), "records": 100}),
        "allow",
    ),
    (
        *("002", "send_offer", {"discount": Decimal(5), "records": 101}),
        "queue_for_approval",
    ),
    ("002", "issue_refund", {"amount": Decimal(1000)}, "allow"),
    ("002", "issue_refund", {"amount": 1000 + CENT}, "deny"),
    ("002", "issue_refund", {"amount": 1000 + CENT, "proved_s": 900}, "allow"),
    ("002", "issue_refund", {"amount": 1000 + CENT, "proved_s": 901}, "deny"),
    ("002", "issue_refund", {"amount": Decimal(10), "currency": "EUR"}, "deny"),
    ("003", "approve_refund", premium("499.99", 30), "allow"),
    ("003", "approve_refund", premium("500", 30), "deny"),
    ("003", "approve_refund", premium("499.99", 31), "deny"),
    ("003", "approve_refund", {**premium("1", 1), "segment": "free"}, "deny"),
]
"""Cases at the edges of the rules, and the effect of each."""


def generated(chance: random.Random) -> dict[str, Any]:
    """Return a case near the edges, or with something missing or odd."""
    step = chance.choice((Decimal(0), CENT, -CENT, Decimal("0.0001"), Decimal(7)))

    def some(*near: int) -> Decimal | None:
        odd = [None, Decimal("NaN"), Decimal(-1), Decimal("0.00001")]
        usual = [Decimal(one) + step for one in near]
        usual.append(Decimal(chance.randrange(10**8)).scaleb(-2))
        return chance.choice([*odd, *usual, *usual, *usual])

    age = chance.choice((0, 1, 29, 30, 30, 31, 400)) * DAY_US + chance.choice(
        (0, 1, -1, 999_999)
    )
    return {
        "amount": some(0, 500, 500, 1000, 1000),
        "worth": some(0, 50_000, 50_000),
        "discount": some(0, 1, 20, 20, 100),
        "currency": chance.choice(("USD", "USD", "USD", "EUR", "")),
        "records": chance.choice((0, 1, 99, 100, 101, 5000, None)),
        "segment": chance.choice(("premium", "premium", "free", "")),
        "created_us": chance.choice((None, *[NOW_US - age] * 5)),
        "proved_s": chance.choice((None, 0, 899.999999, 900, 900.000001, 901, -1)),
        "proof_of": chance.choice(("user-1", "user-1", "user-1", "user-2")),
    }


def compare(count: int, seed: int = 7) -> tuple[Counter[str], list[str]]:
    """Return how often each effect came out, and every case on which they differ."""
    effects, differing = Counter[str](), []
    chance = random.Random(seed)  # noqa: S311 - the same cases for everybody
    both = [(pair, one.tool) for pair in pairs() for one in pair.builtin.governance]
    for number in range(count):
        pair, tool = both[number % len(both)]
        case = generated(chance)
        action = pair.action(tool, case)
        one, other = pair.builtin.judged(action), pair.cedar.judged(action)
        effects[one.effect.value] += 1
        if (one.effect, one.mode, one.full) != (other.effect, other.mode, other.full):
            told = f"{one.effect.value} and {other.effect.value}"
            differing.append(f"{pair.article} {tool} {case}: {told}")
    return effects, differing


def main(argv: list[str] | None = None) -> int:
    """Show the edges and compare generated cases; exit 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args(argv)
    known, wrong = {pair.article: pair for pair in pairs()}, 0
    print(f"{'TOOL':<22} {'EFFECT':<19} {'BUILT-IN BECAUSE':<28} CEDAR BECAUSE")
    for article, tool, case, effect in EDGES:
        pair = known[article]
        action = pair.action(tool, case)
        one, other = pair.builtin.judged(action), pair.cedar.judged(action)
        wrong += {one.effect.value, other.effect.value} != {effect}
        print(f"{tool:<22} {effect:<19} {one.reason:<28} {other.reason}")
    effects, differing = compare(asked.cases, asked.seed)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(effects.items()))
    print(f"\n{asked.cases} generated cases: {counts}; {len(differing)} differ")
    for line in differing[:5]:
        print(line, file=sys.stderr)
    return 1 if wrong or differing else 0


if __name__ == "__main__":
    sys.exit(main())

"""Build settings, actions and situations for tests of guardrails."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from openfeature_gov.contracts import ActionContract, Actor, CallContext, Facts
from openfeature_gov.controls.guardrails import Breaker, Situation, Standing, weigh
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract, parse
from openfeature_gov.ladder import Intent, Reversibility, RiskClass
from tests.conftest import contract_yaml

NOW = 1_763_978_400_000_000
"""Monday, 24 November 2025, 10:00 UTC, in microseconds since 1970."""
CONTEXT = CallContext(
    actor=Actor(agent="agent-1", user="user-1", session="s-1"),
    account="acme",
    region="eu",
    task="task-1",
)
ACTION = ActionContract(
    tool="tool",
    workflow="tests",
    context=CONTEXT,
    target_system="crm",
    risk_class=RiskClass.EXTERNAL_EFFECT,
    reversibility=Reversibility.MANUAL,
    intent=Intent.PUBLISH,
    arguments={},
    canonical=b"{}",
    amount=Decimal(10),
    currency="USD",
    records=1,
    record="r-1",
    facts=Facts(
        discount=Decimal(5),
        segment="retail",
        account_value=Decimal(100),
        currency="USD",
        sources=("docs",),
        created_us=NOW,
    ),
)
CALM = Situation(
    now_us=NOW,
    breakers={"tool_errors": Breaker()},
    refusals={"refusals": ()},
    spent={"money": Decimal(0)},
    signals={"signal": Standing(((NOW, Decimal(1)),), Decimal(1))},
    preceded={"sequence": None},
    erased=False,
)
"""Everything is known, and nothing has happened."""
PLAIN: dict[str, str] = {
    "risk_threshold": "above: external_effect",
    "source_allowlist": "allowed: [docs, faq]",
    "denylist": "tools: [drop_table], targets: [billing]",
    "segments": "accounts: [acme], regions: [eu], segments: [retail]",
    "money": "limit: 100, currency: USD, per: customer",
    "account_value": "limit: 50000, currency: USD",
    "discount": "limit: 20",
    "bulk": "limit: 100",
    "record_age": "days: 30",
    "reauthentication": "above: 1000, currency: USD",
    "business_hours": 'timezone: UTC, opens: "09:00", closes: "17:00"',
    "evidence": "minConfidence: 0.8, sources: 1, conflicts: [policy]",
    "signal": "metric: errors, above: 5",
    "tool_errors": "failures: 3",
    "refusals": "count: 3",
    "data_rules": "never: [secret-*], erased: true",
    "sequence": "first: {tools: [read_secret]}",
}
"""Each built-in kind, with settings under which `ACTION` is clear in a calm time."""


def ruled(*listed: str, **changes: str) -> GovernanceContract:
    """Return the contract of ``tool`` with the guardrails *listed* in flow YAML."""
    text = ", ".join(f"{{{one}}}" for one in listed)
    yaml = contract_yaml("tool", guardrails=f"[{text}]", **changes)
    return parse(yaml).contracts["tool"]


def of(kind: str, settings: str | None = None) -> GovernanceContract:
    """Return a contract with one guardrail of *kind*."""
    return ruled(f"kind: {kind}, {PLAIN[kind] if settings is None else settings}")


def asked(
    rules: GovernanceContract,
    action: ActionContract = ACTION,
    situation: Situation = CALM,
) -> Verdict:
    """Return the verdict of the one guardrail of *rules*."""
    (verdict,) = weigh(action, rules, situation)
    return verdict


def facts(**changes: Any) -> ActionContract:
    """Return the action with other derived facts."""
    return replace(ACTION, facts=replace(ACTION.facts, **changes))


def context(**changes: Any) -> ActionContract:
    """Return the action with another context."""
    return replace(ACTION, context=replace(CONTEXT, **changes))

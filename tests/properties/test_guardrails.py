"""Prepared guardrails say exactly what plainly written ones say, evidence included."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov.canonical import encode
from openfeature_gov.contracts import ActionContract, Evidence, Proof
from openfeature_gov.controls.guardrails import (
    WEIGHERS,
    Breaker,
    Situation,
    Standing,
    weigh,
)
from openfeature_gov.evidence.decision_facts import verdict as shown
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Reversibility, RiskClass
from tests.full import share
from tests.guarding import ACTION, CALM, CONTEXT, NOW, PLAIN, ruled
from tests.properties.plain_guardrails import PLAIN as PLAINLY

MORE = {
    "risk_threshold": "above: reversible_write, harderThan: manual",
    "source_allowlist": "allowed: [web, docs], cap: search_only",
    "denylist": "targets: [CRM*], incident: INC-1, operator: ops, since: 2025-01-02",
    "segments": "notRegions: [mars], notSegments: [vip], cap: draft_write",
    "money": "limit: 99.99, currency: USD, exclusive: true, decimals: 3",
    "account_value": "limit: 100, currency: USD, exclusive: true",
    "discount": "limit: 5, exclusive: true, fallback: true",
    "bulk": "limit: 1, exclusive: true, unknown: observe, cap: search_only",
    "record_age": "days: 0",
    "reauthentication": "above: 9.99, currency: USD, minutes: 1",
    "business_hours": (
        'timezone: Europe/Berlin, opens: "22:00", closes: "06:00", days: [mon], '
        "holidays: [2025-11-24]"
    ),
    "evidence": (
        "minConfidence: 0.5, sources: 2, conflicts: [policy, other], "
        "unknown: draft_write, cap: draft_write"
    ),
    "signal": "metric: quality, below: 5, missing: draft_write",
    "tool_errors": "failures: 1, cooldownSeconds: 1",
    "refusals": "count: 1, windowMinutes: 1",
    "data_rules": "never: [acme, r-1]",
    "sequence": "first: {tools: [a]}, then: {riskClasses: [external_effect]}",
}
"""Other settings of every kind."""
EACH = {
    kind: (ruled(f"kind: {kind}, {PLAIN[kind]}"), ruled(f"kind: {kind}, {MORE[kind]}"))
    for kind in PLAIN
}
AMOUNTS = st.sampled_from(
    [
        *(None, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal(-1)),
        *map(Decimal, ("0", "0.001", "0.00001", "5", "9.99", "20", "20.0", "99.99")),
        *map(
            Decimal, ("100", "100.00", "1E+2", "100.01", "50000.01", "1E+15", "1E+40")
        ),
        *(1000, 1000.5, "100", True),
    ]
) | st.decimals(0, 10**6, allow_nan=False, places=2)
NAMES = st.sampled_from(["", "acme", "ACME", "crm", "CRM-2", "secret-1", "r-1", "mars"])
TIMES = st.none() | st.sampled_from(
    [NOW + int(one * 60_000_000) for one in (-60, -1, 0, 0.5, 1, 15, 60, 720, 1441)]
)
KNOWN = TIMES.filter(lambda at: at is not None)
REFUSED = [(), (NOW,), (NOW - 60_000_000, NOW, NOW), (NOW, NOW, NOW, NOW)]
CONFIDENCES = st.sampled_from(
    [None, Decimal("0.8"), Decimal("0.79"), 0.5, 1, 0, 1.5, Decimal("NaN"), "0.9"]
)
EVIDENCE = st.builds(
    Evidence,
    confidence=CONFIDENCES,
    sources=st.sampled_from([(), ("a",), ("a", "b")]),
    evaluations=st.dictionaries(
        st.sampled_from(["policy", "other"]), st.sampled_from(["conflict", "agree"])
    ),
)
CONTEXTS = st.builds(
    replace,
    st.just(CONTEXT),
    account=NAMES,
    region=st.sampled_from(["", "eu", "mars"]),
    evidence=EVIDENCE,
    proof=st.none()
    | st.builds(Proof, subject=st.sampled_from(["user-1", "user-2"]), at_us=KNOWN),
)
FACTS = st.builds(
    replace,
    st.just(ACTION.facts),
    discount=AMOUNTS,
    segment=st.sampled_from(["", "retail", "vip"]),
    account_value=AMOUNTS,
    currency=st.sampled_from(["", "USD", "EUR"]),
    sources=st.none() | st.sampled_from([(), ("docs",), ("docs", "web"), ("dark",)]),
    created_us=TIMES,
)
ACTIONS = st.builds(
    replace,
    st.just(ACTION),
    context=CONTEXTS,
    facts=FACTS,
    tool=st.sampled_from(["tool", "drop_table", "Drop_Table"]),
    target_system=NAMES,
    amount=AMOUNTS,
    currency=st.sampled_from(["", "USD", "EUR"]),
    records=st.sampled_from([None, -1, 0, 1, 2, 100, 101, True, "7"]),
    record=NAMES | st.just("sha256:" + "0" * 64),
    named=st.sampled_from(["", "secret-7", "Secret-7"]),
    risk_class=st.sampled_from(RiskClass),
    reversibility=st.sampled_from(Reversibility),
    claimed_risk=st.none() | st.sampled_from(RiskClass),
    claimed_reversibility=st.none() | st.sampled_from(Reversibility),
)
MEANS = st.none() | st.sampled_from([*map(Decimal, ("4.99", "5", "5.01", "1E+2"))])


def _standing(mean: Decimal | None, at: int, fired: bool) -> Standing:
    return Standing(((at, mean or Decimal(0)),), mean, fired)


def _of(kind: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.just({}) | st.builds(lambda value: {kind: value}, values)


SITUATIONS = st.builds(
    Situation,
    now_us=TIMES,
    breakers=_of(
        "tool_errors",
        st.builds(Breaker, opened_us=TIMES, probing_us=TIMES),
    ),
    refusals=_of("refusals", st.sampled_from(REFUSED)),
    spent=_of("money", st.decimals(0, 200, places=2)),
    signals=_of("signal", st.builds(_standing, MEANS, KNOWN, st.booleans())),
    preceded=_of("sequence", TIMES),
    erased=st.none() | st.booleans(),
)


def _plainly(
    kind: str, action: ActionContract, rules: GovernanceContract, situation: Situation
) -> Any:
    """Return the plain verdict, or the reason where it fails."""
    (settings_,) = rules.guardrails
    try:
        return PLAINLY[kind](action, rules, settings_, situation)
    except Exception:  # failing is an answer as well
        return "guardrail_failed"


@pytest.mark.parametrize("kind", sorted(WEIGHERS))
@settings(max_examples=share(1500, of=20))
@given(ACTIONS, SITUATIONS)
def test_a_prepared_guardrail_says_what_a_plain_one_says(
    kind: str, action: ActionContract, situation: Situation
) -> None:
    """The verdict is the same, and the bytes that a record holds of it."""
    for rules in EACH[kind]:
        (verdict,) = weigh(action, rules, situation)
        plain = _plainly(kind, action, rules, situation)
        if plain == "guardrail_failed":
            assert (verdict.reason, verdict.cap) == (plain, rules.guardrails[0].unknown)
            continue
        assert verdict == plain
        assert encode([shown(verdict)]) == encode([shown(plain)])


def test_every_kind_is_there() -> None:
    """Both are about the same kinds, and each fires somewhere in these settings."""
    assert PLAINLY.keys() == WEIGHERS.keys() == MORE.keys()
    assert weigh(ACTION, EACH["money"][0], CALM)[0].reason == "clear"

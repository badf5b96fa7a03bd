"""Every guardrail by tables of cases with their edges; what it cannot tell; failing."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import FrozenInstanceError, replace
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov import Mode, decide
from openfeature_gov.contracts import ActionContract, Evidence, Facts, Proof
from openfeature_gov.controls.guardrails import (
    UNKNOWN,
    WEIGHERS,
    Breaker,
    Situation,
    Standing,
    weigh,
)
from openfeature_gov.controls.guardrails.breaker import begun, ended
from openfeature_gov.controls.guardrails.signal import released, sampled
from openfeature_gov.decisions import Constraint, Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Signal
from openfeature_gov.ladder import Reversibility, RiskClass
from tests.full import share
from tests.guarding import (
    ACTION,
    CALM,
    CONTEXT,
    NOW,
    PLAIN,
    asked,
    context,
    facts,
    of,
    ruled,
)

SECOND, MINUTE, DAY = 1_000_000, 60_000_000, 86_400_000_000
SURE = replace(
    CONTEXT,
    evidence=Evidence(
        confidence=Decimal("0.9"), sources=("s",), evaluations={"policy": "agree"}
    ),
)
D = Decimal
Case = tuple[str, str, ActionContract, Situation, str]


def told(kind: str, settings: str) -> GovernanceContract:
    return of(kind, settings)


def amount(value: Any, currency: str = "USD") -> ActionContract:
    return replace(ACTION, amount=value, currency=currency)


def risky(risk: str, undo: str = "automatic", **claims: Any) -> ActionContract:
    return replace(
        ACTION,
        risk_class=RiskClass(risk),
        reversibility=Reversibility(undo),
        **claims,
    )


def at(iso: str, zone: str = "UTC") -> Situation:
    moment = datetime.fromisoformat(iso).replace(tzinfo=ZoneInfo(zone))
    return replace(CALM, now_us=int(moment.timestamp()) * SECOND)


def spent(total: Any) -> Situation:
    return replace(CALM, spent={"money": total})


def proven(seconds_ago: int, subject: str = "user-1") -> ActionContract:
    proof = Proof(subject=subject, at_us=NOW - seconds_ago * SECOND, method="totp")
    return replace(context(proof=proof), amount=D(1001))


def supported(confidence: Any, sources: int = 1, policy: str = "agree") -> Any:
    evidence = Evidence(
        confidence=confidence,
        sources=tuple(f"s-{n}" for n in range(sources)),
        evaluations={"policy": policy} if policy else {},
    )
    return context(evidence=evidence)


def measured(mean: str, age_s: int = 0, **more: Any) -> Situation:
    samples = ((NOW - age_s * SECOND, D(mean)),)
    return replace(CALM, signals={"signal": Standing(samples, D(mean), **more)})


def broken(**state: Any) -> Situation:
    return replace(CALM, breakers={"tool_errors": Breaker(**state)})


def refused(*minutes_ago: int) -> Situation:
    times = tuple(sorted(NOW - ago * MINUTE for ago in minutes_ago))
    return replace(CALM, refusals={"refusals": times})


def preceded(minutes_ago: int | None) -> Situation:
    before = None if minutes_ago is None else NOW - minutes_ago * MINUTE
    return replace(CALM, preceded={"sequence": before})


M100 = "limit: 100, currency: USD"
OPEN = 'timezone: Europe/Berlin, opens: "01:30", closes: "02:45", days: [sun]'
NIGHT = 'timezone: UTC, opens: "22:00", closes: "06:00", days: [fri]'
ONLY = "only: {riskClasses: [admin_action]}"
CASES: list[Case] = [
    # kind, settings, action, situation, the reason that is expected
    ("risk_threshold", "above: external_effect", risky("search"), CALM, "clear"),
    ("risk_threshold", "above: sensitive_read", ACTION, CALM, "risk_above_threshold"),
    ("risk_threshold", "above: external_effect", ACTION, CALM, "clear"),
    (
        *("risk_threshold", "above: external_effect"),
        risky("external_effect", "none"),
        *(CALM, "risk_above_threshold"),
    ),
    (
        *("risk_threshold", "above: external_effect"),
        risky("search", claimed_risk=RiskClass.IRREVERSIBLE),
        *(CALM, "risk_above_threshold"),
    ),
    (
        *("risk_threshold", "above: irreversible, harderThan: manual"),
        risky("search", "expensive"),
        *(CALM, "too_hard_to_undo"),
    ),
    (
        *("risk_threshold", "above: irreversible, harderThan: manual"),
        risky("search", claimed_reversibility=Reversibility.NONE),
        *(CALM, "too_hard_to_undo"),
    ),
    ("source_allowlist", "allowed: [docs]", ACTION, CALM, "clear"),
    (
        *("source_allowlist", "allowed: [docs]"),
        facts(sources=("docs", "wiki")),
        *(CALM, "sources_confined"),
    ),
    (
        *("source_allowlist", "allowed: [docs]"),
        facts(sources=("wiki",)),
        *(CALM, "source_not_allowed"),
    ),
    (
        *("source_allowlist", "allowed: [docs]"),
        facts(sources=("Docs",)),
        *(CALM, "source_not_allowed"),
    ),
    (
        *("source_allowlist", "allowed: [docs]"),
        facts(sources=None),
        *(CALM, "sources_confined"),
    ),
    (
        *("source_allowlist", "allowed: [docs]"),
        facts(sources=()),
        *(CALM, "sources_confined"),
    ),
    ("denylist", "tools: [other, too, tool2]", ACTION, CALM, "clear"),
    ("denylist", "tools: [tool]", ACTION, CALM, "tool_denied"),
    ("denylist", "tools: [TOOL]", ACTION, CALM, "tool_denied"),
    ("denylist", "tools: [to*]", ACTION, CALM, "tool_denied"),
    ("denylist", 'tools: ["*"]', ACTION, CALM, "tool_denied"),
    ("denylist", "targets: [crm]", ACTION, CALM, "target_denied"),
    ("denylist", "targets: [erp]", ACTION, CALM, "clear"),
    (
        *("denylist", "targets: [erp]"),
        replace(ACTION, target_system=""),
        *(CALM, "target_unknown"),
    ),
    ("segments", "regions: [eu]", ACTION, CALM, "clear"),
    ("segments", "regions: [us]", ACTION, CALM, "region_not_released"),
    ("segments", "regions: [EU]", ACTION, CALM, "region_not_released"),
    ("segments", "notRegions: [eu]", ACTION, CALM, "region_not_released"),
    ("segments", "notRegions: [us]", ACTION, CALM, "clear"),
    ("segments", "regions: [eu]", context(region=""), CALM, "region_unknown"),
    ("segments", "notRegions: [us]", context(region=""), CALM, "region_unknown"),
    ("segments", "accounts: [globex]", ACTION, CALM, "account_not_released"),
    ("segments", "accounts: [acme]", context(account=""), CALM, "account_unknown"),
    ("segments", "segments: [bank]", ACTION, CALM, "segment_not_released"),
    ("segments", "segments: [bank]", facts(segment=""), CALM, "segment_unknown"),
    ("money", M100, amount(D("99.99")), CALM, "clear"),
    ("money", M100, amount(D(100)), CALM, "clear"),
    ("money", M100, amount(D("100.000")), CALM, "clear"),
    ("money", M100, amount(D("100.01")), CALM, "amount_above_limit"),
    ("money", f"{M100}, exclusive: true", amount(D("99.99")), CALM, "clear"),
    (
        *("money", f"{M100}, exclusive: true", amount(D(100))),
        *(CALM, "amount_above_limit"),
    ),
    ("money", M100, amount(D(0)), CALM, "clear"),
    ("money", M100, amount(D("-0.01")), CALM, "amount_unreadable"),
    ("money", M100, amount(D("NaN")), CALM, "amount_unreadable"),
    ("money", M100, amount(D("sNaN")), CALM, "amount_unreadable"),
    ("money", M100, amount(D("Infinity")), CALM, "amount_unreadable"),
    ("money", M100, amount(50.0), CALM, "amount_unreadable"),
    ("money", M100, amount("50"), CALM, "amount_unreadable"),
    ("money", M100, amount(None), CALM, "amount_missing"),
    ("money", M100, amount(D(1), "EUR"), CALM, "currency_mismatch"),
    ("money", M100, amount(D(1), ""), CALM, "currency_mismatch"),
    ("money", M100, amount(D(1), "usd"), CALM, "currency_mismatch"),
    ("money", M100, amount(D("9.999")), CALM, "amount_too_fine"),
    (
        *("money", "limit: 100, currency: JPY, decimals: 0"),
        amount(D("9.5"), "JPY"),
        *(CALM, "amount_too_fine"),
    ),
    ("money", M100, amount(D(10) ** 40), CALM, "amount_above_limit"),
    ("money", f"{M100}, per: customer", amount(D(40)), spent(D(60)), "clear"),
    (
        *("money", f"{M100}, per: customer", amount(D("40.01"))),
        *(spent(D(60)), "amount_above_limit"),
    ),
    (
        *("money", f"{M100}, per: account", amount(D(1))),
        *(spent(D(100)), "amount_above_limit"),
    ),
    ("money", f"{M100}, per: day", amount(D(1)), UNKNOWN, "spent_unknown"),
    ("account_value", "limit: 50000, currency: USD", ACTION, CALM, "clear"),
    (
        *("account_value", "limit: 50000, currency: USD"),
        facts(account_value=D(50000)),
        *(CALM, "clear"),
    ),
    (
        *("account_value", "limit: 50000, currency: USD"),
        facts(account_value=D("50000.01")),
        *(CALM, "account_value_above_limit"),
    ),
    (
        *("account_value", "limit: 50000, currency: EUR"),
        ACTION,
        *(CALM, "account_currency_mismatch"),
    ),
    (
        *("account_value", "limit: 50000, currency: USD"),
        facts(account_value=None),
        *(CALM, "account_amount_missing"),
    ),
    (
        *("account_value", "limit: 50000, currency: USD"),
        facts(account_value=D("NaN")),
        *(CALM, "account_amount_unreadable"),
    ),
    ("discount", "limit: 20", facts(discount=D(0)), CALM, "clear"),
    ("discount", "limit: 20", facts(discount=D(20)), CALM, "clear"),
    ("discount", "limit: 20", facts(discount=D("20.01")), CALM, "discount_above_limit"),
    (
        *("discount", "limit: 20, exclusive: true", facts(discount=D(20))),
        *(CALM, "discount_above_limit"),
    ),
    ("discount", "limit: 20", facts(discount=D(100)), CALM, "discount_above_limit"),
    ("discount", "limit: 20", facts(discount=D(101)), CALM, "discount_no_percentage"),
    ("discount", "limit: 20", facts(discount=D("0.2")), CALM, "discount_no_percentage"),
    ("discount", "limit: 20", facts(discount=D(-5)), CALM, "discount_unreadable"),
    ("discount", "limit: 20", facts(discount=D("NaN")), CALM, "discount_unreadable"),
    ("discount", "limit: 20", facts(discount=0.2), CALM, "discount_unreadable"),
    ("discount", "limit: 20", facts(discount=None), CALM, "discount_missing"),
    ("bulk", "limit: 100", replace(ACTION, records=0), CALM, "clear"),
    ("bulk", "limit: 100", replace(ACTION, records=100), CALM, "clear"),
    ("bulk", "limit: 100", replace(ACTION, records=101), CALM, "records_above_limit"),
    (
        *("bulk", "limit: 100, exclusive: true", replace(ACTION, records=100)),
        *(CALM, "records_above_limit"),
    ),
    ("bulk", "limit: 100", replace(ACTION, records=-1), CALM, "records_unreadable"),
    ("bulk", "limit: 100", replace(ACTION, records=True), CALM, "records_unreadable"),
    ("bulk", "limit: 100", replace(ACTION, records=None), CALM, "records_missing"),
    ("record_age", "days: 30", facts(created_us=NOW - 30 * DAY), CALM, "clear"),
    (
        *("record_age", "days: 30", facts(created_us=NOW - 30 * DAY - 1)),
        *(CALM, "record_too_old"),
    ),
    (
        *("record_age", "days: 30", facts(created_us=NOW + 1)),
        *(CALM, "created_in_the_future"),
    ),
    ("record_age", "days: 30", facts(created_us=None), CALM, "age_unknown"),
    ("record_age", "days: 30", facts(created_us=1.5), CALM, "age_unknown"),
    ("record_age", "days: 30", ACTION, UNKNOWN, "age_unknown"),
    (
        *("reauthentication", "above: 1000, currency: USD", amount(D(1000))),
        *(CALM, "clear"),
    ),
    (
        *("reauthentication", "above: 1000, currency: USD", amount(D("1000.01"))),
        *(CALM, "reauthentication_required"),
    ),
    *[
        ("reauthentication", "above: 1000, currency: USD", action, CALM, reason)
        for action, reason in (
            (proven(900), "clear"),
            (proven(901), "proof_too_old"),
            (proven(0), "clear"),
            (proven(-1), "proof_from_the_future"),
            (proven(1, "user-2"), "proof_of_somebody_else"),
            (amount(D(2000), "EUR"), "currency_mismatch"),
            (amount(None), "amount_missing"),
        )
    ],
    (
        *("reauthentication", "above: 1000, currency: USD", proven(1)),
        *(UNKNOWN, "time_unknown"),
    ),
    *[
        ("business_hours", PLAIN["business_hours"], ACTION, at(moment), reason)
        for moment, reason in (
            ("2026-11-20T09:00", "clear"),
            ("2026-11-20T08:59:59", "outside_business_hours"),
            ("2026-11-20T16:59:59", "clear"),
            ("2026-11-20T17:00", "outside_business_hours"),
            ("2026-11-21T12:00", "outside_business_hours"),
        )
    ],
    *[
        ("business_hours", OPEN, ACTION, at(moment), reason)
        for moment, reason in (
            # 25 October 2026: the clock goes from 03:00 back to 02:00 in Berlin.
            ("2026-10-24T23:29", "outside_business_hours"),
            ("2026-10-24T23:30", "clear"),
            ("2026-10-25T00:30", "clear"),
            ("2026-10-25T00:50", "outside_business_hours"),
            ("2026-10-25T01:30", "clear"),
            ("2026-10-25T01:45", "outside_business_hours"),
            # 29 March 2026: from 02:00 on to 03:00.
            ("2026-03-29T00:45", "clear"),
            ("2026-03-29T01:00", "outside_business_hours"),
        )
    ],
    *[
        ("business_hours", NIGHT, ACTION, at(moment), reason)
        for moment, reason in (
            ("2026-11-20T22:00", "clear"),
            ("2026-11-21T05:59", "clear"),
            ("2026-11-21T06:00", "outside_business_hours"),
            ("2026-11-20T05:00", "outside_business_hours"),
        )
    ],
    (
        *("business_hours", f"{PLAIN['business_hours']}, holidays: [2026-11-20]"),
        *(ACTION, at("2026-11-20T12:00"), "outside_business_hours"),
    ),
    ("business_hours", PLAIN["business_hours"], ACTION, UNKNOWN, "time_unknown"),
    *[
        ("evidence", PLAIN["evidence"], action, CALM, reason)
        for action, reason in (
            (supported(D("0.8")), "clear"),
            (supported(0.8), "clear"),
            (supported(1), "clear"),
            (supported(D("0.79")), "confidence_too_low"),
            (supported(0), "confidence_too_low"),
            (supported(D("1.01")), "confidence_unreadable"),
            (supported(85), "confidence_unreadable"),
            (supported(-0.1), "confidence_unreadable"),
            (supported(float("nan")), "confidence_unreadable"),
            (supported(D("NaN")), "confidence_unreadable"),
            (supported(None), "confidence_missing"),
            (supported(True), "confidence_missing"),
            (supported("0.9"), "confidence_missing"),
            (supported(D("0.9"), 0), "sources_missing"),
            (supported(D("0.9"), policy="conflict"), "policies_contradict"),
            (supported(D("0.9"), policy=""), "evaluation_missing"),
            (supported(D("0.1"), 0, "conflict"), "sources_missing"),
        )
    ],
    *[
        ("signal", "metric: errors, above: 5", ACTION, situation, reason)
        for situation, reason in (
            (measured("5"), "clear"),
            (measured("5.01"), "signal_fired"),
            (measured("0"), "clear"),
            (measured("1", 300), "clear"),
            (measured("1", 301), "signal_missing"),
            (measured("1", -1), "signal_missing"),
            (measured("1", fired=True), "signal_fired"),
            (measured("1", 9999, fired=True), "signal_fired"),
            (replace(CALM, signals={}), "signal_missing"),
            (replace(CALM, signals={"signal": Standing()}), "signal_missing"),
            (replace(CALM, signals={"signal": Standing(fired=True)}), "signal_fired"),
        )
    ],
    ("signal", "metric: quality, below: 5", ACTION, measured("5"), "clear"),
    ("signal", "metric: quality, below: 5", ACTION, measured("4.99"), "signal_fired"),
    *[
        ("tool_errors", "cooldownSeconds: 30", ACTION, situation, reason)
        for situation, reason in (
            (broken(failures=(NOW, NOW)), "clear"),
            (broken(opened_us=NOW), "breaker_open"),
            (broken(opened_us=NOW - 30 * SECOND + 1), "breaker_open"),
            (broken(opened_us=NOW - 30 * SECOND), "clear"),
            (broken(opened_us=NOW + DAY), "breaker_open"),
            (broken(opened_us=NOW - DAY, probing_us=NOW), "breaker_probing"),
            (broken(opened_us=NOW - DAY, probing_us=NOW - MINUTE), "clear"),
            (replace(CALM, breakers={}), "errors_unknown"),
            (replace(CALM, now_us=None), "errors_unknown"),
        )
    ],
    *[
        ("refusals", "count: 3, windowMinutes: 10", ACTION, situation, reason)
        for situation, reason in (
            (refused(1, 2), "clear"),
            (refused(1, 2, 9), "refused_repeatedly"),
            (refused(1, 2, 10), "clear"),
            (refused(-5, -5, -5), "refused_repeatedly"),
            (replace(CALM, refusals={}), "refusals_unknown"),
            (replace(CALM, now_us=None), "refusals_unknown"),
        )
    ],
    *[
        ("data_rules", "never: [u-7, secret-*]", action, CALM, reason)
        for action, reason in (
            (replace(ACTION, record="u-7"), "record_off_limits"),
            (replace(ACTION, record="U-7"), "record_off_limits"),
            (replace(ACTION, record="u-70"), "clear"),
            (replace(ACTION, record="secret-1"), "record_off_limits"),
            (replace(ACTION, record=""), "record_unknown"),
            (replace(ACTION, record="sha256:00"), "record_off_limits"),
            (context(account="secret-corp"), "record_off_limits"),
        )
    ],
    (
        *("data_rules", "never: [u-7]", replace(ACTION, record="sha256:00")),
        *(CALM, "clear"),
    ),
    *[
        ("data_rules", "erased: true", ACTION, replace(CALM, erased=erased), reason)
        for erased, reason in (
            (False, "clear"),
            (True, "user_erased"),
            (None, "erasures_unknown"),
        )
    ],
    *[
        ("sequence", "first: {tools: [x]}, withinMinutes: 60", ACTION, known, reason)
        for known, reason in (
            (preceded(None), "clear"),
            (preceded(60), "sequence_completed"),
            (preceded(61), "clear"),
            (preceded(-1), "sequence_completed"),
            (replace(CALM, preceded={}), "sequence_unknown"),
            (replace(preceded(1), now_us=None), "sequence_unknown"),
        )
    ],
    (
        *("sequence", "first: {tools: [x]}, then: {riskClasses: [search]}", ACTION),
        *(preceded(1), "clear"),
    ),
    (
        *("sequence", "first: {tools: [x]}, then: {riskClasses: [search]}"),
        replace(ACTION, claimed_risk=RiskClass.SEARCH),
        *(preceded(1), "sequence_completed"),
    ),
]
CANNOT_TELL = (
    *("_unknown", "_missing", "_unreadable", "_mismatch", "_too_fine"),
    *("_no_percentage", "_future"),
)


@pytest.mark.parametrize(
    ("kind", "text", "action", "situation", "reason"),
    CASES,
    ids=[f"{number}-{case[0]}-{case[-1]}" for number, case in enumerate(CASES)],
)
def test_cases_and_their_edges(
    kind: str, text: str, action: ActionContract, situation: Situation, reason: str
) -> None:
    """Each case says what it should; what it cannot tell is its strictest cap."""
    rules = of(kind, text)
    verdict = asked(rules, action, situation)
    assert (verdict.control, verdict.reason) == (f"guardrail.{kind}", reason)
    (settings,) = rules.guardrails
    if reason in ("clear", "sources_confined"):
        assert (verdict.cap, verdict.need) == (Mode.AUTONOMOUS, Mode.OFF)
    elif reason.endswith(CANNOT_TELL):
        assert verdict.cap is Mode.OFF
    else:
        assert verdict.cap is settings.cap
    for item in verdict.evidence.values():
        assert type(item) in (str, int, list, type(None))


def test_every_kind_has_cases_and_a_calm_day() -> None:
    """No built-in kind is left out, and each is clear when all is well."""
    assert {case[0] for case in CASES} == set(WEIGHERS) == set(PLAIN)
    for kind in PLAIN:
        assert asked(of(kind), replace(ACTION, context=SURE)).reason == "clear", kind


class Boom(Mapping[str, Any]):
    """Raise at every touch."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def __iter__(self) -> Any:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError


@pytest.mark.parametrize("kind", sorted(WEIGHERS))
def test_a_guardrail_that_raises_says_its_strictest(kind: str) -> None:
    """Whatever goes wrong inside, nothing is raised and the cap is *unknown*."""
    rules = ruled(f"kind: {kind}, {PLAIN[kind]}, unknown: observe, cap: draft_write")
    (verdict,) = weigh(object(), rules, object())  # type: ignore[arg-type] # broken
    settings = rules.guardrails[0]
    if kind == "business_hours":
        assert verdict.reason in ("guardrail_failed", "time_unknown")
    else:
        assert verdict.reason in ("guardrail_failed", "signal_missing")
    assert verdict.cap is settings.unknown


@pytest.mark.parametrize("kind", ["custom", "cedar", "decision_point"])
def test_a_foreign_policy_that_nobody_asked_cannot_tell(kind: str) -> None:
    """Without an answer in the situation, the guardrail is at its strictest."""
    text = {
        "custom": "function: f",
        "cedar": "policies: x, definitions: y",
        "decision_point": 'url: "http://127.0.0.1:1/v1/data"',
    }[kind]
    verdict = asked(ruled(f"kind: {kind}, {text}"))
    assert (verdict.cap, verdict.reason) == (Mode.OFF, "policy_not_asked")


def test_approval_required_needs_a_human_for_every_class() -> None:
    """A mere read that a guardrail caps at approval_required waits as well."""
    rules = of("bulk", "limit: 100, cap: approval_required")
    verdict = asked(rules, replace(ACTION, records=101))
    made = decide((verdict,), need=Mode.SCOPED_READ, listed=frozenset(Mode))
    assert made.effect == "queue_for_approval"


def test_a_fallback_caps_at_the_safest_mode() -> None:
    """With *fallback* the agent falls back instead of waiting."""
    rules = of("signal", "metric: errors, above: 5, fallback: true")
    verdict = asked(rules, situation=measured("6"))
    assert (verdict.cap, verdict.fallback) == (rules.rollback.safest_mode, True)


def test_only_says_which_actions_are_asked_about() -> None:
    """A guardrail that is for other actions has no voice; claims do not matter."""
    rules = ruled(f"kind: bulk, limit: 0, {ONLY}")
    assert weigh(ACTION, rules, CALM) == []
    assert weigh(risky("admin_action"), rules, CALM)[0].reason == "records_above_limit"


def test_a_confined_source_is_a_constraint() -> None:
    """The constraint names what is both allowed and asked for."""
    rules = of("source_allowlist", "allowed: [docs, faq]")
    verdict = asked(rules, facts(sources=("docs", "wiki")))
    assert verdict.constraints == (Constraint("sources", among=frozenset({"docs"})),)
    whole = asked(rules, facts(sources=None))
    among = frozenset({"docs", "faq"})
    assert whole.constraints == (Constraint("sources", among=among),)


def test_breaker_opens_probes_and_closes() -> None:
    """Failures open it; after the rest one probe at a time; success closes it."""
    rule: Any = of("tool_errors", "failures: 3, probes: 2").guardrails[0]
    state = Breaker()
    for second in range(3):
        assert state.opened_us is None
        now = NOW + second * SECOND
        state = ended(begun(state, rule, now), rule, now, now, ok=False)
    assert state.opened_us == NOW + 2 * SECOND
    late = ended(state, rule, NOW, NOW + 3 * SECOND, ok=True)
    assert late == state
    probe = NOW + 40 * SECOND
    state = begun(state, rule, probe)
    assert state.probing_us == probe
    assert ended(state, rule, probe, probe, ok=False) == Breaker(opened_us=probe)
    state = ended(state, rule, probe, probe, ok=True)
    assert (state.passed, state.probing_us) == (1, None)
    assert ended(begun(state, rule, probe), rule, probe, probe, ok=None).passed == 1
    assert ended(begun(state, rule, probe), rule, probe, probe, ok=True) == Breaker()


def test_failures_outside_the_window_do_not_add_up() -> None:
    """A failure now and then opens nothing; success forgives nothing either."""
    rule: Any = of("tool_errors", "failures: 2, windowSeconds: 60").guardrails[0]
    state = ended(Breaker(), rule, NOW, NOW, ok=False)
    later = NOW + 61 * SECOND
    assert ended(state, rule, later, later, ok=False).opened_us is None
    state = ended(state, rule, NOW, NOW, ok=True)
    soon = NOW + 60 * SECOND
    assert ended(state, rule, soon, soon, ok=False).opened_us == soon


def test_signal_holds_until_it_is_back() -> None:
    """Between threshold and releaseAt the state stays as it was: hysteresis."""
    rule: Any = of("signal", "metric: e, above: 5, releaseAt: 2").guardrails[0]
    state, seen = Standing(), []
    for value in ("4", "5", "6", "4", "2.1", "2", "4"):
        state = sampled(state._replace(samples=()), rule, D(value), NOW)
        seen.append(state.fired)
    assert seen == [False, False, True, True, True, False, False]


def test_named_release_waits_for_a_name() -> None:
    """It holds however good the value is, and cannot be released while it is bad."""
    text = "metric: e, above: 5, namedRelease: true"
    rule: Any = of("signal", text).guardrails[0]
    state = sampled(Standing(), rule, D(9), NOW)
    assert released(state, rule, "dana").fired
    state = sampled(state._replace(samples=()), rule, D(0), NOW)
    assert state.fired
    free = released(state, rule, "dana")
    assert (free.fired, free.released_by) == (False, "dana")
    assert released(Standing(fired=True), rule, "dana").fired


def test_signal_is_the_mean_of_its_window() -> None:
    """What is older than the window, or later than now, does not count."""
    rule: Any = of("signal", "metric: e, above: 5, windowSeconds: 60").guardrails[0]
    old = ((NOW - 61 * SECOND, D(90)), (NOW - 60 * SECOND, D(4)), (NOW + 1, D(90)))
    assert sampled(Standing(old), rule, D(2), NOW).mean == D(3)
    many = Standing()
    for _ in range(200):
        many = sampled(many, rule, D(1), NOW)
    assert len(many.samples) == 64


NUMBERS = st.one_of(
    st.none(),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.floats(),
    st.integers(-5, 10**6),
    st.text(max_size=3),
    st.booleans(),
)
ACTIONS = st.builds(
    lambda risk, undo, claimed, amount, currency, records, record, known, ctx: replace(
        ACTION,
        risk_class=risk,
        reversibility=undo,
        claimed_risk=claimed,
        amount=amount,
        currency=currency,
        records=records,
        record=record,
        facts=known,
        context=ctx,
    ),
    st.sampled_from(RiskClass),
    st.sampled_from(Reversibility),
    st.none() | st.sampled_from(RiskClass),
    NUMBERS,
    st.sampled_from(["USD", "EUR", ""]),
    NUMBERS,
    st.sampled_from(["", "r-1", "secret-1", "sha256:00"]),
    st.builds(
        Facts,
        discount=NUMBERS,
        segment=st.sampled_from(["", "retail", "bank"]),
        account_value=NUMBERS,
        currency=st.sampled_from(["USD", "EUR", ""]),
        sources=st.none() | st.just(()) | st.just(("docs",)) | st.just(("x", "docs")),
        created_us=st.none() | st.integers(0, 2 * NOW),
    ),
    st.builds(
        lambda region, confidence, sources, proof: replace(
            CONTEXT,
            region=region,
            evidence=Evidence(confidence=confidence, sources=sources),
            proof=proof,
        ),
        st.sampled_from(["", "eu", "us"]),
        NUMBERS,
        st.sampled_from([(), ("s",)]),
        st.none() | st.builds(Proof, subject=st.just("user-1"), at_us=st.integers()),
    ),
)
SITUATIONS = st.builds(
    Situation,
    now_us=st.none() | st.integers(-(10**18), 10**18),
    breakers=st.just({})
    | st.builds(
        lambda *state: {"tool_errors": Breaker((), *state)},
        st.none() | st.integers(0, 2 * NOW),
        st.none() | st.integers(0, 2 * NOW),
    ),
    refusals=st.just({}) | st.just({"refusals": (NOW, NOW, NOW)}),
    spent=st.just({}) | st.builds(lambda n: {"money": n}, st.decimals(0, 10**6)),
    signals=st.just({})
    | st.builds(
        lambda mean, fired: {"signal": Standing(((NOW, mean),), mean, fired)},
        st.decimals(0, 10),
        st.booleans(),
    ),
    preceded=st.just({}) | st.just({"sequence": NOW}) | st.just({"sequence": None}),
    erased=st.none() | st.booleans(),
)
VERDICTS = st.builds(
    Verdict, st.sampled_from("ab"), st.sampled_from(Mode), st.just("said")
)
EVERY = ruled(*[f"kind: {kind}, {text}" for kind, text in PLAIN.items()])


@settings(max_examples=share(1500, of=10))
@given(
    ACTIONS,
    SITUATIONS,
    st.lists(VERDICTS, min_size=1, max_size=4),
    st.sampled_from(Mode),
    st.booleans(),
)
def test_every_guardrail_only_lowers(
    action: ActionContract,
    situation: Situation,
    said: list[Verdict],
    need: Mode,
    approved: bool,
) -> None:
    """With any one of them, and with all, never more runs than without."""
    ladder = frozenset(Mode)
    before = decide(said, need=need, listed=ladder, approved=approved)
    given = weigh(action, EVERY, situation)
    assert len(given) == len(PLAIN)
    for added in ([one] for one in given) if len(said) == 1 else [given]:
        after = decide([*said, *added], need=need, listed=ladder, approved=approved)
        assert after.mode <= before.mode
        assert after.full <= before.full
        assert after.need >= before.need


def test_the_hosts_decimal_context_rounds_no_limit_away() -> None:
    """Three digits would make 1000.5 of 999 and 1.5 a plain 1000."""
    daily = of("money", "limit: 1000, currency: USD, per: customer")
    (metric,) = of("signal", "metric: errors, above: 5").guardrails
    assert isinstance(metric, Signal)
    with localcontext() as host:
        host.prec = 3
        assert asked(daily, amount(D("1.5")), spent(D(999))).cap < Mode.AUTONOMOUS
        assert asked(daily, amount(D("1234.5"))).cap < Mode.AUTONOMOUS
        standing = sampled(Standing(), metric, D("5.004"), NOW)
    assert standing.fired


def test_a_verdict_with_evidence_is_a_verdict_like_any_other() -> None:
    """However it was made it is equal to a plain one, can be copied, and is frozen."""
    verdict = asked(of("bulk"), replace(ACTION, records=101))
    assert type(verdict) is Verdict
    plain = Verdict(
        "guardrail.bulk",
        Mode.APPROVAL_REQUIRED,
        "records_above_limit",
        need=Mode.AUTONOMOUS,
        evidence={"records": 101, "limit": 100},
    )
    assert verdict == plain
    assert repr(verdict) == repr(plain)
    assert replace(verdict, reason="other") == replace(plain, reason="other")
    assert deepcopy(verdict) == plain
    with pytest.raises(FrozenInstanceError):
        verdict.cap = Mode.AUTONOMOUS  # type: ignore[misc] # frozen

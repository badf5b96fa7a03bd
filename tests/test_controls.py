"""The controls one by one: what each says of every value, and of none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from openfeature_gov import Actor, Evidence, Mode, Verdict
from openfeature_gov.contracts import ActionContract, CallContext
from openfeature_gov.controls import Controls, Reading, Readings, StoreHealth
from openfeature_gov.controls.freshness import SECOND, freshness
from openfeature_gov.controls.recording import (
    GRACE_NS,
    UNSEALED_HELD_NS,
    UNSEALED_NS,
    recording,
)
from openfeature_gov.flags.kinds import KINDS
from openfeature_gov.governance import GovernanceContract, parse
from openfeature_gov.ladder import MODES, Intent, Reversibility, RiskClass
from tests.conftest import CONTEXT, contract_yaml

CONTRACT = ActionContract(
    tool="tool",
    workflow="tests",
    context=CONTEXT,
    target_system="",
    risk_class=RiskClass.SEARCH,
    reversibility=Reversibility.AUTOMATIC,
    intent=Intent.SEARCH,
    arguments={},
    canonical=b"{}",
)
CALM: Mapping[str, Any] = {
    "switch": True,
    "mode": "autonomous",
    "approval": False,
    "denylist": [],
    "fallback": False,
}
"""The value of each kind that lets the most through."""


def rules(**changes: str) -> GovernanceContract:
    kind = {"riskClass": "search", "reversibility": "automatic"}
    return parse(contract_yaml("tool", **{**kind, **changes})).contracts["tool"]


def readings(**values: Any) -> Readings:
    flags = {kind: Reading(kind, value) for kind, value in values.items()}
    return Readings(flags=flags, age_ns=0)


def verdicts(
    contract: ActionContract = CONTRACT,
    under: GovernanceContract | None = None,
    flags: Readings | None = None,
    controls: Controls | None = None,
) -> dict[str, Verdict]:
    given = (controls or Controls()).verdicts(
        contract, under or rules(), flags or readings(**CALM)
    )
    return {verdict.control: verdict for verdict in given}


def test_every_control_has_a_voice() -> None:
    """No control is left out, and calm flags cap nothing."""
    given = verdicts()
    assert given.keys() == {
        *CALM,
        "authorization",
        "classification",
        "conditions",
        "freshness",
        "recording",
    }
    assert {verdict.cap for verdict in given.values()} == {Mode.AUTONOMOUS}


@pytest.mark.parametrize(
    ("kind", "cap"),
    [
        ("switch", Mode.AUTONOMOUS),
        ("mode", Mode.SCOPED_READ),
        ("approval", Mode.APPROVAL_REQUIRED),
        ("denylist", Mode.AUTONOMOUS),
        ("fallback", Mode.AUTONOMOUS),
    ],
)
def test_flag_that_no_contract_names(kind: str, cap: Mode) -> None:
    """Without a mode flag the default mode holds, without an approval flag approval."""
    under = rules(defaultMode="scoped_read")
    flags = readings(**{name: CALM[name] for name in CALM if name != kind})
    assert verdicts(under=under, flags=flags)[kind].cap is cap


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_code_default_is_as_strict_as_a_loss(kind: Any) -> None:
    """The default that OpenFeature serves is legal and caps like a lost flag."""
    assert kind.legal(kind.default())
    served = readings(**{**CALM, kind.name: kind.default()})
    lost = readings(**CALM)
    fault = {kind.name: Reading(kind.name, CALM[kind.name], fault="flag_lost")}
    lost = replace(lost, flags={**lost.flags, **fault})
    given = verdicts(flags=lost)[kind.name]
    assert given.cap is verdicts(flags=served)[kind.name].cap
    assert given.cap < Mode.AUTONOMOUS
    assert given.reason == "flag_lost"


@pytest.mark.parametrize("kind", CALM)
@pytest.mark.parametrize("value", [None, 0, 1, "", "true", "Autonomous", (), {}])
def test_only_the_exact_value_lets_through(kind: str, value: Any) -> None:
    """A value that only resembles the permissive one is the strictest, fault or not."""
    given = verdicts(flags=readings(**{**CALM, kind: value}))
    assert given[kind].cap < Mode.AUTONOMOUS


@pytest.mark.parametrize("label", MODES)
def test_mode_flag_sets_the_rung(label: str) -> None:
    """Each variant of the mode flag is the cap of its name."""
    given = verdicts(flags=readings(**{**CALM, "mode": label}))
    assert given["mode"].cap is MODES[label]


@pytest.mark.parametrize(("kind", "value"), [("mode", "fallback"), ("fallback", True)])
def test_incident_caps_at_the_safest_mode_by_name(kind: str, value: Any) -> None:
    """Both levers of an incident cap at safestMode and are marked as fallback."""
    under = rules(
        defaultMode="draft_write", rollback="{safestMode: search_only, owner: o}"
    )
    given = verdicts(under=under, flags=readings(**{**CALM, kind: value}))
    assert (given[kind].cap, given[kind].fallback) == (Mode.SEARCH_ONLY, True)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "not_listed"),
        (["other", "too", "tool2"], "not_listed"),
        (["oth*"], "not_listed"),
        ({"tools": []}, "not_listed"),
        (["tool"], "denylisted"),
        (["other", "tool"], "denylisted"),
        ({"tools": [" TOOL"]}, "denylisted"),
        (["\uff54\uff4f\uff4f\uff4c"], "denylisted"),
        (["to*"], "denylisted"),
        (["*"], "denylisted"),
        ({"tools": ["x"], "more": 1}, "flag_malformed"),
        ({}, "flag_malformed"),
        ("tool2", "flag_malformed"),
        (["x", 1], "flag_malformed"),
        (["x", " "], "flag_malformed"),
        (None, "flag_malformed"),
    ],
)
def test_denylist_entries(value: Any, reason: str) -> None:
    """A name in any spelling, a prefix or a star denies; so does a malformed list."""
    given = verdicts(flags=readings(**{**CALM, "denylist": value}))["denylist"]
    assert given.reason == reason
    denied = reason != "not_listed"
    assert given.cap is (Mode.OFF if denied else Mode.AUTONOMOUS)


@pytest.mark.parametrize(
    ("age", "cap"),
    [
        (0, Mode.AUTONOMOUS),
        (15 * SECOND, Mode.AUTONOMOUS),
        (15 * SECOND + 1, Mode.APPROVAL_REQUIRED),
        (60 * SECOND, Mode.APPROVAL_REQUIRED),
        (60 * SECOND + 1, Mode.DRAFT_WRITE),
        (900 * SECOND, Mode.DRAFT_WRITE),
        (900 * SECOND + 1, Mode.SEARCH_ONLY),
        (-1, Mode.SEARCH_ONLY),
        (None, Mode.SEARCH_ONLY),
    ],
)
def test_age_of_the_flags_lowers_the_cap(age: int | None, cap: Mode) -> None:
    """Bounds are inclusive; a negative and an unknown age count as the oldest."""
    flags = replace(readings(**CALM), age_ns=age)
    assert freshness(CONTRACT, rules(), flags).cap is cap
    believed = replace(flags, standing="provider_missing")
    assert freshness(CONTRACT, rules(), believed).cap is Mode.OFF


def test_bounds_of_the_deployment_count() -> None:
    """Ages that a deployment sets replace ours; no flag at all has nothing to age."""
    bounds = ((5, Mode.AUTONOMOUS),)
    old = replace(readings(**CALM), age_ns=6)
    given = verdicts(flags=old, controls=Controls(bounds=bounds))
    assert given["freshness"].cap is Mode.SEARCH_ONLY
    assert freshness(CONTRACT, rules(), Readings()).cap is Mode.AUTONOMOUS


@pytest.mark.parametrize(
    ("risk", "health", "cap", "fallback"),
    [
        ("external_effect", StoreHealth(), Mode.AUTONOMOUS, False),
        ("search", StoreHealth(1), Mode.OBSERVE, True),
        ("search", StoreHealth(GRACE_NS), Mode.OBSERVE, True),
        ("search", StoreHealth(GRACE_NS + 1), Mode.OFF, False),
        ("search", StoreHealth(full=True), Mode.OFF, False),
        ("scoped_read", StoreHealth(1), Mode.OBSERVE, True),
        ("sensitive_read", StoreHealth(1), Mode.OFF, False),
        ("reversible_write", StoreHealth(1), Mode.OFF, False),
        ("external_effect", StoreHealth(1), Mode.OFF, False),
    ],
)
def test_failing_records_stop_what_has_consequences(
    risk: str, health: StoreHealth, cap: Mode, fallback: bool
) -> None:
    """While writes fail only plain reads go on, at the safest mode, for 60 seconds."""
    contract = replace(CONTRACT, risk_class=RiskClass(risk))
    given = recording(contract, rules(), health)
    assert (given.cap, given.fallback) == (cap, fallback)
    whole = Controls().verdicts(contract, rules(), readings(**CALM), health)
    assert given in whole


@pytest.mark.parametrize(
    ("risk", "reversibility", "overdue_ns", "cap"),
    [
        ("search", "automatic", 2 * UNSEALED_NS, Mode.AUTONOMOUS),
        ("reversible_write", "automatic", 2 * UNSEALED_NS, Mode.AUTONOMOUS),
        ("external_effect", "manual", UNSEALED_NS, Mode.AUTONOMOUS),
        ("external_effect", "manual", UNSEALED_NS + 1, Mode.APPROVAL_REQUIRED),
        ("external_effect", "none", UNSEALED_HELD_NS, Mode.AUTONOMOUS),
        ("external_effect", "none", UNSEALED_HELD_NS + 1, Mode.OFF),
        ("admin_action", "manual", UNSEALED_HELD_NS + 1, Mode.OFF),
        ("irreversible", "none", UNSEALED_HELD_NS + 1, Mode.OFF),
    ],
)
def test_overdue_checkpoints_lower_authority(
    risk: str, reversibility: str, overdue_ns: int, cap: Mode
) -> None:
    """What cannot be proved later stops: the gravest after 5 minutes, others wait."""
    contract = replace(
        CONTRACT,
        risk_class=RiskClass(risk),
        reversibility=Reversibility(reversibility),
    )
    given = recording(contract, rules(), StoreHealth(unsealed_ns=overdue_ns))
    assert given.cap is cap
    failing = StoreHealth(1, unsealed_ns=overdue_ns)
    while_failing = recording(contract, rules(), failing)
    assert while_failing == recording(contract, rules(), StoreHealth(1))
    assert while_failing.cap <= cap


BOUNDARY = (
    "{serviceIdentity: svc, apiScope: a, requiredScopes: [b], blockedScopes: [c]}"
)


@pytest.mark.parametrize(
    ("service", "scopes", "reason"),
    [
        ("svc", "ab", "authorized"),
        ("svc", "abd", "authorized"),
        ("", "ab", "service_identity_mismatch"),
        ("other", "ab", "service_identity_mismatch"),
        ("svc", "", "scope_missing"),
        ("svc", "a", "scope_missing"),
        ("svc", "b", "scope_missing"),
        ("svc", "abc", "blocked_scope_held"),
    ],
)
def test_hard_boundary(service: str, scopes: str, reason: str) -> None:
    """Only the named identity with every demanded and no blocked scope is let in."""
    actor = Actor(agent="a", service=service, scopes=frozenset(scopes))
    contract = replace(CONTRACT, context=CallContext(actor=actor))
    given = verdicts(contract, rules(hardBoundary=BOUNDARY))["authorization"]
    assert given.reason == reason
    allowed = reason == "authorized"
    assert given.cap is (Mode.AUTONOMOUS if allowed else Mode.OFF)


def test_fault_of_the_description_denies() -> None:
    """A fact that could not be derived caps at off and needs the most."""
    faulty = replace(CONTRACT, faults=("amount_unreadable",))
    given = verdicts(faulty)["classification"]
    assert (given.cap, given.need) == (Mode.OFF, Mode.AUTONOMOUS)


@pytest.mark.parametrize(
    ("claims", "cap", "need"),
    [
        ({}, Mode.AUTONOMOUS, Mode.SEARCH_ONLY),
        ({"claimed_risk": "search"}, Mode.AUTONOMOUS, Mode.SEARCH_ONLY),
        ({"claimed_risk": "external_effect"}, Mode.AUTONOMOUS, Mode.AUTONOMOUS),
        ({"claimed_risk": "admin_action"}, Mode.APPROVAL_REQUIRED, Mode.AUTONOMOUS),
        ({"claimed_reversibility": "none"}, Mode.AUTONOMOUS, Mode.SEARCH_ONLY),
        (
            {"claimed_risk": "reversible_write", "claimed_reversibility": "none"},
            Mode.APPROVAL_REQUIRED,
            Mode.AUTONOMOUS,
        ),
    ],
)
def test_claims_count_beside_what_is_known(
    claims: dict[str, str], cap: Mode, need: Mode
) -> None:
    """Each claimed class is weighed with the hardest reversibility that was stated."""
    kinds: dict[str, Any] = {
        "claimed_risk": RiskClass,
        "claimed_reversibility": Reversibility,
    }
    said = {name: kinds[name](word) for name, word in claims.items()}
    given = verdicts(replace(CONTRACT, **said))["classification"]
    assert (given.cap, given.need) == (cap, need)


def test_contracts_class_counts_beside_the_derived_one() -> None:
    """An extractor that calls an admin action a search does not make it one."""
    under = rules(riskClass="admin_action", reversibility="manual")
    given = verdicts(CONTRACT, under)["classification"]
    assert (given.cap, given.need) == (Mode.APPROVAL_REQUIRED, Mode.AUTONOMOUS)


def test_claims_never_lower_what_is_known() -> None:
    """An irreversible action that is claimed to be a search stays held back."""
    real = replace(
        CONTRACT,
        risk_class=RiskClass.EXTERNAL_EFFECT,
        reversibility=Reversibility.NONE,
        claimed_risk=RiskClass.SEARCH,
        claimed_reversibility=Reversibility.AUTOMATIC,
    )
    given = verdicts(real)["classification"]
    assert (given.cap, given.need) == (Mode.APPROVAL_REQUIRED, Mode.AUTONOMOUS)


def needs(condition: str, contract: ActionContract = CONTRACT, **flags: Any) -> bool:
    """Say whether *condition* asks for a human."""
    under = rules(approval=f"{{requiredFor: [{condition}]}}")
    given = verdicts(contract, under, readings(**{**CALM, **flags}))["conditions"]
    return given.need is Mode.AUTONOMOUS


def test_named_classes_are_conditions() -> None:
    """A listed class needs a human when it is the action's, or claimed to be."""
    sensitive = RiskClass.SENSITIVE_READ
    assert needs("search")
    assert not needs("sensitive_read")
    assert needs("sensitive_read", replace(CONTRACT, claimed_risk=sensitive))
    derived = replace(CONTRACT, risk_class=sensitive)
    assert needs("sensitive_read", derived)
    assert needs("search", derived)
    lasting = replace(
        CONTRACT,
        risk_class=RiskClass.REVERSIBLE_WRITE,
        reversibility=Reversibility.NONE,
    )
    assert needs("irreversible", lasting)
    assert needs("reversible_write", lasting)
    assert not needs("irreversible", derived)


@pytest.mark.parametrize("value", [True, None, 0, "false"])
def test_incident_is_a_condition(value: Any) -> None:
    """``incident_mode`` holds unless the fallback flag plainly says false."""
    assert not needs("incident_mode")
    assert needs("incident_mode", fallback=value)


def test_incident_holds_when_nobody_can_tell() -> None:
    """Without a fallback flag, or with a lost one, ``incident_mode`` holds."""
    under = rules(approval="{requiredFor: [incident_mode]}")
    calm = readings(**CALM)
    lost = {**calm.flags, "fallback": Reading("fallback", False, fault="flag_lost")}
    none = {kind: one for kind, one in calm.flags.items() if kind != "fallback"}
    for flags in (lost, none):
        given = verdicts(under=under, flags=replace(calm, flags=flags))
        assert given["conditions"].need is Mode.AUTONOMOUS


@pytest.mark.parametrize(
    ("confidence", "doubtful"),
    [
        (None, True),
        (0.79, True),
        (Decimal("0.8"), False),
        (1, False),
        (1.01, True),
        (-1, True),
        (float("nan"), True),
        (Decimal("NaN"), True),
        ("high", True),
    ],
)
def test_confidence_is_a_condition(confidence: Any, doubtful: bool) -> None:
    """Only a share from the contract's limit (0.8) to 1 is confident enough."""
    context = replace(CONTEXT, evidence=Evidence(confidence=confidence))
    assert needs("low_confidence", replace(CONTRACT, context=context)) is doubtful


def test_unknown_condition_holds() -> None:
    """A condition that nothing evaluates counts as true."""
    assert needs("moon_is_full")


class Sly(Verdict):
    """A verdict of another class: its fields could change between two looks."""


NONSENSE: list[Any] = [6, 99, None, "autonomous"]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        (),
        Sly("mine", Mode.AUTONOMOUS, "x"),
        *[Verdict("mine", cap, "x") for cap in NONSENSE],
        Verdict("mine", Mode.AUTONOMOUS, "x", need=NONSENSE[0]),
    ],
)
def test_guardrail_that_answers_nonsense_says_off(answer: Any) -> None:
    """What is no exact verdict with exact modes caps at off."""
    controls = Controls(guardrails=(("mine", lambda *_: answer),))
    assert verdicts(controls=controls)["mine"].cap is Mode.OFF


def test_guardrail_that_raises_says_off() -> None:
    """An error is an opinion, the strictest one."""

    def fail(*_: Any) -> Verdict:
        raise RuntimeError

    given = verdicts(controls=Controls(guardrails=(("mine", fail),)))["mine"]
    assert (given.cap, given.reason) == (Mode.OFF, "control_failed")

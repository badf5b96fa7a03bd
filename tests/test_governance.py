"""Governance contracts: what loads, what is refused, and where the error points."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import parse
from openfeature_gov.ladder import Mode, Reversibility, RiskClass

SEEDS = Path(__file__).parents[2] / "shared" / "seeds"
GOOD = """\
agentToolGovernance:
  workflow: support
  owner: platform
  tool: send_mail
  riskClass: external_effect
  defaultMode: draft_write
  allowedModes: [off, observe, search_only, draft_write, approval_required, fallback]
  hardBoundary:
    serviceIdentity: support-service
    apiScope: mail:draft
    blockedScopes: [billing:update]
  runtimeControls:
    modeFlag: support-mode
    approvalFlag: support-approval
  approval:
    requiredFor: [external_effect, low_confidence]
    reviewerGroup: leads
    timeoutFallback: draft_write
  evidence:
    logDecision: true
    avoidSensitiveInputs: true
  rollback:
    safestMode: search_only
    owner: oncall
"""


def refused(text: str) -> list[str]:
    with pytest.raises(InvalidContractError) as caught:
        parse(text, "gov.yaml")
    return caught.value.lines()


def test_article_example_loads_as_it_stands() -> None:
    """The YAML printed in article 000 loads verbatim."""
    found = sorted(SEEDS.glob("000_*"))
    if not found:
        pytest.skip("the source articles are not beside this checkout")
    article = found[0].read_text()
    start = article.index("agentToolGovernance:")
    text = article[start : article.index("This contract does three useful things")]
    contract = parse(text).contracts["send_customer_email"]
    assert contract.risk_class is RiskClass.EXTERNAL_EFFECT
    assert Mode.OFF in contract.modes
    assert contract.rollback.safest_mode is Mode.SEARCH_ONLY


def test_off_is_a_mode_and_not_false() -> None:
    """YAML 1.1's booleans do not eat the mode ``off``."""
    contract = parse(GOOD).contracts["send_mail"]
    assert contract.allowed_modes[0] == "off"


def test_unstated_reversibility_is_the_worst_of_the_class() -> None:
    """A contract that does not say how to undo an external effect gets ``none``."""
    assert parse(GOOD).contracts["send_mail"].floor is Reversibility.NONE


def test_revision_names_the_whole_contract() -> None:
    """Any changed key changes the revision; the same text does not."""
    one = parse(GOOD).contracts["send_mail"]
    assert one.revision == parse(GOOD).contracts["send_mail"].revision
    other = parse(GOOD.replace("leads", "others")).contracts["send_mail"]
    assert other.revision != one.revision


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  owner: platform\n", "", ":1: agentToolGovernance.owner: missing"),
        ("owner: platform", "owner: ' '", ":3: agentToolGovernance.owner: must name"),
        ("    owner: oncall\n", "", "agentToolGovernance.rollback.owner: missing"),
        ("tool: send_mail", "tool: 'send mail'", ":4: agentToolGovernance.tool: must"),
        (
            "tool: send_mail",
            "tool: s\u0435nd_mail",
            ":4: agentToolGovernance.tool: must",
        ),
        ("riskClass: external_effect", "riskClass: low", ":5: agentToolGovernance."),
        ("defaultMode: draft_write", "defaultMode: autonomous", ":6: "),
        ("defaultMode: draft_write", "defaultMode: scoped_read", "not in allowedModes"),
        ("defaultMode: draft_write", "defaultMode: Draft_Write", "is not a mode"),
        ("safestMode: search_only", "safestMode: approval_required", ":23: "),
        ("defaultMode: draft_write", "defaultMode: observe", "must not raise"),
        ("defaultMode: draft_write", "defaultMode: approval_required", "lets the tool"),
        ("safestMode: search_only", "safestMode: draft_writ", ":23: "),
        (
            "timeoutFallback: draft_write",
            "timeoutFallback: approval_required",
            "would release what nobody answered",
        ),
        (
            "timeoutFallback: draft_write",
            "timeoutFallback: autonomous",
            "approval.timeoutFallback: autonomous would release",
        ),
        ("off, observe,", "off, observe, observe,", "listed twice"),
        ("off, observe,", "off, obsrve,", "'obsrve' is not a mode"),
        ("logDecision: true", "logDecision: false", ":20: "),
        ("avoidSensitiveInputs: true", "avoidSensitiveInputs: false", ":21: "),
        ("reviewerGroup: leads", "reviewersGroup: leads", ":17: "),
        ("support-approval", "support-mode", "two different controls"),
        ("modeFlag: support-mode", "modeFlag: 'a b'", ":13: "),
        ("  workflow: support\n", "  workflow: a\n  workflow: b\n", "duplicate key"),
        ("tool: send_mail", "tool: [send_mail]", ":4: "),
        ("requiredFor: [", "requiredFor: [Low Confidence, ", ":16: "),
        (
            "riskClass: external",
            "autonomyFor: [search]\n  riskClass: external",
            "opt-in",
        ),
    ],
)
def test_unsafe_or_unclear_contracts_are_refused(
    old: str, new: str, expected: str
) -> None:
    """Each fault is refused, naming file, line and key."""
    assert old in GOOD
    lines = refused(GOOD.replace(old, new, 1))
    assert all(line.startswith("gov.yaml:") for line in lines)
    assert any(expected in line for line in lines), lines


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a: 1",
        "agentToolGovernance:",
        "agentToolGovernance: [1]",
        "x: [",
        "\0",
    ],
)
def test_what_is_no_contract_is_refused(text: str) -> None:
    """Anything but a contract is an error with a position, never an empty set."""
    assert refused(text)


def test_all_problems_are_reported_at_once() -> None:
    """Two mistakes in two contracts give two lines, and nothing is loaded."""
    second = GOOD.replace("send_mail", "other").replace("  owner: platform\n", "")
    lines = refused(GOOD.replace("external_effect\n", "low\n") + "---\n" + second)
    assert len(lines) == 2


@pytest.mark.parametrize("other", ["send_mail", "SEND_MAIL", "Send_Mail"])
def test_look_alike_tools_are_duplicates(other: str) -> None:
    """Names that differ only in spelling tricks cannot stand beside each other."""
    lines = refused(GOOD + "---\n" + GOOD.replace("send_mail", other))
    assert "duplicate tool" in lines[0]


def test_aliases_and_huge_files_are_refused() -> None:
    """A YAML bomb has no way in: no aliases, no deep nesting, bounded size."""
    assert "aliases" in refused("agentToolGovernance: &a {x: *a}\n")[0]
    shared = GOOD.replace("[billing:update]", "&a [low_confidence]")
    shared = shared.replace("[external_effect, low_confidence]", "*a")
    assert "aliases" in refused(shared)[0]
    assert "deeply" in refused("agentToolGovernance: " + "[" * 200 + "]" * 200)[0]
    assert "larger" in refused("#" * 1_100_000)[0]


def test_unsafe_default_needs_a_reason() -> None:
    """A default above draft_write loads only with a reason beside it."""
    text = GOOD.replace(
        "defaultMode: draft_write",
        "defaultMode: approval_required\n  unsafeDefaultReason: reviewed in March",
    )
    assert parse(text).contracts["send_mail"].default_mode is Mode.APPROVAL_REQUIRED


BARE = """\
agentToolGovernance:
  workflow: support
  owner: platform
  tool: t
  riskClass: RISK
  defaultMode: off
  allowedModes: [observe]
  rollback: {safestMode: off, owner: oncall}
"""


@pytest.mark.parametrize(
    ("risk", "undo"),
    [
        ("search", "automatic"),
        ("scoped_read", "automatic"),
        ("sensitive_read", "automatic"),
        ("reversible_write", "manual"),
        ("external_effect", "none"),
        ("admin_action", "none"),
        ("irreversible", "none"),
    ],
)
def test_what_a_contract_leaves_open_is_the_strictest(risk: str, undo: str) -> None:
    """Silence is the worst reversibility, no opt-in, no recorded field, no waiting."""
    contract = parse(BARE.replace("RISK", risk)).contracts["t"]
    assert contract.floor == undo
    assert contract.modes == {Mode.OFF, Mode.OBSERVE}
    assert contract.autonomy_for == ()
    assert contract.evidence.record_fields == ()
    assert contract.approval.timeout_fallback is Mode.OFF
    assert contract.approval.confidence_below == Decimal("0.8")
    assert contract.limits.argument_bytes == 65_536
    stated = BARE.replace("RISK", f"{risk}\n  reversibility: expensive")
    assert parse(stated).contracts["t"].floor is Reversibility.EXPENSIVE


def test_every_scope_of_the_boundary_is_demanded() -> None:
    """The API's scope and the required ones are demanded together."""
    text = GOOD.replace(
        "apiScope: mail:draft", "apiScope: a\n    requiredScopes: [b, c]"
    )
    boundary = parse(text).contracts["send_mail"].hard_boundary
    assert boundary.demanded == {"a", "b", "c"}


def test_loaded_contracts_do_not_change() -> None:
    """Neither a key nor a part of a loaded contract can be set."""
    contract: Any = parse(GOOD).contracts["send_mail"]
    for part, name in ((contract, "default_mode"), (contract.rollback, "safest_mode")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, Mode.AUTONOMOUS)


@pytest.mark.parametrize("word", ["off", "no", "on", "yes", "True", "0x10", "1e3"])
def test_words_stay_words(word: str) -> None:
    """Only unquoted ``true`` and ``false`` are booleans, only decimals numbers."""
    text = GOOD.replace("owner: platform", f"owner: {word}")
    assert parse(text).contracts["send_mail"].owner == word
    quoted = GOOD.replace("logDecision: true", "logDecision: 'true'")
    assert any("logDecision" in line for line in refused(quoted))

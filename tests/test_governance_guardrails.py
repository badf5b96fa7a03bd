"""Guardrails in a governance file: what loads, what is refused, and where."""

from __future__ import annotations

import pytest

from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import Governance, parse
from openfeature_gov.ladder import Mode
from tests.conftest import contract_yaml
from tests.guarding import PLAIN


def loaded(text: str, tool: str = "tool") -> Governance:
    """Load a contract with *text* below its ``guardrails`` on line 11."""
    body = "\n".join(f"    {line}" for line in text.splitlines())
    return parse(f"{contract_yaml(tool)}  guardrails:\n{body}\n", "gov.yaml")


def refused(text: str) -> list[str]:
    with pytest.raises(InvalidContractError) as caught:
        loaded(text)
    return caught.value.lines()


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_every_kind_loads(kind: str) -> None:
    """With its settings alone; it is named by its kind and its strictest is off."""
    (one,) = loaded(f"- {{kind: {kind}, {PLAIN[kind]}}}").contracts["tool"].guardrails
    assert (one.kind, one.name, one.unknown) == (kind, kind, Mode.OFF)
    assert one.cap < Mode.AUTONOMOUS


MONEY = "- kind: money\n  limit: 10\n  currency: USD"
DISCOUNT = "- kind: discount\n  limit: 20"
SIGNAL = "- kind: signal\n  metric: m\n  above: 5"
HOURS = '- kind: business_hours\n  timezone: UTC\n  opens: "09:00"\n  closes: "17:00"'
BULK = "- kind: bulk\n  limit: 5"


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        (
            MONEY,
            "kind: money",
            "kind: monney",
            "12: agentToolGovernance.guardrails[0]: ",
        ),
        (MONEY, "10", "-10", "13: agentToolGovernance.guardrails[0].limit: must be a"),
        (MONEY, "10", "1e3", "[0].limit: must be a plain number"),
        (MONEY, "10", '"NaN"', "[0].limit: must be a plain number"),
        (MONEY, "10", "true", "[0].limit: must be a plain number"),
        (MONEY, "USD", "usd", "14: agentToolGovernance.guardrails[0].currency: "),
        (MONEY, "\n  currency: USD", "", "[0].currency: missing"),
        (MONEY, "USD", "USD\n  currency_: x", "15: agentToolGovernance.guardrails[0]."),
        (MONEY, "USD", "USD\n  per: week", "15: agentToolGovernance.guardrails[0].per"),
        (MONEY, "USD", "USD\n  timezone: Mars/X", "[0].timezone: 'Mars/X' is no time"),
        (
            MONEY,
            "USD",
            "USD\n  cap: autonomous",
            "15: agentToolGovernance.guardrails[0].",
        ),
        (MONEY, "USD", "USD\n  cap: autonomous", "it would never fire"),
        (MONEY, "USD", "USD\n  cap: off\n  unknown: observe", "is above the cap off"),
        (MONEY, "USD", "USD\n  name: Bad name", "[0].name: "),
        (MONEY, "USD", f"USD\n{MONEY}", "two are named 'money'"),
        (MONEY, "USD", "USD\n  only: {}", "[0].only.tools: state something"),
        (DISCOUNT, "20", "0.2", "[0].limit: is in percent; write 20 for 20 %"),
        (DISCOUNT, "20", "100", "no discount is above 100 percent"),
        (BULK, "5", "1.5", "[0].limit: "),
        (BULK, "5", "-1", "[0].limit: "),
        (SIGNAL, "above: 5", "window: 5", "[0].window: unknown key"),
        (SIGNAL, "\n  above: 5", "", "state exactly one of above and below"),
        (SIGNAL, "5", "5\n  below: 1", "state exactly one of above and below"),
        (SIGNAL, "5", "5\n  releaseAt: 6", "releaseAt: is beyond the threshold"),
        (SIGNAL, "5", "5\n  cap: off\n  missing: observe", "missing: observe is above"),
        (HOURS, '"17:00"', '"09:00"', "closes: is when it opens"),
        (HOURS, '"17:00"', '"24:00"', "[0].closes: must be a time"),
        (HOURS, '"17:00"', "17", "[0].closes: must be a time"),
        (HOURS, "UTC", "UTC\n  days: []", "[0].days: must list at least one"),
        (HOURS, "UTC", "UTC\n  days: [mon, mon]", "[0].days: lists 'mon' twice"),
        (BULK, BULK, "- kind: denylist", "[0].tools: must list at least one"),
        (BULK, BULK, "- kind: segments", "[0].accounts: must list at least one"),
        (
            *(BULK, BULK, "- kind: segments\n  regions: [eu]\n  notRegions: [eu]"),
            "[0].regions: 'eu' is allowed and excluded",
        ),
        (BULK, BULK, "- kind: evidence", "[0].minConfidence: state it"),
        (BULK, BULK, "- kind: evidence\n  minConfidence: 85", "[0].minConfidence: "),
        (BULK, BULK, "- kind: data_rules", "[0].never: must list at least one"),
        (BULK, BULK, "- kind: sequence\n  first: {}", "[0].first.tools: state"),
        (BULK, BULK, "- kind: source_allowlist\n  allowed: []", "[0].allowed: must"),
        (
            *(BULK, BULK, '- kind: decision_point\n  url: "ftp://x/y"'),
            "[0].url: ",
        ),
        (
            *(BULK, BULK, '- kind: decision_point\n  url: "http://u:p@x/y"'),
            "[0].url: ",
        ),
        (BULK, BULK, "- kind: custom\n  function: f\n  budgetMs: 0", "[0].budgetMs: "),
        (BULK, BULK, "- bulk", "[0]: "),
        (BULK, BULK, "kind: bulk", "guardrails: "),
    ],
)
def test_nonsense_is_refused_with_its_place(
    text: str, old: str, new: str, said: str
) -> None:
    """File, line and key of each fault; nothing is loaded."""
    assert old in text
    lines = refused(text.replace(old, new, 1))
    assert all(line.startswith("gov.yaml:") for line in lines)
    assert any(said in line for line in lines), lines


DEFAULTS = "guardrails:\n  - kind: bulk\n    limit: 5\n"


def test_those_of_the_file_are_added_to_every_contract() -> None:
    """Beside each contract's own, in every document of the file."""
    one = contract_yaml("one", guardrails="[{kind: discount, limit: 20}]")
    governance = parse(f"{DEFAULTS}{one}---\n{contract_yaml('two')}", "gov.yaml")
    named = {r.tool: [g.name for g in r.guardrails] for r in governance}
    assert named == {"one": ["discount", "bulk"], "two": ["bulk"]}
    assert governance.lines["two", "bulk"] == 2
    alone = parse(contract_yaml("two")).contracts["two"]
    assert governance.contracts["two"].revision != alone.revision


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            DEFAULTS + contract_yaml("one", guardrails="[{kind: bulk, limit: 9}]"),
            "'bulk' is that of the file on line 2; give it a name of its own",
        ),
        (
            DEFAULTS + contract_yaml("one") + "---\n" + DEFAULTS + contract_yaml("two"),
            "two are named 'bulk', first on line 2",
        ),
        (
            DEFAULTS.replace("5", "x") + contract_yaml("one"),
            "gov.yaml:3: guardrails[0].",
        ),
        (DEFAULTS, "gov.yaml:1: expected the key agentToolGovernance"),
        ("guardrail: []\n" + contract_yaml("one"), "guardrail: unknown key"),
    ],
)
def test_the_files_own_are_refused_like_any_other(text: str, said: str) -> None:
    """A contract cannot replace one of the file: guardrails only add."""
    with pytest.raises(InvalidContractError) as caught:
        parse(text, "gov.yaml")
    assert any(said in line for line in caught.value.lines()), caught.value.lines()


@pytest.mark.parametrize(
    "other",
    [
        "currency: JPY, per: day",
        "currency: USD, per: account",
        "currency: USD, per: day, timezone: Asia/Tokyo",
    ],
)
def test_money_that_counts_together_is_of_one_kind(other: str) -> None:
    """Of two currencies there is no sum, and a shared day begins once."""
    shared = "kind: money, name: daily, limit: 1000, across: workflow"
    one = contract_yaml("a", guardrails=f"[{{{shared}, currency: USD, per: day}}]")
    same = contract_yaml("b", guardrails=f"[{{{shared}, currency: USD, per: day}}]")
    parse(f"{one}\n---\n{same}")
    odd = contract_yaml("b", guardrails=f"[{{{shared}, {other}}}]")
    with pytest.raises(InvalidContractError, match="another one in the contract of"):
        parse(f"{one}\n---\n{odd}")

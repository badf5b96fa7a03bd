"""Rate limits and budgets in governance files: strict, exact, refused whole."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest

from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import parse
from openfeature_gov.governance.envelopes import micro
from openfeature_gov.ladder import Mode
from tests.conftest import contract_yaml

BUDGET = '{name: spend, unit: USD, ceiling: "19.99", per: day}'


def test_a_contract_with_envelopes_loads() -> None:
    """Every key is read; what is left out is the narrowest."""
    text = contract_yaml(
        "pay",
        rateLimits="[{rate: 20/minute}, {rate: 500/hour, of: account, name: out}]",
        budgets='[{name: a, unit: EUR, ceiling: "1000.000001", per: hour, of: tool,'
        ' charge: cost, reserve: "0.5", anomalyMultiple: 4, anomalyMode: draft_write}]',
    )
    (rules,) = parse(text)
    first, second = rules.rate_limits
    assert (first.count, first.seconds, first.of, first.name) == (20, 60, "agent", None)
    assert (second.count, second.seconds, second.name) == (500, 3600, "out")
    (budget,) = rules.budgets
    assert budget.ceiling_micro == 1_000_000_001
    assert (budget.reserve, budget.anomaly_multiple) == (Decimal("0.5"), 4)
    assert budget.anomaly_mode is Mode.DRAFT_WRITE


def test_a_file_without_envelopes_has_none() -> None:
    """Nothing is limited that nobody limited, and nothing is asked then."""
    (rules,) = parse(contract_yaml("pay"))
    assert not rules.rate_limits
    assert not rules.budgets


@pytest.mark.parametrize("burst", ["0", "-1", "100001", "1.5", '"5"'])
def test_a_burst_that_is_none(burst: str) -> None:
    """A bucket holds one call at least, and no more than can be counted exactly."""
    limits = f"[{{rate: 5/hour, burst: {burst}}}]"
    with pytest.raises(InvalidContractError, match=r"contract.yaml:11: .*burst"):
        parse(contract_yaml("pay", rateLimits=limits), "contract.yaml")


@pytest.mark.parametrize(
    "rate",
    ["20", "0/minute", "-1/minute", "20/week", "20 / minute", "1e3/hour", "20/minutes"],
)
def test_a_rate_that_is_none(rate: str) -> None:
    """A rate is a count and a time; the message says where."""
    with pytest.raises(InvalidContractError, match=r"contract.yaml:11: .*rateLimits"):
        parse(contract_yaml("pay", rateLimits=f"[{{rate: {rate}}}]"), "contract.yaml")


@pytest.mark.parametrize(
    "change",
    [
        'ceiling: "-1"',
        'ceiling: "NaN"',
        'ceiling: "Infinity"',
        'ceiling: "1e3"',
        'ceiling: "1,000"',
        'ceiling: "0.0000001"',
        'ceiling: "10000000000001"',
        "ceiling: 19.99",
        "ceiling: true",
        "ceiling: null",
        'unit: usd, ceiling: "1"',
        'unit: US, ceiling: "1"',
        'per: week, ceiling: "1"',
        'of: user, ceiling: "1"',
        'charge: amount, reserve: "1", ceiling: "1"',
        'charge: amount, unit: tokens, ceiling: "1"',
        'unit: calls, reserve: "1", ceiling: "1"',
        'anomalyMultiple: 1, ceiling: "1"',
        'anomalyMode: observe, ceiling: "1"',
        'name: "with blanks", ceiling: "1"',
        'soft: true, ceiling: "1"',
    ],
)
def test_a_budget_that_is_none(change: str) -> None:
    """Floats, signs, exponents, unknown keys and what means nothing are refused."""
    keys = {"name": "spend", "unit": "USD", "per": "day"}
    given = {part.split(":")[0].strip() for part in change.split(", ")}
    rest = "".join(f", {k}: {v}" for k, v in keys.items() if k not in given)
    with pytest.raises(InvalidContractError, match=r"f\.yaml:1[0-9]: .*budgets"):
        parse(contract_yaml("pay", budgets=f"[{{{change}{rest}}}]"), "f.yaml")


def test_one_name_is_one_budget() -> None:
    """Twice in a contract is a mistake; in two they must mean the same."""
    with pytest.raises(InvalidContractError, match="named twice"):
        parse(contract_yaml("pay", budgets=f"[{BUDGET}, {BUDGET}]"))
    one = contract_yaml("pay", budgets=f"[{BUDGET}]")
    assert (
        len(parse(f"{one}---\n{contract_yaml('refund', budgets=f'[{BUDGET}]')}")) == 2
    )
    other = BUDGET.replace("19.99", "20.00")
    with pytest.raises(InvalidContractError, match="another one in the contract of"):
        parse(f"{one}---\n{contract_yaml('refund', budgets=f'[{other}]')}")


def test_no_more_is_set_aside_than_there_is() -> None:
    """A share leaves something of the ceiling; without one there is none."""
    (rules,) = parse(contract_yaml("pay", budgets=f"[{BUDGET}]"))
    (budget,) = rules.budgets
    assert budget.away_micro == 0
    assert budget.ceiling_micro == micro(budget.ceiling)
    (aside,) = parse(_aside("1.99")).contracts["pay"].budgets
    assert aside.away_micro == micro(Decimal("1.99"))
    for share in (budget.ceiling, budget.ceiling + 1):
        with pytest.raises(InvalidContractError, match="leaves nothing of the ceiling"):
            parse(_aside(f"{share}"))
    other = contract_yaml("refund", budgets=f"[{BUDGET}]")
    with pytest.raises(InvalidContractError, match="another one in the contract of"):
        parse(f"{_aside('1.99')}---\n{other}")


def _aside(share: str) -> str:
    more = f'awayShare: "{share}"'
    return contract_yaml("pay", budgets=f"[{BUDGET[:-1]}, {more}}}]")


def test_one_name_is_one_limit() -> None:
    """Contracts that share a limit agree on it: two rates would be two counts."""
    one = contract_yaml("pay", rateLimits="[{rate: 5/hour, name: out}]")
    other = contract_yaml("mail", rateLimits="[{rate: 6/hour, name: out}]")
    with pytest.raises(InvalidContractError, match="rateLimits: 'out' is another one"):
        parse(f"{one}---\n{other}")
    bursts = contract_yaml("mail", rateLimits="[{rate: 5/hour, name: out, burst: 2}]")
    with pytest.raises(InvalidContractError, match="rateLimits: 'out' is another one"):
        parse(f"{one}---\n{bursts}")
    twice = "[{rate: 5/hour, name: out}, {rate: 5/hour, of: tool, name: out}]"
    with pytest.raises(InvalidContractError, match="rateLimits"):
        parse(contract_yaml("pay", rateLimits=twice))


def test_millionths_are_rounded_up() -> None:
    """What a call takes is never counted as less than it is."""
    amounts = ["0", "0.0000001", "1.5", "0.01"]
    assert [micro(Decimal(text)) for text in amounts] == [0, 1, 1_500_000, 10_000]


def test_what_is_spent_is_exact_in_any_decimal_context() -> None:
    """The host may count with three digits; a budget does not."""
    with localcontext() as host:
        host.prec = 3
        assert micro(Decimal("1234.567891")) == 1_234_567_891
        assert micro(Decimal("0.0000001")) == 1

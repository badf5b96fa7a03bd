"""Hostile calls: whatever an agent sends, a decision comes back and nothing widens."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openfeature_gov import Effect, Extractors, Governor, ToolCall
from openfeature_gov.canonical import MAX_DEPTH, MAX_NODES, kinds, seal
from openfeature_gov.contracts import Actor, CallContext, Evidence
from openfeature_gov.errors import InvalidCallError
from openfeature_gov.extracting import money
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Make, contract_yaml
from tests.full import share

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.decimals()
    | st.text(st.characters(), max_size=40)
    | st.binary(max_size=8)
    | st.sampled_from(["NaN", "-inf", "1,500", "\x00", "\ud800", "\u202e", "1e999"])
    | st.builds(object)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
        | st.tuples(inner)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(["pay", "Pay", "pay ", "p\u0430y", "look", "", "\x00"]) | (
    st.text(st.characters(), max_size=12)
)
CLAIMS = st.dictionaries(
    st.sampled_from(["riskClass", "reversibility", "amount", "x"]),
    st.text(max_size=12) | st.sampled_from(["search", "irreversible", "none"]),
    max_size=3,
)
CONFIDENCE = st.none() | st.floats() | st.decimals() | st.sampled_from([True, "high"])


@pytest.fixture
def governor(desk: Make) -> Governor:
    rules = contract_yaml(
        "pay",
        approval="{requiredFor: [low_confidence]}",
        evidence="{recordFields: [amount, to]}",
    )
    one = desk(
        rules
        + "---\n"
        + contract_yaml("look", riskClass="search", reversibility="automatic")
    )
    extract = Extractors(
        amount=lambda a: a["amount"],
        records=lambda a: a["rows"],
        record=lambda a: a["to"],
    )
    one.governor.tool("pay", extract=extract)(one.spy)
    one.governor.tool("look")(one.spy)
    one.governor.folder = one.records  # type: ignore[attr-defined]
    return one.governor


@settings(
    max_examples=share(10_000, of=20),
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(
    NAMES,
    st.dictionaries(
        st.sampled_from(["amount", "rows", "to"]) | st.text(max_size=6),
        VALUES,
        max_size=5,
    )
    | VALUES,
    CLAIMS,
    CONFIDENCE,
)
def test_every_call_gets_a_decision(
    governor: Governor, name: str, arguments: Any, claims: Any, confidence: Any
) -> None:
    """10,000 hostile calls in full: each is decided, what is allowed is well formed."""
    context = CallContext(
        actor=Actor(agent="a"),
        claims=claims,
        evidence=Evidence(confidence=confidence),
    )
    outcome = governor.decide(ToolCall(name, arguments, context))
    assert isinstance(outcome.effect, Effect)
    assert outcome.reason
    assert outcome.record_id
    if name not in ("pay", "look"):
        assert outcome.reason == "tool_unknown"
    contract = outcome.contract
    if name == "pay" and outcome.decision.full:
        assert contract is not None
        assert isinstance(contract.amount, Decimal)
        assert contract.amount.is_finite()
        assert contract.amount >= 0
        assert type(contract.records) is int
    if contract is not None:
        assert all(type(value) is str for value in contract.attributes().values())
        assert len(contract.attributes()) == 12


class Loud(int):
    """A number that could answer each comparison differently."""


DEEP: Any = 1
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (float("nan"), "arguments_invalid"),
        (float("inf"), "arguments_invalid"),
        (-float("inf"), "arguments_invalid"),
        (10**5000, "arguments_invalid"),
        ("500", "amount_unreadable"),
        ("1,500", "amount_unreadable"),
        (None, "amount_unreadable"),
        ([5], "amount_unreadable"),
        ({"value": 5}, "amount_unreadable"),
        (True, "amount_unreadable"),
        (-5, "amount_unreadable"),
        ("x" * 1_000_000, "arguments_too_large"),
        (DEEP, "arguments_too_large"),
        ([0] * 10_000, "arguments_too_large"),
        ("\ud800", "arguments_invalid"),
        (object(), "arguments_invalid"),
        ({1: 2}, "arguments_invalid"),
        (b"5", "arguments_invalid"),
    ],
    ids=lambda value: value if type(value) is str and len(value) < 40 else "value",
)
def test_values_that_break_comparisons_are_denied(
    amount: Any, reason: str, governor: Governor
) -> None:
    """Each value that could slip past a comparison ends in a named denial."""
    given = {"amount": amount, "rows": 1, "to": "o-1"}
    outcome = governor.run(ToolCall("pay", given, CONTEXT))
    assert (outcome.effect, outcome.reason) == (Effect.DENY, reason)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("-0.01"),
        -1,
        True,
        "5",
        None,
        Loud(5),
    ],
    ids=str,
)
def test_money_is_a_finite_amount(value: Any) -> None:
    """What an extractor computes is money only when it is exact and not negative."""
    with pytest.raises(ValueError, match="amount"):
        money(value)
    amounts = [money(0), money(1.5), money(Decimal(7))]
    assert amounts == [Decimal(0), Decimal("1.5"), Decimal(7)]


def test_missing_amount_is_denied(governor: Governor) -> None:
    """An argument that the extractor needs and does not find caps at off."""
    outcome = governor.run(ToolCall("pay", {"rows": 1, "to": "o-1"}, CONTEXT))
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "amount_unreadable")


def test_control_characters_cannot_forge_a_record(governor: Governor) -> None:
    """Escape sequences and line breaks in names and fields are escaped in records."""
    evil = "a\nb\x1b[2J\u202e"
    governor.decide(ToolCall("a\x1b[2J\u202e", {}, CONTEXT))
    governor.decide(ToolCall("pay", {"amount": 1, "rows": 1, "to": evil}, CONTEXT))
    path: Any = governor.folder  # type: ignore[attr-defined]
    governor.close()
    bodies = history.records(path, kind="decision")
    assert bodies[0]["tool"] == "a\\x1b[2J\\u202e"
    assert bodies[1]["targetRecord"].startswith("sha256:")
    assert bodies[1]["fields"]["to"] == "a\\x0ab\\x1b[2J\\u202e"


@settings(max_examples=500)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_seal_copies_or_refuses(arguments: dict[str, Any]) -> None:
    """Sealed arguments are bounded, detached, and have the same bytes every time."""
    try:
        copied, encoded = seal(arguments)
    except InvalidCallError as error:
        refused = error.code
    else:
        refused = ""
    if refused:
        assert refused in ("arguments_invalid", "arguments_too_large")
        return
    assert copied is not arguments
    assert seal(copied)[1] == encoded
    assert b"NaN" not in encoded or "NaN" in str(arguments)
    reordered = dict(reversed(list(arguments.items())))
    assert seal(reordered)[1] == encoded


class Colour(Enum):
    """A word that JSON writes as its text."""

    RED = "red"


TEXTUAL = (
    st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.uuids()
    | st.just(Colour.RED)
)
TREES = st.recursive(
    TEXTUAL | st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def typed(tree: Any) -> Any:
    """Return *tree* with the type of everything in it."""
    if isinstance(tree, dict):
        return {key: typed(one) for key, one in tree.items()}
    if isinstance(tree, list):
        return [typed(one) for one in tree]
    return type(tree), tree


@cache
def word(text: str) -> Any:
    """Return a word that JSON writes as *text*, the same one each time."""
    return Enum("Word", {"ANY": text})["ANY"]  # type: ignore[index] # a class, made


def disguised(tree: Any, way: Callable[[], str]) -> Any:
    """Return a tree of the same bytes, what is text in them disguised by its *way*."""
    if isinstance(tree, dict):
        return {key: disguised(one, way) for key, one in tree.items()}
    if isinstance(tree, list):
        return [disguised(one, way) for one in tree]
    plain = orjson.loads(seal({"": tree})[1])[""]
    if type(plain) is not str or (found := way()) == "as it is":
        return tree
    return plain if found == "text" else word(plain)


WAYS = st.sampled_from(["as it is", "text", "word"])


@settings(max_examples=share(2_000, of=4))
@given(st.dictionaries(st.text(max_size=2), TREES, max_size=3), st.data())
def test_bytes_and_kinds_say_all(
    arguments: dict[str, Any], data: st.DataObject
) -> None:
    """Of equal bytes, what a tool gets is the same exactly where the kinds are."""
    try:
        seal(arguments)
    except InvalidCallError:  # what no UTF-8 can write
        return

    def way() -> str:
        return data.draw(WAYS)

    (one, encoded), (other, again) = (seal(disguised(arguments, way)) for _ in range(2))
    assert encoded == again
    assert (kinds(one) == kinds(other)) is (typed(one) == typed(other))
    assert (kinds(one) == []) is (typed(orjson.loads(encoded)) == typed(one))


class Growing(list[int]):
    """A list that could hold something else at the next look."""


class Shifting(dict[str, int]):
    """A mapping that could hold something else at the next look."""


@pytest.mark.parametrize(
    "value",
    [
        Loud(5),
        Growing([1]),
        Shifting(a=1),
        Decimal("NaN"),
        Decimal("Infinity"),
        float("nan"),
        2**64,
        -(2**63) - 1,
        b"x",
    ],
    ids=lambda value: type(value).__name__,
)
def test_seal_is_exact_about_its_domain(value: Any) -> None:
    """Subclasses and values beyond the domain are refused, the limits are not."""
    for arguments in ({"a": value}, {"a": [value]}, {"a": {"b": value}}):
        with pytest.raises(InvalidCallError):
            seal(arguments)
    for limit in (2**64 - 1, -(2**63), Decimal("1.50"), 1.5):
        seal({"a": limit})
    assert seal({"b": 1, "a": 2})[1] == seal({"a": 2, "b": 1})[1]


@pytest.mark.parametrize("value", [1, "x", None, 1.5], ids=repr)
def test_as_many_values_as_may_be_are_counted(value: Any) -> None:
    """Flat arguments are counted as others are, and their keys are names."""
    flat: dict[Any, Any] = {f"{number}": value for number in range(MAX_NODES)}
    seal(flat)
    for one_more in ("a", "b"):
        with pytest.raises(InvalidCallError) as caught:
            seal({**flat, one_more: value})
        assert caught.value.code == "arguments_too_large"
    with pytest.raises(InvalidCallError) as caught:
        seal({1: value})  # type: ignore[dict-item] # what is no name
    assert caught.value.code == "arguments_invalid"
    assert caught.value.detail == "a key is a int"


def test_depth_is_bounded_exactly() -> None:
    """The deepest accepted tree has MAX_DEPTH levels, one more is refused."""

    def nested(levels: int) -> dict[str, Any]:
        tree: Any = 1
        for _ in range(levels - 1):
            tree = [tree]
        return {"a": tree}

    seal(nested(MAX_DEPTH))
    with pytest.raises(InvalidCallError):
        seal(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("bad", ["", "a b", "jane@example.com", "x" * 200, "a\nb", "ä"])
def test_ids_in_the_flag_context_are_opaque(bad: str) -> None:
    """No e-mail, no free text and no blank id can become a targeting key."""
    with pytest.raises(InvalidCallError):
        Actor(agent=bad)
    with pytest.raises(InvalidCallError):
        CallContext(actor=Actor(agent="a"), account=bad or "a b")

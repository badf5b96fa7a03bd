"""The provider and evaluation contexts: which become text, and which are refused."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

from openfeature.contrib.provider.featbit import FeatBitProvider
from openfeature.contrib.provider.featbit.authoring import (
    condition,
    document,
    rule,
    string_flag,
)
from tests.featbit_provider import (
    DEFAULTS,
    DOCUMENT,
    FLAGS,
    check_refused,
    resolve,
    static,
)

__all__ = ["static"]


class Word(str, Enum):  # noqa: UP042 - str() of it is not its value
    """Text with a name."""

    GOLD = "gold"


class Number(IntEnum):
    """A number with a name."""

    ONE = 1


def seen_as(value: object) -> str | None:
    """Return which text a rule sees for attribute *value*; None if refused."""
    texts = ["", "gold", "true", "false", "5", "-3", "0", "0.5", "1e-07", "E.A", "Word"]
    texts += ["10000000000000000000000", "True", "5.0", "Word.GOLD", "1"]
    rules = [rule(t or "empty", [condition("a", "Equal", t)], serve="v") for t in texts]
    flag = string_flag("f", ["v"], serve="v", off="v", rules=rules)
    provider = FeatBitProvider.from_json(json.dumps(document([flag])))
    context = EvaluationContext("u", {"a": value})  # type: ignore[dict-item]
    details = provider.resolve_string_details("f", "default", context)
    if details.error_code is not None:
        assert details.error_code is ErrorCode.INVALID_CONTEXT
        assert details.value == "default"
        return None
    matched = details.flag_metadata.get("rule")
    return "" if matched == "empty" else str(matched)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gold", "gold"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (-3, "-3"),
        (5.0, "5"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (1e22, "10000000000000000000000"),
        (1e-7, "1e-07"),
        (Word.GOLD, "gold"),
    ],
)
def test_attributes_become_text(value: object, text: str) -> None:
    """Booleans, numbers and text enums arrive as FeatBit's server would store them."""
    assert seen_as(value) == text


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], ["a"], {}, {"a": 1}, ("a",), {"a"}, b"a", object()),
        *(math.nan, math.inf, -math.inf, 10**400, Number.ONE, 1j),
        *(datetime(2026, 1, 1, tzinfo=UTC), Path("x")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_attributes_are_refused_rather_than_dropped(value: object) -> None:
    """What cannot be passed on faithfully refuses the whole context."""
    assert seen_as(value) is None


@pytest.mark.parametrize(
    "name", ["key", "KEY", "keyId", "keyid", "name", "Name", "self", 5, None]
)
def test_reserved_names_are_refused(static: FeatBitProvider, name: Any) -> None:
    """FeatBit's own attribute names and names that are not text are refused."""
    details = resolve(static, "string", "string", EvaluationContext("u", {name: "x"}))
    check_refused(details, "string", ErrorCode.INVALID_CONTEXT)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, ErrorCode.TARGETING_KEY_MISSING),
        ("", ErrorCode.TARGETING_KEY_MISSING),
        (" \t", ErrorCode.TARGETING_KEY_MISSING),
        (5, ErrorCode.INVALID_CONTEXT),
        (Word.GOLD, ErrorCode.INVALID_CONTEXT),
    ],
)
def test_targeting_keys_must_be_text(
    static: FeatBitProvider, key: Any, code: ErrorCode
) -> None:
    """No key, a blank one, or something else than text evaluates nothing."""
    check_refused(
        resolve(static, "string", "string", EvaluationContext(key)), "string", code
    )


VALUES = st.one_of(
    st.text(), st.booleans(), st.integers(), st.floats(), st.none(), st.lists(st.text())
)


@given(
    st.one_of(st.none(), st.text()),
    st.dictionaries(st.text(), VALUES, max_size=4),
    st.sampled_from(sorted(DEFAULTS)),
    st.one_of(st.sampled_from([flag["key"] for flag in FLAGS]), st.text()),
)
def test_resolving_never_raises(
    key: str | None, attributes: Mapping[str, Any], kind: str, flag: str
) -> None:
    """Any context and key give either a value without an error or a full refusal."""
    provider = FeatBitProvider.from_json(json.dumps(DOCUMENT))
    details = resolve(provider, kind, flag, EvaluationContext(key, attributes))
    if details.error_code is not None:
        check_refused(details, kind, details.error_code)

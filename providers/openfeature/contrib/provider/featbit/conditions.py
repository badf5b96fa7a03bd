"""Compile the conditions of rules and segments to closures over the user.

A compiled test answers True, False, or None: it cannot be decided, because the
attribute is missing, is not a number, or is too long for a pattern. What cannot be
decided never matches, whether the operator is positive or negative: an attribute
that somebody drops must not grant anything.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.flagset import Condition, Segment
from openfeature.contrib.provider.featbit.patterns import (
    LONGEST_VALUE,
    compile_pattern,
)
from openfeature.contrib.provider.featbit.strict_json import read_json
from openfeature.contrib.provider.featbit.values import finite_number

Attributes = Mapping[str, str]
Test = Callable[[str, Attributes], bool | None]
"""Answer for (targeting key, attributes)."""
Predicate = Callable[[str], bool | None]

IN_SEGMENT, NOT_IN_SEGMENT = "User is in segment", "User is not in segment"
SEGMENT_OPERATORS = (IN_SEGMENT, NOT_IN_SEGMENT)
KEY_NAMES = frozenset({"key", "keyid", "name"})
"""Built-in attributes, in any case; the name of a user is its targeting key here."""


def compile_condition(condition: Condition, segments: Mapping[str, Test]) -> Test:
    """Compile one condition; *segments* are the compiled segments by id.

    Raises:
        FeatBitDataError: an unknown operator or segment, or a value that the
            operator cannot use.

    """
    name = condition.operator
    if name in SEGMENT_OPERATORS:
        members = [_segment(one, segments) for one in segment_ids(condition)]
        return _among(members) if name == IN_SEGMENT else _outside(members)
    if name not in PREDICATES:
        raise FeatBitDataError(f'unknown operator "{name}"; known: {_known()}')
    return _on_attribute(condition.attribute, PREDICATES[name](condition.value))


def compile_segment(segment: Segment) -> Test:
    """Compile membership in *segment*: excluded, then included, then any rule.

    Raises:
        FeatBitDataError: as `compile_condition`, or a rule that refers to a segment.

    """
    included, excluded = segment.included, segment.excluded
    rules = [
        _every([_plain(condition) for condition in conditions])
        for conditions in segment.rules
    ]
    by_rule = _any(rules)

    def member(key: str, attributes: Attributes) -> bool | None:
        if key in excluded:
            return False
        return key in included or by_rule(key, attributes)

    return member


def segment_ids(condition: Condition) -> list[str]:
    """Return the ids of the segments that *condition* names; none for most.

    Raises:
        FeatBitDataError: the value is not a JSON list of text.

    """
    if condition.operator not in SEGMENT_OPERATORS:
        return []
    return _listed(condition.value)


def is_key(attribute: str) -> bool:
    """Tell whether an attribute means the targeting key."""
    return attribute.lower() in KEY_NAMES


def _on_attribute(name: str, holds: Predicate) -> Test:
    def on_key(key: str, _attributes: Attributes) -> bool | None:
        return holds(key)

    def on_attribute(_key: str, attributes: Attributes) -> bool | None:
        text = attributes.get(name)
        return None if text is None else holds(text)

    return on_key if is_key(name) else on_attribute


def _every(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def every(key: str, attributes: Attributes) -> bool | None:
        answers = [test(key, attributes) for test in tests]
        if False in answers:
            return False
        return None if None in answers else True

    return every


def _any(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def some(key: str, attributes: Attributes) -> bool | None:
        undecided = False
        for test in tests:
            answer = test(key, attributes)
            if answer:
                return True
            undecided |= answer is None
        return None if undecided else False

    return some


_among = _any


def _outside(members: Sequence[Test]) -> Test:
    inside = _any(members)

    def outside(key: str, attributes: Attributes) -> bool | None:
        answer = inside(key, attributes)
        return None if answer is None else not answer

    return outside


def _plain(condition: Condition) -> Test:
    # FeatBit's server refuses such rules too; following them could run in a circle.
    if condition.operator in SEGMENT_OPERATORS:
        raise FeatBitDataError("a segment's rule cannot refer to segments")
    return compile_condition(condition, {})


def _segment(segment_id: str, segments: Mapping[str, Test]) -> Test:
    try:
        return segments[segment_id]
    except KeyError:
        known = ", ".join(segments) or "none"
        problem = f'unknown or archived segment "{segment_id}"; there are: {known}'
        raise FeatBitDataError(problem) from None


def _listed(value: str) -> list[str]:
    members = read_json(value)
    if isinstance(members, list) and all(isinstance(one, str) for one in members):
        return members
    raise FeatBitDataError(f"{value!r} must be a JSON list of text")


def _compared(relation: Callable[[float, float], bool]) -> Callable[[str], Predicate]:
    def build(value: str) -> Predicate:
        bound = finite_number(value)
        if bound is None:
            raise FeatBitDataError(f"{value!r} is no finite number")

        def compare(text: str) -> bool | None:
            number = finite_number(text)
            return None if number is None else relation(number, bound)

        return compare

    return build


def _one_of(value: str) -> Predicate:
    return frozenset(_listed(value)).__contains__


def _not_one_of(value: str) -> Predicate:
    return partial(_lacks, frozenset(_listed(value)))


def _lacks(members: frozenset[str], text: str) -> bool:
    return text not in members


def _matches(value: str) -> Predicate:
    search = compile_pattern(value).search

    def matches(text: str) -> bool | None:
        return None if len(text) > LONGEST_VALUE else search(text) is not None

    return matches


def _mismatches(value: str) -> Predicate:
    matches = _matches(value)

    def mismatches(text: str) -> bool | None:
        answer = matches(text)
        return None if answer is None else not answer

    return mismatches


def _known() -> str:
    return ", ".join((*PREDICATES, *SEGMENT_OPERATORS))


# `operator.eq` and not `str.__eq__`: the latter answers NotImplemented, which is
# truthy, for anything that is not text.
PREDICATES: Mapping[str, Callable[[str], Predicate]] = {
    "BiggerThan": _compared(operator.gt),
    "BiggerEqualThan": _compared(operator.ge),
    "LessThan": _compared(operator.lt),
    "LessEqualThan": _compared(operator.le),
    "Equal": lambda value: partial(operator.eq, value),
    "NotEqual": lambda value: partial(operator.ne, value),
    "Contains": lambda value: lambda text: value in text,
    "NotContain": lambda value: lambda text: value not in text,
    "StartsWith": lambda value: lambda text: text.startswith(value),
    "EndsWith": lambda value: lambda text: text.endswith(value),
    "IsOneOf": _one_of,
    "NotOneOf": _not_one_of,
    "IsTrue": lambda _value: lambda text: text.lower() == "true",
    "IsFalse": lambda _value: lambda text: text.lower() == "false",
    "MatchRegex": _matches,
    "NotMatchRegex": _mismatches,
}
"""One row for each operator: its value to a predicate over the attribute's text."""

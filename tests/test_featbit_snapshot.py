"""Parsing, compiling and evaluating FeatBit data, without OpenFeature's machinery."""

import copy
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature.exception import InvalidContextError
from openfeature.flag_evaluation import Reason

from openfeature.contrib.provider.featbit import (
    FeatBitDataError,
    Snapshot,
    read_snapshot,
)
from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    json_flag,
    number_flag,
    rule,
    segment,
    segment_condition,
    string_flag,
)
from openfeature.contrib.provider.featbit.buckets import WHOLE, bucket, choose
from openfeature.contrib.provider.featbit.conditions import (
    NOT_IN_SEGMENT,
    PREDICATES,
    compile_condition,
)
from openfeature.contrib.provider.featbit.flagset import Condition
from openfeature.contrib.provider.featbit.patterns import (
    LONGEST_VALUE,
    compile_pattern,
)
from openfeature.contrib.provider.featbit.snapshot import changed_keys
from openfeature.contrib.provider.featbit.values import finite_number, read_value

TRUSTED = segment(
    "seg-trusted",
    included=["agent-7"],
    excluded=["agent-8"],
    rules=[[condition("team", "IsOneOf", ["core", "sre"])]],
)
MODE_RULES = [
    rule(
        "r1",
        [
            condition("env", "Equal", "prod"),
            condition("tool", "IsOneOf", ["shell", "sql_write"]),
        ],
        serve="deny",
    ),
    rule("r2", [segment_condition(["seg-trusted"])], serve="allow"),
    rule(
        "r3",
        [condition("cost_usd", "LessEqualThan", "0.5")],
        serve={"allow": 0.5, "approve": 0.5},
    ),
]
MODES = {"allow": "allow", "approve": "require_approval", "deny": "deny"}


def mode_flag(**changes: Any) -> Json:
    """Build the flag of the golden table: three rules, a target, a 30/70 split."""
    flag = string_flag(
        "agent.tool.mode",
        MODES,
        serve="deny",
        off="deny",
        targets={"allow": ["agent-root"]},
        rules=MODE_RULES,
    )
    flag["fallthrough"]["variations"] = [
        {"id": "approve", "rollout": [0, 0.3]},
        {"id": "deny", "rollout": [0.3, 1]},
    ]
    return {**flag, **changes}


def everything() -> Json:
    """Build a document that uses every part of the format."""
    return document(
        [
            mode_flag(),
            boolean_flag("agent.enabled", serve=True, env_id="env-1"),
            number_flag(
                "agent.steps", {"many": 25, "some": 2.5}, serve="many", off="some"
            ),
            json_flag(
                "agent.budget", {"b": {"usd": 2.5}, "none": []}, serve="b", off="none"
            ),
            {**boolean_flag("agent.gone", serve=True), "isArchived": True},
        ],
        [TRUSTED, {**segment("seg-old"), "isArchived": True}],
    )


def snapshot_of(*flags: Json, segments: tuple[Json, ...] = ()) -> Snapshot:
    """Compile a document of *flags* and *segments*."""
    return read_snapshot(json.dumps(document(flags, segments)))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("test-value", 0.14653629204258323),
        ("qKPKh1S3FolC", 0.9105919692665339),
        ("3eacb184-2d79-49df-9ea7-edd4f10e4c6f", 0.08994403155520558),
    ],
)
def test_buckets_are_those_of_featbit(text: str, share: float) -> None:
    """Three golden vectors measured on FeatBit's server give the same bucket."""
    assert bucket(text) / WHOLE == share


@pytest.mark.parametrize(
    ("key", "attributes", "value", "variant", "reason", "matched"),
    [
        ("agent-root", {}, "allow", "allow", Reason.TARGETING_MATCH, None),
        (
            "a1",
            {"env": "prod", "tool": "shell"},
            "deny",
            "deny",
            Reason.TARGETING_MATCH,
            "r1",
        ),
        ("a1", {"env": "prod", "tool": "search"}, "deny", "deny", Reason.SPLIT, None),
        ("agent-7", {}, "allow", "allow", Reason.TARGETING_MATCH, "r2"),
        ("a2", {"team": "sre"}, "allow", "allow", Reason.TARGETING_MATCH, "r2"),
        ("agent-8", {"team": "core"}, "deny", "deny", Reason.SPLIT, None),
        (
            "a3",
            {"cost_usd": "0.49"},
            "require_approval",
            "approve",
            Reason.SPLIT,
            "r3",
        ),
        ("a3", {"cost_usd": "0.51"}, "deny", "deny", Reason.SPLIT, None),
    ],
)
def test_golden_answers(
    key: str,
    attributes: dict[str, str],
    value: str,
    variant: str,
    reason: Reason,
    matched: str | None,
) -> None:
    """Answers measured on FeatBit's SDK for one flag with all kinds of rules hold."""
    flags = read_snapshot(json.dumps(everything()))
    answer = flags.evaluate("agent.tool.mode", key, attributes)
    assert answer is not None
    assert (answer.value, answer.variant, answer.reason) == (value, variant, reason)
    assert answer.metadata.get("rule") == matched


@pytest.mark.parametrize(
    ("enabled", "target", "ruled", "split"),
    list(itertools.product([True, False], repeat=4)),
)
def test_the_reason_tells_how_a_user_fell_through(
    enabled: bool, target: bool, ruled: bool, split: bool
) -> None:
    """Off is DISABLED, a split SPLIT, else DEFAULT with targeting, STATIC without."""
    flag = mode_flag(isEnabled=enabled)
    if not target:
        flag["targetUsers"] = []
    if not ruled:
        flag["rules"] = []
    if not split:
        flag["fallthrough"]["variations"] = [{"id": "deny", "rollout": [0, 1]}]
    answer = snapshot_of(flag, segments=(TRUSTED,)).evaluate("agent.tool.mode", "x", {})
    assert answer is not None
    wanted = Reason.DEFAULT if target or ruled else Reason.STATIC
    if split:
        wanted = Reason.SPLIT
    assert answer.reason == (wanted if enabled else Reason.DISABLED)


def test_off_beats_targets_and_rules() -> None:
    """A flag that is off serves its off variation even to a targeted user."""
    flags = snapshot_of(mode_flag(isEnabled=False), segments=(TRUSTED,))
    answer = flags.evaluate("agent.tool.mode", "agent-root", {})
    assert answer is not None
    assert (answer.value, answer.variant) == ("deny", "deny")


def test_metadata_is_scalar_and_read_only() -> None:
    """Version, flag set, variation name and rule are there; none can be changed."""
    flags = snapshot_of(
        mode_flag(envId="env-9", updatedAt="2026-01-02T03:04:05.6789Z"),
        segments=(TRUSTED,),
    )
    answer = flags.evaluate("agent.tool.mode", "agent-7", {})
    assert answer is not None
    assert answer.metadata == {
        "version": 1767323045678,
        "flagSetId": "env-9",
        "variationName": "allow",
        "rule": "r2",
    }
    with pytest.raises(TypeError):
        answer.metadata["version"] = 0  # type: ignore[index]


def test_archived_and_unknown_flags_have_no_answer() -> None:
    """Archived flags are as absent as unknown ones, whatever else they hold."""
    flags = snapshot_of({"key": "gone", "id": "x", "isArchived": True})
    assert flags.evaluate("gone", "u", {}) is None
    assert flags.evaluate("never", "u", {}) is None
    assert flags.flag_set.archived_flags == {"gone"}


def test_json_answers_are_fresh() -> None:
    """Changing an answer of a json flag changes no later answer."""
    flags = snapshot_of(json_flag("j", {"a": {"tools": ["x"]}}, serve="a", off="a"))
    answer = flags.evaluate("j", "u", {})
    assert answer is not None
    answer.value["tools"].append("y")
    assert answer.value == {"tools": ["x"]}


def paths(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every member and element of a JSON value."""
    children: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for name, child in children:
        yield (*at, name)
        yield from paths(child, (*at, name))


def edited(path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> str:
    """Return the full document as text after *change* at *path*."""
    whole: Any = copy.deepcopy(everything())
    parent = whole
    for step in path[:-1]:
        parent = parent[step]
    change(parent, path[-1])
    return json.dumps(whole)


REPLACEMENTS: list[object] = [None, True, 0, -1, 1.5, "", " ", "zzz", [], {}, [[]], [1]]


@pytest.mark.parametrize("path", list(paths(everything())), ids=str)
def test_damage_is_refused_or_harmless(path: tuple[Any, ...]) -> None:
    """Whatever one member becomes, loading refuses or every evaluation answers."""

    def drop(parent: Any, name: Any) -> None:
        del parent[name]

    changes: list[Callable[[Any, Any], None]] = [drop]
    changes += [
        lambda parent, name, new=new: parent.__setitem__(name, new)  # type: ignore[misc]
        for new in REPLACEMENTS
    ]
    for change in changes:
        try:
            flags = read_snapshot(edited(path, change))
        except FeatBitDataError:
            continue
        for key, user in itertools.product(flags.flags, ["agent-7", "a3", "x"]):
            attributes = {"env": "prod", "tool": "shell", "cost_usd": "0.4"}
            dispatch = {" ": "d", "zzz": "d"}
            answer = flags.evaluate(key, user, attributes | dispatch)
            assert answer is not None
            assert type(answer.value) in (bool, int, float, str, list, dict)


MODE = ("data", "featureFlags", 0)


@pytest.mark.parametrize(
    ("path", "new", "words"),
    [
        (("messageType",), "ping", ["messageType", "data-sync", "ping"]),
        (("data", "eventType"), "patch", ["eventType", "full", "patch"]),
        ((*MODE, "variationType"), "xml", ["agent.tool.mode", "xml"]),
        ((*MODE, "isEnabled"), "true", ["agent.tool.mode", "isEnabled", "text"]),
        ((*MODE, "disabledVariationId"), "x", ["agent.tool.mode", '"x"', "approve"]),
        ((*MODE, "targetUsers", 0, "variationId"), "x", ["agent.tool.mode", '"x"']),
        ((*MODE, "updatedAt"), "yesterday", ["agent.tool.mode", "updatedAt"]),
        ((*MODE, "updatedAt"), "2026-01-01T00:00:00", ["updatedAt", "offset"]),
        ((*MODE, "variations", 1, "id"), "allow", ["agent.tool.mode", "repeat"]),
        ((*MODE, "variations", 1, "value"), 5, ["variations[1]", "value", "number"]),
        ((*MODE, "fallthrough", "variations"), [], ["fallthrough", "[0.0, 1.0]"]),
        (
            (*MODE, "fallthrough", "variations", 0, "rollout"),
            [0, 0.2],
            ["agent.tool.mode", "fallthrough", "nothing serves [0.2, 0.3]"],
        ),
        (
            (*MODE, "fallthrough", "variations", 0, "rollout"),
            [0, 0.4],
            ["overlap", "[0.3, 0.4]"],
        ),
        (
            (*MODE, "rules", 2, "variations", 1, "rollout"),
            [0.5, 0.99999],
            ["rules[2]", "[0.99999, 1.0]"],
        ),
        ((*MODE, "rules", 2, "variations", 1, "rollout"), [1, 0.5], ["backwards"]),
        ((*MODE, "rules", 2, "variations", 1, "rollout"), [0.5], ["[from, to]"]),
        ((*MODE, "rules", 0, "conditions", 0, "op"), "Like", ["r1", "Like", "Equal"]),
        ((*MODE, "rules", 0, "conditions", 0, "op"), None, ["r1", "env"]),
        ((*MODE, "rules", 0, "conditions", 1, "value"), '"shell"', ["r1", "list"]),
        ((*MODE, "rules", 0, "conditions", 1, "value"), "[5]", ["r1", "list"]),
        ((*MODE, "rules", 0, "conditions", 1, "value"), "[", ["r1", "JSON"]),
        (
            (*MODE, "rules", 1, "conditions", 0, "value"),
            '["nobody"]',
            ["agent.tool.mode", "r2", '"nobody"', "seg-trusted"],
        ),
        (
            (*MODE, "rules", 1, "conditions", 0, "value"),
            '["seg-old"]',
            ["archived", '"seg-old"'],
        ),
        ((*MODE, "rules", 2, "conditions", 0, "value"), "1,5", ["r3", "1,5"]),
        ((*MODE, "rules", 2, "conditions", 0, "value"), "NaN", ["r3", "NaN"]),
        (("data", "featureFlags", 1, "key"), "agent.tool.mode", ["twice"]),
        (("data", "featureFlags", 2, "variations", 0, "value"), "abc", ["abc"]),
        (("data", "segments", 0, "isArchived"), True, ["seg-trusted"]),
        (("data", "segments", 0, "included"), "x", ["seg-trusted", "included"]),
        (
            ("data", "segments", 0, "rules", 0, "conditions", 0),
            segment_condition(["seg-trusted"]),
            ["seg-trusted", "cannot refer"],
        ),
    ],
)
def test_refusals_say_where_and_what(
    path: tuple[Any, ...], new: object, words: list[str]
) -> None:
    """An error names the flag or segment, the field, and what was seen."""
    with pytest.raises(FeatBitDataError) as caught:
        read_snapshot(edited(path, lambda parent, name: parent.__setitem__(name, new)))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
    ids=repr,
)
def test_what_is_not_strict_json_is_refused(data: bytes) -> None:
    """Bad encoding, repeated members, NaN, overflow and deep nesting are one error."""
    with pytest.raises(FeatBitDataError):
        read_snapshot(data)


def test_unknown_members_are_tolerated() -> None:
    """FeatBit may add members anywhere without breaking a reader."""

    def extended(value: Any) -> Any:
        if isinstance(value, list):
            return [extended(one) for one in value]
        if isinstance(value, dict):
            return {**{k: extended(v) for k, v in value.items()}, "news": {"a": [1]}}
        return value

    flags = read_snapshot(json.dumps(extended(everything())))
    assert flags.evaluate("agent.tool.mode", "agent-root", {}) is not None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("string", "", ""),
        ("string", "nan", "nan"),
        ("number", "25", 25),
        ("number", "-2.0", -2),
        ("number", "2.5", 2.5),
        ("number", "1e3", 1000),
        ("number", "9007199254740993", 9007199254740993),
        ("json", '{"b": 1, "a": [true]}', b'{"b":1,"a":[true]}'),
        ("json", "5", b"5"),
    ],
)
def test_values_are_parsed_by_declared_type(
    kind: str, text: str, value: object
) -> None:
    """A value is read by its flag's type, whole numbers as int, digits exactly."""
    read = read_value(kind, text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("boolean", text) for text in ("True", "TRUE", "1", "", " true", '"true"')),
        *(("number", text) for text in ("abc", "nan", "inf", "1e999", "1_0", "", "٣")),
        *(("number", text) for text in ("1,5", "0x1", "9" * 5000, " 1", "1 ")),
        *(("json", text) for text in ("{bad", "", "NaN", '{"a":1,"a":2}', "1" * 30)),
        ("json", '"\\ud800"'),
        ("xml", "<a/>"),
    ],
)
def test_values_that_do_not_parse_are_refused(kind: str, text: str) -> None:
    """No raw text is ever served for another type."""
    with pytest.raises(FeatBitDataError):
        read_value(kind, text)


SAMPLES = {
    "BiggerThan": "5",
    "BiggerEqualThan": "5",
    "LessThan": "5",
    "LessEqualThan": "5",
    "IsOneOf": '["5"]',
    "NotOneOf": '["5"]',
}


@pytest.mark.parametrize("op", PREDICATES)
def test_a_missing_attribute_never_matches(op: str) -> None:
    """Positive or negative, no operator matches what is not there."""
    wanted = Condition("tool", op, SAMPLES.get(op, "x"))
    assert not compile_condition(wanted, {})("key", {"other": "x"})


@pytest.mark.parametrize(
    ("attributes", "outside"),
    [
        ({"team": "core", "amount": "9"}, False),
        ({"team": "x", "amount": "9"}, True),
        ({"team": "x"}, True),
        ({"amount": "9"}, False),
        ({"amount": "1"}, True),
        ({}, False),
        ({"team": "core", "amount": "many"}, False),
        ({"team": "core", "amount": "NaN"}, False),
        ({"team": "x", "amount": "many"}, True),
    ],
)
def test_not_in_a_segment_must_be_certain(
    attributes: dict[str, str], outside: bool
) -> None:
    """Being in no segment holds only if every rule is certain not to hold."""
    big_core = segment(
        "s",
        rules=[
            [condition("team", "Equal", "core"), condition("amount", "BiggerThan", "5")]
        ],
    )
    flag = boolean_flag(
        "f",
        serve=False,
        rules=[
            rule("r", [segment_condition(["s"], where=NOT_IN_SEGMENT)], serve="true")
        ],
    )
    answer = snapshot_of(flag, segments=(big_core,)).evaluate("f", "u", attributes)
    assert answer is not None
    assert answer.value is outside


def test_a_split_by_a_missing_attribute_is_an_error() -> None:
    """Users without the attribute are not all dealt into one bucket."""
    flag = mode_flag()
    flag["fallthrough"]["dispatchKey"] = "account"
    flags = snapshot_of(flag, segments=(TRUSTED,))
    assert flags.evaluate("agent.tool.mode", "u", {"account": "a"}) is not None
    with pytest.raises(InvalidContextError, match="account"):
        flags.evaluate("agent.tool.mode", "u", {})


@pytest.mark.parametrize(
    ("point", "share"),
    [(0, "low"), (WHOLE // 2 - 1, "low"), (WHOLE // 2, "high"), (WHOLE, "high")],
)
def test_shares_are_half_open_but_for_the_last(point: int, share: str) -> None:
    """A boundary belongs to the upper share; bucket 1.0, exactly, to the last one."""
    assert choose(((WHOLE / 2, "low"), (WHOLE, "high")), point) == share


@given(
    st.lists(st.floats(0, 1), max_size=5).map(sorted),
    st.sampled_from(["keyId", "", None, "account"]),
    st.text(),
)
def test_every_user_is_in_the_share_of_its_bucket(
    cuts: list[float], dispatch: str | None, user: str
) -> None:
    """However [0, 1] is cut, a user gets the share that holds its bucket."""
    edges = [0.0, *cuts, 1.0]
    names = [f"v{n}" for n in range(len(edges) - 1)]
    flag = string_flag("f", names, serve="v0", off="v0")
    flag["fallthrough"]["dispatchKey"] = dispatch
    flag["fallthrough"]["variations"] = [
        {"id": name, "rollout": list(ends)}
        for name, ends in zip(names, itertools.pairwise(edges), strict=True)
    ]
    answer = snapshot_of(flag).evaluate("f", user, {"account": user})
    assert answer is not None
    low, high = edges[int(answer.variant[1:]) :][:2]
    assert low <= bucket("f" + user) / WHOLE <= high


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(a+)+$",
        r"(a|aa)*b",
        r"(a?)*",
        r"(a*)*",
        r"((a)|b)+",
        r"(a+){20}",
        r"(?:[a-z]+-)*x",
        r"(?P<n>\w+\s?)*$",
        r"(x+x+)+y",
        r"(?:a{1,3}){9}",
        r"(a)\1",
        r"(?P<n>a)(?P=n)",
        r"(a)?(?(1)b|c)",
        r"a*b*c*",
        r"a?b?c?d?e?f?g?",
        r".*a.*(a|b|c)(a|b)",
        r"(?x)a b",
        r"(?ix:a b)",
        r"(",
        r"[a",
        r"*a",
        "a" * 257,
    ],
)
def test_patterns_that_could_stall_are_refused(pattern: str) -> None:
    """Repeats of repeats or choices, references and bad syntax do not load."""
    with pytest.raises(FeatBitDataError):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^team-[a-z]+$", "team-core", True),
        (r"^(prod|staging)(-\w+)?$", "prod-eu", True),
        (r"^(a|b|c|d|e|f)-(x|y|z)$", "f-z", True),
        (r"^.*-(eu|us)-.*$", "a-eu-b", True),
        (r"\d{4}-\d{2}", "on 2026-01 it", True),
        (r"(?i)^prod", "PRODUCTION", True),
        (r"(?:ab)+c", "ababc", True),
        (r"[*+?(|]\(\+\)", "((+)", True),
        (r"[]a]+b", "]b", True),
        (r"a{,3}", "", True),
        (r"^(?=.*x)y", "yx", True),
        (r"a\|b", "a", False),
        (r"^$", "x", False),
    ],
)
def test_plain_patterns_load_and_search(pattern: str, text: str, matches: bool) -> None:
    """Ordinary patterns are searched for, unanchored."""
    assert (compile_pattern(pattern).search(text) is not None) is matches


@given(st.text(st.sampled_from("ab(|)[]{}*+?:=!<P>^$.,12\\x"), max_size=14))
def test_a_pattern_is_refused_or_compiled(pattern: str) -> None:
    """No text makes the check itself fail."""
    try:
        compile_pattern(pattern)
    except FeatBitDataError:
        return
    re.compile(pattern)


@pytest.mark.parametrize("op", ["MatchRegex", "NotMatchRegex"])
def test_long_text_is_not_matched(op: str) -> None:
    """Above the limit neither a pattern nor its negation holds."""
    test = compile_condition(Condition("a", op, "^a*$"), {})
    for text in ("a" * LONGEST_VALUE, "b" * LONGEST_VALUE):
        assert test("k", {"a": text}) is not None
        assert test("k", {"a": text + "a"}) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_finite_numbers_are_read_back(number: float) -> None:
    """The text of a finite double is that double."""
    assert finite_number(repr(number)) == number


@given(st.text(max_size=12))
def test_what_counts_as_a_number_is_ascii_and_finite(text: str) -> None:
    """No text outside ASCII decimal notation is taken for a number."""
    number = finite_number(text)
    if number is not None:
        assert abs(number) < float("inf")
        assert set(text.strip()) <= set("0123456789+-.eE")


def test_changed_keys_name_what_may_answer_differently() -> None:
    """Edited, added, removed and archived flags, and users of a changed segment."""
    old = read_snapshot(json.dumps(everything())).flag_set

    def after(change: Callable[[Any], None]) -> tuple[str, ...]:
        whole = everything()
        change(whole["data"])
        return changed_keys(old, read_snapshot(json.dumps(whole)).flag_set)

    assert after(lambda data: None) == ()
    assert after(lambda data: data.update(news=1)) == ()
    assert after(lambda data: data["featureFlags"][1].update(isEnabled=False)) == (
        "agent.enabled",
    )
    assert after(lambda data: data["featureFlags"][1].update(isArchived=True)) == (
        "agent.enabled",
    )
    assert after(lambda data: data["featureFlags"].pop(2)) == ("agent.steps",)
    assert after(lambda data: data["featureFlags"].pop(4)) == ()
    assert after(lambda data: data["segments"][0]["included"].append("u")) == (
        "agent.tool.mode",
    )
    added = boolean_flag("new", serve=True)
    assert after(lambda data: data["featureFlags"].append(added)) == ("new",)

"""The snapshot evaluator against FeatBit's own Python SDK, case by case.

`answer` below is a third, naive evaluator with switches, one for each deliberate
difference. For every generated case, with all switches off it must give our answer,
and with all on the SDK's. So each disagreement is explained by a switch, or fails.
Differences that cannot be generated in bulk, because we refuse the data when it is
loaded, are in `REFUSED`, with the answer that the SDK gives.
"""

import hashlib
import json
import logging
import math
import random
import re
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise, product
from typing import NamedTuple

import pytest
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
    number_flag,
    rule,
    segment,
    segment_condition,
    string_flag,
)
from tests.full import share

# FeatBit's SDK sets a logger class of its own for the whole process when imported.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    logger_class = logging.getLoggerClass()
    from fbclient.client import FBClient
    from fbclient.config import Config
    from fbclient.event_processor import NullEventProcessor

    logging.setLoggerClass(logger_class)

DIFFERENCES = {
    "negative": "a missing attribute satisfies a negative operator",
    "outside": "membership that cannot be decided satisfies 'not in segment'",
    "rounding": "numbers are compared after rounding to 5 decimals",
    "syntax": "inf, underscores and digits of other scripts are numbers",
    "long": "patterns are matched on text of any length",
    "bucket": "users without the dispatch attribute share one bucket",
    "blank": "a blank dispatchKey is an attribute of that name",
    "digits": "integers above 2**53 are rounded",
}
"""What the SDK does and we do not; each also has a test of its own below."""

CASES = share(200_000, of=10)
NEGATIVE = {"NotEqual", "NotContain", "NotOneOf", "NotMatchRegex"}
OPERATORS = [
    *("BiggerThan", "BiggerEqualThan", "LessThan", "LessEqualThan"),
    *("Equal", "NotEqual", "Contains", "NotContain", "StartsWith", "EndsWith"),
    *("IsOneOf", "NotOneOf", "IsTrue", "IsFalse", "MatchRegex", "NotMatchRegex"),
]
ATTRIBUTES = ["env", "tool", "amount", "ready", "team", "Env"]
WORDS = ["prod", "dev", "pro", "shell", "sql_write", "", "true", "False", "é", "core"]
NUMBERS = ["5", "5.0", "-3", "0.1", "1e2", " 7 ", "100", "5.000001", "5.000002"]
ODD = ["nan", "inf", "-inf", "1_000", "٣", "1,500", "many", "TRUE", "a" * 130]
PATTERNS = ["^pro", "o", "^(prod|dev)$", r"^\w+$", "e$", "a+", "^$"]
KEYS = [f"agent-{n}" for n in range(40)] + ["", "é-1"]


class Answer(NamedTuple):
    """What an evaluator said: the stage that answered, the variant, the value."""

    stage: str
    variant: str | None = None
    value: str | None = None


def shown(value: object) -> str:
    """Write a value so that 1, 1.0 and True differ."""
    return f"{type(value).__name__} {value!r}"


class Sdk:
    """FeatBit's SDK, offline, for one document after the other."""

    def __init__(self) -> None:
        config = Config(
            "", "", "", offline=True, event_processor_imp=NullEventProcessor
        )
        logging.getLogger("fbclient.utils").setLevel(logging.CRITICAL + 1)
        self.client = FBClient(config)

    def load(self, document: Json) -> None:
        """Replace what is held by *document*, which must be newer."""
        assert self.client.initialize_from_external_json(json.dumps(document))

    def ask(self, flag: str, key: str, attributes: Mapping[str, str]) -> Answer:
        """Evaluate, and name the stage that answered."""
        user = {"key": key, "name": key, **attributes}
        detail = self.client.variation_detail(flag, user, None)
        if detail.reason == "flag not found":
            return Answer("absent")
        if detail.reason == "error in evaluation":
            return Answer("error")
        return Answer(detail.reason, detail.variation_id, shown(detail.variation))


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    """Run an offline client, and stop it."""
    sdk = Sdk()
    yield sdk
    sdk.client.stop()


def ours(snapshot: Snapshot, flag: str, key: str, attrs: Mapping[str, str]) -> Answer:
    """Evaluate the snapshot, and name the stage in the SDK's words."""
    try:
        found = snapshot.evaluate(flag, key, attrs)
    except InvalidContextError:
        return Answer("refused")
    if found is None:
        return Answer("absent")
    if found.reason is Reason.DISABLED:
        stage = "flag off"
    elif "rule" in found.metadata:
        stage = "rule match"
    elif found.reason is Reason.TARGETING_MATCH:
        stage = "target match"
    else:
        stage = "fall through all rules"
    return Answer(stage, found.variant, shown(found.value))


# The naive evaluator: interprets the raw document. `on` are the switches.


def answer(
    doc: Json, flag_key: str, key: str, attrs: Mapping[str, str], on: frozenset[str]
) -> Answer:
    """Evaluate one flag as we define it, except for the differences in *on*."""
    data = doc["data"]
    flags = {flag["key"]: flag for flag in data["featureFlags"]}
    flag = flags.get(flag_key)
    if flag is None or flag["isArchived"]:
        return Answer("absent")
    user = User(key, attrs, on, {one["id"]: one for one in data["segments"]})
    stage, variation_id = serve(flag, user)
    if variation_id is None:
        return Answer(stage)
    text = {one["id"]: one["value"] for one in flag["variations"]}[variation_id]
    return Answer(stage, variation_id, shown(typed(flag["variationType"], text, on)))


class User(NamedTuple):
    """Who is asking, with the segments and switches to ask with."""

    key: str
    attributes: Mapping[str, str]
    on: frozenset[str]
    segments: Mapping[str, Json]

    def get(self, name: str) -> str | None:
        """Look an attribute up; three names mean the key."""
        if name.lower() in ("key", "keyid", "name"):
            return self.key
        return self.attributes.get(name)


def serve(flag: Json, user: User) -> tuple[str, str | None]:
    """Walk the stages in order; the variation None is a refusal."""
    if not flag["isEnabled"]:
        return "flag off", flag["disabledVariationId"]
    for target in flag["targetUsers"]:
        if user.key in target["keyIds"]:
            return "target match", target["variationId"]
    for one in flag["rules"]:
        if all(holds(each, user) for each in one["conditions"]):
            return deal(flag["key"], one, user, "rule match")
    return deal(flag["key"], flag["fallthrough"], user, "fall through all rules")


def deal(
    flag_key: str, rollout: Json, user: User, stage: str
) -> tuple[str, str | None]:
    """Find the share of the user's bucket."""
    live = [
        one for one in rollout["variations"] if one["rollout"][0] != one["rollout"][1]
    ]
    if len({one["id"] for one in live}) == 1:
        return stage, live[0]["id"]
    name = rollout["dispatchKey"] or "keyId"
    if not name.strip() and "blank" not in user.on:
        name = "keyId"
    text = user.get(name)
    if text is None:
        if "bucket" not in user.on:
            return "refused", None
        text = ""
    digest = hashlib.md5((flag_key + text).encode()).digest()  # noqa: S324
    share = abs(struct.unpack("<i", digest[:4])[0] / -(2**31))
    for one in live:
        if one["rollout"][0] <= share < one["rollout"][1]:
            return stage, one["id"]
    raise AssertionError("no share")


def holds(one: Json, user: User) -> bool | None:
    """Evaluate a condition; None is undecided."""
    op, value = one["op"] or one["property"], one["value"]
    if op.startswith("User is"):
        inside = some([member(user.segments[each], user) for each in json.loads(value)])
        if op == "User is in segment":
            return inside
        if inside is None:
            return True if "outside" in user.on else None
        return not inside
    text = user.get(one["property"])
    if text is None:
        return True if op in NEGATIVE and "negative" in user.on else None
    if "Than" in op:
        return compare(op, text, value, user.on)
    if "Regex" in op:
        if len(text) > 128 and "long" not in user.on:
            return None
        return (re.search(value, text) is not None) is (op == "MatchRegex")
    answers: dict[str, bool] = {
        "Equal": text == value,
        "NotEqual": text != value,
        "Contains": value in text,
        "NotContain": value not in text,
        "StartsWith": text.startswith(value),
        "EndsWith": text.endswith(value),
        "IsOneOf": value.startswith("[") and text in json.loads(value),
        "NotOneOf": value.startswith("[") and text not in json.loads(value),
        "IsTrue": text.lower() == "true",
        "IsFalse": text.lower() == "false",
    }
    return answers[op]


def compare(op: str, text: str, value: str, on: frozenset[str]) -> bool | None:
    """Compare numbers."""
    try:
        left, right = float(text), float(value)
    except ValueError:
        return None
    plain = math.isfinite(left) and text.isascii() and "_" not in text
    if not plain and "syntax" not in on:
        return None
    if "rounding" in on:
        left, right = round(left, 5), round(right, 5)
    return {
        "BiggerThan": left > right,
        "BiggerEqualThan": left >= right,
        "LessThan": left < right,
        "LessEqualThan": left <= right,
    }[op]


def member(one: Json, user: User) -> bool | None:
    """Tell whether the user is in a segment."""
    if user.key in one["excluded"]:
        return False
    if user.key in one["included"]:
        return True
    return some(
        [every([holds(c, user) for c in r["conditions"]]) for r in one["rules"]]
    )


def every(answers: list[bool | None]) -> bool | None:
    """Combine with and."""
    if False in answers:
        return False
    return None if None in answers else True


def some(answers: list[bool | None]) -> bool | None:
    """Combine with or."""
    if True in answers:
        return True
    return None if None in answers else False


def typed(kind: str, text: str, on: frozenset[str]) -> object:
    """Parse the value of a variation."""
    if kind == "number":
        number = float(text)
        if "digits" not in on and re.fullmatch(r"[+-]?\d+", text):
            return int(text)
        return int(number) if number.is_integer() else number
    return json.loads(text) if kind in ("boolean", "json") else text


# The generator.


class Deck:
    """Random flags, segments and users of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.stamp = "2026-01-01T00:00:00Z"

    def chance(self, share: float) -> bool:
        """Say yes in *share* of the cases."""
        return self.random.random() < share

    def some(self, pool: list[str], most: int) -> list[str]:
        """Pick up to *most* of *pool*."""
        return self.random.sample(pool, self.random.randint(0, most))

    def condition(self, segments: list[str]) -> Json:
        """Make one condition on an attribute, a built-in name or segments."""
        if segments and self.chance(0.2):
            op = self.random.choice(["User is in segment", "User is not in segment"])
            return segment_condition(self.some(segments, 2), where=op)
        op = self.random.choice(OPERATORS)
        name = self.random.choice([*ATTRIBUTES, "keyId", "NAME"])
        if "Than" in op:
            name = self.random.choice(["amount", "amount", name])
            return condition(name, op, self.random.choice(NUMBERS))
        if "OneOf" in op:
            return condition(name, op, self.some([*WORDS, *KEYS], 8))
        pool = PATTERNS if "Regex" in op else [*WORDS, "5", "agent-1"]
        return condition(name, op, self.random.choice(pool))

    def conditions(self, segments: list[str]) -> list[Json]:
        """Make the conditions of one rule; mostly one, sometimes none."""
        count = self.random.choice([0, 1, 1, 1, 1, 2, 2, 3])
        return [self.condition(segments) for _ in range(count)]

    def rollout(self, names: list[str]) -> Json:
        """Cut [0, 1] into shares; sometimes one whole one, or an empty one."""
        cuts = self.random.choice([[], [], [0.5], [0.1, 0.9], [0.0, 0.3], [0.7, 1.0]])
        edges = [0, *cuts, 1]
        dispatch = [None, None, "", "keyId", "team", "team", "KEY", " "]
        return {
            "dispatchKey": self.random.choice(dispatch),
            "variations": [
                {"id": self.random.choice(names), "rollout": list(ends)}
                for ends in pairwise(edges)
            ],
        }

    def flag(self, key: str, segments: list[str]) -> Json:
        """Make one flag of any type."""
        kind, texts = self.random.choice(
            [
                ("string", ["allow", "deny", "5", "null"]),
                ("boolean", ["true", "false"]),
                ("number", ["1", "2.5", "-2.0", "1e3", "9007199254740993"]),
                ("json", ['{"a": [1, 2.5, null]}', "[]", '"text"', "5", "true"]),
            ]
        )
        names = [f"v{n}" for n in range(len(texts))]
        variations = [
            {"id": name, "name": name, "value": text}
            for name, text in zip(names, texts, strict=True)
        ]
        made = string_flag(key, names, serve="v0", off="v1", at=self.stamp)
        made |= {"variationType": kind, "variations": variations}
        made["fallthrough"] = self.rollout(names)
        made["isEnabled"] = not self.chance(0.08)
        made["isArchived"] = self.chance(0.05)
        made["targetUsers"] = [
            {"keyIds": self.some(KEYS, 4), "variationId": self.random.choice(names)}
            for _ in range(self.random.choice([0, 0, 1, 2]))
        ]
        made["rules"] = [
            {"id": f"r{n}", "name": "", **self.rollout(names)}
            | {"conditions": self.conditions(segments)}
            for n in range(self.random.choice([0, 1, 2, 3, 4]))
        ]
        return made

    def document(self) -> Json:
        """Make four segments and twelve flags."""
        names = [f"s{n}" for n in range(4)]
        segments = [
            segment(
                name,
                included=self.some(KEYS, 3),
                excluded=self.some(KEYS, 3),
                rules=[
                    self.conditions([]) or [condition("env", "Equal", "prod")]
                    for _ in range(self.random.choice([0, 1, 2]))
                ],
                at=self.stamp,
            )
            for name in names
        ]
        return document([self.flag(f"f{n}", names) for n in range(12)], segments)

    def user(self) -> tuple[str, dict[str, str]]:
        """Make a user that has most attributes."""
        pools = {name: [*WORDS, *NUMBERS] for name in ATTRIBUTES}
        pools["amount"] = [*NUMBERS, *NUMBERS, *ODD]
        pools["env"] = [*WORDS, *WORDS, *ODD]
        attributes = {
            name: self.random.choice(pools[name])
            for name in ATTRIBUTES
            if self.chance(0.85)
        }
        return self.random.choice([key for key in KEYS if key]), attributes


ALL, NONE = frozenset(DIFFERENCES), frozenset[str]()


def explanation(
    doc: Json, flag: str, key: str, attrs: Mapping[str, str]
) -> frozenset[str]:
    """Find a smallest set of differences that still gives the SDK's answer."""
    wanted, needed = answer(doc, flag, key, attrs, ALL), ALL
    for name in DIFFERENCES:
        if answer(doc, flag, key, attrs, needed - {name}) == wanted:
            needed -= {name}
    return needed


def compare_all(doc: Json, users: list[tuple[str, dict[str, str]]]) -> Counter[str]:
    """Compare every flag of *doc* for every user; count what was seen."""
    seen: Counter[str] = Counter()
    sdk, snapshot = Sdk(), read_snapshot(json.dumps(doc))
    sdk.load(doc)
    keys = [*(flag["key"] for flag in doc["data"]["featureFlags"]), "nope"]
    for (key, attributes), flag in product(users, keys):
        case = (flag, key, attributes)
        mine, theirs = ours(snapshot, *case), sdk.ask(*case)
        assert mine == answer(doc, *case, NONE), (doc, case)
        assert theirs == answer(doc, *case, ALL), (doc, case)
        seen.update(["cases", mine.stage])
        if mine != theirs:
            seen.update(["differ", *explanation(doc, *case)])
    sdk.client.stop()
    return seen


def test_every_disagreement_with_featbits_sdk_has_a_name() -> None:
    """200,000 cases in full: the SDK's answer is ours, or differs as the table says."""
    seen: Counter[str] = Counter()
    seed = 0
    while seen["cases"] < CASES:
        deck = Deck(seed := seed + 1)
        seen.update(compare_all(deck.document(), [deck.user() for _ in range(60)]))
    print(seed, dict(seen))
    assert seen["differ"] < 0.15 * seen["cases"]
    for name in DIFFERENCES:
        assert seen[name] > share(20, of=10), f"{name} was not exercised"


def ruled(
    *conditions: Json, serve: str = "true", key: str = "f", **changes: object
) -> Json:
    """Build a boolean flag, false by default, that one rule can make true."""
    one = rule("r", conditions, serve=serve)
    return {**boolean_flag(key, serve=False, rules=[one], at=STAMP), **changes}


STAMP = "2026-01-01T00:00:00Z"
GOLD = segment("gold", rules=[[condition("tier", "Equal", "gold")]], at=STAMP)
HALVES = [{"id": "true", "rollout": [0, 0.5]}, {"id": "false", "rollout": [0.5, 1]}]


def halves(dispatch_key: str) -> Json:
    """Build a flag that is split in two by an attribute."""
    flag = boolean_flag("f", serve=False, at=STAMP)
    flag["fallthrough"] = {"dispatchKey": dispatch_key, "variations": HALVES}
    return flag


@pytest.mark.parametrize(
    ("name", "flag", "attributes", "mine", "theirs"),
    [
        ("negative", ruled(condition("a", "NotEqual", "x")), {}, False, True),
        ("negative", ruled(condition("a", "NotContain", "x")), {}, False, True),
        ("negative", ruled(condition("a", "NotOneOf", ["x"])), {}, False, True),
        ("negative", ruled(condition("a", "NotMatchRegex", "x")), {}, False, True),
        (
            "outside",
            ruled(segment_condition(["gold"], where="User is not in segment")),
            {},
            False,
            True,
        ),
        (
            "rounding",
            ruled(condition("a", "BiggerThan", "1.000001")),
            {"a": "1.000002"},
            True,
            False,
        ),
        (
            "syntax",
            ruled(condition("a", "LessThan", "5")),
            {"a": "-inf"},
            False,
            True,
        ),
        (
            "syntax",
            ruled(condition("a", "LessThan", "5")),
            {"a": "٣"},
            False,
            True,
        ),
        (
            "syntax",
            ruled(condition("a", "BiggerThan", "5")),
            {"a": "1_0"},
            False,
            True,
        ),
        (
            "long",
            ruled(condition("a", "MatchRegex", "^a")),
            {"a": "a" * 129},
            False,
            True,
        ),
        (
            "long",
            ruled(condition("a", "NotMatchRegex", "^b")),
            {"a": "a" * 129},
            False,
            True,
        ),
        ("bucket", halves("account"), {}, None, True),
        ("blank", halves(" "), {" ": ""}, False, True),
        (
            "digits",
            number_flag("f", {"n": 2**53 + 1}, serve="n", off="n", at=STAMP),
            {},
            2**53 + 1,
            2**53,
        ),
    ],
)
def test_each_difference(
    sdk: Sdk,
    name: str,
    flag: Json,
    attributes: dict[str, str],
    mine: object,
    theirs: object,
) -> None:
    """Each named difference is there, is the only reason, and is on the safe side."""
    doc = document([flag], [GOLD])
    sdk.load(doc)
    given = ours(read_snapshot(json.dumps(doc)), "f", "u", attributes)
    assert given.value == (None if mine is None else shown(mine))
    assert sdk.ask("f", "u", attributes).value == shown(theirs)
    assert explanation(doc, "f", "u", attributes) == {name}


def test_each_difference_is_shown() -> None:
    """The table and the examples name the same differences."""
    marks = test_each_difference.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in marks[0].args[1]} == set(DIFFERENCES)


def gap(low: float, high: float) -> list[Json]:
    """Serve true to [low, high] only."""
    return [{"id": "true", "rollout": [low, high]}]


def valued(kind: str, text: str) -> Json:
    """Build a flag of *kind* that serves *text*."""
    flag = string_flag("f", {"v": text}, serve="v", off="v", at=STAMP)
    return {**flag, "variationType": kind}


REFUSED: dict[str, tuple[Json, dict[str, str], object]] = {
    "a gap in the fallthrough raises": (
        {**ruled(), "rules": [], "fallthrough": {"variations": gap(0, 1e-9)}},
        {},
        AttributeError,
    ),
    "a last share that ends below 1 raises for some": (
        {**ruled(), "rules": [], "fallthrough": {"variations": gap(0.99999, 1)}},
        {},
        AttributeError,
    ),
    "a rule without a share for the user falls through": (
        ruled()
        | {"rules": [{"id": "r", "conditions": [], "variations": gap(0, 1e-9)}]},
        {},
        False,
    ),
    "an overlap serves the first": (
        {
            **ruled(),
            "rules": [],
            "fallthrough": {"variations": [*gap(0, 1), *HALVES]},
        },
        {},
        True,
    ),
    "an unparseable number is served as text": (valued("number", "abc"), {}, "abc"),
    "an unparseable boolean is served as text": (valued("boolean", "TRUE"), {}, "TRUE"),
    "a boolean may be a number": (valued("boolean", "1"), {}, 1),
    "malformed JSON is served as text": (valued("json", "{bad"), {}, "{bad"),
    "an unknown type is text": (valued("xml", "<a/>"), {}, "<a/>"),
    "a list that is JSON text means substring": (
        ruled(condition("a", "IsOneOf", '"superpro"')),
        {"a": "pro"},
        True,
    ),
    "an unparseable list is in nothing": (
        ruled(condition("a", "NotOneOf", "[")),
        {"a": "x"},
        True,
    ),
    "a list of numbers never holds text": (
        ruled(condition("a", "NotOneOf", "[5]")),
        {"a": "5"},
        True,
    ),
    "an unknown operator never matches": (
        ruled(condition("a", "Like", "x")),
        {"a": "x"},
        False,
    ),
    "a bound that is no number never matches": (
        ruled(condition("a", "BiggerThan", "1,500")),
        {"a": "2000"},
        False,
    ),
    "nobody is in an unknown segment": (
        ruled(segment_condition(["x"], where="User is not in segment")),
        {},
        True,
    ),
    "a bad pattern is an error": (
        ruled(condition("a", "MatchRegex", "(")),
        {"a": "x"},
        None,
    ),
    "a nested repeat is matched, however long it takes": (
        ruled(condition("a", "MatchRegex", "^(a+)+$")),
        {"a": "aa"},
        True,
    ),
    "an unknown variation is an error": (
        {**ruled(), "isEnabled": False, "disabledVariationId": "x"},
        {},
        None,
    ),
}
"""What the SDK answers with data that we refuse to load."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_sdk_answers_is_refused_here(sdk: Sdk, case: str) -> None:
    """Data for which the SDK guesses, raises or serves raw text does not load."""
    flag, attributes, theirs = REFUSED[case]
    doc = document([flag], [GOLD])
    sdk.load(doc)
    if theirs is AttributeError:
        with pytest.raises(AttributeError):
            sdk.ask("f", "u", attributes)
    elif theirs is None:
        assert sdk.ask("f", "u", attributes).stage == "error"
    else:
        assert sdk.ask("f", "u", attributes).value == shown(theirs)
    with pytest.raises(FeatBitDataError, match='"f"'):
        read_snapshot(json.dumps(doc))

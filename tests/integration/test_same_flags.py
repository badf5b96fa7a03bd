"""One flag file, read by the file provider and served by FeatBit: the same decisions.

The file uses every operator, targets, segments, percentages by key and by attribute,
flags that are off, archived, missing or serve what no contract can mean; every kind
of flag has rules. 10,000 contexts, all different, reach every rule of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from openfeature.provider import FeatureProvider

from openfeature.contrib.provider.featbit import FeatBitProvider
from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    json_flag,
    rule,
    segment,
    segment_condition,
    string_flag,
)
from openfeature.contrib.provider.featbit.building import rollout
from openfeature.contrib.provider.featbit.conditions import (
    NOT_IN_SEGMENT,
    PREDICATES,
    SEGMENT_OPERATORS,
)
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Actor, CallContext, Effect, Governor, ToolCall
from openfeature_gov.controls.readings import Reading
from openfeature_gov.decisions import Decision
from openfeature_gov.extracting import Extractors
from openfeature_gov.flags.kinds import KINDS
from openfeature_gov.ladder import MODES, Mode
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.conftest import contract_yaml
from tests.integration.featbit import LONG

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # the SDK leaves sockets open
)
CONTEXTS = 10_000
REASONS = {"TARGETING_MATCH", "SPLIT", "DEFAULT", "STATIC", "DISABLED", "ERROR"}
FAULTS = {None, "flag_parse_error", "flag_flag_not_found"}
BANDS = ["none", "0", "up_to_10", "up_to_100", "up_to_1000"]


def switch() -> Json:
    """Return the global switch: off for some users, agents and accounts."""
    rules = [
        rule("on", [condition("stage", "Equal", "5")], serve="true"),
        rule(
            "accounts",
            [condition("accountId", "IsOneOf", ["acc-13", "acc-66"])],
            serve="false",
        ),
        rule("key", [condition("keyId", "EndsWith", "99")], serve="false"),
    ]
    targets = {"false": ["user-7", "user-4711"], "true": ["user-99"]}
    made = boolean_flag("gov.on", serve=True, targets=targets, rules=rules)
    return sharing(made, {"true": 0.9, "false": 0.1})


def sharing(flag: Json, shares: Mapping[str, float], by: str | None = None) -> Json:
    """Return *flag* with *shares* of its variants for whom no rule matches."""
    return {**flag, "fallthrough": {"includedInExpt": False, **rollout(shares, by)}}


def support_mode() -> Json:
    """Return a mode flag with rules on who asks from where."""
    some = {"draft_write": 0.3, "approval_required": 0.3, "autonomous": 0.4}
    rules = [
        rule(
            "beta",
            [segment_condition(["beta"]), condition("environment", "Equal", "prod")],
            serve=some,
            dispatch_key="accountId",
        ),
        rule("late", [condition("stage", "BiggerEqualThan", "4")], serve="autonomous"),
        rule(
            "europe",
            [
                condition("region", "StartsWith", "eu"),
                condition("accountId", "EndsWith", "3"),
            ],
            serve="search_only",
        ),
        rule(
            "low", [condition("accountId", "MatchRegex", r"^acc-[0-4]\d$")], serve=some
        ),
        rule(
            "flag",
            [condition("stage", "IsTrue")],
            serve={"draft_write": 0.5, "turbo": 0.5},
        ),
        rule("safe", [condition("stage", "IsFalse")], serve="fallback"),
        rule(
            "others",
            [
                condition("agentId", "NotOneOf", ["agent-1", "agent-2"]),
                condition("toolName", "NotContain", "read"),
            ],
            serve="scoped_read",
        ),
    ]
    made = mode("support.mode", rules=rules)
    return sharing(made, {"search_only": 0.4, "observe": 0.2, "autonomous": 0.4})


def mode(key: str, **options: Any) -> Json:
    """Return a mode flag, with a variant that is no mode."""
    named = [*MODES, "fallback", "turbo"]
    return string_flag(key, named, serve="observe", off="off", **options)


def finance_mode() -> Json:
    """Return a mode flag with rules on what is asked for."""
    rules = [
        rule(
            "outside",
            [
                segment_condition(["beta", "eu"], where=NOT_IN_SEGMENT),
                condition("amountBand", "NotOneOf", BANDS[1:]),
            ],
            serve={"autonomous": 0.5, "search_only": 0.5},
            dispatch_key="region",
        ),
        rule("early", [condition("stage", "LessEqualThan", "1.5")], serve="off"),
        rule(
            "class",
            [
                condition("riskClass", "NotEqual", "external_effect"),
                condition("accountId", "NotMatchRegex", "[02468]$"),
            ],
            serve="approval_required",
        ),
        rule(
            "band", [condition("amountBand", "Contains", "up_to")], serve="draft_write"
        ),
    ]
    return mode("finance.mode", rules=rules, targets={"autonomous": ["user-42"]})


def flags_of_all_kinds() -> Json:
    """Return the flag file."""
    small = condition("amountBand", "IsOneOf", BANDS)
    early = rule("early", [condition("stage", "LessThan", "2")], serve="none")
    reads = rule("reads", [condition("intent", "Equal", "search")], serve="refunds")
    denied = {"none": [], "refunds": {"tools": ["ref*"]}, "all": ["*"], "bad": [1]}
    denylist = json_flag(
        "gov.denylist", denied, serve="none", off="all", rules=[early, reads]
    )
    late = rule("late", [condition("stage", "BiggerThan", "3")], serve="true")
    waived = rule("small", [small], serve="false")
    return document(
        [
            switch(),
            support_mode(),
            finance_mode(),
            {**mode("old.mode"), "isArchived": True},
            boolean_flag("support.approval", serve=True, rules=[waived]),
            boolean_flag("finance.approval", serve=False, off=True, enabled=False),
            sharing(denylist, {"none": 0.8, "refunds": 0.1, "all": 0.05, "bad": 0.05}),
            boolean_flag("old.approval", serve=False, off=True),
            boolean_flag("support.fallback", serve=False, off=True, rules=[late]),
            sharing(
                boolean_flag("finance.fallback", serve=False, off=True),
                {"false": 0.75, "true": 0.25},
                "accountId",
            ),
        ],
        [
            segment(
                "beta",
                included=[f"user-{number}" for number in range(0, CONTEXTS, 40)],
                excluded=[f"user-{number}" for number in range(0, CONTEXTS, 21)],
                rules=[[condition("stage", "Equal", "beta")]],
            ),
            segment("eu", rules=[[condition("region", "Contains", "eu")]]),
        ],
    )


TOOLS = {
    "search_docs": ("search", "automatic", "support"),
    "read_account": ("scoped_read", "automatic", "support"),
    "refund": ("external_effect", "manual", "support"),
    "export": ("sensitive_read", "automatic", "finance"),
    "draft_invoice": ("reversible_write", "automatic", "finance"),
    "refuse_invoice": ("reversible_write", "manual", "finance"),
    "delete_account": ("irreversible", "none", "finance"),
    "close_case": ("admin_action", "manual", "old"),
}
"""Risk class, reversibility and workflow of each tool."""


def contracts() -> str:
    """Return the governance file; ``old`` names an archived flag and a missing one."""
    return "---\n".join(
        contract_yaml(
            tool,
            workflow=workflow,
            riskClass=risk,
            reversibility=reversibility,
            targetSystem=f"{workflow}-system",
            autonomyFor="[irreversible]" if risk == "irreversible" else "[]",
            rollback="{safestMode: search_only, owner: team}",
            defaultMode="search_only",
            runtimeControls=(
                "{globalFlag: gov.on, denylistFlag: gov.denylist, "
                f"modeFlag: {workflow}.mode, approvalFlag: {workflow}.approval, "
                f"fallbackFlag: {workflow}.fallback}}"
            ),
        )
        for tool, (risk, reversibility, workflow) in TOOLS.items()
    )


def calls() -> Iterator[ToolCall]:
    """Yield one call for each context: seeded, no two of one targeting key."""
    pick = random.Random(20261121)
    stages = ["", "1", "2", "3", "4", "5", "1.5", "0", "beta", "true", "FALSE", "nan"]
    regions = ["", "eu-west", "eu-north", "us-east", "ap-south"]
    for number in range(CONTEXTS):
        alone = pick.random() < 0.1
        agent = f"agent-{number if alone else pick.randrange(5)}"
        context = CallContext(
            actor=Actor(agent=agent, user="" if alone else f"user-{number}"),
            account=pick.choice(["", *(f"acc-{one}" for one in range(100))]),
            environment=pick.choice(["prod", "prod", "staging", ""]),
            region=pick.choice(regions),
            stage=pick.choice(stages),
        )
        amount = pick.choice([0, 3, 10, 10.01, 99.5, 640, 5000, 20_000, "much"])
        yield ToolCall(pick.choice(list(TOOLS)), {"amount": amount}, context)


class Seen(NamedTuple):
    """What became of one call, without what names the source of the flags."""

    decision: Decision
    flags: Mapping[str, Reading]


def decided(folder: Path, name: str, flags: Path | FeatureProvider) -> list[Seen]:
    """Return what a Governor on *flags* makes of each call."""
    governance = folder / "governance.yaml"
    governance.write_text(contracts())
    money = Extractors(amount=lambda given: given["amount"], currency="EUR")
    with Governor.open(governance, flags, folder / f"{name}.db") as governor:
        for tool in TOOLS:
            governor.tool(tool, extract=money)(lambda amount: amount)
        return [judged(governor, call) for call in calls()]


def judged(governor: Governor, call: ToolCall) -> Seen:
    """Return the judgement that `plan` shows and `decide` records."""
    found = governor._decider.judged(call)
    assert found.flags is not None
    assert found.flags.standing is None
    return Seen(
        found.decision,
        {kind: placeless(one) for kind, one in found.flags.flags.items()},
    )


def placeless(reading: Reading) -> Reading:
    """Return *reading* without the environment's id, which a file does not have."""
    kept = {k: v for k, v in reading.metadata.items() if k != "flagSetId"}
    return reading._replace(metadata=kept)


class Both(NamedTuple):
    """What became of all calls, from the file and from FeatBit."""

    source: Json
    read: list[Seen]
    streamed: list[Seen]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Decide about every call twice, from one flag file."""
    folder = tmp_path_factory.mktemp("same")
    path = folder / "flags.json"
    write_document(path, flags_of_all_kinds())
    source = json.loads(path.read_text("utf-8"))
    with SimulatedFeatBit(source) as server:
        live = FeatBitProvider.live(
            streaming_url=server.streaming_url,
            event_url=server.event_url,
            secret=server.server_secret,
            start_wait_s=LONG,
        )
        streamed = decided(folder, "live", live)
    return Both(source, decided(folder, "file", path), streamed)


def test_file_and_featbit_decide_alike(both: Both) -> None:
    """Each decision with its verdicts, and each flag, is the same for all contexts."""
    pairs = zip(both.read, both.streamed, strict=True)
    differing = [(one, other) for one, other in pairs if one != other]
    assert (len(both.read), differing[:3]) == (CONTEXTS, [])


def test_the_file_uses_every_operator(both: Both) -> None:
    """No operator and no way to name a segment is left out."""
    data = both.source["data"]
    rules = [
        each
        for item in (*data["featureFlags"], *data["segments"])
        for each in item["rules"]
    ]
    used = {one["op"] or one["property"] for r in rules for one in r["conditions"]}
    assert used == {*PREDICATES, *SEGMENT_OPERATORS}


def test_the_contexts_reach_everything(both: Both) -> None:
    """Every rule matches somebody; every effect, reason and fault occurs."""
    readings = [one for seen in both.read for one in seen.flags.values()]
    matched = {(one.key, one.metadata.get("rule")) for one in readings}
    assert matched >= {
        (flag["key"], each["id"])
        for flag in both.source["data"]["featureFlags"]
        for each in flag["rules"]
    }
    assert {seen.decision.effect for seen in both.read} == {*Effect}
    assert {one.reason for one in readings} == REASONS
    assert {one.fault for one in readings} == FAULTS
    assert {seen.decision.mode for seen in both.read} == {*Mode}
    for kind in KINDS:
        values = {repr(seen.flags[kind.name].value) for seen in both.read}
        assert len(values - {"None"}) > 1, kind.name

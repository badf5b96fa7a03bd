"""`gov featbit doctor` and the flags that contracts name: wrong, unwise, or well."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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
from openfeature_gov import Actor, CallContext
from openfeature_gov.cli import flag_checks, flag_data
from openfeature_gov.cli.doctoring import State
from openfeature_gov.cli.drafts import MODE_VALUES
from openfeature_gov.contracts import ActionContract
from openfeature_gov.governance import FALLBACK
from openfeature_gov.ladder import Intent, Reversibility, RiskClass
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.commands import gov
from tests.featbit_doctor import (
    AT,
    FLAGS,
    SETTINGS,
    amiss,
    broken,
    doctor,
    mode,
    project,
    server,
    without,
)

__all__ = ["project", "server"]


def ruled(*conditions: Json, dispatch: str | None = None) -> Json:
    """Return a mode flag with one rule; with *dispatch*, it deals percentages."""
    shares = {"off": 0.5, "observe": 0.5} if dispatch else "search_only"
    listed = [{"id": str(at), **one} for at, one in enumerate(conditions)]
    one = rule("r1", listed, serve=shares, dispatch_key=dispatch)
    return mode(rules=[one])


def split(*values: str) -> Json:
    """Return a mode flag whose default rule deals two values by halves."""
    flag = mode()
    flag["fallthrough"]["variations"] = [
        {"id": value, "rollout": [at / 2, at / 2 + 0.5], "exptRollout": 1}
        for at, value in enumerate(values)
    ]
    return flag


LISTS: dict[str, list[str]] = {"listed": [], "everything": ["*"]}
NOT_EU = condition("region", "NotEqual", "eu")
IN_EU, OUT_OF_EU = (
    segment_condition(["eu"]),
    segment_condition(["eu"], where="User is not in segment"),
)
PROBLEMS: dict[str, tuple[Json, str]] = {
    "archived": ({**mode(), "isArchived": True}, "is archived"),
    "type": (boolean_flag("find.mode", serve=True), "is boolean"),
    "variant": (
        string_flag("find.mode", [*MODE_VALUES, "maybe"], serve="observe", off="off"),
        '"maybe" is no legal value',
    ),
    "off variation": (mode(off="autonomous"), 'serves "autonomous" when off'),
    "gap": (broken(mode()), "cannot be read"),
    "off unknown": ({**mode(), "disabledVariationId": "x"}, "cannot be read"),
    "approval off": (boolean_flag("w.approval", serve=True, off=False), "when off"),
    "denylist off": (
        json_flag("w.denylist", LISTS, serve="listed", off="listed"),
        "when off",
    ),
    "negative, unknown": (
        ruled(condition("approvedBy", "NotEqual", "a")),
        'NotEqual on "approvedBy", which no call carries: FeatBit\'s own SDK',
    ),
    "outside, unknown": (ruled(OUT_OF_EU), 'segment "eu": Equal on "team", outside'),
    "dispatch, unknown": (ruled(NOT_EU, dispatch="cohort"), "counts as lost"),
}
WARNINGS: dict[str, tuple[Json, str]] = {
    "lacks modes": (
        string_flag("find.mode", ["off", "observe"], serve="observe", off="off"),
        "cannot be set to search_only, scoped_read, draft_write",
    ),
    "is off": (mode(enabled=False), "is off, so it serves off to everyone"),
    "switch stops": (boolean_flag("w.global", serve=False), "nothing that it governs"),
    "mode stops": (mode("off"), "its tools are off"),
    "denylist stops": (
        json_flag("w.denylist", LISTS, serve="everything", off="everything"),
        "it stops every tool",
    ),
    "incident": (
        boolean_flag("w.fallback", serve=True, off=True),
        "an incident is on",
    ),
    "not required": (
        boolean_flag("w.approval", serve=False, off=True),
        '"no approval required"',
    ),
    "released": (
        mode("autonomous"),
        "serves autonomous by default, above defaultMode observe: find",
    ),
    "released in part": (split("observe", "draft_write"), "serves draft_write"),
    "positive, unknown": (ruled(condition("team", "Equal", "a")), "it never holds"),
    "inside, unknown": (ruled(IN_EU), "it never holds"),
    "negative, optional": (ruled(NOT_EU), 'whose value is "none"'),
    "outside, optional": (
        ruled(segment_condition(["west"], where="User is not in segment")),
        "outside of the segment, holds for calls without one",
    ),
    "pattern": (
        ruled(condition("toolName", "MatchRegex", "^re")),
        "which the agent influences, is a regular expression",
    ),
    "dispatch, agent": (
        ruled(condition("region", "Equal", "eu"), dispatch="toolName"),
        "it can try again",
    ),
}
CLEAN: dict[str, Json] = {
    "positive": ruled(
        condition("region", "IsOneOf", ["eu", "uk"]),
        condition("amountBand", "Equal", "0"),
        segment_condition(["west"]),
    ),
    "none is excluded": ruled(condition("region", "NotOneOf", ["eu", "none"])),
    "always stated": ruled(condition("agentId", "NotEqual", "a1")),
    "key": ruled(condition("keyId", "MatchRegex", "^agent-[0-9]$")),
    "pattern of the host": ruled(condition("accountId", "MatchRegex", "^eu-")),
    "dispatch by key": ruled(condition("stage", "Equal", "1"), dispatch="keyId"),
    "dispatch by account": ruled(
        condition("stage", "Equal", "1"), dispatch="accountId"
    ),
    "targets": mode(targets={"search_only": ["user-7"]}),
    "incident mode": mode(rules=[rule("r", [], serve=FALLBACK)]),
}


def put(server: SimulatedFeatBit, flag: Json) -> str:
    """Store *flag* and two segments; return the name of its check."""
    server.put_segment(
        segment("eu", rules=[[{"id": "1", **condition("team", "Equal", "a")}]])
    )
    server.put_segment(
        segment("west", rules=[[{"id": "1", **condition("region", "Equal", "us")}]])
    )
    server.put_flag(flag)
    return f'flag "{flag["key"]}"'


@pytest.fixture(params=["evaluation", "management"])
def one_side(
    request: pytest.FixtureRequest, project: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Leave one side, which must tell of the flags as the other does."""
    side = str(request.param)
    other = "management" if side == "evaluation" else "evaluation"
    without(monkeypatch, *SETTINGS[other])
    if side == "evaluation":
        without(monkeypatch, "STREAMING_URL")
    return side


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_flag_that_is_wrong_is_a_problem(
    one_side: str, server: SimulatedFeatBit, case: str
) -> None:
    """Exit 4, and what to do."""
    flag, word = PROBLEMS[case]
    about = put(server, flag)
    found = doctor(code=4)
    found.pop("flag data", None)
    if case == "off unknown":
        # The list of all flags then answers 500 to everyone.
        found.pop("permissions", None)
    assert list(amiss(found)) == [about]
    (hit,) = (one for one in found[about] if one[0] == "problem")
    assert word in hit[1]
    assert hit[2]


@pytest.mark.parametrize("case", WARNINGS)
def test_a_flag_that_is_unwise_is_a_warning(
    one_side: str, server: SimulatedFeatBit, case: str
) -> None:
    """Exit 0, and what to do."""
    flag, word = WARNINGS[case]
    about = put(server, flag)
    found = doctor()
    assert amiss(found) == {about: "warning"}
    (hit,) = found[about]
    assert word in hit[1]
    assert hit[2]


@pytest.mark.parametrize("case", CLEAN)
def test_a_flag_that_is_well_is_ok(
    project: Path,
    server: SimulatedFeatBit,
    case: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No remark on rules that ask for what must be."""
    without(monkeypatch, *SETTINGS["management"], "STREAMING_URL")
    about = put(server, CLEAN[case])
    found = doctor()
    assert amiss(found) == {}
    assert found[about][0][0] == "ok"


def test_a_flag_that_is_missing_is_a_problem(
    one_side: str, server: SimulatedFeatBit
) -> None:
    """`gov featbit provision` is what to do."""
    server.remove("w.fallback")
    found = doctor(code=4)
    assert amiss(found) == {'flag "w.fallback"': "problem"}
    assert "provision" in found['flag "w.fallback"'][0][2]


def test_an_environment_without_flags_is_a_warning(
    project: Path, server: SimulatedFeatBit
) -> None:
    """Perhaps the secret is that of another one; the flags are missing besides."""
    server.load(document([]))
    found = doctor(code=4)
    assert found["flag data"][0][0] == "warning"
    assert {found[f'flag "{key}"'][0][0] for key in FLAGS} == {"problem"}


@pytest.mark.parametrize("what", ["flag", "segment", "twice"])
def test_what_the_evaluation_server_holds_in_vain_is_told(
    project: Path, server: SimulatedFeatBit, what: str
) -> None:
    """It spoils no other flag."""
    data = server.document()["data"]
    spoilt = {**ruled(IN_EU), "key": "other", "id": "other", "updatedAt": AT}
    if what == "flag":
        data["featureFlags"].append(broken({**mode(), "key": "other"}))
    elif what == "segment":
        data["featureFlags"].append(spoilt)
        data["segments"].append({**segment("eu"), "included": None})
    else:
        data["featureFlags"] += [{**mode(), "key": "other"}] * 2
    body = json.dumps({"messageType": "data-sync", "data": data}).encode()
    held = flag_data.served(body, "here")
    assert list(held.unread) == ["other"]
    assert len(held.flags) == len(FLAGS)
    line = flag_data.data(held)
    assert (line.state, "other" in line.seen) == (State.WARNING, True)


def edited(folder: Path, edit: Callable[[str], str]) -> None:
    """Edit the contracts."""
    path = folder / "governance.yaml"
    path.write_text(edit(path.read_text()))


def test_a_flag_with_two_uses_is_a_problem(project: Path) -> None:
    """The contracts are what to change."""
    edited(
        project,
        lambda text: text.replace(
            "fallbackFlag: w.fallback", "fallbackFlag: w.x", 1
        ).replace("modeFlag: find.mode", "modeFlag: w.fallback", 1),
    )
    found = doctor(code=4)
    seen = [seen for _, seen, _ in found['flag "w.fallback"']]
    assert any("several uses" in one for one in seen)


def test_a_mode_that_no_contract_allows_is_a_warning(
    project: Path, server: SimulatedFeatBit
) -> None:
    """It counts as the next lower one that is listed."""
    edited(project, lambda text: text.replace("      - scoped_read\n", "", 1))
    put(server, mode("scoped_read"))
    found = doctor()
    seen = [seen for _, seen, _ in found['flag "find.mode"']]
    assert any(
        "allowedModes of find does not list: it counts as search_only" in one
        for one in seen
    )


def test_the_attributes_are_those_of_every_flag_context() -> None:
    """The closed set in two parts; optional is what reads none if nothing is said."""
    contract = ActionContract(
        tool="find",
        workflow="w",
        context=CallContext(actor=Actor(agent="a1")),
        target_system="",
        risk_class=RiskClass.SEARCH,
        reversibility=Reversibility.AUTOMATIC,
        intent=Intent.SEARCH,
        arguments={},
        canonical=b"{}",
    )
    sent = contract.attributes()
    assert set(sent) == flag_checks.ATTRIBUTES
    assert not flag_checks.BY_HOST & flag_checks.BY_AGENT
    absent = {name for name, value in sent.items() if value == "none"}
    assert absent == flag_checks.OPTIONAL


def test_names_that_a_terminal_would_act_on_are_escaped(
    project: Path, server: SimulatedFeatBit
) -> None:
    """A rule's name is anybody's text."""
    flag = ruled(NOT_EU)
    flag["rules"][0]["name"] = "\x1b[31mred"
    put(server, flag)
    table = gov("featbit", "doctor", "governance.yaml", "--no-json")
    assert "\x1b" not in table.stdout

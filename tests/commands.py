"""The command `gov`, run in this process, and what it printed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from openfeature_gov.cli import app
from openfeature_gov.testing.featbit import SimulatedFeatBit


def gov(*arguments: object, stdin: str | None = None) -> Result:
    """Run `gov`."""
    return CliRunner().invoke(app, [*map(str, arguments)], input=stdin)


def told(result: Result, code: int = 0) -> Any:
    """Return the JSON that a command printed, which ended with *code*."""
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def audit(*arguments: object) -> Result:
    """Run `gov audit`."""
    return gov("audit", *arguments)


def use_featbit(monkeypatch: pytest.MonkeyPatch, server: SimulatedFeatBit) -> None:
    """Let `gov` find the management API of *server*, and one environment there."""
    monkeypatch.setenv("GOV_FEATBIT_API_URL", server.api_url)
    monkeypatch.setenv("GOV_FEATBIT_TOKEN", server.access_token)
    monkeypatch.setenv("GOV_FEATBIT_PROJECT", server.project_key)
    monkeypatch.setenv("GOV_FEATBIT_ENV", server.env_key)

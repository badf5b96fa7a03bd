"""The command `gov`, run in this process, and what it printed."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner, Result

from openfeature_gov.cli import app


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

"""A working folder with contracts, flags and records, for the tests of `gov flags`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.stores.history import records
from openfeature_gov.targets.file import read_flags
from tests.commands import gov

AT = "2030-01-01T00:00:00.000Z"
TOOLS = ("find", "read", "send", "erase")
WHY = ("--reason", "test")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with four tools, flags and a record database."""
    monkeypatch.chdir(tmp_path)
    made = gov("init", *TOOLS, "--workflow", "w", "--owner", "o")
    assert made.exit_code == 0
    gov("decide", "find", "--records", "records.db")
    return tmp_path


def reason(tool: str) -> str:
    """Return why *tool* may or may not run now."""
    return str(json.loads(gov("decide", tool).stdout)["reason"])


def recorded(folder: Path) -> list[dict[str, Any]]:
    """Return the policy changes in the log."""
    return records(folder / "records.db", kind="policy_change")


def edited(folder: Path, change: Callable[[Json], Json]) -> None:
    """Change the flag file as an editor that knows no lock would."""
    path = folder / "flags.json"
    write_document(path, change(json.loads(path.read_text())))


def values(folder: Path, key: str = "w.denylist") -> dict[str, Any]:
    """Return the JSON value of each variation of *key*."""
    flag = read_flags(folder / "flags.json").flags[key]
    return {
        one.id: json.loads(one.value)
        for one in flag.variations
        if isinstance(one.value, bytes)
    }

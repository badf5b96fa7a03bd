"""The public surface: names, documentation, and the parity of sync and async."""

from __future__ import annotations

import inspect
import subprocess
import sys

import openfeature_gov
from openfeature_gov import Governor


def test_every_public_name_is_there_and_documented() -> None:
    """What __all__ names exists and has a docstring; nothing is named twice."""
    names = openfeature_gov.__all__
    assert sorted(set(names)) == sorted(names)
    for name in {*names} - {"Control"}:  # an alias of a callable type has no docstring
        assert inspect.getdoc(getattr(openfeature_gov, name)), name


def test_sync_and_async_take_the_same_parameters() -> None:
    """plan, decide, enforce and run equal their async twins in signature."""
    for name in ("plan", "decide", "enforce", "run"):
        one, twin = getattr(Governor, name), getattr(Governor, f"a{name}")
        assert inspect.signature(one) == inspect.signature(twin)
        assert inspect.iscoroutinefunction(twin)
        assert not inspect.iscoroutinefunction(one)


def test_import_stays_light() -> None:
    """Importing the package loads no optional library, no server and no SDK client."""
    heavy = (
        "typer",
        "rich",
        "fbclient",
        "cryptography",
        "opentelemetry.sdk",
        "sqlite3",
    )
    code = f"import sys, openfeature_gov; print({{*{heavy!r}}} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"

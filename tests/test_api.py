"""The public surface: names, documentation, and the parity of sync and async."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import openfeature_gov
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Governor
from tests.conftest import contract_yaml, flag_document


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


def test_a_governor_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    """Opened on files it loads no command, page, SQL library, nor the verifier."""
    contracts, flags = tmp_path / "governance.yaml", tmp_path / "flags.json"
    contracts.write_text(contract_yaml("look_up"))
    write_document(flags, flag_document())
    places = tuple(map(str, (contracts, flags, tmp_path / "records.db")))
    verifier = "openfeature_gov.evidence.standalone.gov_verify"
    heavy = {"typer", "rich", "starlette", "jinja2", "sqlalchemy", "redis", verifier}
    code = (
        "import sys; from openfeature_gov import Governor\n"
        f"with Governor.open(*{places!r}):\n    print({heavy!r} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"

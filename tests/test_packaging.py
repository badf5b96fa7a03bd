"""What ships: namespaces that hide nobody, types that are found, few imports."""

import ast
import sys
from pathlib import Path

import pytest

import openfeature
from openfeature import api
from openfeature.contrib.provider import featbit

ROOT = Path(__file__).parents[1]
FEATBIT = ROOT / "providers/openfeature/contrib/provider/featbit"
PACKAGES = [
    ROOT / "openfeature_gov",
    ROOT / "rollout/openfeature_gov_rollout",
    FEATBIT,
]


@pytest.mark.parametrize(
    "folder", ["", "openfeature", "openfeature/contrib", "openfeature/contrib/provider"]
)
def test_the_shared_namespace_holds_no_package(folder: str) -> None:
    """A stray __init__.py would hide the OpenFeature SDK from every importer."""
    assert not (ROOT / "providers" / folder / "__init__.py").exists()


def test_the_sdk_and_the_provider_share_a_namespace() -> None:
    """Both are importable, from two places."""
    assert openfeature.__file__ is None
    assert featbit.__file__ is not None
    assert Path(featbit.__file__).parent == FEATBIT
    assert api.__file__ is not None
    assert FEATBIT not in Path(api.__file__).parents


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_package_ships_its_types(package: Path) -> None:
    """Type checkers of users look for py.typed in each package."""
    assert (package / "py.typed").is_file()


@pytest.mark.parametrize(
    "file", sorted(FEATBIT.glob("*.py")), ids=lambda path: path.name
)
def test_the_provider_imports_only_the_sdk_and_orjson(file: Path) -> None:
    """It could be published alone: nothing of ours, no other library."""
    allowed = {"openfeature", "orjson", *sys.stdlib_module_names}
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert {name.split(".")[0] for name in names} <= allowed


PURE = "errors flagset strict_json fields timestamps values parsing patterns conditions"
PURE += " buckets snapshot context building editing authoring"


@pytest.mark.parametrize("name", PURE.split())
def test_the_pure_files_do_no_io(name: str) -> None:
    """Parsing, compiling, evaluating and authoring read no clock, file or thread."""
    impure = {"os", "time", "random", "socket", "threading", "pathlib", "logging"}
    impure |= {"asyncio", "secrets", "weakref", "tempfile", "io"}
    for node in ast.walk(ast.parse((FEATBIT / f"{name}.py").read_text())):
        if isinstance(node, ast.Import):
            assert impure.isdisjoint(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in impure

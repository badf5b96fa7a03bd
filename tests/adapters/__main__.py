"""Run each adapter's tests against its real framework, in an environment of its own.

    python -m tests.adapters                       every adapter, latest versions
    python -m tests.adapters langgraph --floor     one, at the oldest supported versions

Environments are made in ``.adapters/`` with uv where it is installed, else with pip,
and are kept: the next run only updates what changed. ``--prepare`` makes them and runs
no test; ``--prepared`` runs the tests in them as they are.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
BESIDE = {
    "langgraph": ["langgraph-checkpoint-sqlite"],
    "fastmcp": ["mcp-server-time"],
    "agent-framework": ["agent-framework-orchestrations"],
}
"""What the tests of an adapter need beside its extra."""
MORE = {"fastmcp": ["test_mcp_gateway.py"]}
"""What else is tested in the environment of an adapter."""
ALWAYS = ["pytest>=8.3", "pytest-xdist>=3.6", "hypothesis>=6.115", "opentelemetry-sdk"]
QUIET = [
    *("-W", "ignore:SelectableGroups dict:DeprecationWarning"),
    *("-W", "ignore:[EXPERIMENTAL] feature:UserWarning"),
    *("-W", "ignore:function_calling_llm is deprecated:DeprecationWarning"),
    *("-W", "ignore:deprecated:DeprecationWarning"),
]
"""Warnings of Google ADK 2.12, of the OpenTelemetry that it demands, and of CrewAI."""
NAMES = (
    "langgraph",
    "fastmcp",
    "mcp",
    "openai-agents",
    "pydantic-ai",
    "claude-agent",
    "agent-framework",
    "adk",
    "crewai",
)


def requirements(name: str, *, floor: bool) -> list[str]:
    """Return what to install for the adapter *name*, at its *floor* or the latest."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    needed = [*ALWAYS, *BESIDE.get(name, [])]
    if floor:
        needed += [re.sub(r">=([\w.]+),?.*", r"==\1", one) for one in extras[name]]
    return [*needed, "-e", f"{ROOT}[{name},testing,cli]"]


def environment(name: str, *, floor: bool) -> Path:
    """Return the folder of the environment for *name*."""
    return ROOT / ".adapters" / f"{name}-{'floor' if floor else 'latest'}"


def prepare(name: str, *, floor: bool) -> None:
    """Make the environment for *name*, or bring it up to date."""
    place = environment(name, floor=floor)
    python = place / "bin" / "python"
    uv = shutil.which("uv")
    if not python.exists():
        make = [uv, "venv", "-q", "-p", sys.executable] if uv else None
        _run([*(make or [sys.executable, "-m", "venv"]), str(place)])
    install = [uv, "pip", "install", "-q"] if uv else None
    command = install or [str(python), "-m", "pip", "install", "-q"]
    _run(
        [*command, "-U", *requirements(name, floor=floor)],
        {"VIRTUAL_ENV": str(place)},
    )


def _run(command: Sequence[str], more: dict[str, str] | None = None) -> None:
    settings = {**os.environ, **(more or {})}
    subprocess.run(command, cwd=ROOT, env=settings, check=True)


def tested(
    names: Sequence[str], *, floor: bool, prepared: bool, rest: list[str]
) -> Iterator[int]:
    """Run the tests of each of *names*; yield each exit code."""
    for name in names:
        if not prepared:
            prepare(name, floor=floor)
        python = environment(name, floor=floor) / "bin" / "python"
        print(f"== adapter {name}, {'floor' if floor else 'latest'}", flush=True)
        own = f"test_{name.replace('-', '_')}.py"
        files = [own, "test_examples.py", *MORE.get(name, [])]
        tests = [f"tests/adapters/{file}" for file in files]
        command = [str(python), "-m", "pytest", "-q", *QUIET, *tests, *rest]
        yield subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    """Return 0 when every adapter that was asked for passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME")
    versions = parser.add_mutually_exclusive_group()
    versions.add_argument("--floor", action="store_true", help="oldest versions")
    versions.add_argument("--latest", action="store_true", help="the default")
    steps = parser.add_mutually_exclusive_group()
    steps.add_argument("--prepare", action="store_true", help="run no tests")
    steps.add_argument("--prepared", action="store_true", help="install nothing")
    options, rest = parser.parse_known_args()
    names, floor = options.names or NAMES, options.floor
    if options.prepare:
        for name in names:
            prepare(name, floor=floor)
        return 0
    return max(tested(names, floor=floor, prepared=options.prepared, rest=rest))


if __name__ == "__main__":
    sys.exit(main())

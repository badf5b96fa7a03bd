"""Break the law and each safe default on purpose; the tests must notice every time.

Each mutant listed in the folder ``mutations`` is applied to a copy of the package in a
temporary folder, never to the tree, and the tests that it names run there. A mutant is
caught when they fail (pytest's exit code 1); a collection error, a crash and a time-out
are not. ``python -m tests.properties.mutants`` runs all, or those whose file or text
holds one of the words given, and exits with 1 if one survives.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from py_compile import PycInvalidationMode
from queue import SimpleQueue
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

from tests.properties.mutations.approvals import APPROVALS
from tests.properties.mutations.audit import AUDIT
from tests.properties.mutations.contracts import CONTRACTS
from tests.properties.mutations.controls import CONTROLS
from tests.properties.mutations.fairness import FAIRNESS
from tests.properties.mutations.flags import FLAGS
from tests.properties.mutations.forks import FORKS
from tests.properties.mutations.guardrails import GUARDRAILS
from tests.properties.mutations.judging import JUDGING
from tests.properties.mutations.law import DECISIONS
from tests.properties.mutations.limits import LIMITS
from tests.properties.mutations.live import LIVE
from tests.properties.mutations.mutant import Mutant
from tests.properties.mutations.records import RECORDS
from tests.properties.mutations.rollout import ROLLOUT
from tests.properties.mutations.rules import RULES
from tests.properties.mutations.sealing import SEALING
from tests.properties.mutations.tools import TOOLS

MUTANTS = (
    *DECISIONS,
    *CONTROLS,
    *CONTRACTS,
    *RULES,
    *FLAGS,
    *JUDGING,
    *TOOLS,
    *RECORDS,
    *FAIRNESS,
    *FORKS,
    *LIVE,
    *APPROVALS,
    *SEALING,
    *AUDIT,
    *ROLLOUT,
    *LIMITS,
    *GUARDRAILS,
)
ROOT = Path(__file__).parents[2]
SOURCES = ("openfeature_gov", "providers", "rollout", "tests")
LIMIT_S = 120
WORKERS = 2
CAUGHT = "caught"


class Workshop:
    """Hold one copy of the package and its tests. Lives for one run of mutants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        skipped = ignore_patterns("__pycache__", "*.pyc")
        for name in SOURCES:
            copytree(ROOT / name, folder / name, ignore=skipped)
        (folder / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
        # INVARIANT: by hash. Two mutants of one size in one second look the same to
        # the default check, and the tests would run on the code of the one before.
        mode = PycInvalidationMode.CHECKED_HASH
        package = str(folder / "openfeature_gov")
        compileall.compile_dir(package, quiet=2, invalidation_mode=mode)

    def tested(self, tests: Iterable[str], limit_s: float | None = LIMIT_S) -> str:
        """Return what *tests* say of this copy: passed, caught, or why neither.

        They hang if they take longer than *limit_s*.
        """
        roots = [str(self.folder / name) for name in (".", "providers", "rollout")]
        settings = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(roots),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        try:
            code = subprocess.run(
                [*command, *(f"tests/{test}" for test in tests)],
                cwd=self.folder,
                env=settings,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=limit_s,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return "hung"
        return {0: "passed", 1: CAUGHT}.get(code, f"exit code {code}")

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """Keep *mutant* in this copy for the block."""
        path = self.folder / "openfeature_gov" / mutant.file
        before = path.read_text("utf-8")
        path.write_text(mutant.applied(before), "utf-8")
        try:
            yield
        finally:
            path.write_text(before, "utf-8")

    def judged(self, mutant: Mutant) -> str:
        """Return `CAUGHT`, or what happened instead."""
        with self.mutated(mutant):
            found = self.tested(mutant.tests)
        return "SURVIVED" if found == "passed" else found


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Provide one copy of the tree for the block."""
    with TemporaryDirectory(prefix="gov-mutants-") as folder:
        yield Workshop(Path(folder).resolve())


def judge(mutants: Iterable[Mutant]) -> Iterator[tuple[Mutant, str, float]]:
    """Yield each of *mutants* in order, with what became of it and the seconds."""
    with workshop() as one, workshop() as two, ThreadPoolExecutor(WORKERS) as pool:
        free: SimpleQueue[Workshop] = SimpleQueue()
        free.put(one)
        free.put(two)

        def work(mutant: Mutant) -> tuple[Mutant, str, float]:
            mine, started = free.get(), time.monotonic()
            try:
                return mutant, mine.judged(mutant), time.monotonic() - started
            finally:
                free.put(mine)

        yield from pool.map(work, mutants)


def faults(mutants: Iterable[Mutant]) -> list[str]:
    """Return what is wrong with the table itself: text that is gone, or twice there."""
    found = []
    for mutant in mutants:
        text = (ROOT / "openfeature_gov" / mutant.file).read_text("utf-8")
        try:
            compile(mutant.applied(text), mutant.file, "exec")
        except (LookupError, SyntaxError) as error:
            found.append(f"{mutant}: {error}")
        for test in mutant.tests:
            file, _, name = test.partition("::")
            if f"def {name}(" not in (ROOT / "tests" / file).read_text("utf-8"):
                found.append(f"{mutant}: no test {test}")
    return found


def main(words: list[str]) -> int:
    """Run the table, print one row a mutant, and return the exit code."""
    chosen = [m for m in MUTANTS if not words or any(w in str(m) for w in words)]
    wrong = faults(chosen)
    if wrong or not chosen:
        print("\n".join(wrong) or "no mutant holds these words")
        return 1
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    with workshop() as sound:
        if (found := sound.tested(tests, limit_s=None)) != "passed":
            print(f"the tests on the unchanged package: {found}; nothing to compare")
            return 1
    survivors = 0
    for number, (mutant, found, seconds) in enumerate(judge(chosen), 1):
        survivors += found != CAUGHT
        print(f"{found:10} {seconds:5.1f} s  {mutant}", flush=True)
        if sys.stderr.isatty():
            print(f"{number} of {len(chosen)}", end="\r", file=sys.stderr, flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

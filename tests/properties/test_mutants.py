"""The mutants: a seeded few of them here, all by `tests.properties.mutants`."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.full import share
from tests.properties.mutants import (
    CAUGHT,
    MUTANTS,
    Workshop,
    faults,
    judge,
    workshop,
)
from tests.properties.mutations.law import LAW
from tests.properties.mutations.mutant import Mutant

SAMPLE = random.Random(8).sample(MUTANTS, share(32, of=8))


@pytest.fixture(scope="module")
def copy() -> Iterator[Workshop]:
    with workshop() as one:
        yield one


def test_every_mutant_still_fits_the_code() -> None:
    """Each old text stands exactly once, each new one compiles, each test exists."""
    assert faults(MUTANTS) == []
    assert len(MUTANTS) >= 60
    assert len({(m.file, m.old, m.new) for m in MUTANTS}) == len(MUTANTS)


def test_table_that_rots_is_noticed() -> None:
    """Text that is gone or stands twice, and a test that is gone, are faults."""
    gone = Mutant("decisions.py", "no such text", "", LAW)
    twice = Mutant("decisions.py", "return", "return ", LAW)
    broken = Mutant("decisions.py", "@cache", "@cache(", LAW)
    untested = Mutant("decisions.py", "@cache", "", ("properties/test_law.py::nope",))
    assert len(faults([gone, twice, broken, untested])) == 4


def test_unchanged_package_passes(copy: Workshop) -> None:
    """What catches the sampled mutants is the mutation, not the copy."""
    tests = {test for mutant in SAMPLE for test in mutant.tests}
    assert copy.tested(sorted(tests)) == "passed"


@pytest.mark.parametrize(
    ("new", "found"),
    [("OFF", "SURVIVED"), ("raise RuntimeError", "exit code"), ("max", CAUGHT)],
    ids=["no change", "no import", "real"],
)
def test_only_failing_tests_catch(copy: Workshop, new: str, found: str) -> None:
    """A change without effect survives, and a broken import does not count."""
    changes = {
        "OFF": Mutant("decisions.py", "lowered = [OFF]", "lowered = [Mode(0)]", LAW),
        "max": Mutant("decisions.py", "clamped[min(", "clamped[max(", LAW),
    }
    fatal = Mutant("decisions.py", "@cache", "raise RuntimeError\n\n\n@cache", LAW)
    assert copy.judged(changes.get(new, fatal)).startswith(found)


def test_sampled_mutants_are_caught() -> None:
    """Eight mutants, drawn by a fixed seed, each make their tests fail."""
    assert [str(mutant) for mutant, found, _ in judge(SAMPLE) if found != CAUGHT] == []

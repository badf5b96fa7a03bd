"""`Mutant`: where, which text, what instead, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass

Tests = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """Describe one change of *file*, below the package, that *tests* must notice.

    *old* stands exactly once in the file: short enough to survive other edits.
    """

    file: str
    old: str
    new: str
    tests: Tests

    def applied(self, text: str) -> str:
        """Return *text* with the change made.

        Raises:
            LookupError: when the old text does not stand there exactly once.

        """
        if (found := text.count(self.old)) != 1:
            raise LookupError(f"the old text stands there {found} times, not once")
        return text.replace(self.old, self.new)

    def __str__(self) -> str:
        return f"{self.file}: {self.old!r} -> {self.new!r}"


def mutants(file: str, tests: Tests, *changes: tuple[str, str]) -> list[Mutant]:
    """Return one mutant of *file* for each (old, new) of *changes*."""
    return [Mutant(file, old, new, tests) for old, new in changes]


def tests_of(file: str, *names: str) -> Tests:
    """Return the node ids of the tests called *names* in *file*."""
    return tuple(f"{file}::test_{name}" for name in names)

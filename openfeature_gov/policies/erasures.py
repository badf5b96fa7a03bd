"""Ask the host who was erased, within a time budget."""

from __future__ import annotations

from collections.abc import Callable

from openfeature_gov.policies.budget import Budget

SECONDS = 0.05
"""How long an answer may take, for all names together (threats, table 5)."""


class Erasures:
    """Ask *erased*, a function of the host. Safe to share; lives with its Governor."""

    def __init__(self, erased: Callable[[str], bool]) -> None:
        self._erased, self._budget = erased, Budget()

    def __call__(self, names: list[str]) -> bool:
        """Say whether any of *names* was erased; only False says that one was not.

        Raises:
            OverrunError: when the host did not answer in time.
            Exception: whatever the host's function raises.

        """
        erased = self._erased
        return self._budget.run(
            lambda: any(erased(name) is not False for name in names), SECONDS
        )

    def close(self) -> None:
        """Let go of the threads that were asked; idempotent."""
        self._budget.close()

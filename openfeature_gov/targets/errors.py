"""Why a change of flags was not made. A message says what was seen and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openfeature_gov.errors import GovernanceError


class RefusedError(GovernanceError):
    """Report a change or question that was refused; the message says what to do.

    *why* is ``refused``, ``stale`` (a flag changed meanwhile) or ``unverified`` (the
    change was made and could not be confirmed).
    """

    def __init__(self, message: str, *, why: str = "refused") -> None:
        super().__init__(message)
        self.why = why


class ConflictError(RefusedError):
    """Report a change that somebody else's change of the same flag overtook.

    Nothing was written. *sides* holds a line for each flag: what was seen, what is
    there now, and what was wanted.
    """

    def __init__(self, source: str, sides: Sequence[str]) -> None:
        lines = "\n".join(f"  {line}" for line in sides)
        super().__init__(
            f"{source}: somebody changed the same flag meanwhile; nothing was changed; "
            f"look at both sides and decide again\n{lines}",
            why="stale",
        )
        self.sides = tuple(sides)


class NotWrittenError(RefusedError):
    """Report that not one flag of a change could be written; *failed* says why."""

    def __init__(self, source: str, failed: Mapping[str, str]) -> None:
        lines = "\n".join(f'  flag "{key}": {why}' for key, why in failed.items())
        super().__init__(f"{source}: no flag was changed\n{lines}")
        self.failed = dict(failed)


class UnreachableError(GovernanceError):
    """Report a target that cannot be reached or read at all."""

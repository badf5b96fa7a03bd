"""Where a rollout stands, as its mode flag says. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from openfeature_gov_rollout.plan import ABORTED, ROLLED_BACK

FALLEN = (ROLLED_BACK, ABORTED)
"""What the flag says in place of a stage after a fall."""


@dataclass(frozen=True, slots=True)
class Place:
    """Say where a flag stands in a plan.

    *stage* is the name of a stage, ``rolled-back``, ``aborted``, or empty where the
    flag holds nothing of the plan; *origin* the stage that it fell from. *transition*
    is the id of the record that led there. *altered* says what somebody else made of
    it, empty for nothing.
    """

    stage: str = ""
    transition: str = ""
    altered: str = ""
    origin: str = ""

    @property
    def fallen(self) -> bool:
        """Say whether the rollout fell to the safest mode."""
        return self.stage in FALLEN

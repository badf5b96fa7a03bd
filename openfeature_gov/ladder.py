"""The words that the law is written in: modes, risk classes, reversibility, intent."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Mode(IntEnum):
    """Say how much authority is active; a higher rung includes every lower one."""

    OFF = 0
    OBSERVE = 1
    SEARCH_ONLY = 2
    SCOPED_READ = 3
    DRAFT_WRITE = 4
    APPROVAL_REQUIRED = 5
    AUTONOMOUS = 6

    @property
    def label(self) -> str:
        """Return the name as flags, contracts and records spell it."""
        return _LABELS[self]


_LABELS = tuple(mode.name.lower() for mode in Mode)
MODES: dict[str, Mode] = {mode.label: mode for mode in Mode}
"""Every mode by its label: the closed set of variants of a mode flag."""


class RiskClass(StrEnum):
    """Classify what an action can do, mildest first (article 001)."""

    SEARCH = "search"
    SCOPED_READ = "scoped_read"
    SENSITIVE_READ = "sensitive_read"
    REVERSIBLE_WRITE = "reversible_write"
    EXTERNAL_EFFECT = "external_effect"
    ADMIN_ACTION = "admin_action"
    IRREVERSIBLE = "irreversible"


class Reversibility(StrEnum):
    """Say what it takes to undo an action, easiest first (article 001)."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    EXPENSIVE = "expensive"
    NONE = "none"


class Intent(StrEnum):
    """Name the task that the agent is trying to complete (article 001)."""

    SEARCH = "search"
    DRAFT = "draft"
    UPDATE = "update"
    PUBLISH = "publish"
    DEPLOY = "deploy"
    DELETE = "delete"
    APPROVE = "approve"


READS = frozenset({RiskClass.SEARCH, RiskClass.SCOPED_READ, RiskClass.SENSITIVE_READ})
"""The classes that change nothing."""

SEVERITY: dict[RiskClass, int] = {risk: rank for rank, risk in enumerate(RiskClass)}
EFFORT: dict[Reversibility, int] = {
    kind: rank for rank, kind in enumerate(Reversibility)
}

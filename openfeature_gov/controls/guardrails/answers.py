"""The three answers of a guardrail: clear, fired, and it cannot tell."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.settings import Setting
from openfeature_gov.ladder import Mode

OFF, APPROVAL_REQUIRED, AUTONOMOUS = Mode.OFF, Mode.APPROVAL_REQUIRED, Mode.AUTONOMOUS
PREFIX = "guardrail."
"""What the control's name begins with in verdicts; the guardrail's own follows."""


def clear(settings: Setting) -> Verdict:
    """Return the verdict that lowers nothing."""
    return _clear(settings.name)


@lru_cache(maxsize=1024)
def _clear(name: str) -> Verdict:
    return Verdict(f"{PREFIX}{name}", Mode.AUTONOMOUS, "clear")


def fired(
    rules: GovernanceContract, settings: Setting, reason: str, **seen: Any
) -> Verdict:
    """Return the verdict at the guardrail's cap; *seen* is its evidence."""
    return capped(rules, settings, settings.cap, reason, **seen)


def unknown(
    rules: GovernanceContract, settings: Setting, reason: str, **seen: Any
) -> Verdict:
    """Return the strictest verdict of the guardrail: it cannot tell."""
    return capped(rules, settings, settings.unknown, reason, **seen)


def capped(
    rules: GovernanceContract, settings: Setting, cap: Mode, reason: str, **seen: Any
) -> Verdict:
    """Return the verdict of *settings* at *cap*.

    One at approval_required needs a human whatever the action is: a mere read would
    else pass below that cap.
    """
    if settings.fallback:
        cap = min(cap, rules.rollback.safest_mode)
    need = AUTONOMOUS if cap is APPROVAL_REQUIRED else OFF
    name = _clear(settings.name).control
    return Verdict(name, cap, reason, need, (), seen, settings.fallback)

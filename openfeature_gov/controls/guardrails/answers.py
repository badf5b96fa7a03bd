"""The three answers of a guardrail: clear, fired, and it cannot tell.

A guardrail is prepared once from its settings: the answers that say the same each time
are made then. What is seen anew, such as an amount, is put into a copy of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Constraint, Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.settings import Setting
from openfeature_gov.ladder import Mode

Weigher = Callable[[ActionContract, Situation], Verdict]
"""A prepared guardrail: it weighs one action in one situation."""

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


class _Draft:
    """Be a verdict that is being written: to fill what is frozen takes twice as long.

    With the same slots it becomes one by taking on its class.
    """

    __slots__ = (
        "cap",
        "constraints",
        "control",
        "encoded",
        "evidence",
        "fallback",
        "need",
        "reason",
    )
    cap: Mode
    constraints: tuple[Constraint, ...]
    control: str
    encoded: bytes | None
    evidence: Mapping[str, Any]
    fallback: bool
    need: Mode
    reason: str


def seeing(like: Verdict) -> Callable[[Mapping[str, Any]], Verdict]:
    """Return what makes verdicts that are as *like* but for their evidence."""
    control, cap, reason, need = like.control, like.cap, like.reason, like.need
    fallback, constraints, written = like.fallback, like.constraints, Verdict

    def verdict(seen: Mapping[str, Any]) -> Verdict:
        one: Any = _Draft()
        one.control = control
        one.cap = cap
        one.reason = reason
        one.need = need
        one.constraints = constraints
        one.evidence = seen
        one.fallback = fallback
        one.encoded = None
        one.__class__ = written
        made: Verdict = one
        return made

    return verdict

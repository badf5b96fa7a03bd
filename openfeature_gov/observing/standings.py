"""How quality and safety signals stand: the memory of their guardrails."""

from __future__ import annotations

from decimal import Decimal

from openfeature_gov.controls.guardrails.signal import released, sampled
from openfeature_gov.controls.guardrails.situation import Standing
from openfeature_gov.governance import Governance
from openfeature_gov.governance.guardrails import Signal

UNHEARD = Standing()


class Standings:
    """Remember signals by tool and guardrail. Not safe to share."""

    def __init__(self, governance: Governance) -> None:
        self._settings = {
            (rules.tool, one.name): one
            for rules in governance
            for one in rules.guardrails
            if isinstance(one, Signal)
        }
        self._kept: dict[tuple[str, str], Standing] = {}

    def of(self, tool: str, name: str) -> Standing:
        """Return how the signal of the guardrail *name* of *tool* stands."""
        return self._kept.get((tool, name), UNHEARD)

    def sample(self, metric: str, value: Decimal, now: int) -> int:
        """Take a sample of *metric*; return how many guardrails look at it."""
        found = [key for key, one in self._settings.items() if one.metric == metric]
        for key in found:
            before = self._kept.get(key, UNHEARD)
            self._kept[key] = sampled(before, self._settings[key], value, now)
        return len(found)

    def release(
        self, metric: str, by: str, at_us: int | None = None
    ) -> tuple[str, ...]:
        """Let go of *metric* in the name of *by*; return the tools it still holds.

        One that was recorded at *at_us* says nothing of what turned bad later.
        """
        found = [key for key, one in self._settings.items() if one.metric == metric]
        for key in found:
            before = self._kept.get(key, UNHEARD)
            if at_us is None or before.bad_us <= at_us:
                self._kept[key] = released(before, self._settings[key], by)
        return tuple(
            sorted({tool for tool, name in found if self.of(tool, name).fired})
        )

    def hold(self, tool: str, name: str, now: int) -> None:
        """Hold a signal that waits for a named release since before this start."""
        one = self._settings.get((tool, name))
        if one is not None and one.named_release:
            self._kept[tool, name] = Standing(fired=True, bad_us=now)

"""Who was refused when: the memory of guardrails on repeated refusals."""

from __future__ import annotations

from openfeature_gov.contracts import CallContext
from openfeature_gov.governance.guardrails import Refusals
from openfeature_gov.observing.table import Table

DAY_US = 86_400_000_000
KEYS = 16_384
"""How many agents and tasks are remembered at most."""
KEPT = 100
"""How many refusals of each: what settings may ask for."""
Key = tuple[str, ...]


class Refused:
    """Remember the last refusals of agents and tasks. Not safe to share."""

    def __init__(self) -> None:
        self._kept: Table[Key, tuple[int, ...]] = Table(KEYS, DAY_US)

    def times(
        self, one: Refusals, context: CallContext, now: int
    ) -> tuple[int, ...] | None:
        """Return when it was refused, oldest first; None when nobody can tell."""
        agent = context.actor.agent
        key = _agent(agent) if one.per == "agent" else _task(agent, context.task)
        return self._kept.get(key) or () if self._kept.room(key, now) else None

    def add(self, agent: str, task: str, at_us: int, now: int) -> None:
        """Note that a call of *agent* in *task* was refused at *at_us*."""
        for key in (_agent(agent), _task(agent, task)):
            times = sorted((*(self._kept.get(key) or ()), at_us))
            self._kept.put(key, tuple(times[-KEPT:]), now)


def _agent(agent: str) -> Key:
    return ("agent", agent)


def _task(agent: str, task: str) -> Key:
    return ("task", agent, task)

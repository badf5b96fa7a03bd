"""Which first steps each task took: the memory of sequences."""

from __future__ import annotations

from collections.abc import Mapping

from openfeature_gov.contracts import CallContext
from openfeature_gov.controls.guardrails.matching import Act, is_like
from openfeature_gov.governance import Governance
from openfeature_gov.governance.guardrails import Sequence
from openfeature_gov.observing.table import Table

DAY_US = 86_400_000_000
TASKS = 16_384
"""How many tasks are remembered at most; a sequence spans a day at most."""
DEPTH = 16
"""How many parents above a task are looked at, at most."""
Task = tuple[str, str]
Step = tuple[str, str]
Before = Mapping[tuple[Task, Step], int | None]


class Steps:
    """Remember when the first step of a sequence was taken. Not safe to share."""

    def __init__(self, governance: Governance) -> None:
        self._sequences = [
            ((rules.tool, one.name), one)
            for rules in governance
            for one in rules.guardrails
            if isinstance(one, Sequence)
        ]
        self._kept: Table[Task, dict[Step, int]] = Table(TASKS, DAY_US)
        self._parents: Table[str, str] = Table(TASKS, DAY_US)

    def last(
        self, step: Step, context: CallContext, own: Before, now: int
    ) -> tuple[int | None] | None:
        """Return when *step* was taken last, in a tuple; None when nobody can tell.

        *own* is what this very call found before it, where it took the step itself.
        """
        times = []
        if context.parent_task and not self._parents.room(context.task, now):
            return None
        for task in self._line(context):
            if not self._kept.room(task, now):
                return None
            at = (self._kept.get(task) or {}).get(step)
            times.append(own.get((task, step), at))
        return (max((at for at in times if at is not None), default=None),)

    def take(self, act: Act, context: CallContext, at_us: int, now: int) -> Before:
        """Note the sequences that *act* begins; return when they began before."""
        before: dict[tuple[Task, Step], int | None] = {}
        if self._sequences and context.task and context.parent_task:
            self._parents.put(context.task, context.parent_task, now)
        taken = [step for step, one in self._sequences if is_like(act, one.first)]
        for task in self._line(context) if taken else ():
            steps = self._kept.get(task) or {}
            before |= {(task, step): steps.get(step) for step in taken}
            self._kept.put(task, {**steps, **dict.fromkeys(taken, at_us)}, now)
        return before

    def _line(self, context: CallContext) -> tuple[Task, ...]:
        """Return the tasks of *context*, and the parents of its parent as far as known.

        They are known of tasks that made a call themselves.
        """
        found, name = tasks_of(context), context.parent_task
        for _ in range(DEPTH):
            name = (self._parents.get(name) if name else None) or ""
            if not name or ("task", name) in found:
                break
            found += (("task", name),)
        return found


def tasks_of(context: CallContext) -> tuple[Task, ...]:
    """Return the task and its parent; without one the session, else the agent.

    A step counts for both, so that a task cannot hand the second half to another one.
    """
    actor = context.actor
    found = [("task", name) for name in (context.task, context.parent_task) if name]
    if found:
        return tuple(dict.fromkeys(found))
    return (("session", actor.session) if actor.session else ("agent", actor.agent),)

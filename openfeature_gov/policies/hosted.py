"""Ask the host's own controls, each within a time budget."""

from __future__ import annotations

from contextvars import copy_context
from dataclasses import replace
from functools import partial

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls import AT_ONCE, IDENTITY, Control, Controls
from openfeature_gov.controls.approval import Predicate
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode
from openfeature_gov.policies.budget import Budget, OverrunError


class Hosted:
    """Bound the guardrails, predicates and authorizer of *given* by its *budget_ms*.

    `controls` is *given* with them bounded: a guardrail or authorizer that does not
    answer in time says off, a predicate holds. Those that are marked `at_once` stay as
    they are. Safe to share; lives with its Governor.
    """

    def __init__(self, given: Controls) -> None:
        self._seconds = given.budget_ms / 1000
        # One that hangs must not take the threads of the others.
        self._budgets: list[Budget] = []
        authorizer = given.authorizer
        self.controls = replace(
            given,
            guardrails=tuple(
                (name, self._bounded(name, one)) for name, one in given.guardrails
            ),
            predicates={
                name: self._held(one) for name, one in given.predicates.items()
            },
            authorizer=authorizer and self._bounded(IDENTITY, authorizer),
        )

    @property
    def waits(self) -> bool:
        """Say whether a decision may have to wait for the host."""
        return bool(self._budgets)

    def close(self) -> None:
        """Let go of the threads that the host's code ran in; idempotent."""
        for budget in self._budgets:
            budget.close()

    def _budget(self) -> Budget:
        self._budgets.append(Budget())
        return self._budgets[-1]

    def _bounded(self, name: str, control: Control) -> Control:
        if getattr(control, AT_ONCE, False):
            return control
        budget, seconds = self._budget(), self._seconds

        def asked(
            contract: ActionContract, rules: GovernanceContract, flags: Readings
        ) -> Verdict:
            work = partial(copy_context().run, control, contract, rules, flags)
            try:
                return budget.run(work, seconds)
            except OverrunError:
                seen = {"budgetMs": int(seconds * 1000)}
                return Verdict(name, Mode.OFF, "control_too_slow", evidence=seen)

        return asked

    def _held(self, predicate: Predicate) -> Predicate:
        if getattr(predicate, AT_ONCE, False):
            return predicate
        budget, seconds = self._budget(), self._seconds

        def held(contract: ActionContract) -> bool:
            # One that is too slow raises, and what raises holds.
            return budget.run(partial(copy_context().run, predicate, contract), seconds)

        return held

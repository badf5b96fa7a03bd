"""`Policies`: the foreign policies of a deployment, loaded and asked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails import Situation, concerns
from openfeature_gov.controls.guardrails.answers import unknown
from openfeature_gov.decisions import Verdict
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.governance.foreign import Cedar, Custom, DecisionPoint
from openfeature_gov.governance.guardrails import DataRules
from openfeature_gov.governance.settings import Setting
from openfeature_gov.policies import cedar, functions, point
from openfeature_gov.policies.budget import Budget
from openfeature_gov.policies.functions import Function

FOREIGN = (Custom, Cedar, DecisionPoint)
WAITING = (Custom, DecisionPoint)
"""Those that may take so long that an event loop must not wait for them."""


class Policies:
    """Ask functions, Cedar and decision points. Safe to share; lives with a Governor.

    *known* are the functions of the host by name. What cannot be loaded cannot tell
    when it is asked; `check` refuses it beforehand.
    """

    def __init__(self, governance: Governance, known: Mapping[str, Function]) -> None:
        self._known = dict(known)
        # One that hangs must not take the threads of the others.
        self._budgets = {
            (rules.tool, one.name): Budget()
            for rules in governance
            for one in rules.guardrails
            if isinstance(one, WAITING)
        }
        self._cedar: dict[tuple[str, str], cedar.Compiled] = {}
        self._tokens: dict[str, str] = {}
        self._asked = {
            rules.tool: tuple(
                one for one in rules.guardrails if isinstance(one, FOREIGN)
            )
            for rules in governance
        }
        self._source = governance.source
        self.problems = tuple(self._load(governance))

    def check(self) -> None:
        """Refuse what could not be loaded.

        Raises:
            InvalidContractError: when a policy is not valid, a function is not known,
                or a token's variable is empty.

        """
        if self.problems:
            raise InvalidContractError(self._source, list(self.problems))

    def _load(self, governance: Governance) -> Iterator[tuple[int, str, str]]:
        for rules in governance:
            for one in self._asked[rules.tool]:
                problem = self._loaded(rules.tool, one)
                if problem:
                    line = governance.lines.get((rules.tool, one.name), 0)
                    yield line, f"{rules.tool}.guardrails.{one.name}", problem

    def _loaded(self, tool: str, one: Setting) -> str:
        """Load what *one* of *tool* needs; return what keeps it from that."""
        match one:
            case Custom() if one.function not in self._known:
                return f"no function {one.function!r} is registered in Controls"
            case DecisionPoint() if one.token_variable:
                token = os.environ.get(one.token_variable, "")
                self._tokens[one.token_variable] = token
                return "" if token else f"tokenVariable: {one.token_variable} is empty"
            case Cedar():
                try:
                    self._cedar[tool, one.name] = cedar.compiled(one, tool, self._asked)
                except ValueError as error:
                    return f"{error}"
        return ""

    def close(self) -> None:
        """Let go of the threads that functions ran in; idempotent."""
        for budget in self._budgets.values():
            budget.close()

    def waits(self, rules: GovernanceContract) -> bool:
        """Say whether asking the policies of *rules* may take long."""
        return bool(rules.guardrails) and any(
            isinstance(one, WAITING) or (isinstance(one, DataRules) and one.erased)
            for one in rules.guardrails
        )

    def answers(
        self, contract: ActionContract, rules: GovernanceContract, situation: Situation
    ) -> dict[str, Verdict]:
        """Return the verdict of each foreign policy by the guardrail's name."""
        return {
            one.name: self._answer(one, contract, rules, situation)
            for one in self._asked.get(rules.tool, ())
            if concerns(one, contract, rules)
        }

    def _answer(
        self,
        one: Setting,
        contract: ActionContract,
        rules: GovernanceContract,
        situation: Situation,
    ) -> Verdict:
        given = (contract, rules)
        match one:
            case Custom():
                budget = self._budgets[rules.tool, one.name]
                return functions.asked(
                    *given, one, situation, functions=self._known, budget=budget
                )
            case Cedar():
                loaded = self._cedar.get((rules.tool, one.name))
                return cedar.asked(*given, one, situation, policies=loaded)
            case DecisionPoint():
                budget = self._budgets[rules.tool, one.name]
                token = self._tokens.get(one.token_variable, "")
                return point.asked(*given, one, situation, budget=budget, token=token)
            case _:
                return unknown(rules, one, "policy_not_asked")

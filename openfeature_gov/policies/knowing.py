"""`Knowing`: what was observed, and what foreign policies say, as one situation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails import Situation
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.observing import Observer
from openfeature_gov.policies.asking import Policies


@dataclass(frozen=True, slots=True)
class Knowing:
    """Return what the guardrails of a contract know beyond a call."""

    observer: Observer
    policies: Policies

    def __call__(
        self, contract: ActionContract, rules: GovernanceContract, begun: str = ""
    ) -> Situation:
        """Return the situation of *contract*; *begun* is its record if it began."""
        situation = self.observer.situation(contract, rules, begun)
        answers = self.policies.answers(contract, rules, situation)
        return replace(situation, answers=answers) if answers else situation

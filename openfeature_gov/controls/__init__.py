"""The controls: each looks at one action and answers with a verdict. All pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.approval import Predicate, approval, conditions
from openfeature_gov.controls.authorization import authorization
from openfeature_gov.controls.classification import classification
from openfeature_gov.controls.denylist import denylist
from openfeature_gov.controls.fallback import fallback
from openfeature_gov.controls.freshness import BOUNDS, Bounds, freshness
from openfeature_gov.controls.guardrails import UNKNOWN, Situation, weigh
from openfeature_gov.controls.lineage import lineage
from openfeature_gov.controls.mode import mode
from openfeature_gov.controls.queue import LIMITS, QueueHealth, QueueLimits, queue
from openfeature_gov.controls.readings import Reading, Readings
from openfeature_gov.controls.recording import HEALTHY, StoreHealth, recording
from openfeature_gov.controls.switch import switch
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode

Control = Callable[[ActionContract, GovernanceContract, Readings], Verdict]

IDENTITY, AT_ONCE = "identity", "__gov_at_once__"
BUDGET_MS = 2_000
"""Far more than a policy needs, and less than a person or a framework waits."""
STANDARD: tuple[Control, ...] = (
    authorization,
    classification,
    switch,
    mode,
    approval,
    denylist,
    fallback,
)
"""Ours: total, so that none needs a net; `Judge` denies if one fails all the same."""


F = TypeVar("F", bound=Callable[..., Any])


def at_once(function: F) -> F:
    """Mark a guardrail, predicate or authorizer that only computes and never waits.

    It is asked in the thread of whoever decides, in a microsecond and without a limit.
    """
    setattr(function, AT_ONCE, True)
    return function


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """Hold the controls of a deployment: the standard ones and what it adds.

    *predicates* answer named conditions of ``approval.requiredFor``; *guardrails* are
    further controls by name; *bounds* are the ages at which flag data loses authority,
    *limits* what the people who answer requests can carry. *functions* are those that
    guardrails of kind ``custom`` name; *erased* says whether the user, account or
    record of an id was erased. *authorizer* says whether the actor is who it claims to
    be, such as `Identities.authorizer`; it adds to the hard boundary of the contract.
    Guardrails, predicates and the authorizer have *budget_ms* milliseconds each, unless
    they are marked `at_once`; then a Governor takes the strictest answer for theirs.
    """

    guardrails: tuple[tuple[str, Control], ...] = ()
    predicates: Mapping[str, Predicate] = field(default_factory=dict)
    bounds: Bounds = BOUNDS
    limits: QueueLimits = LIMITS
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    erased: Callable[[str], bool] | None = None
    authorizer: Control | None = None
    budget_ms: int = BUDGET_MS

    def verdicts(
        self,
        contract: ActionContract,
        rules: GovernanceContract,
        flags: Readings,
        health: StoreHealth = HEALTHY,
        waiting: QueueHealth | None = None,
        situation: Situation = UNKNOWN,
    ) -> list[Verdict]:
        """Return one verdict a control; nothing is short-circuited away.

        *waiting* says how the queue of requests does, None where there is none;
        *situation* is what the contract's guardrails know beyond the call.
        """
        given = [
            freshness(contract, rules, flags, self.bounds),
            conditions(contract, rules, flags, self.predicates),
            recording(contract, rules, health),
        ]
        if waiting is not None:
            given.append(queue(contract, rules, waiting, self.limits))
        given += [control(contract, rules, flags) for control in STANDARD]
        given += self._identified(contract, rules, flags)
        if rules.lineage is not None:
            given.append(lineage(contract, rules.lineage))
        if rules.guardrails:
            given += weigh(contract, rules, situation)
        for name, control in self.guardrails:
            given.append(ask(name, control, contract, rules, flags))
        return given

    def outline(
        self, contract: ActionContract, rules: GovernanceContract, flags: Readings
    ) -> list[Verdict]:
        """Return what is known of a tool before anybody calls it."""
        listed = [one for one in rules.guardrails if one.kind == "denylist"]
        return [
            freshness(contract, rules, flags, self.bounds),
            *(control(contract, rules, flags) for control in STANDARD),
            *self._identified(contract, rules, flags),
            *weigh(contract, rules, UNKNOWN, listed),
        ]

    def _identified(
        self, contract: ActionContract, rules: GovernanceContract, flags: Readings
    ) -> list[Verdict]:
        """Return the authorizer's verdict, off where one is demanded and missing."""
        if self.authorizer is not None:
            return [ask(IDENTITY, self.authorizer, contract, rules, flags)]
        if rules.hard_boundary.authenticated:
            return [Verdict(IDENTITY, Mode.OFF, "authorizer_missing")]
        return []


def ask(
    name: str,
    control: Control,
    contract: ActionContract,
    rules: GovernanceContract,
    flags: Readings,
) -> Verdict:
    """Return *control*'s verdict; one that raises or answers nonsense says off."""
    try:
        verdict = control(contract, rules, flags)
    except Exception:  # noqa: BLE001 - an error is an opinion, the strictest one
        return Verdict(name, Mode.OFF, "control_failed")
    if type(verdict) is not Verdict or not _sound(verdict):
        return Verdict(name, Mode.OFF, "control_answered_nonsense")
    return replace(verdict, evidence=_plain(verdict.evidence))


def _plain(evidence: Mapping[str, object]) -> dict[str, object]:
    """Return *evidence* as JSON scalars: records hold no floats and no objects."""
    return {
        str(key): item if item is None or type(item) in (bool, int) else str(item)
        for key, item in evidence.items()
    }


def _sound(verdict: Verdict) -> bool:
    return type(verdict.cap) is Mode and type(verdict.need) is Mode


__all__ = [
    "BOUNDS",
    "HEALTHY",
    "Bounds",
    "Control",
    "Controls",
    "Predicate",
    "QueueHealth",
    "QueueLimits",
    "Reading",
    "Readings",
    "Situation",
    "StoreHealth",
    "at_once",
]

"""`Request`: what a reviewer is asked, bound to exactly what will run. Pure.

The reviewer's view is made from the very bytes that are bound: what is approved is
what executes. The binding covers the action, the types of its arguments, the contract's
revision, the flags as they were read, and the constraints; if any of them differs at
use, the approval is superseded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from openfeature_gov.approvals.states import State
from openfeature_gov.canonical import encode, kinds
from openfeature_gov.contracts import ActionContract, nothing
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Constraint, Decision
from openfeature_gov.governance import GovernanceContract

CARD_LIMIT = 4_000
"""Characters of the text that a tool's consequence function may return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Hold what the reviewer *by* asked, and what somebody behind the action said.

    Times count microseconds since 1970; nobody answered while *answered_by* is empty.
    """

    by: str
    text: str
    asked_us: int
    answer: str = ""
    answered_by: str = ""
    answered_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Ask people to release one action. Frozen: each step makes another.

    *digest* names the action, *binding* everything that the release depends on, both
    SHA-256. *deadline_us* counts microseconds since 1970; *patience_us* is how long
    each contact of the escalation chain has, *minimum_us* how long a reviewer must have
    had before an approval counts. *requesters* are subjects that may not
    answer: user, agent, instance, service and the delegation. *facts* are the card in
    JSON scalars; *arguments* the canonical bytes that will run. *votes* maps each
    reviewer who approved to what was said, *voted_us* to when.

    *reassign_to* may be asked besides the chain, *passed* were, and it is the *turn* of
    the last one of them unless it is empty. *break_glass* names the group of which two
    may release what no reviewer can be reached for, *callers* maps those who said so to
    why, and *glass_broken* says that they released it.
    """

    id: str
    state: State
    digest: str
    binding: str
    tool: str
    workflow: str
    task: str
    agent: str
    group: str
    quorum: int
    created_us: int
    deadline_us: int
    call_id: str
    record_id: str
    requesters: tuple[str, ...]
    escalation: tuple[str, ...]
    level: int = 0
    arguments: bytes = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=nothing, repr=False)
    votes: Mapping[str, str] = field(default_factory=nothing)
    voted_us: Mapping[str, int] = field(default_factory=nothing)
    constraints: tuple[Constraint, ...] = ()
    reviewer: str = ""
    reason: str = ""
    answered_us: int = 0
    consumed_by: str = ""
    questions: tuple[Question, ...] = ()
    patience_us: int = 0
    minimum_us: int = 0
    reassign_to: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    turn: str = ""
    break_glass: str = ""
    callers: Mapping[str, str] = field(default_factory=nothing)
    glass_broken: bool = False

    @property
    def fingerprint(self) -> str:
        """Return what a notification may show: enough to tell two requests apart."""
        return self.binding[:12]

    @property
    def holder(self) -> str:
        """Return the group or person whose turn it is."""
        return self.turn or (self.group, *self.escalation)[self.level]

    @property
    def asked(self) -> frozenset[str]:
        """Return the groups and people that were asked so far."""
        chain = (self.group, *self.escalation[: self.level])
        return frozenset((self.holder, *chain, *self.passed))

    @property
    def chain(self) -> tuple[str, ...]:
        """Return every group and person that may be asked."""
        return (self.group, *self.escalation, *self.reassign_to)

    @property
    def audience(self) -> frozenset[str]:
        """Return the groups and people that may be asked to do something about it."""
        return (self.asked | {*self.chain, self.break_glass}) - {""}

    def at(self, state: State, **changes: Any) -> Request:
        """Return the request in *state*, with *changes*."""
        return replace(self, state=state, **changes)


def binding(
    contract: ActionContract,
    rules: GovernanceContract,
    flags: Readings,
    constraints: Iterable[Constraint],
) -> str:
    """Return the SHA-256 of all that an approval of *contract* depends on.

    The kinds of arguments that are more than JSON are among it, not in the digest: a
    refusal holds for the text of a Decimal as well, a release does not.
    """
    found = kinds(contract.arguments)
    return sha256(
        encode(
            {
                "action": contract.digest,
                "targetRecord": contract.record,
                "risk": contract.risk_class.value,
                "reversibility": contract.reversibility.value,
                "contract": rules.revision,
                "flags": flag_states(flags),
                "constraints": [_limits(one) for one in constraints],
                "agent": contract.context.actor.agent,
                "region": contract.context.region,
                "stage": contract.context.stage,
                **({"kinds": found} if found else {}),
            }
        )
    ).hexdigest()


def flag_states(flags: Readings) -> list[dict[str, str | None]]:
    """Return each flag as the reviewer sees it: kind, key, variant and version."""
    return [
        {
            "kind": kind,
            "key": one.key,
            "variant": one.variant,
            "version": one.version,
            "fault": one.fault,
        }
        for kind, one in sorted(flags.flags.items())
    ]


def requesters(contract: ActionContract) -> tuple[str, ...]:
    """Return every subject that stands behind the action, each once."""
    actor = contract.context.actor
    named = (actor.user, actor.agent, actor.instance, actor.service, *actor.delegation)
    return tuple(dict.fromkeys(one for one in named if one))


def card(
    contract: ActionContract,
    rules: GovernanceContract,
    flags: Readings,
    decision: Decision,
    consequence: str,
) -> dict[str, Any]:
    """Return what a reviewer reads besides the arguments, as JSON scalars."""
    context = contract.context
    confidence = context.evidence.confidence
    return {
        "consequence": _bounded(consequence),
        "intent": contract.intent.value,
        "targetSystem": contract.target_system,
        "targetRecord": contract.record,
        "riskClass": contract.risk_class.value,
        "reversibility": contract.reversibility.value,
        "amount": None if contract.amount is None else str(contract.amount),
        "currency": contract.currency,
        "records": contract.records,
        "account": context.account,
        "user": context.actor.user,
        "environment": context.environment,
        "region": context.region,
        "stage": context.stage,
        "cost": None if context.cost_estimate is None else str(context.cost_estimate),
        "confidence": None if confidence is None else str(confidence),
        "sources": list(context.evidence.sources),
        "alternatives": list(context.evidence.alternatives),
        "reason": decision.reason,
        "mode": decision.mode.label,
        "verdicts": [
            {"control": one.control, "cap": one.cap.label, "reason": one.reason}
            for one in decision.verdicts
        ],
        "flags": flag_states(flags),
        "contract": rules.revision,
        "timeout": rules.approval.timeout_fallback.label,
        "rollbackOwner": rules.rollback.owner,
    }


def _bounded(text: str) -> str:
    """Return the beginning of *text*, which says how much is missing."""
    left = len(text) - CARD_LIMIT
    return text if left <= 0 else f"{text[:CARD_LIMIT]}… ({left} characters left out)"


def _limits(constraint: Constraint) -> dict[str, Any]:
    among = constraint.among
    limit = constraint.limit
    return {
        "kind": constraint.kind,
        "limit": None if limit is None else str(limit),
        "among": None if among is None else sorted(among),
    }

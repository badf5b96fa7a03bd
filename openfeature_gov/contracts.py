"""The action contract: one proposed tool call in terms that can be governed.

A contract is built by the Governor from facts it holds (the registered tool, its
governance contract, the host's call context), never from what the agent says about
itself. What the agent claims is kept apart and can only lower authority.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from openfeature_gov.canonical import encode
from openfeature_gov.errors import InvalidCallError
from openfeature_gov.ladder import Intent, Reversibility, RiskClass

ABSENT = "none"
"""What a flag attribute holds when there is nothing to say: never missing."""

_OPAQUE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
NOTHING: Mapping[str, Any] = MappingProxyType({})


def nothing() -> Mapping[str, Any]:
    """Return the empty read-only mapping: a default that nobody can change."""
    return NOTHING


def _opaque(owner: str, name: str, value: str, *, required: bool = False) -> None:
    if value == "" and not required:
        return
    if not isinstance(value, str) or not _OPAQUE_ID.fullmatch(value):
        raise InvalidCallError(
            "context_invalid",
            f"{owner}.{name} must be an opaque id of 1 to 128 letters, digits or "
            "._:/- (no free text, no e-mail address)",
        )


def _freeze(owner: object, name: str) -> None:
    """Replace the mapping *name* by a private read-only copy."""
    copied = MappingProxyType(dict(getattr(owner, name)))
    object.__setattr__(owner, name, copied)


def is_opaque(text: object) -> bool:
    """Say whether *text* looks like an id: no free text and no e-mail address."""
    return (
        type(text) is str and _OPAQUE_ID.fullmatch(text.removeprefix("#")) is not None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Say who acts. Built by the host for a session, never by the agent.

    *agent* is a stable, server-issued id; *user* the key on whose behalf it acts;
    *delegation* the agents from the first to the one before this; *scopes* what the
    credential of *service* holds; *credential* is the id of the one that was verified,
    never the secret.

    Raises:
        InvalidCallError: code ``context_invalid`` for an id that is not opaque.

    """

    agent: str
    instance: str = ""
    version: str = ""
    service: str = ""
    user: str = ""
    session: str = ""
    delegation: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    credential: str = ""

    def __post_init__(self) -> None:
        _opaque("actor", "agent", self.agent, required=True)
        names = ("instance", "version", "service", "user", "session", "credential")
        for name in names:
            _opaque("actor", name, getattr(self, name))
        for hop in self.delegation:
            _opaque("actor", "delegation", hop, required=True)

    @property
    def targeting_key(self) -> str:
        """Return the key that percentages dispatch on: the user, else the agent."""
        return self.user or self.agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Say what supports the action; stated by the host's evaluators.

    *confidence* is a share from 0 to 1; *sources* and *alternatives* are opaque
    references; *evaluations* maps an evaluator to its result.
    """

    confidence: Decimal | float | None = None
    sources: tuple[str, ...] = ()
    evaluations: Mapping[str, str] = field(default_factory=nothing)
    alternatives: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _freeze(self, "evaluations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Say which model and prompt proposed the action, by name and digest.

    *template* names the prompt's template with its version, *input_digest* what the
    task began with; *payload* refers to where the whole is kept, if it is.
    """

    model: str = ""
    parameters_digest: str = ""
    prompt_digest: str = ""
    template: str = ""
    input_digest: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Prove that *subject*, a user, said who they are, at *at_us* since 1970.

    Issued by the server that checked it; never what an agent says. *method* names how.

    Raises:
        InvalidCallError: code ``context_invalid`` for an id that is not opaque, or a
            time that is no whole number.

    """

    subject: str
    at_us: int
    method: str = ""

    def __post_init__(self) -> None:
        if type(self.at_us) is not int:
            raise InvalidCallError("context_invalid", "proof.at_us is no whole number")
        _opaque("proof", "subject", self.subject, required=True)
        _opaque("proof", "method", self.method)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Hold what extractors derived for guardrails; None or empty: nobody says.

    *discount* is in percent; *account_value* in major units of *currency*; *sources*
    are those that the call asks for; *created_us* is when the record came to be.
    """

    discount: Decimal | None = None
    segment: str = ""
    account_value: Decimal | None = None
    currency: str = ""
    sources: tuple[str, ...] | None = None
    created_us: int | None = None


NO_FACTS = Facts()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """Hold what the host knows about a call besides tool and arguments.

    Build one for a session or task and reuse it. *claims* is what the agent says of
    its own action (``riskClass``, ``reversibility``): it can only lower authority.
    *proof* is a re-authentication; *facts* are what the host knows of the account, and
    count where no extractor of the tool says otherwise.

    Raises:
        InvalidCallError: code ``context_invalid`` for an id that is not opaque.

    """

    actor: Actor
    account: str = ""
    environment: str = ""
    region: str = ""
    stage: str = ""
    request: str = ""
    task: str = ""
    parent_task: str = ""
    trigger: str = ""
    cost_estimate: Decimal | None = None
    evidence: Evidence = Evidence()
    lineage: Lineage = Lineage()
    proof: Proof | None = None
    facts: Facts = NO_FACTS
    claims: Mapping[str, str] = field(default_factory=nothing)
    encoded: bytes | None = field(init=False, default=None, repr=False, compare=False)
    """The context as it stands in records; filled in by the first that is written."""

    def __post_init__(self) -> None:
        names = ("account", "environment", "region", "stage", "request", "task")
        for name in (*names, "parent_task", "trigger"):
            _opaque("context", name, getattr(self, name))
        _freeze(self, "claims")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Carry one call as an agent framework hands it over.

    *call_id* is the framework's own id of the call where it has one.
    """

    tool: str
    arguments: Mapping[str, Any]
    context: CallContext | None = None
    call_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionContract:
    """Describe one proposed action. Lives for one decision; frozen.

    *arguments* is a private copy, *canonical* its bytes; *claimed_risk* and
    *claimed_reversibility* are the strictest that the agent said; *faults* are the
    reason codes of what could not be derived. *named* is the record as the arguments
    name it where *record* is only its digest; it may be personal and is never recorded.
    """

    tool: str
    workflow: str
    context: CallContext = field(repr=False)
    target_system: str
    risk_class: RiskClass
    reversibility: Reversibility
    intent: Intent
    arguments: dict[str, Any] = field(repr=False)
    canonical: bytes = field(repr=False)
    call_id: str = field(default="", repr=False)
    amount: Decimal | None = field(default=None, repr=False)
    currency: str = ""
    records: int | None = None
    record: str = field(default="", repr=False)
    named: str = field(default="", repr=False)
    facts: Facts = field(default=NO_FACTS, repr=False)
    claimed_risk: RiskClass | None = None
    claimed_reversibility: Reversibility | None = None
    faults: tuple[str, ...] = ()

    @property
    def call(self) -> ToolCall:
        """Return the call that this is about, to be judged again."""
        return ToolCall(self.tool, self.arguments, self.context, self.call_id)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of what will run, where and for whom, in hexadecimal."""
        # INVARIANT: no part can contain the separator; ids are opaque, names checked.
        scope = (
            f"{self.tool}\0{self.target_system}\0{self.context.environment}"
            f"\0{self.context.account}\0{self.context.actor.targeting_key}\0"
        )
        return sha256(scope.encode() + self.canonical).hexdigest()

    @property
    def mere_read(self) -> bool:
        """Say whether the action changes nothing and reads nothing sensitive."""
        return self.risk_class in (RiskClass.SEARCH, RiskClass.SCOPED_READ)

    @property
    def consequential(self) -> bool:
        """Say whether the action is more than a mere read or an undoable write."""
        undoable = (
            self.risk_class is RiskClass.REVERSIBLE_WRITE
            and self.reversibility is Reversibility.AUTOMATIC
        )
        return not (self.mere_read or undoable)

    @property
    def arguments_digest(self) -> str:
        """Return the SHA-256 of the canonical arguments, in hexadecimal."""
        return sha256(self.canonical).hexdigest()

    def attributes(self) -> dict[str, Any]:
        """Return the flag context: a closed set, every name present, all strings.

        Source: article 001 names the attributes. Nothing here was written by the
        model; a missing fact is the text ``none``, because evaluators disagree on
        missing attributes.
        """
        context = self.context
        return {
            "accountId": context.account or ABSENT,
            "agentId": context.actor.agent,
            "environment": context.environment or ABSENT,
            "workflow": self.workflow,
            "toolName": self.tool,
            "targetSystem": self.target_system or ABSENT,
            "riskClass": self.risk_class._value_,
            "reversibility": self.reversibility._value_,
            "intent": self.intent._value_,
            "region": context.region or ABSENT,
            "stage": context.stage or ABSENT,
            "amountBand": amount_band(self.amount, self.faults),
        }


_BANDS = (
    (Decimal(0), "0"),
    (Decimal(10), "up_to_10"),
    (Decimal(100), "up_to_100"),
    (Decimal(1000), "up_to_1000"),
    (Decimal(10000), "up_to_10000"),
)


def amount_band(amount: Decimal | None, faults: tuple[str, ...] = ()) -> str:
    """Return the band of *amount* (major units) that flag rules may read.

    Bands are closed above: ``up_to_100`` holds 10 < amount <= 100. An amount that
    could not be derived is in the highest band.
    """
    if amount is None:
        return "over_10000" if "amount_unreadable" in faults else ABSENT
    for limit, name in _BANDS if amount.is_finite() else ():
        if amount <= limit:
            return name
    return "over_10000"


def digest_of(value: Any) -> str:
    """Return the SHA-256 of *value*'s canonical bytes, in hexadecimal."""
    return sha256(encode(value)).hexdigest()

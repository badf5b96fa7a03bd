"""The governance contract of a tool: its rules, as people agreed on them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from openfeature_gov.canonical import encode
from openfeature_gov.contracts import digest_of
from openfeature_gov.governance.envelopes import Budget, RateLimit
from openfeature_gov.governance.guardrails import Guardrail, Money
from openfeature_gov.governance.lineage import LineageRules
from openfeature_gov.governance.parts import (
    Condition,
    FlagKey,
    Kept,
    LadderMode,
    Name,
    Part,
    Scope,
    ToolName,
    repeated,
)
from openfeature_gov.ladder import MODES, Intent, Mode, Reversibility, RiskClass
from openfeature_gov.once import cached_property

FALLBACK = "fallback"
UNDO: Mapping[RiskClass, Reversibility] = {
    RiskClass.SEARCH: Reversibility.AUTOMATIC,
    RiskClass.SCOPED_READ: Reversibility.AUTOMATIC,
    RiskClass.SENSITIVE_READ: Reversibility.AUTOMATIC,
    RiskClass.REVERSIBLE_WRITE: Reversibility.MANUAL,
    RiskClass.EXTERNAL_EFFECT: Reversibility.NONE,
    RiskClass.ADMIN_ACTION: Reversibility.NONE,
    RiskClass.IRREVERSIBLE: Reversibility.NONE,
}
"""The reversibility of a contract that states none: the worst its class permits."""


class HardBoundary(Part):
    """State what the identity behind the tool must and must not hold.

    *authenticated* demands that an authorizer knows who acts; without one nobody does.
    """

    service_identity: str = ""
    api_scope: Scope | None = None
    required_scopes: tuple[Scope, ...] = ()
    blocked_scopes: tuple[Scope, ...] = ()
    authenticated: bool = False

    @cached_property
    def demanded(self) -> frozenset[str]:
        """Return every scope that the actor's credential must hold."""
        own = () if self.api_scope is None else (self.api_scope,)
        return frozenset((*own, *self.required_scopes))


class RuntimeControls(Part):
    """Name the flags that govern the tool at run time; an absent name is no flag."""

    global_flag: FlagKey | None = None
    mode_flag: FlagKey | None = None
    approval_flag: FlagKey | None = None
    denylist_flag: FlagKey | None = None
    fallback_flag: FlagKey | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        keys = [key for key in self.model_dump().values() if key is not None]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key!r} is named for two different controls")
        return self


def _unreleased(mode: Mode) -> Mode:
    if mode > Mode.DRAFT_WRITE:
        raise ValueError(
            f"{mode.label} would release what nobody answered; use"
            f" {Mode.DRAFT_WRITE.label} or less"
        )
    return mode


class ApprovalRules(Part):
    """State which actions need a human, who that is, and what silence means.

    *required_for* holds risk classes and named conditions. *confidence_below* is the
    share under which ``low_confidence`` holds. *quorum* is how many people must agree,
    *timeout_minutes* how long each contact has before the next one, or silence, counts.
    An approval counts once its reviewer had *minimum_seconds* for it: since it was
    asked, and since the same person last did anything with another request.
    *reassign_to* names groups and people that a reviewer may pass a request on to,
    besides those that are asked anyway. Two people of *break_glass_group* may release
    what no reviewer can be reached for; without a group nobody may.
    """

    required_for: tuple[Condition, ...] = ()
    reviewer_group: str = ""
    timeout_fallback: Annotated[LadderMode, AfterValidator(_unreleased)] = Mode.OFF
    escalation: tuple[Name, ...] = ()
    reassign_to: tuple[Name, ...] = ()
    break_glass_group: Name | None = None
    quorum: Annotated[int, Field(ge=1, le=9)] = 1
    timeout_minutes: Annotated[int, Field(ge=1, le=10_080)] = 60
    minimum_seconds: Annotated[int, Field(ge=0, le=600)] = 0
    confidence_below: Annotated[Decimal, Field(gt=0, le=1, strict=False)] = Decimal(
        "0.8"
    )


class ReviewRules(Part):
    """State who looks at an action after it ran, and what silence means.

    *within_minutes* is how long they have from when it ran, *quorum* how many must
    agree that it stands. *on_expiry* then undoes it by the tool's registered undo,
    keeps it, or hands it over to the owner of ``rollback``.
    """

    within_minutes: Annotated[int, Field(ge=1, le=43_200)]
    reviewer_group: Name
    on_expiry: Literal["undo", "keep", "handOver"] = "handOver"
    quorum: Annotated[int, Field(ge=1, le=9)] = 1


class EvidenceRules(Part):
    """State what is recorded. Decisions, flag values and reviewers always are.

    *record_fields* names the arguments whose values may enter a record; every other
    argument is recorded by digest only.
    """

    log_decision: Kept = True
    log_policy_values: Kept = True
    log_reviewer: Kept = True
    avoid_sensitive_inputs: Kept = True
    record_fields: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()


class Rollback(Part):
    """State where authority falls to in an incident, and who is called."""

    safest_mode: LadderMode
    owner: Name


class Limits(Part):
    """Bound what one call may carry: the canonical arguments, in bytes."""

    argument_bytes: Annotated[int, Field(ge=1, le=16_777_216)] = 65_536


class GovernanceContract(Part):
    """Hold the rules of one tool, as code review and operations agreed on them.

    Frozen; lives as long as the process or until a new set is loaded. Source:
    article 000, "Define the Governance Contract".
    """

    workflow: Name
    owner: Name
    tool: ToolName
    risk_class: Annotated[RiskClass, Field(strict=False)]
    default_mode: LadderMode
    allowed_modes: tuple[str, ...]
    rollback: Rollback
    reversibility: Annotated[Reversibility, Field(strict=False)] | None = None
    intent: Annotated[Intent, Field(strict=False)] | None = None
    target_system: str = ""
    autonomy_for: tuple[Annotated[RiskClass, Field(strict=False)], ...] = ()
    unsafe_default_reason: str = ""
    hard_boundary: HardBoundary = HardBoundary()
    runtime_controls: RuntimeControls = RuntimeControls()
    approval: ApprovalRules = ApprovalRules()
    review: ReviewRules | None = None
    evidence: EvidenceRules = EvidenceRules()
    limits: Limits = Limits()
    lineage: LineageRules | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    review_date: Annotated[date, Field(strict=False)] | None = None
    cleanup_owner: str = ""

    @cached_property
    def modes(self) -> frozenset[Mode]:
        """Return the rungs that the contract lists, ``off`` always among them."""
        listed = (MODES[name] for name in self.allowed_modes if name != FALLBACK)
        return frozenset((Mode.OFF, *listed))

    @cached_property
    def daily(self) -> tuple[Money, ...]:
        """Return the guardrails on what a day moves."""
        money = [one for one in self.guardrails if isinstance(one, Money)]
        return tuple(one for one in money if one.per != "action")

    @cached_property
    def floor(self) -> Reversibility:
        """Return the stated reversibility, else the worst that the class permits."""
        return self.reversibility or UNDO[self.risk_class]

    @cached_property
    def revision(self) -> str:
        """Return the SHA-256 of the whole contract: what a decision was made under."""
        return digest_of(self.model_dump(mode="json", by_alias=True))

    @cached_property
    def encoded(self) -> bytes:
        """Return the contract as it stands in records, as canonical JSON."""
        return encode(
            {
                "revision": self.revision,
                "workflow": self.workflow,
                "owner": self.owner,
                "allowedModes": self.allowed_modes,
                "defaultMode": self.default_mode.label,
                "safestMode": self.rollback.safest_mode.label,
                "rollbackOwner": self.rollback.owner,
                "approvalFor": self.approval.required_for,
                "reviewerGroup": self.approval.reviewer_group,
                "timeoutFallback": self.approval.timeout_fallback.label,
                "escalation": self.approval.escalation,
                "reviewDate": None
                if self.review_date is None
                else f"{self.review_date}",
                "cleanupOwner": self.cleanup_owner,
                **self._reviewed(),
            }
        )

    def _reviewed(self) -> dict[str, object]:
        if self.review is None:
            return {}
        return {"review": self.review.model_dump(mode="json", by_alias=True)}

    @model_validator(mode="after")
    def _reviewable(self) -> Self:
        """Refuse a review that has nothing to look at, or an undo that cannot be."""
        if self.review is None:
            return self
        if self.risk_class in (RiskClass.SEARCH, RiskClass.SCOPED_READ):
            raise ValueError(
                f"review: {self.risk_class.value} changes nothing that could be "
                "reviewed afterwards; take it out"
            )
        if self.review.on_expiry == "undo" and self.floor is Reversibility.NONE:
            raise ValueError(
                "review.onExpiry: undo, but nothing undoes it: reversibility is none, "
                "stated or by its risk class; state another, or use handOver"
            )
        return self

    @model_validator(mode="after")
    def _capped(self) -> Self:
        if self.lineage is not None and self.lineage.cap not in self.modes:
            raise ValueError(
                f"lineage.cap: {self.lineage.cap.label} is not in allowedModes"
            )
        return self

    @model_validator(mode="after")
    def _budgeted(self) -> Self:
        twice = repeated([budget.name for budget in self.budgets])
        if twice is not None:
            raise ValueError(
                f"budgets: {twice!r} is named twice; give one another name"
            )
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        twice = repeated([one.name for one in self.guardrails])
        if twice is not None:
            raise ValueError(
                f"guardrails: two are named {twice!r}; give one another name"
            )
        return self

    @model_validator(mode="after")
    def _safe(self) -> Self:
        for name in self.allowed_modes:
            if name != FALLBACK and name not in MODES:
                raise ValueError(
                    f"allowedModes: {name!r} is not a mode; use {', '.join(MODES)}"
                )
        if (twice := repeated(self.allowed_modes)) is not None:
            raise ValueError(f"allowedModes: {twice!r} is listed twice")
        safest = self.rollback.safest_mode
        if self.default_mode > Mode.DRAFT_WRITE and not self.unsafe_default_reason:
            raise ValueError(
                f"defaultMode: {self.default_mode.label} lets the tool act before "
                "anyone released it; use draft_write or lower, or state why in "
                "unsafeDefaultReason"
            )
        if safest > min(self.default_mode, Mode.DRAFT_WRITE):
            raise ValueError(
                f"rollback.safestMode: {safest.label} is above "
                f"{min(self.default_mode, Mode.DRAFT_WRITE).label}; an incident must "
                "not raise authority"
            )
        for key, mode in (
            ("defaultMode", self.default_mode),
            ("rollback.safestMode", safest),
        ):
            if mode not in self.modes:
                raise ValueError(f"{key}: {mode.label} is not in allowedModes")
        odd = set(self.autonomy_for) - {RiskClass.IRREVERSIBLE, RiskClass.ADMIN_ACTION}
        if odd:
            raise ValueError(
                f"autonomyFor: {min(odd)} needs no opt-in; only irreversible and "
                "admin_action are held back"
            )
        return self

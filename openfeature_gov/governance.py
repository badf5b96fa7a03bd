"""The governance contract of a tool, and the loaded set of them.

The YAML of article 000 (``agentToolGovernance``) loads as it stands there. A file may
hold several documents, or a list below that key. Loading is all or nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from openfeature_gov import strict_yaml as yaml
from openfeature_gov.canonical import encode
from openfeature_gov.contracts import digest_of
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.ladder import MODES, Intent, Mode, Reversibility, RiskClass

ROOT = "agentToolGovernance"
FALLBACK = "fallback"
TOOL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")
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


def _mode(value: Any) -> Any:
    if isinstance(value, Mode):
        return value
    if type(value) is not str or value not in MODES:
        raise ValueError(f"{value!r} is not a mode; use one of {', '.join(MODES)}")
    return MODES[value]


def _named(value: str) -> str:
    if not value.strip():
        raise ValueError("must name someone")
    return value


def _tool_name(value: str) -> str:
    if not TOOL_NAME.fullmatch(value):
        raise ValueError(
            "must be 1 to 128 letters, digits or _ . / - and start with none of . / -"
        )
    return value


LadderMode = Annotated[Mode, BeforeValidator(_mode)]
Name = Annotated[str, AfterValidator(_named), Field(max_length=200)]
FlagKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
Scope = Annotated[str, Field(min_length=1, max_length=200)]
Condition = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Kept = Literal[True]


class _Part(BaseModel):
    """Be one frozen section: unknown keys are refused, types are not converted."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        defer_build=True,
    )


class HardBoundary(_Part):
    """State what the identity behind the tool must and must not hold."""

    service_identity: str = ""
    api_scope: Scope | None = None
    required_scopes: tuple[Scope, ...] = ()
    blocked_scopes: tuple[Scope, ...] = ()

    @cached_property
    def demanded(self) -> frozenset[str]:
        """Return every scope that the actor's credential must hold."""
        own = () if self.api_scope is None else (self.api_scope,)
        return frozenset((*own, *self.required_scopes))


class RuntimeControls(_Part):
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


class ApprovalRules(_Part):
    """State which actions need a human, who that is, and what silence means.

    *required_for* holds risk classes and named conditions. *confidence_below* is the
    share under which ``low_confidence`` holds. *quorum* is how many people must agree,
    *timeout_minutes* how long each contact has before the next one, or silence, counts.
    """

    required_for: tuple[Condition, ...] = ()
    reviewer_group: str = ""
    timeout_fallback: LadderMode = Mode.OFF
    escalation: tuple[Name, ...] = ()
    quorum: Annotated[int, Field(ge=1, le=9)] = 1
    timeout_minutes: Annotated[int, Field(ge=1, le=10_080)] = 60
    confidence_below: Annotated[Decimal, Field(gt=0, le=1, strict=False)] = Decimal(
        "0.8"
    )


class EvidenceRules(_Part):
    """State what is recorded. Decisions, flag values and reviewers always are.

    *record_fields* names the arguments whose values may enter a record; every other
    argument is recorded by digest only.
    """

    log_decision: Kept = True
    log_policy_values: Kept = True
    log_reviewer: Kept = True
    avoid_sensitive_inputs: Kept = True
    record_fields: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()


class Rollback(_Part):
    """State where authority falls to in an incident, and who is called."""

    safest_mode: LadderMode
    owner: Name


class Limits(_Part):
    """Bound what one call may carry: the canonical arguments, in bytes."""

    argument_bytes: Annotated[int, Field(ge=1, le=16_777_216)] = 65_536


class GovernanceContract(_Part):
    """Hold the rules of one tool, as code review and operations agreed on them.

    Frozen; lives as long as the process or until a new set is loaded. Source:
    article 000, "Define the Governance Contract".
    """

    workflow: Name
    owner: Name
    tool: Annotated[str, AfterValidator(_tool_name)]
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
    evidence: EvidenceRules = EvidenceRules()
    limits: Limits = Limits()
    review_date: Annotated[date, Field(strict=False)] | None = None
    cleanup_owner: str = ""

    @cached_property
    def modes(self) -> frozenset[Mode]:
        """Return the rungs that the contract lists, ``off`` always among them."""
        listed = (MODES[name] for name in self.allowed_modes if name != FALLBACK)
        return frozenset((Mode.OFF, *listed))

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
            }
        )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        for name in self.allowed_modes:
            if name != FALLBACK and name not in MODES:
                raise ValueError(
                    f"allowedModes: {name!r} is not a mode; use {', '.join(MODES)}"
                )
        if len(set(self.allowed_modes)) != len(self.allowed_modes):
            raise ValueError("allowedModes: a mode is listed twice")
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
        for key, mode in (("defaultMode", self.default_mode), ("safestMode", safest)):
            if mode not in self.modes:
                raise ValueError(f"{key}: {mode.label} is not in allowedModes")
        odd = set(self.autonomy_for) - {RiskClass.IRREVERSIBLE, RiskClass.ADMIN_ACTION}
        if odd:
            raise ValueError(
                f"autonomyFor: {min(odd)} needs no opt-in; only irreversible and "
                "admin_action are held back"
            )
        return self


@dataclass(frozen=True, slots=True)
class Governance:
    """Hold the governance contracts of a deployment by tool name."""

    contracts: Mapping[str, GovernanceContract]

    def get(self, tool: str) -> GovernanceContract | None:
        """Return the contract of exactly *tool*, or None: an unknown tool."""
        return self.contracts.get(tool)

    def __contains__(self, tool: object) -> bool:
        return tool in self.contracts

    def __iter__(self) -> Iterator[GovernanceContract]:
        return iter(self.contracts.values())

    def __len__(self) -> int:
        return len(self.contracts)


def skeleton(name: str) -> str:
    """Return *name* folded so that look-alike spellings become equal."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def parse(text: str, source: str = "<text>") -> Governance:
    """Read governance contracts from YAML *text*; *source* names it in errors.

    Raises:
        InvalidContractError: with every problem found; nothing was loaded.

    """
    documents = yaml.parse(text, source)
    problems: list[tuple[int, str, str]] = []
    found: list[tuple[GovernanceContract, int]] = []
    for document in documents:
        for path, data in _entries(document, problems):
            contract = _contract(document, path, data, problems)
            if contract is not None:
                found.append((contract, document.line((*path, "tool"))))
    if not documents:
        problems.append((1, "", f"empty; expected a mapping with the key {ROOT}"))
    problems += _look_alikes(found)
    if problems:
        raise InvalidContractError(source, problems)
    return Governance({contract.tool: contract for contract, _ in found})


def _entries(
    document: yaml.Document, problems: list[tuple[int, str, str]]
) -> Iterator[tuple[yaml.Path, Any]]:
    data = document.data
    if not isinstance(data, dict) or ROOT not in data:
        problems.append((document.line(()), "", f"expected the key {ROOT}"))
        return
    odd = sorted(data.keys() - {ROOT})
    problems.extend((document.line((key,)), key, "unknown key") for key in odd)
    root = data[ROOT]
    if isinstance(root, list):
        yield from (((ROOT, index), item) for index, item in enumerate(root))
    else:
        yield (ROOT,), root


def _contract(
    document: yaml.Document,
    path: yaml.Path,
    data: Any,
    problems: list[tuple[int, str, str]],
) -> GovernanceContract | None:
    if not isinstance(data, dict):
        problems.append((document.line(path), yaml.dotted(path), "expected a mapping"))
        return None
    try:
        return GovernanceContract.model_validate(_tuples(data))
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False)
        problems.extend(_problem(document, path, dict(item)) for item in items)
        return None


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _problem(
    document: yaml.Document, path: yaml.Path, item: Mapping[str, Any]
) -> tuple[int, str, str]:
    where, message = tuple(item["loc"]), str(item["msg"])
    if item["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        key, colon, rest = message.partition(": ")
        if not where and colon:
            where, message = tuple(key.split(".")), rest
            where = ("rollback", *where) if where == ("safestMode",) else where
    elif item["type"] == "extra_forbidden":
        message = "unknown key"
    elif item["type"] == "missing":
        message = "missing"
    line = document.line((*path, *where))
    return line, yaml.dotted((*path, *where)), message


def _look_alikes(
    found: list[tuple[GovernanceContract, int]],
) -> Iterator[tuple[int, str, str]]:
    seen: dict[str, tuple[str, int]] = {}
    for contract, line in found:
        folded = skeleton(contract.tool)
        if folded in seen:
            name, first = seen[folded]
            yield (
                line,
                f"{ROOT}.tool",
                f"duplicate tool {contract.tool!r}: {name!r} stands on line {first}",
            )
        seen.setdefault(folded, (contract.tool, line))

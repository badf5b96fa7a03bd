"""The guardrails that a governance file may name under ``guardrails``, by *kind*.

Each class holds settings; what is made of them is in the control of its kind.
"""

from __future__ import annotations

from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from openfeature_gov.governance.envelopes import MICRO, Budget
from openfeature_gov.governance.foreign import Foreign
from openfeature_gov.governance.parts import EXACT, LadderMode
from openfeature_gov.governance.settings import (
    Clock,
    Currency,
    Match,
    Minutes,
    Number,
    Pattern,
    Risk,
    Seconds,
    Setting,
    Undo,
    Word,
    Zone,
    some,
)
from openfeature_gov.ladder import Mode
from openfeature_gov.once import cached_property

CUSTOMER = r"^(user|record|argument\.[A-Za-z_][A-Za-z0-9_]{0,63})$"


class RiskThreshold(Setting):
    """Fire for a class above *above*, or harder to undo than *harder_than*."""

    kind: Literal["risk_threshold"]
    above: Risk
    harder_than: Undo | None = None


class SourceAllowlist(Setting):
    """Confine a search or read to the sources *allowed*."""

    kind: Literal["source_allowlist"]
    cap: LadderMode = Mode.OFF
    allowed: Annotated[tuple[Word, ...], AfterValidator(some)]

    @cached_property
    def permitted(self) -> frozenset[str]:
        """Return the allowed sources as a set."""
        return frozenset(self.allowed)


class DenyList(Setting):
    """Stop *tools* and *targets* by name; *operator* and *incident* say why."""

    kind: Literal["denylist"]
    cap: LadderMode = Mode.OFF
    tools: tuple[Pattern, ...] = ()
    targets: tuple[Pattern, ...] = ()
    incident: str = ""
    operator: str = ""
    since: Annotated[date, Field(strict=False)] | None = None

    @model_validator(mode="after")
    def _lists(self) -> Self:
        if not self.tools and not self.targets:
            raise ValueError("tools: must list at least one, or targets")
        return self


class Segments(Setting):
    """Confine a tool to the accounts, regions and segments that are listed."""

    kind: Literal["segments"]
    cap: LadderMode = Mode.OFF
    accounts: tuple[Word, ...] = ()
    regions: tuple[Word, ...] = ()
    segments: tuple[Word, ...] = ()
    not_accounts: tuple[Word, ...] = ()
    not_regions: tuple[Word, ...] = ()
    not_segments: tuple[Word, ...] = ()

    @model_validator(mode="after")
    def _lists(self) -> Self:
        pairs = {
            "accounts": (self.accounts, self.not_accounts),
            "regions": (self.regions, self.not_regions),
            "segments": (self.segments, self.not_segments),
        }
        if not any(chosen or refused for chosen, refused in pairs.values()):
            raise ValueError("accounts: must list at least one, or regions or segments")
        for key, (chosen, refused) in pairs.items():
            both = sorted(set(chosen) & set(refused))
            if both:
                raise ValueError(f"{key}: {both[0]!r} is allowed and excluded")
        return self


class Money(Setting):
    """Limit the money moved: *per* action, or in a day *per* customer, account, tool.

    *customer* says who that is: the actor's ``user``, the ``record`` that the action is
    about, or ``argument.NAME``. What is moved *across* the tools of a workflow counts
    together where each names the guardrail by the same name. A day begins at midnight
    in *timezone*. With *exclusive* the limit itself is too much. More than *decimals*
    digits after the point is no amount of *currency*.
    """

    kind: Literal["money"]
    limit: Number
    currency: Currency
    per: Literal["action", "customer", "account", "day"] = "action"
    customer: Annotated[str, Field(pattern=CUSTOMER)] = "user"
    across: Literal["tool", "workflow"] = "tool"
    exclusive: bool = False
    decimals: Annotated[int, Field(ge=0, le=9)] = 2
    timezone: Zone = "UTC"

    @cached_property
    def envelope(self) -> Budget:
        """Return the budget as which the ledger keeps what a day moved."""
        return Budget.model_construct(
            name=f"guardrail:{self.name}/{self.currency}",
            unit=self.currency,
            ceiling=self.limit,
            per="day",
            charge="amount",
        )

    @cached_property
    def ceiling_micro(self) -> int:
        """Return in millionths what a day may move at most."""
        exact = EXACT.multiply(self.limit, MICRO)
        if self.exclusive:
            return int(exact.to_integral_value(ROUND_CEILING, EXACT)) - 1
        return int(exact.to_integral_value(ROUND_FLOOR, EXACT))

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if self.customer != "user" and self.per != "customer":
            raise ValueError("customer: counts only per customer; state per: customer")
        return self


class AccountValue(Setting):
    """Fire for accounts that are worth more than *limit*."""

    kind: Literal["account_value"]
    limit: Number
    currency: Currency
    exclusive: bool = False


class Discount(Setting):
    """Fire for discounts above *limit* percent, from 0 to 100."""

    kind: Literal["discount"]
    limit: Number
    exclusive: bool = False

    @model_validator(mode="after")
    def _percent(self) -> Self:
        if self.limit >= 100:
            raise ValueError("limit: no discount is above 100 percent; it cannot fire")
        if 0 < self.limit < 1:
            raise ValueError("limit: is in percent; write 20 for 20 %, not 0.2")
        return self


class Bulk(Setting):
    """Fire for actions on more than *limit* records."""

    kind: Literal["bulk"]
    limit: Annotated[int, Field(ge=0, le=2**53 - 1)]
    exclusive: bool = False


class RecordAge(Setting):
    """Fire for records that were created more than *days* ago."""

    kind: Literal["record_age"]
    days: Annotated[int, Field(ge=0, le=36_500)]


class Reauthentication(Setting):
    """Fire above *above* unless the user proved who they are *minutes* ago at most."""

    kind: Literal["reauthentication"]
    cap: LadderMode = Mode.OFF
    above: Number
    currency: Currency
    minutes: Minutes = 15


class BusinessHours(Setting):
    """Fire outside *days* and the hours from *opens* to *closes* in *timezone*.

    *closes* itself is outside. A *closes* before *opens* is on the next day.
    """

    kind: Literal["business_hours"]
    timezone: Zone
    days: Annotated[
        tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...],
        AfterValidator(some),
    ] = ("mon", "tue", "wed", "thu", "fri")
    opens: Clock
    closes: Clock
    holidays: tuple[Annotated[date, Field(strict=False)], ...] = ()

    @model_validator(mode="after")
    def _hours(self) -> Self:
        if self.opens == self.closes:
            raise ValueError("closes: is when it opens; no hour would be open")
        return self


class EvidenceNeeded(Setting):
    """Fire for low confidence, missing sources, or policies that contradict.

    *min_confidence* is a share; *sources* is how many the action must rest on. A
    result ``conflict`` of an evaluator in *conflicts* is for the owner to settle.
    """

    kind: Literal["evidence"]
    min_confidence: Annotated[Number, Field(gt=0, le=1)] | None = None
    sources: Annotated[int, Field(ge=0, le=100)] = 0
    conflicts: tuple[Word, ...] = ()

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.min_confidence is None and not self.sources and not self.conflicts:
            raise ValueError("minConfidence: state it, or sources or conflicts")
        return self


class Signal(Setting):
    """Fire while the mean of *metric* over *window_seconds* is beyond a threshold.

    Beyond is above *above* or below *below*. Once fired it holds until the mean is
    back at *release_at* (the threshold where unset) and, with *named_release*, until
    somebody released it by name. Without a sample in the window it caps at *missing*.
    """

    kind: Literal["signal"]
    metric: Word
    above: Number | None = None
    below: Number | None = None
    release_at: Number | None = None
    window_seconds: Seconds = 300
    missing: LadderMode = Mode.OFF
    named_release: bool = False

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("above: state exactly one of above and below")
        if self.missing > self.cap:
            raise ValueError(
                f"missing: {self.missing.label} is above the cap {self.cap.label}; "
                "silence must not allow more than a bad value"
            )
        if self.release_at is not None and (
            (self.above is not None and self.release_at > self.above)
            or (self.below is not None and self.release_at < self.below)
        ):
            raise ValueError("releaseAt: is beyond the threshold; it would not hold")
        return self


class ToolErrors(Setting):
    """Fire after *failures* within *window_seconds* of one tool on one target.

    A call that was cancelled under way, as by a timeout, failed.

    After *cooldown_seconds* one call at a time may probe; *probes* that succeed close
    it again, one that fails opens it for another *cooldown_seconds*.
    """

    kind: Literal["tool_errors"]
    cap: LadderMode = Mode.OFF
    failures: Annotated[int, Field(ge=1, le=100)] = 5
    window_seconds: Seconds = 60
    cooldown_seconds: Seconds = 30
    probes: Annotated[int, Field(ge=1, le=10)] = 1


class Refusals(Setting):
    """Fire after *count* refusals of one agent or task within *window_minutes*."""

    kind: Literal["refusals"]
    count: Annotated[int, Field(ge=1, le=100)] = 5
    window_minutes: Minutes = 15
    per: Literal["agent", "task"] = "agent"


class DataRules(Setting):
    """Keep off the records in *never*, and with *erased* off users who were erased."""

    kind: Literal["data_rules"]
    cap: LadderMode = Mode.OFF
    never: tuple[Pattern, ...] = ()
    erased: bool = False

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if not self.never and not self.erased:
            raise ValueError("never: must list at least one record, or set erased")
        return self


class Sequence(Setting):
    """Fire for an action like *then* after one like *first* in the same task.

    Without *then* it is every action of the contract. Source: read a secret, then
    send outside.
    """

    kind: Literal["sequence"]
    first: Match
    then: Match | None = None
    within_minutes: Minutes = 60


BuiltIn = (
    RiskThreshold
    | SourceAllowlist
    | DenyList
    | Segments
    | Money
    | AccountValue
    | Discount
    | Bulk
    | RecordAge
    | Reauthentication
    | BusinessHours
    | EvidenceNeeded
    | Signal
    | ToolErrors
    | Refusals
    | DataRules
    | Sequence
)
Guardrail = Annotated[BuiltIn | Foreign, Field(discriminator="kind")]

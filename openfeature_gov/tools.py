"""A registered tool: its function, its extractors, its handlers for lower modes.

Extractors are the developer's code: they derive from the arguments what the action
really is. What they cannot derive is a fault, and a fault caps at off.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from math import isfinite
from typing import Any, TypeVar

from openfeature_gov.canonical import seal
from openfeature_gov.contracts import (
    ActionContract,
    CallContext,
    Facts,
    ToolCall,
    is_opaque,
)
from openfeature_gov.decisions import Constraint, need_of
from openfeature_gov.errors import InvalidCallError, RegistrationError
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.envelopes import MOST
from openfeature_gov.ladder import (
    EFFORT,
    SEVERITY,
    Intent,
    Mode,
    Reversibility,
    RiskClass,
)

MAX_RECORDS = 2**53 - 1
"""The largest count that a record can hold exactly in any language."""

Function = Callable[..., Any]
Extractor = Callable[[Mapping[str, Any]], Any]
Consequence = Callable[[dict[str, Any]], str]
Reference = Callable[[Any], Any]
Narrower = Callable[[dict[str, Any], tuple[Constraint, ...]], dict[str, Any]]
_Word = TypeVar("_Word", bound=StrEnum)

INTENT: Mapping[RiskClass, Intent] = {
    RiskClass.SEARCH: Intent.SEARCH,
    RiskClass.SCOPED_READ: Intent.SEARCH,
    RiskClass.SENSITIVE_READ: Intent.SEARCH,
    RiskClass.REVERSIBLE_WRITE: Intent.UPDATE,
    RiskClass.EXTERNAL_EFFECT: Intent.PUBLISH,
    RiskClass.ADMIN_ACTION: Intent.UPDATE,
    RiskClass.IRREVERSIBLE: Intent.DELETE,
}
"""The intent of a contract that states none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractors:
    """Derive facts from the arguments; each takes the bound arguments as a mapping.

    *risk* and *reversibility* return a word of theirs and can only tighten what the
    governance contract says; *amount* returns money in major units as int, Decimal or
    finite float, and is given only for tools that move money; *records* returns the
    number of records touched, *record* the target's id. *estimate* returns what the
    call will cost to run, at most: a number of *currency*, or a mapping from units
    (``USD``, ``tokens``) to numbers. For guardrails, *discount* returns percent and
    *account_value* major units, both like an amount; *segment* and *sources* return
    ids, and *created* when the record came to be, with a time zone.
    """

    risk: Extractor | None = None
    reversibility: Extractor | None = None
    amount: Extractor | None = None
    records: Extractor | None = None
    record: Extractor | None = None
    estimate: Extractor | None = None
    discount: Extractor | None = None
    segment: Extractor | None = None
    account_value: Extractor | None = None
    sources: Extractor | None = None
    created: Extractor | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """Hold what an undo gets to know of the action that it takes back.

    *arguments* are those that ran, as JSON says them; *reference* is what the tool kept
    of the result. *action* names the action's record and *record* that of the undo:
    keys under which another system can tell a repetition.
    """

    arguments: dict[str, Any] = field(repr=False)
    reference: Any = field(repr=False)
    action: str
    record: str


Undo = Callable[[Undoing], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Hold one registered tool. Frozen; lives as long as the Governor.

    *handlers* maps a mode to the function that does less; *fallback* runs in an
    incident; *narrow* returns arguments that honour constraints; *consequence* says in
    plain words what happens to whom when the call is approved. *injected* names
    parameters that the framework fills in and that are no part of the action. *cost*
    returns from what the function returned what the call did cost, as
    `Extractors.estimate` does from the arguments. *foreign* says that somebody else's
    code runs the tool, within an `Admission`. *undo* takes a call back, with what
    *reference* kept of its result; *refusals* are the exceptions by which *function*
    says that it changed nothing.
    """

    name: str
    function: Function
    extractors: Extractors = Extractors()
    handlers: Mapping[Mode, Function] = field(default_factory=dict)
    fallback: Function | None = None
    narrow: Narrower | None = None
    consequence: Consequence | None = None
    injected: frozenset[str] = frozenset()
    cost: Callable[[Any], Any] | None = None
    foreign: bool = False
    undo: Undo | None = None
    reference: Reference | None = None
    refusals: tuple[type[Exception], ...] = ()
    positions: tuple[str, ...] = field(init=False)
    defaults: Mapping[str, Any] = field(init=False)
    required: frozenset[str] = field(init=False)
    accepted: frozenset[str] | None = field(init=False)

    def __post_init__(self) -> None:
        _check(self)
        every = inspect.signature(self.function).parameters.values()
        parameters = [p for p in every if p.name not in self.injected]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
                raise RegistrationError(
                    f"{self.name}: parameter {parameter.name!r} cannot be passed by "
                    "name; an action is described by named arguments"
                )
        named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
        defaults = {p.name: p.default for p in named if p.default is not p.empty}
        accepted = frozenset(p.name for p in named)
        open_ended = len(named) != len(parameters)
        put = object.__setattr__
        put(self, "positions", tuple(p.name for p in every if p.kind in _POSITIONAL))
        put(self, "defaults", defaults)
        put(self, "required", accepted - defaults.keys())
        put(self, "accepted", None if open_ended else accepted)

    def handler_below(self, mode: Mode) -> tuple[str, Function] | None:
        """Return the most capable handler at or below *mode* with its name."""
        usable = [rung for rung in self.handlers if rung <= mode]
        if not usable or mode <= Mode.OBSERVE:
            return None
        rung = max(usable)
        return rung.label, self.handlers[rung]

    def told(self, arguments: Mapping[str, Any]) -> str:
        """Return the tool's own words for what a call does; empty when it has none."""
        if self.consequence is None:
            return ""
        try:
            text = self.consequence(copy.deepcopy(dict(arguments)))
            if not isinstance(text, str):
                return ""
            text.encode()  # what cannot be stored cannot be shown
        except Exception:  # noqa: BLE001 - what cannot be told is no consequence
            return ""
        return text.strip()

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return *arguments* with defaults filled in, so that equal actions are equal.

        Raises:
            InvalidCallError: code ``arguments_mismatch`` when the function would not
                accept them.

        """
        if not isinstance(arguments, Mapping):
            raise InvalidCallError(
                "arguments_invalid", f"arguments are a {type(arguments).__name__}"
            )
        given = arguments.keys()
        if self.injected & given:
            raise InvalidCallError("arguments_mismatch", "an injected parameter")
        missing = self.required - given
        if missing:
            raise InvalidCallError("arguments_mismatch", f"missing {sorted(missing)}")
        if self.accepted is not None and not given <= self.accepted:
            raise InvalidCallError("arguments_mismatch", "unexpected argument")
        return {**self.defaults, **arguments}

    def estimates(self, arguments: dict[str, Any]) -> dict[str, Decimal] | None:
        """Return by unit what a call with *arguments* will cost, None if unreadable."""
        if self.extractors.estimate is None:
            return {}
        own, _ = seal(arguments, max_bytes=2**24)
        return quantities(self.extractors.estimate, own, self.extractors.currency)

    def costs(self, value: Any) -> dict[str, Decimal]:
        """Return by unit what the call cost that returned *value*, as far as known."""
        if self.cost is None:
            return {}
        return quantities(self.cost, value, self.extractors.currency) or {}

    def describe(
        self, call: ToolCall, rules: GovernanceContract, context: CallContext
    ) -> ActionContract:
        """Return the action contract of *call*.

        Raises:
            InvalidCallError: for arguments that have no canonical form or do not fit.

        """
        arguments, canonical = seal(
            self.bind(call.arguments), max_bytes=rules.limits.argument_bytes
        )
        # Foreign code gets a copy of its own: an edit reaches neither hash nor run.
        facts = _Facts(self.extractors, _own(self, arguments))
        risk, undo = facts.classified(rules)
        claims = context.claims
        record, named = facts.record()
        return ActionContract(
            tool=self.name,
            workflow=rules.workflow,
            context=context,
            target_system=rules.target_system,
            risk_class=risk,
            reversibility=undo,
            intent=rules.intent or INTENT[risk],
            arguments=arguments,
            canonical=canonical,
            call_id=call.call_id if isinstance(call.call_id, str) else "",
            amount=facts.amount(),
            currency=self.extractors.currency,
            records=facts.records(),
            record=record,
            named=named,
            facts=facts.beyond(context.facts),
            claimed_risk=_claimed(claims, "riskClass", RiskClass.IRREVERSIBLE),
            claimed_reversibility=_claimed(claims, "reversibility", Reversibility.NONE),
            faults=tuple(facts.faults),
        )

    def outline(
        self, rules: GovernanceContract, context: CallContext
    ) -> ActionContract:
        """Return the action contract of a call of which only the tool is known."""
        risk = rules.risk_class
        return ActionContract(
            tool=self.name,
            workflow=rules.workflow,
            context=context,
            target_system=rules.target_system,
            risk_class=risk,
            reversibility=rules.floor,
            intent=rules.intent or INTENT[risk],
            arguments={},
            canonical=b"{}",
        )


def _own(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    derives = tool.extractors != Extractors(currency=tool.extractors.currency)
    return seal(arguments, max_bytes=2**24)[0] if derives else {}


_POSITIONAL = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)


def _check(tool: Tool) -> None:
    """Refuse functions whose end the Governor could not see."""
    is_async = inspect.iscoroutinefunction(tool.function)
    if tool.undo is not None and (
        inspect.iscoroutinefunction(tool.undo) or inspect.isgeneratorfunction(tool.undo)
    ):
        raise RegistrationError(
            f"{tool.name}: an undo is a plain function; it runs in a thread of its own"
        )
    for function in (tool.function, *tool.handlers.values(), tool.fallback):
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(
            function
        ):
            raise RegistrationError(
                f"{tool.name}: a generator returns before it ran; return a list"
            )
        if inspect.iscoroutinefunction(function) and not is_async:
            raise RegistrationError(
                f"{tool.name}: an async handler needs an async tool"
            )


class _Facts:
    """Ask the extractors of one call; collect what they could not tell."""

    __slots__ = ("_arguments", "_extractors", "faults")

    def __init__(self, extractors: Extractors, arguments: dict[str, Any]) -> None:
        self._extractors, self._arguments = extractors, arguments
        self.faults: list[str] = []

    def classified(self, rules: GovernanceContract) -> tuple[RiskClass, Reversibility]:
        """Return the strictest class and reversibility that are stated or derived."""
        risk, undo = rules.risk_class, rules.floor
        if self._extractors.reversibility is not None:
            found = self._word(self._extractors.reversibility, Reversibility.NONE)
            undo = max(undo, found, key=EFFORT.__getitem__)
        if self._extractors.risk is not None:
            derived = self._word(self._extractors.risk, RiskClass.IRREVERSIBLE)
            risk = max(
                risk, derived, key=lambda one: (need_of(one, undo), SEVERITY[one])
            )
        return risk, undo

    def _word(self, extractor: Extractor, worst: _Word) -> _Word:
        try:
            return type(worst)(extractor(self._arguments))
        except Exception:  # noqa: BLE001 - what cannot be told is the worst
            self.faults.append("classification_unreadable")
            return worst

    def amount(self) -> Decimal | None:
        """Return the money moved, None when the tool moves none."""
        if self._extractors.amount is None:
            return None
        try:
            amount = money(self._extractors.amount(self._arguments))
        except Exception:  # noqa: BLE001 - what cannot be told is no amount
            self.faults.append("amount_unreadable")
            return None
        return amount

    def records(self) -> int | None:
        """Return the number of records touched, None when the tool does not say."""
        if self._extractors.records is None:
            return None
        try:
            count = self._extractors.records(self._arguments)
        except Exception:  # noqa: BLE001 - what cannot be told is no count
            count = None
        if type(count) is not int or not 0 <= count <= MAX_RECORDS:
            self.faults.append("records_unreadable")
            return None
        return count

    def record(self) -> tuple[str, str]:
        """Return the id of the record acted on, and its name where that is no id.

        Both are empty when the tool does not say.
        """
        if self._extractors.record is None:
            return "", ""
        try:
            name = self._extractors.record(self._arguments)
        except Exception:  # noqa: BLE001 - what cannot be told is no target
            name = None
        if not isinstance(name, str):
            self.faults.append("target_unreadable")
            return "", ""
        # What is no id may be personal data: the record then holds its digest.
        if not name or is_opaque(name):
            return name, ""
        text = name.encode("utf-8", "surrogatepass")
        return f"sha256:{sha256(text).hexdigest()}", name

    def beyond(self, known: Facts) -> Facts:
        """Return what only guardrails ask for; *known* is what the host knows."""
        asked = self._extractors
        if (
            asked.discount is asked.account_value is None
            and asked.segment is asked.sources is asked.created is None
        ):
            return known
        told = {
            "discount": self._told("discount", asked.discount, money),
            "segment": self._told("segment", asked.segment, _id),
            "account_value": self._told("account_value", asked.account_value, money),
            "sources": self._told("sources", asked.sources, _ids),
            "created_us": self._told("created", asked.created, _moment),
        }
        found = {name: value for name, value in told.items() if value is not None}
        if "account_value" in found:
            found["currency"] = asked.currency
        return replace(known, **found)

    def _told(
        self, name: str, extractor: Extractor | None, read: Callable[[Any], Any]
    ) -> Any:
        if extractor is None:
            return None
        try:
            return read(extractor(self._arguments))
        except Exception:  # noqa: BLE001 - what cannot be told is a fault
            self.faults.append(f"{name}_unreadable")
            return None


def _id(value: Any) -> str:
    if not is_opaque(value):
        raise ValueError("not an id")
    return str(value)


def _ids(value: Any) -> tuple[str, ...]:
    if type(value) not in (list, tuple, set, frozenset):
        raise ValueError("not a list of ids")
    return tuple(sorted({_id(one) for one in value}))


def _moment(value: Any) -> int:
    """Return an aware datetime as microseconds since 1970."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("not a time with a time zone")
    return (value - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def money(value: Any) -> Decimal:
    """Return *value* as an exact amount in major units.

    Text is not a number here: an extractor that trusts it converts it itself.

    Raises:
        ValueError: for text, booleans, NaN, infinities and negative amounts.

    """
    if type(value) is int or (type(value) is float and isfinite(value)):
        amount = Decimal(str(value))
    elif type(value) is Decimal and value.is_finite():
        amount = value
    else:
        raise ValueError(f"a {type(value).__name__} is not an amount")
    if amount < 0:
        raise ValueError("an amount is not negative")
    return amount


def quantities(
    extractor: Callable[[Any], Any], given: Any, currency: str
) -> dict[str, Decimal] | None:
    """Return what *extractor* says of *given* by unit, None if it cannot be read.

    A bare number counts in *currency*.
    """
    try:
        found = extractor(given)
        if not isinstance(found, Mapping):
            found = {currency: found}
        read = {unit: money(amount) for unit, amount in found.items()}
    except Exception:  # noqa: BLE001 - what cannot be told is no quantity
        return None
    sound = all(type(unit) is str and unit for unit in read)
    return read if sound and max(read.values(), default=0) <= MOST else None


def _claimed(claims: Mapping[str, str], key: str, worst: _Word) -> _Word | None:
    """Return what the agent claims; an unreadable claim counts as the worst."""
    if key not in claims:
        return None
    try:
        return type(worst)(claims[key])
    except ValueError:
        return worst

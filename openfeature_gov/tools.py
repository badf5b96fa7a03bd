"""A registered tool: its function, its extractors, its handlers for lower modes."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from openfeature_gov.canonical import seal
from openfeature_gov.contracts import ActionContract, CallContext, ToolCall
from openfeature_gov.decisions import Constraint
from openfeature_gov.errors import InvalidCallError, RegistrationError
from openfeature_gov.extracting import Derivation, Extractors, claimed, quantities
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Intent, Mode, Reversibility, RiskClass

Function = Callable[..., Any]
Consequence = Callable[[dict[str, Any]], str]
Reference = Callable[[Any], Any]
Narrower = Callable[[dict[str, Any], tuple[Constraint, ...]], dict[str, Any]]

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
    extractors: Extractors = field(default_factory=Extractors)
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
        if type(arguments) is not dict and not isinstance(arguments, Mapping):
            raise InvalidCallError(
                "arguments_invalid", f"arguments are a {type(arguments).__name__}"
            )
        # INVARIANT: read once, so that what is checked is what runs.
        arguments = dict(arguments)
        given = arguments.keys()
        if self.injected & given:
            both = ", ".join(sorted(self.injected & given))
            raise InvalidCallError("arguments_mismatch", f"injected: {both}")
        missing = self.required - given
        surplus = set() if self.accepted is None else given - self.accepted
        if missing or surplus:
            parts = [f"missing: {', '.join(sorted(missing))}"] if missing else []
            parts += [f"unexpected: {_words(surplus)}"] if surplus else []
            raise InvalidCallError("arguments_mismatch", "; ".join(parts))
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
        facts = Derivation(self.extractors, _own(self, arguments))
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
            claimed_risk=claimed(claims, "riskClass", RiskClass.IRREVERSIBLE),
            claimed_reversibility=claimed(claims, "reversibility", Reversibility.NONE),
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


def _words(surplus: Collection[Any]) -> str:
    """Return the names in *surplus* that could be parameters, and how many there are.

    The model made them up, and records are kept.
    """
    told = sorted(one for one in surplus if type(one) is str and _NAME.fullmatch(one))
    told = told[:_TOLD]
    all_told = len(told) == len(surplus)
    return ", ".join(told if all_told else [*told, f"{len(surplus)} in all"])


def _own(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    return seal(arguments, max_bytes=2**24)[0] if tool.extractors.looks else {}


_NAME, _TOLD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}"), 6
"""What may be the name of a parameter, and how many of them are told."""
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

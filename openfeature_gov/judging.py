"""Judge a call: from the tool call to the decision, its record, and what would run.

Nothing here has an effect: no record is written, no tool runs. The Governor does both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from secrets import token_bytes
from typing import Any, NamedTuple

from openfeature_gov.allowances.aside import Held
from openfeature_gov.allowances.taking import Allowances
from openfeature_gov.approvals.shelf import Kept
from openfeature_gov.canonical import seal
from openfeature_gov.contracts import ActionContract, CallContext, ToolCall
from openfeature_gov.controls import Controls, QueueHealth
from openfeature_gov.controls.budget import Charge
from openfeature_gov.controls.guardrails import UNKNOWN, Situation
from openfeature_gov.controls.readings import Readings
from openfeature_gov.controls.recording import StoreHealth
from openfeature_gov.decisions import (
    Decision,
    Effect,
    Verdict,
    decide,
    need_of,
)
from openfeature_gov.errors import InvalidCallError
from openfeature_gov.evidence.decision_records import decision_record, refusal_record
from openfeature_gov.evidence.records import Record, Stamp, encoded_now
from openfeature_gov.flags.reader import NOTHING_DEMANDED, Demanded, FlagReader
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.ladder import Mode
from openfeature_gov.narrowing import (
    CONSTRAINED_AGAIN,
    narrowed,
    sealed,
    stricter,
)
from openfeature_gov.policies import Knowing
from openfeature_gov.reviews.queue import Kept as KeptReview
from openfeature_gov.tools import Function, Tool

_IDS = count(1)
"""One sequence a process: two Governors on one log must not use an id twice."""
_SECRET = token_bytes(32)
"""What salts are made of. It ends with the process: what was erased stays unguessed."""

ambient: ContextVar[CallContext | None] = ContextVar("gov_context", default=None)
"""Who acts, for calls that do not say so themselves."""


@dataclass(frozen=True, slots=True)
class Route:
    """Say which function may run, under which name, with exactly which arguments."""

    ran: str = ""
    function: Function | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    canonical: bytes = b""


class Release(NamedTuple):
    """Add what became of a request to the verdicts; *approved* lifts one rung."""

    verdict: Verdict
    approved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Hold everything about one call between the law and its execution.

    *durable* says that the record must be on the disk before anything happens;
    *approval* is the id of the request that the call waits for or was decided by,
    *release* what it said, *used* the request as this call's record uses it up,
    *review* the review that this call's record opens. *charges* are what it would take
    of budgets, *held* what its record takes of them; *alone* says that their ledger
    does not answer. *smaller* is the narrowed action that would run instead.
    """

    decision: Decision
    record: Record
    route: Route = Route()
    contract: ActionContract | None = None
    flags: Readings | None = None
    durable: bool = False
    approval: str = ""
    release: Release | None = None
    used: Kept | None = None
    charges: tuple[Charge, ...] = ()
    held: tuple[Held, ...] = ()
    alone: bool = False
    smaller: ActionContract | None = None
    review: KeptReview | None = None


class _Ruled(NamedTuple):
    """Hold what the law says of a call, before anybody looks at what would run."""

    tool: Tool
    rules: GovernanceContract
    contract: ActionContract
    flags: Readings
    decision: Decision
    charges: tuple[Charge, ...]
    alone: bool
    smaller: ActionContract | None


class Judge:
    """Turn calls into judgements. Lives as long as the Governor that owns it."""

    def __init__(
        self,
        governance: Governance,
        reader: FlagReader,
        controls: Controls,
        *,
        writer: Callable[[], str],
        health: Callable[[], StoreHealth],
        clock: Callable[[], int],
        now: Callable[[], int],
        waiting: Callable[[], QueueHealth] | None = None,
        allowances: Allowances | None = None,
        knowing: Knowing | None = None,
        waits: bool = False,
    ) -> None:
        self._knowing, self._waits = knowing, waits
        self._governance, self._reader, self._controls = governance, reader, controls
        self._writer, self._health = writer, health
        self._clock, self._now, self._waiting = clock, now, waiting
        self._allowances = allowances

    def stamp(self) -> Stamp:
        """Return the identity of the next record of this process."""
        writer = self._writer()
        return Stamp(f"{writer}-{next(_IDS)}", self._now() // 1000, writer, _SECRET)

    def judge(
        self,
        call: ToolCall,
        tool: Tool | None,
        demanded: Demanded = NOTHING_DEMANDED,
        release: Release | None = None,
        more: tuple[Verdict, ...] = (),
        *,
        begun: str = "",
    ) -> Judged:
        """Return the judgement of *call*; *tool* is None for an unregistered name.

        *release* is what a person said about it, *more* are verdicts of those who were
        asked last, *begun* is its record if it is judged again after it began. Never
        raises: whatever goes wrong here is a refusal with a reason.
        """
        started = self._clock()
        try:
            return self._weigh(call, tool, demanded, release, more, begun, started)
        except InvalidCallError as error:
            return self._refused(call, error.code, error.detail)
        except Exception as error:  # noqa: BLE001 - our own fault must deny as well
            return self._refused(call, "internal_error", type(error).__name__)

    def queues(self, call: ToolCall, tool: Tool | None) -> bool:
        """Say whether the law would let *call* wait for a person, and no more.

        What people said about it before is not asked. Never raises.
        """
        try:
            if tool is not None and self._unattended(call, tool):
                return False
            ruled = self._ruled(call, tool, NOTHING_DEMANDED, None, (), "")
        except Exception:  # noqa: BLE001 - judged, it would be refused
            return False
        return ruled.decision.effect is Effect.QUEUE_FOR_APPROVAL

    def _unattended(self, call: ToolCall, tool: Tool) -> bool:
        """Say whether nobody could be asked about *call*, whatever the flags say.

        Only what needs autonomy waits for a person, and of a mere read that nobody
        looks at more closely it is known without them that it does not.
        """
        rules, controls = self._governance.contracts[tool.name], self._controls
        context = call.context if call.context is not None else ambient.get()
        if context is None or context.claims or tool.extractors.looks:
            return False
        if rules.approval.required_for or rules.guardrails or controls.guardrails:
            return False
        if controls.authorizer is not None:
            return False
        return need_of(rules.risk_class, rules.floor) < Mode.AUTONOMOUS

    def sealed(
        self, tool: Tool, arguments: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bytes] | None:
        """Return a copy of *arguments* for *tool*, and its bytes; None if malformed."""
        limit = self._governance.contracts[tool.name].limits.argument_bytes
        try:
            return seal(tool.bind(arguments), max_bytes=limit)
        except InvalidCallError:
            return None

    def rules(self, tool: Tool) -> GovernanceContract:
        """Return the governance contract of *tool*."""
        return self._governance.contracts[tool.name]

    def _weigh(
        self,
        call: ToolCall,
        tool: Tool | None,
        demanded: Demanded,
        release: Release | None,
        more: tuple[Verdict, ...],
        begun: str,
        started: int,
    ) -> Judged:
        ruled = self._ruled(call, tool, demanded, release, more, begun)
        tool, rules, contract, flags, decision, charges, alone, smaller = ruled
        route = _route(decision, tool, contract, rules, smaller)
        runs = route.function is not None
        queued = decision.effect is Effect.QUEUE_FOR_APPROVAL
        record = decision_record(
            self.stamp(),
            contract,
            rules,
            flags,
            decision,
            ran_arguments=route.canonical if runs else None,
            latency_us=(self._clock() - started) // 1000,
        )
        durable = (runs or queued) and not contract.mere_read
        # What a budget pays for is in the ledger before it happens, while that answers.
        durable = durable or (runs and bool(charges) and not alone)
        if durable:
            # What cannot be written down in full must not happen.
            record = encoded_now(record)
        return Judged(
            decision=decision,
            record=record,
            route=route,
            contract=contract,
            flags=flags,
            durable=durable,
            release=release,
            charges=charges,
            alone=alone,
            smaller=smaller,
        )

    def _ruled(
        self,
        call: ToolCall,
        tool: Tool | None,
        demanded: Demanded,
        release: Release | None,
        more: tuple[Verdict, ...],
        begun: str,
    ) -> _Ruled:
        if tool is None:
            raise InvalidCallError("tool_unknown", "no tool of exactly this name")
        rules = self._governance.contracts[tool.name]
        context = call.context if call.context is not None else ambient.get()
        if context is None:
            raise InvalidCallError("context_missing", "nobody said who acts")
        contract = tool.describe(call, rules, context)
        flags = self._reader.read(contract, rules, demanded)
        health = self._health()
        verdicts = self._verdicts(contract, rules, flags, health, begun)
        verdicts += more
        charges: tuple[Charge, ...] = ()
        # What began has paid already: what others find left says nothing of it.
        if rules.budgets and self._allowances is not None and not begun:
            estimates = tool.estimates(contract.arguments)
            known, charges = self._allowances.charged(contract, rules, estimates)
            verdicts += known
        if release is not None:
            verdicts.append(release.verdict)
        law = partial(
            decide,
            need=need_of(contract.risk_class, contract.reversibility),
            listed=rules.modes,
            approved=release is not None and release.approved,
        )
        decision, smaller = law(verdicts), None
        if decision.constraints and tool.narrow is not None and _chosen(decision, tool):
            smaller = narrowed(tool, tool.narrow, decision, contract, rules)
            if smaller.canonical != contract.canonical:
                found = self._verdicts(smaller, rules, flags, health, begun)
                decision = _again(law, decision, stricter(verdicts, found))
        if not begun and rules.daily and self._allowances is not None:
            charges += self._allowances.daily(contract, rules, decision.verdicts)
        # What `recording` lets run meanwhile goes by the share of this process.
        alone = bool(charges) and health.failing_ns > 0
        return _Ruled(tool, rules, contract, flags, decision, charges, alone, smaller)

    def _verdicts(
        self,
        contract: ActionContract,
        rules: GovernanceContract,
        flags: Readings,
        health: StoreHealth,
        begun: str,
    ) -> list[Verdict]:
        waiting = None if self._waiting is None else self._waiting()
        situation = self._situation(contract, rules, begun)
        return self._controls.verdicts(
            contract, rules, flags, health, waiting, situation
        )

    def _situation(
        self, contract: ActionContract, rules: GovernanceContract, begun: str
    ) -> Situation:
        """Return what the guardrails know; nothing where there are none to ask."""
        if self._knowing is None or not rules.guardrails:
            return UNKNOWN
        return self._knowing(contract, rules, begun)

    def waits(self, tool: Tool | None) -> bool:
        """Say whether judging calls of *tool* may wait for somebody else's policy."""
        knowing = self._knowing
        if knowing is None or tool is None:
            return False
        return self._waits or knowing.policies.waits(self.rules(tool))

    def visible(self, tool: Tool, context: CallContext) -> bool:
        """Say whether *tool* is not denied to *context* whatever its arguments are."""
        rules = self.rules(tool)
        try:
            contract = tool.outline(rules, context)
            flags = self._reader.read(contract, rules, NOTHING_DEMANDED)
            verdicts = self._controls.outline(contract, rules, flags)
        except Exception:  # noqa: BLE001 - what cannot be told is not offered
            return False
        need = need_of(contract.risk_class, contract.reversibility)
        made = decide(verdicts, need=need, listed=rules.modes)
        return made.effect is not Effect.DENY

    def _refused(self, call: ToolCall, code: str, detail: str) -> Judged:
        given = call.context if call.context is not None else ambient.get()
        context = given if isinstance(given, CallContext) else None
        record = refusal_record(
            self.stamp(),
            tool=call.tool,
            context=context,
            reason=code,
            detail=detail,
        )
        return Judged(decision=denial("registry", code), record=record)


def denial(control: str, reason: str) -> Decision:
    """Return the decision that *control* alone, at off for *reason*, leads to."""
    verdict = Verdict(control, Mode.OFF, reason)
    return decide((verdict,), need=Mode.AUTONOMOUS, listed=frozenset((Mode.OFF,)))


def _again(
    law: Callable[[Iterable[Verdict]], Decision],
    first: Decision,
    added: list[Verdict],
) -> Decision:
    """Return the stricter of *first* and what was *added* for the narrowed action."""
    if not added:
        return first
    decision = law((*first.verdicts, *added))
    # INVARIANT: what was not applied to these very arguments does not count as applied.
    if decision.constraints != first.constraints:
        return law((*decision.verdicts, CONSTRAINED_AGAIN))
    return decision


def _route(
    decision: Decision,
    tool: Tool,
    contract: ActionContract,
    rules: GovernanceContract,
    smaller: ActionContract | None,
) -> Route:
    """Return what *decision* lets run, *smaller* if narrowed; nothing by default.

    Raises:
        InvalidCallError: when someone changed the arguments.

    """
    chosen = _chosen(decision, tool)
    if chosen is None:
        return Route()
    if smaller is not None:
        return Route(*chosen, smaller.arguments, smaller.canonical)
    if decision.constraints:
        # INVARIANT: a constraint that nobody applies is a refusal, for every function.
        return Route()
    return Route(*chosen, sealed(contract, rules), contract.canonical)


def _chosen(decision: Decision, tool: Tool) -> tuple[str, Function] | None:
    match decision.effect:
        case Effect.ALLOW:
            return "tool", tool.function
        case Effect.CONSTRAIN if decision.full:
            return "tool", tool.function
        case Effect.CONSTRAIN:
            return tool.handler_below(decision.mode)
        case Effect.FALLBACK if tool.fallback is not None:
            return "fallback", tool.fallback
        case _:
            return None

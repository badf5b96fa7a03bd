"""Records: the audit evidence of a decision before, and of its outcome after.

The body is canonical JSON in the integer-only domain (money and ratios are decimal
text, times are integer microseconds since 1970), so that its bytes can be hashed,
signed and recomputed elsewhere. The fields are those of the audit lists of articles
000 and 001. No argument value enters unless the governance contract lists it; keys
that a later schema adds never change the meaning of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from orjson import Fragment

from openfeature_gov.canonical import encode
from openfeature_gov.contracts import ActionContract, CallContext
from openfeature_gov.controls.readings import Reading, Readings
from openfeature_gov.decisions import Constraint, Decision, Effect, Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode

SCHEMA = "gov.record/1"
FIELD_LIMIT = 256


class Record(NamedTuple):
    """Hold one record: the columns that queries need, and how to encode the whole.

    *encoded* returns the body; it is a function of frozen values only, so that the
    writer can call it later, off the path of the decision. *ref* is the id of the
    decision that an outcome belongs to; *executes* says that something was about to
    run, so that a missing outcome is a finding.
    """

    id: str
    kind: str
    at_us: int
    encoded: Callable[[], bytes]
    ref: str | None = None
    tool: str | None = None
    agent: str | None = None
    task: str | None = None
    effect: str | None = None
    reason: str | None = None
    executes: bool = False


class Stamp(NamedTuple):
    """Give a record its identity: *id*, wall time *at_us*, and the *writer*'s id."""

    id: str
    at_us: int
    writer: str


def body(record: Record) -> bytes:
    """Return the canonical bytes of *record*.

    A record that cannot be encoded, which only foreign code can bring about, keeps its
    place in the log and says so.
    """
    try:
        return record.encoded()
    except Exception as error:  # noqa: BLE001 - one record must not stop the log
        facts = {
            "schema": SCHEMA,
            "kind": record.kind,
            "id": record.id,
            "atUs": record.at_us,
            "ref": record.ref,
            "unencodable": type(error).__name__,
        }
        return encode(facts)


def decision_record(
    stamp: Stamp,
    contract: ActionContract,
    rules: GovernanceContract,
    flags: Readings,
    decision: Decision,
    *,
    ran_arguments: bytes | None,
    latency_us: int,
) -> Record:
    """Return the record of *decision*, written before anything runs.

    *ran_arguments* holds the canonical arguments of what may run, None for nothing.
    """
    # The fields are taken now: who gets the contract may change its arguments later.
    fields = _fields(contract, rules)
    encoded = partial(
        _decision,
        stamp,
        contract,
        rules,
        flags,
        decision,
        fields,
        ran_arguments,
        latency_us,
    )
    return Record(
        stamp.id,
        "decision",
        stamp.at_us,
        encoded,
        None,
        contract.tool,
        contract.context.actor.agent,
        contract.context.task,
        decision.effect.value,
        decision.reason,
        ran_arguments is not None,
    )


def _decision(
    stamp: Stamp,
    contract: ActionContract,
    rules: GovernanceContract,
    flags: Readings,
    decision: Decision,
    fields: Mapping[str, Any],
    ran_arguments: bytes | None,
    latency_us: int,
) -> bytes:
    return encode(
        {
            "schema": SCHEMA,
            "kind": "decision",
            "id": stamp.id,
            "atUs": stamp.at_us,
            "writer": stamp.writer,
            **_action(contract, rules),
            "fields": fields,
            "narrowedDigest": _narrowed(contract, ran_arguments),
            "authorization": _authorization(decision),
            "flags": [_flag(kind, reading) for kind, reading in flags.flags.items()],
            "flagSource": _source(flags),
            "verdicts": [_verdict(verdict) for verdict in decision.verdicts],
            "effect": decision.effect.value,
            "mode": decision.mode.label,
            "need": decision.need.label,
            "reason": decision.reason,
            "full": decision.full,
            "approved": decision.approved,
            "constraints": [_constraint(item) for item in decision.constraints],
            "executes": ran_arguments is not None,
            "latencyUs": latency_us,
        }
    )


def _action(contract: ActionContract, rules: GovernanceContract) -> dict[str, Any]:
    return {
        "context": _context(contract.context),
        "contract": Fragment(rules.encoded),
        "callId": readable(contract.call_id),
        "tool": contract.tool,
        "targetSystem": contract.target_system,
        "targetRecord": contract.record,
        "intent": contract.intent.value,
        "summary": summary(contract),
        "riskClass": contract.risk_class.value,
        "reversibility": contract.reversibility.value,
        "amount": _text(contract.amount),
        "currency": contract.currency,
        "records": contract.records,
        "claimedRiskClass": contract.claimed_risk,
        "claimedReversibility": contract.claimed_reversibility,
        "faults": contract.faults,
        "argumentsDigest": contract.arguments_digest,
        "actionDigest": contract.digest,
    }


def _source(flags: Readings) -> dict[str, Any]:
    return {
        "provider": readable(flags.provider),
        "status": flags.status,
        "standing": flags.standing,
        "ageMs": None if flags.age_ns is None else flags.age_ns // 1_000_000,
        "generation": flags.generation,
        "revision": _scalar(flags.revision),
        "source": _scalar(flags.source),
        "epoch": _scalar(flags.epoch),
        "demanded": readable(flags.demanded),
        "latched": [readable(key) for key in flags.latched],
    }


def refusal_record(
    stamp: Stamp, *, tool: str, agent: str, task: str, reason: str, detail: str
) -> Record:
    """Return the record of a call that no contract could be built for: denied.

    *tool* and *detail* come from the caller and may be hostile: both are escaped and
    cut, and a name that could be a sentence is kept as its digest.
    """
    shown = _name(tool)
    body = {
        "schema": SCHEMA,
        "kind": "decision",
        "id": stamp.id,
        "atUs": stamp.at_us,
        "writer": stamp.writer,
        "tool": shown,
        "context": {"agent": agent, "task": task},
        "effect": Effect.DENY.value,
        "mode": "off",
        "reason": reason,
        "detail": readable(detail),
        "executes": False,
        "verdicts": [_verdict(Verdict("registry", Mode.OFF, reason))],
    }
    return Record(
        stamp.id,
        "decision",
        stamp.at_us,
        partial(encode, body),
        None,
        shown,
        agent,
        task,
        Effect.DENY.value,
        reason,
    )


def _name(tool: object) -> str:
    """Return an unregistered tool's name, escaped, or its digest."""
    if isinstance(tool, str) and len(tool) <= 64 and not set(tool) & set(_SPACES):
        return readable(tool)
    text = tool if isinstance(tool, str) else type(tool).__name__
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


_SPACES = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0@"


def outcome_record(
    stamp: Stamp,
    ref: str,
    *,
    status: str,
    ran: str = "",
    error: str = "",
    latency_us: int | None = None,
    cost: Decimal | None = None,
    undo: str = "",
    hand_over: str = "",
    incident: str = "",
) -> Record:
    """Return the record of what became of decision *ref*.

    *status* is executed, failed, cancelled, not_run or unknown; *ran* names the
    function that ran (``tool``, or the handler's mode); *error* is the exception's
    class, never its text. *undo* is the result of an undo, *incident* a reference.
    """
    body = {
        "schema": SCHEMA,
        "kind": "outcome",
        "id": stamp.id,
        "atUs": stamp.at_us,
        "writer": stamp.writer,
        "ref": ref,
        "status": status,
        "ran": ran,
        "error": readable(error),
        "latencyUs": latency_us,
        "cost": _text(cost),
        "undo": readable(undo),
        "handOver": readable(hand_over),
        "incident": readable(incident),
    }
    return Record(
        stamp.id, "outcome", stamp.at_us, partial(encode, body), ref, reason=status
    )


def note_record(
    stamp: Stamp, kind: str, ref: str | None = None, **facts: Any
) -> Record:
    """Return a record of the log itself: start, stop, gap, reconciled, policy_change.

    *facts* are plain JSON values in the integer-only domain.
    """
    body = {
        "schema": SCHEMA,
        "kind": kind,
        "id": stamp.id,
        "atUs": stamp.at_us,
        "writer": stamp.writer,
        "ref": ref,
        **facts,
    }
    return Record(stamp.id, kind, stamp.at_us, partial(encode, body), ref)


def summary(contract: ActionContract) -> str:
    """Return the action in one line, from derived facts only."""
    where = f" on {contract.target_system}" if contract.target_system else ""
    amount = f", {contract.amount} {contract.currency}".rstrip()
    money = amount if contract.amount is not None else ""
    count = f", {contract.records} records" if contract.records is not None else ""
    return f"{contract.intent.value} by {contract.tool}{where}{money}{count}"


def readable(text: object) -> str:
    """Return *text* escaped to printable ASCII and cut to a readable length."""
    shown = str(text) if isinstance(text, str) else f"<{type(text).__name__}>"
    cut = shown[:FIELD_LIMIT]
    if type(cut) is str and cut.isascii() and cut.isprintable():
        return cut
    # A lone surrogate has no UTF-8 form; a control or bidi character could forge a log.
    return cut.encode("ascii", "backslashreplace").decode("ascii").translate(_CONTROLS)


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


def _narrowed(contract: ActionContract, ran_arguments: bytes | None) -> str | None:
    """Return the digest of what may run where that is less than what was asked."""
    if ran_arguments is None or ran_arguments == contract.canonical:
        return None
    return sha256(ran_arguments).hexdigest()


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _context(context: CallContext) -> Fragment:
    """Return who acted and why, encoded once a context."""
    encoded = context.encoded
    if encoded is None:
        actor, lineage = context.actor, context.lineage
        facts = {
            "request": context.request,
            "user": actor.user,
            "account": context.account,
            "environment": context.environment,
            "region": context.region,
            "stage": context.stage,
            "agent": actor.agent,
            "agentInstance": actor.instance,
            "agentVersion": actor.version,
            "service": actor.service,
            "delegation": actor.delegation,
            "session": actor.session,
            "task": context.task,
            "parentTask": context.parent_task,
            "trigger": context.trigger,
            "costEstimate": _text(context.cost_estimate),
            "evidence": _evidence(context),
            "model": lineage.model,
            "parametersDigest": lineage.parameters_digest,
            "promptDigest": lineage.prompt_digest,
        }
        encoded = encode(facts)
        object.__setattr__(context, "encoded", encoded)
    return Fragment(encoded)


def _authorization(decision: Decision) -> str | None:
    """Return the hard authorization result: kept apart from runtime policy."""
    for verdict in decision.verdicts:
        if verdict.control == "authorization":
            return verdict.reason
    return None


def _flag(kind: str, reading: Reading) -> dict[str, Any]:
    return {
        "kind": kind,
        "key": reading.key,
        "value": reading.value,
        "variant": _scalar(reading.variant),
        "reason": _scalar(reading.reason),
        "version": _scalar(reading.version),
        "rule": _scalar(reading.metadata.get("rule")),
        "fault": reading.fault,
    }


def _verdict(verdict: Verdict) -> Fragment:
    """Return *verdict*, encoded once: most are constants of their control."""
    encoded = verdict.encoded
    if encoded is None:
        facts = {
            "control": verdict.control,
            "cap": verdict.cap.label,
            "need": verdict.need.label,
            "reason": verdict.reason,
            "fallback": verdict.fallback,
            "evidence": dict(verdict.evidence),
            "constraints": [_constraint(item) for item in verdict.constraints],
        }
        encoded = encode(facts)
        object.__setattr__(verdict, "encoded", encoded)
    return Fragment(encoded)


def _constraint(constraint: Constraint) -> dict[str, Any]:
    among = constraint.among
    return {
        "kind": constraint.kind,
        "limit": constraint.limit,
        "among": None if among is None else sorted(among),
    }


def _fields(contract: ActionContract, rules: GovernanceContract) -> Mapping[str, Any]:
    return {
        name: _scalar(contract.arguments[name])
        for name in rules.evidence.record_fields
        if name in contract.arguments
    }


def _scalar(value: Any) -> Any:
    if value is None or type(value) is bool:
        return value
    if type(value) in (str, int, float, Decimal):
        return readable(str(value))
    return f"<{type(value).__name__}>"


def _evidence(context: CallContext) -> dict[str, Any]:
    evidence = context.evidence
    confidence = evidence.confidence
    return {
        "confidence": None if confidence is None else readable(str(confidence)),
        "sources": [readable(source) for source in evidence.sources],
        "evaluations": {
            readable(name): readable(result)
            for name, result in evidence.evaluations.items()
        },
        "alternatives": [readable(item) for item in evidence.alternatives],
    }

"""Records: the audit evidence of a decision before, and of its outcome after.

The body is canonical JSON in the integer-only domain (money and ratios are decimal
text, times are integer microseconds since 1970), so that its bytes can be hashed,
signed and recomputed elsewhere. The fields are those of the audit lists of articles
000 and 001. No argument value enters unless the governance contract lists it; keys
that a later schema adds never change the meaning of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from openfeature_gov.canonical import encode
from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Reading, Readings
from openfeature_gov.decisions import Constraint, Decision, Effect, Verdict
from openfeature_gov.governance import GovernanceContract

SCHEMA = "gov.record/1"
FIELD_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one record: the columns that queries need, and the whole as *body*.

    *ref* is the id of the decision that an outcome belongs to; *executes* says that
    something was about to run, so that a missing outcome is a finding.
    """

    id: str
    kind: str
    at_us: int
    body: bytes
    ref: str | None = None
    tool: str | None = None
    agent: str | None = None
    task: str | None = None
    effect: str | None = None
    reason: str | None = None
    executes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Give a record its identity: *id*, wall time *at_us*, and the *writer*'s id."""

    id: str
    at_us: int
    writer: str


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
    executes = ran_arguments is not None
    context, actor = contract.context, contract.context.actor
    body = {
        "schema": SCHEMA,
        "kind": "decision",
        "id": stamp.id,
        "atUs": stamp.at_us,
        "writer": stamp.writer,
        "request": context.request,
        "user": actor.user,
        "account": context.account,
        "environment": context.environment,
        "region": context.region,
        "stage": context.stage,
        "workflow": rules.workflow,
        "agent": {
            "id": actor.agent,
            "instance": actor.instance,
            "version": actor.version,
            "service": actor.service,
            "delegation": list(actor.delegation),
        },
        "session": actor.session,
        "task": context.task,
        "parentTask": context.parent_task,
        "trigger": context.trigger,
        "callId": contract.call_id,
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
        "claims": _claims(contract),
        "faults": list(contract.faults),
        "argumentsDigest": contract.arguments_digest,
        "actionDigest": contract.digest,
        "ranArgumentsDigest": _digest(ran_arguments),
        "fields": _fields(contract, rules),
        "costEstimate": _text(context.cost_estimate),
        "authorization": _authorization(decision),
        "flags": [_flag(kind, reading) for kind, reading in flags.flags.items()],
        "flagSource": {
            "provider": flags.provider,
            "status": flags.status,
            "standing": flags.standing,
            "ageMs": None if flags.age_ns is None else flags.age_ns // 1_000_000,
            "generation": flags.generation,
            "revision": flags.revision,
            "source": flags.source,
        },
        "verdicts": [_verdict(verdict) for verdict in decision.verdicts],
        "effect": decision.effect.value,
        "mode": decision.mode.label,
        "need": decision.need.label,
        "reason": decision.reason,
        "full": decision.full,
        "approved": decision.approved,
        "constraints": [_constraint(item) for item in decision.constraints],
        "executes": executes,
        "latencyUs": latency_us,
        "contract": {
            "revision": rules.revision,
            "owner": rules.owner,
            "safestMode": rules.rollback.safest_mode.label,
            "rollbackOwner": rules.rollback.owner,
            "reviewerGroup": rules.approval.reviewer_group,
            "reviewDate": None if rules.review_date is None else str(rules.review_date),
            "cleanupOwner": rules.cleanup_owner,
        },
        "evidence": _evidence(contract),
        "lineage": {
            "model": context.lineage.model,
            "parametersDigest": context.lineage.parameters_digest,
            "promptDigest": context.lineage.prompt_digest,
        },
    }
    return Record(
        stamp.id,
        "decision",
        stamp.at_us,
        encode(body),
        None,
        contract.tool,
        actor.agent,
        context.task,
        decision.effect.value,
        decision.reason,
        executes,
    )


def refusal_record(
    stamp: Stamp, *, tool: str, agent: str, task: str, reason: str, detail: str
) -> Record:
    """Return the record of a call that no contract could be built for: denied.

    *tool* and *detail* come from the caller and may be hostile: both are escaped and
    cut to a readable length.
    """
    shown = readable(tool)
    body = {
        "schema": SCHEMA,
        "kind": "decision",
        "id": stamp.id,
        "atUs": stamp.at_us,
        "writer": stamp.writer,
        "tool": shown,
        "agent": {"id": agent},
        "task": task,
        "effect": Effect.DENY.value,
        "mode": "off",
        "reason": reason,
        "detail": readable(detail),
        "executes": False,
        "verdicts": [{"control": "registry", "cap": "off", "reason": reason}],
    }
    return Record(
        stamp.id,
        "decision",
        stamp.at_us,
        encode(body),
        None,
        shown,
        agent,
        task,
        Effect.DENY.value,
        reason,
    )


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
        "error": error,
        "latencyUs": latency_us,
        "cost": _text(cost),
        "undo": undo,
        "handOver": hand_over,
        "incident": incident,
    }
    return Record(stamp.id, "outcome", stamp.at_us, encode(body), ref, reason=status)


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
    return Record(stamp.id, kind, stamp.at_us, encode(body), ref)


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
    # A lone surrogate has no UTF-8 form; a control or bidi character could forge a log.
    return cut.encode("ascii", "backslashreplace").decode("ascii").translate(_CONTROLS)


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


def _digest(canonical: bytes | None) -> str | None:
    return None if canonical is None else sha256(canonical).hexdigest()


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _authorization(decision: Decision) -> dict[str, Any] | None:
    """Return the hard authorization result: kept apart from runtime policy."""
    for verdict in decision.verdicts:
        if verdict.control == "authorization":
            return {"cap": verdict.cap.label, "reason": verdict.reason}
    return None


def _flag(kind: str, reading: Reading) -> dict[str, Any]:
    return {
        "kind": kind,
        "key": reading.key,
        "value": reading.value,
        "variant": reading.variant,
        "reason": reading.reason,
        "version": reading.version,
        "rule": reading.metadata.get("rule"),
        "fault": reading.fault,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "control": verdict.control,
        "cap": verdict.cap.label,
        "reason": verdict.reason,
    }
    if verdict.need:
        shown["need"] = verdict.need.label
    if verdict.fallback:
        shown["fallback"] = True
    if verdict.evidence:
        shown["evidence"] = dict(verdict.evidence)
    if verdict.constraints:
        shown["constraints"] = [_constraint(item) for item in verdict.constraints]
    return shown


def _constraint(constraint: Constraint) -> dict[str, Any]:
    among = constraint.among
    return {
        "kind": constraint.kind,
        "limit": constraint.limit,
        "among": None if among is None else sorted(among),
    }


def _claims(contract: ActionContract) -> dict[str, str | None]:
    risk, undo = contract.claimed_risk, contract.claimed_reversibility
    return {
        "riskClass": None if risk is None else risk.value,
        "reversibility": None if undo is None else undo.value,
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


def _evidence(contract: ActionContract) -> dict[str, Any]:
    evidence = contract.context.evidence
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

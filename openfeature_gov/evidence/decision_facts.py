"""What a record keeps of one decision, and apart what may be personal. Pure.

The body is for ever. Who a decision was about, and digests by which a person could be
found, are in the personal part, which can be erased; the body holds only its salted
digest. No argument value enters either unless the governance contract lists it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

from orjson import Fragment

from openfeature_gov.canonical import encode
from openfeature_gov.contracts import ActionContract, CallContext
from openfeature_gov.controls.readings import Reading, Readings
from openfeature_gov.decisions import Constraint, Decision, Verdict
from openfeature_gov.evidence.texts import (
    LISTED,
    decimal,
    listed,
    paired,
    readable,
    reference,
    scalar,
)
from openfeature_gov.governance import GovernanceContract

Json = dict[str, Any]
SEEN_BYTES = 16_384
"""How much of what one control saw a record holds."""


def fields_of(contract: ActionContract, rules: GovernanceContract) -> Json:
    """Return the arguments that the governance contract lists, and no other."""
    return {
        name: scalar(contract.arguments[name])
        for name in rules.evidence.record_fields
        if name in contract.arguments
    }


def person(context: CallContext) -> Json:
    """Return whom *context* is about: what only the personal part may hold."""
    actor, evidence = context.actor, context.evidence
    return {
        "user": actor.user,
        "account": context.account,
        "session": actor.session,
        "delegation": listed(actor.delegation),
        "inputDigest": reference(context.lineage.input_digest),
        "sources": listed(evidence.sources),
        "alternatives": listed(evidence.alternatives),
        "evaluations": paired(evidence.evaluations),
    }


def personal(
    contract: ActionContract, fields: Mapping[str, Any], ran: bytes | None
) -> Json:
    """Return the personal part of a decision, without its salt.

    *ran* holds the canonical arguments of what may run, None for nothing.
    """
    return {
        **person(contract.context),
        "targetRecord": contract.record,
        "fields": fields,
        "argumentsDigest": contract.arguments_digest,
        "actionDigest": contract.digest,
        "narrowedDigest": _narrowed(contract, ran),
    }


def action(contract: ActionContract, rules: GovernanceContract) -> Json:
    """Return the proposed action and the rules that it came under."""
    return {
        "context": context_of(contract.context),
        "contract": Fragment(rules.encoded),
        "callId": reference(contract.call_id),
        "tool": contract.tool,
        "targetSystem": contract.target_system,
        "intent": contract.intent.value,
        "summary": summary(contract),
        "riskClass": contract.risk_class.value,
        "reversibility": contract.reversibility.value,
        "amount": decimal(contract.amount),
        "currency": contract.currency,
        "records": contract.records,
        "claimedRiskClass": contract.claimed_risk,
        "claimedReversibility": contract.claimed_reversibility,
        "faults": contract.faults,
    }


def summary(contract: ActionContract) -> str:
    """Return the action in one line, from derived facts only."""
    where = f" on {contract.target_system}" if contract.target_system else ""
    amount = f", {contract.amount} {contract.currency}".rstrip()
    money = amount if contract.amount is not None else ""
    count = f", {contract.records} records" if contract.records is not None else ""
    return f"{contract.intent.value} by {contract.tool}{where}{money}{count}"


def context_of(context: CallContext) -> Fragment:
    """Return who acted and why, encoded once a context; whom it is about is not in."""
    encoded = context.encoded
    if encoded is None:
        actor, lineage = context.actor, context.lineage
        confidence = context.evidence.confidence
        facts = {
            "request": context.request,
            "environment": context.environment,
            "region": context.region,
            "stage": context.stage,
            "agent": actor.agent,
            "agentInstance": actor.instance,
            "agentVersion": actor.version,
            "service": actor.service,
            "credential": actor.credential,
            "scopes": listed(sorted(map(readable, actor.scopes))),
            "delegated": len(actor.delegation),
            "task": context.task,
            "parentTask": context.parent_task,
            "trigger": context.trigger,
            "costEstimate": decimal(context.cost_estimate),
            "confidence": None if confidence is None else readable(str(confidence)),
            "model": readable(lineage.model),
            "parametersDigest": reference(lineage.parameters_digest),
            "promptDigest": reference(lineage.prompt_digest),
            "template": reference(lineage.template),
            "payload": reference(lineage.payload),
        }
        encoded = encode(facts)
        object.__setattr__(context, "encoded", encoded)
    return Fragment(encoded)


def source(flags: Readings) -> Json:
    """Return where the flags came from, how old they were, and under which policy."""
    return {
        "provider": readable(flags.provider),
        "status": flags.status,
        "standing": flags.standing,
        "ageMs": None if flags.age_ns is None else flags.age_ns // 1_000_000,
        "generation": flags.generation,
        "revision": scalar(flags.revision),
        "source": scalar(flags.source),
        "epoch": scalar(flags.epoch),
        "demanded": readable(flags.demanded),
        "latched": [readable(key) for key in flags.latched],
    }


def flag(kind: str, reading: Reading) -> Fragment:
    """Return one flag as it was evaluated: key, variant, reason, version, fault."""
    value = reading.value
    return _flag(
        kind,
        reading.key,
        tuple(value) if type(value) is list else value,
        _word(reading.variant),
        _word(reading.reason),
        _word(reading.version),
        _word(reading.metadata.get("rule")),
        reading.fault,
    )


def _word(value: object) -> object:
    """Return what a provider said as something that can be remembered."""
    return value if type(value) is str else scalar(value)


@lru_cache(maxsize=1024, typed=True)
def _flag(
    kind: str,
    key: str,
    value: Any,
    variant: object,
    reason: object,
    version: object,
    rule: object,
    fault: str | None,
) -> Fragment:
    """Return one flag, encoded once: few of the same are served over and over."""
    facts = {
        "kind": kind,
        "key": key,
        "value": value,
        "variant": scalar(variant),
        "reason": scalar(reason),
        "version": scalar(version),
        "rule": scalar(rule),
        "fault": fault,
    }
    return Fragment(encode(facts))


def ruling(decision: Decision) -> Json:
    """Return every verdict and what they added up to."""
    return {
        "authorization": _authorization(decision),
        "verdicts": [verdict(one) for one in decision.verdicts],
        "effect": decision.effect.value,
        "mode": decision.mode.label,
        "need": decision.need.label,
        "reason": decision.reason,
        "full": decision.full,
        "approved": decision.approved,
        "constraints": [_constraint(item) for item in decision.constraints],
    }


def verdict(given: Verdict) -> Fragment:
    """Return *given*, encoded once: most are constants of their control."""
    encoded = given.encoded
    if encoded is None:
        facts = {
            "control": given.control,
            "cap": given.cap.label,
            "need": given.need.label,
            "reason": given.reason,
            "fallback": given.fallback,
            "evidence": _seen(given.evidence),
            "constraints": [_constraint(item) for item in given.constraints],
        }
        encoded = encode(facts)
        object.__setattr__(given, "encoded", encoded)
    return Fragment(encoded)


def _seen(evidence: Mapping[str, Any]) -> Json:
    """Return what a control saw; what the agent could make long is cut."""
    facts = {
        name: listed(value)
        if type(value) in (list, tuple) and len(value) > LISTED
        else value
        for name, value in evidence.items()
    }
    encoded = encode(facts)
    if len(encoded) <= SEEN_BYTES:
        return facts
    told = f"sha256:{sha256(encoded).hexdigest()}"
    return {"omittedBytes": len(encoded), "digest": told}


def _authorization(decision: Decision) -> str | None:
    """Return the hard authorization result: kept apart from runtime policy."""
    for one in decision.verdicts:
        if one.control == "authorization":
            return one.reason
    return None


def _constraint(constraint: Constraint) -> Mapping[str, Any]:
    among = constraint.among
    return {
        "kind": constraint.kind,
        "limit": constraint.limit,
        "among": None if among is None else sorted(among),
    }


def _narrowed(contract: ActionContract, ran: bytes | None) -> str | None:
    """Return the digest of what may run where that is less than what was asked."""
    if ran is None or ran == contract.canonical:
        return None
    return sha256(ran).hexdigest()

"""The record of a decision, or of a call that no contract could be built for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from typing import Any

from openfeature_gov.canonical import encode
from openfeature_gov.contracts import ActionContract, CallContext
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Decision, Effect, Verdict
from openfeature_gov.evidence import decision_facts as of
from openfeature_gov.evidence.records import DIGEST, Encoded, Record, Stamp, head
from openfeature_gov.evidence.shadow import shadow
from openfeature_gov.evidence.texts import readable, tool_name
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode


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
    fields = of.fields_of(contract, rules)
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
    mode = flags.flags.get("mode")
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
        contract.target_system,
        None if mode is None else mode.variant,
        contract.amount,
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
) -> Encoded:
    personal = _salted(stamp, of.personal(contract, fields, ran_arguments))
    body = {
        **head(stamp, "decision"),
        **of.action(contract, rules),
        **of.ruling(decision),
        "shadow": shadow(contract, rules, decision),
        "flags": [of.flag(kind, reading) for kind, reading in flags.flags.items()],
        "flagSource": of.source(flags),
        "narrowed": ran_arguments is not None and ran_arguments != contract.canonical,
        "executes": ran_arguments is not None,
        "latencyUs": latency_us,
        DIGEST: sha256(personal).hexdigest(),
    }
    return Encoded(encode(body), personal)


def refusal_record(
    stamp: Stamp, *, tool: str, context: CallContext | None, reason: str, detail: str
) -> Record:
    """Return the record of a call that no contract could be built for: denied.

    *tool* and *detail* come from the caller and may be hostile: both are escaped and
    cut, and a name that could be a sentence is kept as its digest.
    """
    shown = tool_name(tool)
    body = {
        **head(stamp, "decision"),
        "tool": shown,
        "effect": Effect.DENY.value,
        "mode": "off",
        "reason": reason,
        "detail": readable(detail),
        "executes": False,
        "verdicts": [of.verdict(Verdict("registry", Mode.OFF, reason))],
    }
    return Record(
        stamp.id,
        "decision",
        stamp.at_us,
        partial(_refusal, stamp, body, context),
        None,
        shown,
        None if context is None else context.actor.agent,
        None if context is None else context.task,
        Effect.DENY.value,
        reason,
    )


def _refusal(
    stamp: Stamp, body: dict[str, Any], context: CallContext | None
) -> Encoded:
    if context is None:
        return Encoded(encode(body))
    personal = _salted(stamp, of.person(context))
    facts = {
        "context": of.context_of(context),
        DIGEST: sha256(personal).hexdigest(),
    }
    return Encoded(encode({**body, **facts}), personal)


def _salted(stamp: Stamp, facts: dict[str, Any]) -> bytes:
    """Return *facts* as a personal part, whose digest nobody can guess it from."""
    if not stamp.secret:
        raise ValueError("a personal part needs the stamp's secret")
    salt = sha256(stamp.secret + stamp.id.encode()).hexdigest()[:32]
    return encode({"salt": salt, **facts})

"""`gov governance explain`: what each control says of one call, and which decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from openfeature_gov.cli import output, reasons
from openfeature_gov.cli.arguments import arguments_of
from openfeature_gov.cli.calling import (
    Agent,
    Args,
    Confidence,
    Id,
    Scopes,
    Service,
    ToolName,
    User,
)
from openfeature_gov.cli.decide import about, judged_by, reading
from openfeature_gov.cli.options import CONTRACTS, FLAGS, Contracts, Flags
from openfeature_gov.contracts import Actor, CallContext, Evidence, Proof, ToolCall
from openfeature_gov.embedded import load_governance
from openfeature_gov.extracting import Extractor, Extractors
from openfeature_gov.ladder import MODES

AMOUNTS = frozenset({"amount", "discount", "account_value"})
FACTS = (
    *(*AMOUNTS, "records", "record", "segment", "sources", "created", "currency"),
    "estimate",
)


def explain(
    tool: ToolName,
    *,
    governance: Contracts = Path(CONTRACTS),
    flags: Flags = Path(FLAGS),
    args: Args = "{}",
    facts: Annotated[
        str,
        typer.Option(
            help="What extractors would say: a JSON object, @FILE, or - for stdin."
        ),
    ] = "{}",
    agent: Agent = "gov-cli",
    user: User = "",
    account: Id = "",
    service: Service = "",
    scope: Scopes = None,
    environment: Id = "",
    region: Id = "",
    task: Id = "",
    confidence: Confidence = None,
    source: Annotated[
        list[str] | None, typer.Option(help="What the action rests on; repeat.")
    ] = None,
    proved: Annotated[
        int | None,
        typer.Option(min=0, help="Seconds since the user proved who they are."),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option("--records", help="What happened so far, only read."),
    ] = None,
    as_json: output.Json = None,
) -> None:
    """Say what each control thinks of one call of TOOL, and which of them decided.

    Nothing runs and nothing is recorded. FACTS may state amount, discount,
    account_value, records, record, segment, sources, created, currency and estimate (of
    the cost: a number, or an object by unit). Guardrails and budgets with a memory are
    asked as if nothing had happened yet; decision points are asked.

    Exit 0 whatever the decision is; 2 for facts or arguments that cannot be read.
    """
    actor = Actor(
        agent=agent, user=user, service=service, scopes=frozenset(scope or ())
    )
    context = CallContext(
        actor=actor,
        account=account,
        environment=environment,
        region=region,
        task=task,
        evidence=Evidence(confidence=confidence, sources=tuple(source or ())),
        proof=_proof(user, proved),
    )
    call = ToolCall(tool, arguments_of(args), context)
    extract = stated(arguments_of(facts, option="--facts"))
    contracts = load_governance(governance)
    with reading(flags) as reader:
        judged = judged_by(contracts, reader, call, extract=extract, remembered=records)
    data = about(judged, recorded=False)
    data["extractors"] = "stated"
    data["decidedBy"] = deciding(data)
    output.show(
        data,
        lambda console: reasons.render(console, data, explain=True),
        as_json=as_json,
    )


def deciding(data: Mapping[str, Any]) -> list[str]:
    """Return the controls at the lowest cap: any of them alone leads there."""
    rungs = [(MODES[one["cap"]], str(one["control"])) for one in data["verdicts"]]
    lowest = min(rung for rung, _ in rungs)
    return sorted(name for rung, name in rungs if rung is lowest)


def _proof(user: str, proved: int | None) -> Proof | None:
    if proved is None or not user:
        return None
    at_us = int(datetime.now(UTC).timestamp() * 1_000_000) - proved * 1_000_000
    return Proof(subject=user, at_us=at_us, method="stated")


def stated(facts: Mapping[str, Any]) -> Extractors:
    """Return extractors that say *facts*.

    Raises:
        typer.BadParameter: for a fact that is none, or cannot be read.

    """
    odd = sorted(facts.keys() - {*FACTS})
    if odd:
        names = ", ".join(sorted(FACTS))
        raise _unclear(f"{output.safe(odd[0])}: no fact; use {names}")
    found: dict[str, Any] = {}
    for name, value in facts.items():
        found[name] = str(value) if name == "currency" else _saying(name, value)
    return Extractors(**found)


def _saying(name: str, value: Any) -> Extractor:
    if name in AMOUNTS:
        value = _number(name, value)
    elif name == "created":
        try:
            value = datetime.fromisoformat(str(value))
        except ValueError:
            raise _unclear(f"created: {output.safe(value)} is no time") from None
    return lambda _: value


def _number(name: str, value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise _unclear(f"{name}: {output.safe(value)} is no number") from None


def _unclear(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="'--facts'")

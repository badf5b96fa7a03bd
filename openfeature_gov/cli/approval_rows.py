"""A request for approval in short: as a row, as a line, and as JSON."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from openfeature_gov.approvals.codec import plain
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.showing import visible
from openfeature_gov.cli import output
from openfeature_gov.cli.approval_cards import span


def summary(request: Request) -> dict[str, Any]:
    """Return what may be told of *request* to anyone: no argument, no fingerprint."""
    facts = request.facts
    return {
        "id": request.id,
        "state": request.state.value,
        "tool": request.tool,
        "riskClass": facts.get("riskClass"),
        "reversibility": facts.get("reversibility"),
        "amount": facts.get("amount"),
        "currency": facts.get("currency"),
        "agent": request.agent,
        "workflow": request.workflow,
        "task": request.task,
        "created": _iso(request.created_us),
        "deadline": _iso(request.deadline_us),
        "holder": request.holder,
        "level": request.level,
        "votes": len(request.votes),
        "quorum": request.quorum,
        "reviewer": request.reviewer,
        "record": request.record_id,
    }


def details(request: Request) -> dict[str, Any]:
    """Return what only a reviewer reads; the arguments as the text that will run."""
    whole = plain(request)
    return {
        **{key: whole[key] for key in ("arguments", "constraints", "facts", "reason")},
        "approvals": whole["votes"],
        "questions": whole["questions"],
        "reassignTo": request.reassign_to,
        "breakGlass": request.break_glass,
        "calledBy": whole["callers"],
        "glassBroken": request.glass_broken,
        "group": request.group,
        "escalation": request.escalation,
        "requesters": request.requesters,
        "answered": _iso(request.answered_us) if request.answered_us else None,
        "digest": request.digest,
        "binding": request.binding,
        "fingerprint": request.fingerprint,
    }


def row(request: Request, now: int) -> tuple[list[output.Cell], Text]:
    """Return a row of the list at *now*; what an agent may have named stands last."""
    facts = request.facts
    left = request.deadline_us - now
    amount = " ".join(str(facts.get(key) or "") for key in ("amount", "currency"))
    cells: list[output.Cell] = [
        output.styled(request.tool, "bold"),
        output.styled(facts.get("riskClass")),
        output.styled(facts.get("reversibility")),
        output.styled(amount.strip()),
        span(now - request.created_us),
        Text(f"in {span(left)}") if left > 0 else Text("passed", "red"),
        f"{len(request.votes)}/{request.quorum}",
    ]
    waits = f"{request.id} · {request.state.value} · with {request.holder}"
    return cells, Text(visible(f"{waits} · for {request.agent}"))


def line(request: Request) -> Text:
    """Return *request* in one line for people."""
    risk = request.facts.get("riskClass") or "unknown risk"
    return Text.assemble(
        (f"{output.moment(request.created_us)} ", "dim"),
        (visible(request.tool), "bold"),
        f" {visible(str(risk))} {request.state.value} {request.id}",
        f" until {output.moment(request.deadline_us)} UTC",
        visible(f" with {request.holder} for {request.agent}"),
    )


def _iso(microseconds: int) -> str:
    return output.moment(microseconds).replace(" ", "T") + "Z"

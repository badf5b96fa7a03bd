"""A request for approval in short: as a row, as a line, and as JSON.

What a review, of an action that ran, has in common with it stands here too.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from openfeature_gov.approvals.codec import plain
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.showing import visible
from openfeature_gov.approvals.states import State
from openfeature_gov.cli import output
from openfeature_gov.cli.approval_cards import span
from openfeature_gov.reviews.review import Review


def summary(request: Request) -> dict[str, Any]:
    """Return what may be told of *request* to anyone: no argument, no fingerprint."""
    return {**brief(request), "level": request.level}


def brief(one: Request | Review) -> dict[str, Any]:
    """Return what may be told to anyone of a request or a review."""
    facts = one.facts
    return {
        "id": one.id,
        "state": one.state.value,
        "tool": one.tool,
        "riskClass": facts.get("riskClass"),
        "reversibility": facts.get("reversibility"),
        "amount": facts.get("amount"),
        "currency": facts.get("currency"),
        "agent": one.agent,
        "workflow": one.workflow,
        "task": one.task,
        "created": _iso(one.created_us),
        "deadline": _iso(one.deadline_us),
        "holder": one.holder,
        "votes": len(one.votes),
        "quorum": one.quorum,
        "reviewer": one.reviewer,
        "record": one.record_id,
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
    cells: list[output.Cell] = [
        output.styled(request.tool, "bold"),
        output.styled(request.facts.get("riskClass")),
        output.styled(request.facts.get("reversibility")),
        *paid_and_due(request, now),
        f"{len(request.votes)}/{request.quorum}",
    ]
    return cells, stands(request, "for")


def paid_and_due(one: Request | Review, now: int) -> list[output.Cell]:
    """Return the amount, how old it is at *now*, and how long it may wait."""
    amount = " ".join(str(one.facts.get(key) or "") for key in ("amount", "currency"))
    left = one.deadline_us - now
    return [
        output.styled(amount.strip()),
        span(now - one.created_us),
        Text(f"in {span(left)}") if left > 0 else Text("passed", "red"),
    ]


def stands(one: Request | Review, of: str) -> Text:
    """Return where it stands; *of* is the word before the agent."""
    waits = f"{one.id} · {one.state.value} · with {one.holder}"
    return Text(visible(f"{waits} · {of} {one.agent}"))


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


def show_request(request: Request, as_json: bool | None) -> None:
    """Print where *request* stands, and what it waits on."""

    def render(console: Console) -> None:
        console.print(line(request), soft_wrap=True)
        if request.callers and not request.glass_broken:
            console.print(Text("  waits on: a second person", "yellow"))
        if request.state is State.PENDING:
            console.print(votes(request))

    output.show(summary(request), render, as_json=as_json)


def votes(one: Request | Review) -> Text:
    """Return how many votes it waits on."""
    return Text(f"  waits on: {len(one.votes)} of {one.quorum} votes", "yellow")


def _iso(microseconds: int) -> str:
    return output.moment(microseconds).replace(" ", "T") + "Z"

"""`gov approvals ask`, `answer`, `reassign` and `break-glass`."""

from __future__ import annotations

from typing import Annotated

import typer

from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.steps import Step
from openfeature_gov.approvals.turns import MOST_QUESTIONS
from openfeature_gov.cli.answering import (
    Id,
    Seat,
    Seen,
    Why,
    binding,
    seated,
    somebody,
)
from openfeature_gov.cli.approval_rows import show_request
from openfeature_gov.cli.exits import Exit

Text = Annotated[str, typer.Option("--text", help="What; recorded.")]


@seated
def ask(seat: Seat, request_id: Id, *, text: Text) -> None:
    """Ask whoever stands behind the action. The deadline stays; extend moves it."""

    def step(queue: ApprovalQueue, me: Reviewer) -> Step:
        return queue.ask(request_id, me, text=text)

    show_request(seat.take(ApprovalQueue, step), seat.as_json)


@seated
def answer(
    seat: Seat,
    request_id: Id,
    *,
    text: Text,
    number: Annotated[
        int, typer.Option(min=1, max=MOST_QUESTIONS, help="Which question.")
    ] = 1,
) -> None:
    """Answer a question, as somebody who stands behind the action."""

    def step(queue: ApprovalQueue, me: Reviewer) -> Step:
        return queue.answer(request_id, me, number=number, text=text)

    show_request(seat.take(ApprovalQueue, step, somebody), seat.as_json)


@seated
def reassign(
    seat: Seat,
    request_id: Id,
    *,
    to: Annotated[str, typer.Option(metavar="NAME", help="A group or a person.")],
    reason: Why,
) -> None:
    """Pass the request on, to a group or person that the contract lets be asked.

    Whoever was asked before may still answer. The deadline stays.
    """

    def step(queue: ApprovalQueue, me: Reviewer) -> Step:
        return queue.reassign(request_id, me, to=to, reason=reason)

    show_request(seat.take(ApprovalQueue, step), seat.as_json)


@seated
def break_glass(seat: Seat, request_id: Id, *, seen: Seen, reason: Why) -> None:
    """Say that no reviewer can be reached. A second person who does releases it.

    Only members of the contract's breakGlassGroup, for what they looked at. It lifts no
    kill switch, denylist or refusal. Exit 5 while a second person is needed.
    """

    def step(queue: ApprovalQueue, me: Reviewer) -> Step:
        held = binding(queue.get(request_id), seen)
        return queue.break_glass(request_id, me, seen=held, reason=reason)

    request = seat.take(ApprovalQueue, step)
    show_request(request, seat.as_json)
    if request.state is State.PENDING:
        raise typer.Exit(Exit.PENDING)

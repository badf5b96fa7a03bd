"""`gov approvals ask`, `answer`, `reassign` and `break-glass`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.steps import Step
from openfeature_gov.approvals.turns import MOST_QUESTIONS
from openfeature_gov.cli import output
from openfeature_gov.cli.answering import caller, queue_of, somebody, taken
from openfeature_gov.cli.approval_rows import line, summary
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.options import RECORDS, CheckpointFile, KeyFile
from openfeature_gov.cli.runs import Place

REVIEWERS = Path("reviewers.yaml")
Id = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
Reviewers = Annotated[
    Path,
    typer.Option(
        "--reviewers", envvar="GOV_REVIEWERS", help="File that says who reviews."
    ),
]
Text_ = Annotated[str, typer.Option("--text", help="What; recorded.")]
Why = Annotated[str, typer.Option("--reason", help="Why; recorded.")]
Take = Callable[[ApprovalQueue, Reviewer], Step]


def ask(
    request_id: Id,
    *,
    text: Text_,
    records: Place = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Ask whoever stands behind the action. The deadline stays; extend moves it."""

    def take(queue: ApprovalQueue, me: Reviewer) -> Step:
        return queue.ask(request_id, me, text=text)

    _take(take, caller, records, reviewers, key_file, checkpoint_file, as_json)


def answer(
    request_id: Id,
    *,
    text: Text_,
    number: Annotated[
        int, typer.Option(min=1, max=MOST_QUESTIONS, help="Which question.")
    ] = 1,
    records: Place = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Answer a question, as somebody who stands behind the action."""

    def take(queue: ApprovalQueue, me: Reviewer) -> Step:
        return queue.answer(request_id, me, number=number, text=text)

    _take(take, somebody, records, reviewers, key_file, checkpoint_file, as_json)


def reassign(
    request_id: Id,
    *,
    to: Annotated[str, typer.Option(metavar="NAME", help="A group or a person.")],
    reason: Why,
    records: Place = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Pass the request on, to a group or person that the contract lets be asked.

    Whoever was asked before may still answer. The deadline stays.
    """

    def take(queue: ApprovalQueue, me: Reviewer) -> Step:
        return queue.reassign(request_id, me, to=to, reason=reason)

    _take(take, caller, records, reviewers, key_file, checkpoint_file, as_json)


def break_glass(
    request_id: Id,
    *,
    seen: Annotated[
        str, typer.Option(metavar="FINGERPRINT", help="As gov approvals show ends.")
    ],
    reason: Why,
    records: Place = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Say that no reviewer can be reached. A second person who does releases it.

    Only members of the contract's breakGlassGroup, for what they looked at. It lifts no
    kill switch, denylist or refusal. Exit 5 while a second person is needed.
    """

    def take(queue: ApprovalQueue, me: Reviewer) -> Step:
        held = queue.get(request_id)
        typed = seen.strip().lower()
        same = held is not None and typed in (held.fingerprint, held.binding)
        binding = held.binding if held is not None and same else typed
        return queue.break_glass(request_id, me, seen=binding, reason=reason)

    request = _take(
        take, caller, records, reviewers, key_file, checkpoint_file, as_json
    )
    if request.state is State.PENDING:
        raise typer.Exit(Exit.PENDING)


def _take(
    take: Take,
    who: Callable[[ReviewerDirectory], Reviewer],
    records: str,
    reviewers: Path,
    key_file: Path | None,
    checkpoint_file: Path | None,
    as_json: bool | None,
) -> Request:
    """Take a step as *who* runs the command, and say where the request stands."""
    directory = ReviewerDirectory(reviewers)
    me = who(directory)
    with queue_of(
        records, directory, key=key_file, checkpoints=checkpoint_file
    ) as queue:
        request = taken(take(queue, me))

    def render(console: Console) -> None:
        console.print(line(request), soft_wrap=True)
        if request.callers and not request.glass_broken:
            console.print(Text("  waits on: a second person", "yellow"))

    output.show(summary(request), render, as_json=as_json)
    return request

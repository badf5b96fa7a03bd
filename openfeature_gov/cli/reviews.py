"""`gov reviews`: look at what ran at once, let it stand or have it undone.

Who answers is the operating-system user of the process, as in `gov approvals`. An undo
runs in a process that has the tool: this command orders it, and hands over what none
took up in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.approvals import people
from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.cli import output, runs
from openfeature_gov.cli.answering import (
    ADVICE,
    LateShelf,
    Nobody,
    caller,
    now_us,
    refused,
)
from openfeature_gov.cli.approvals import MOST, REVIEWERS, Id, Reviewers, Why
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.options import RECORDS, CheckpointFile, KeyFile, sealing_of
from openfeature_gov.cli.review_cards import ReviewCard, line, row, summary
from openfeature_gov.cli.runs import Place
from openfeature_gov.reviews.queue import ReviewQueue
from openfeature_gov.reviews.review import Review, plain
from openfeature_gov.reviews.states import State, refusal
from openfeature_gov.reviews.steps import Denied, Step
from openfeature_gov.stores.opening import shown

app = typer.Typer(
    no_args_is_help=True, help="Look at what ran at once, as the OS user you are."
)
WORDS = {
    **ADVICE,
    "review_unknown": "there is no such review; see gov reviews list",
    "deadline_passed": "its time is up; gov reviews expire settles it",
    "shown_something_else": "that is not its fingerprint; look at gov reviews show",
    "reason_missing": "say why; it is recorded",
    "not_open": "it still runs; nobody knows yet what came of it",
}
Seen = Annotated[
    str, typer.Option(metavar="FINGERPRINT", help="As gov reviews show ends.")
]


@app.command("list")
def list_reviews(
    *,
    state: Annotated[
        list[State] | None, typer.Option(help="In this state (default: open).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 1_000,
    records: Place = RECORDS,
    as_json: output.Json = None,
) -> None:
    """List what waits for somebody to look at it, the oldest first."""
    wanted = state or (State.OPEN,)
    found = LateShelf(runs.reachable(records)).reviews(states=wanted, limit=limit)
    now = now_us()
    data = {"reviews": [summary(kept.review) for kept in found]}

    def render(console: Console) -> None:
        names = ("TOOL", "RISK", "AMOUNT", "AGE", "DEADLINE", "THEN", "VOTES")
        output.ledger(console, names, [row(kept.review, now) for kept in found])
        if not found:
            console.print(Text("Nothing to look at.", "dim"))

    output.show(data, render, as_json=as_json)


@app.command("show")
def show(
    review_id: Id,
    *,
    full: Annotated[bool, typer.Option("--full", help="Hide no byte.")] = False,
    records: Place = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    as_json: output.Json = None,
) -> None:
    """Show one review: what ran, exactly, for whom, why, and what silence means.

    For reviewers alone. The fingerprint that ``accept`` and ``refuse`` ask for appears
    only below a card that hides nothing.
    """
    directory = ReviewerDirectory(reviewers)
    me = caller(directory)
    if not me.way:
        raise refused("reviewer_unauthenticated", f"{me.subject} is no reviewer")
    review = LateShelf(runs.reachable(records)).review(review_id)
    if review is None:
        place = shown(records)
        raise refused("review_unknown", f"{place} holds no review {review_id!r}")
    one = review.review
    stop = people.objection(one, me, directory)
    if stop is None and one.state is not State.OPEN:
        stop = refusal(one.state)
    whole = {**plain(one), **summary(one), "fingerprint": one.fingerprint}

    def render(console: Console) -> None:
        ReviewCard(console, one, full=full).draw(now_us(), stop)

    output.show({**whole, "objection": stop}, render, as_json=as_json)


@app.command("accept")
def accept(
    review_id: Id,
    *,
    seen: Seen,
    reason: Why = "",
    records: Place = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Let exactly the action that you looked at stand.

    Exit 5 while more votes are needed, 4 when you may not.
    """
    directory = ReviewerDirectory(reviewers)
    with _queue(records, directory, key_file, checkpoint_file) as queue:
        binding = _binding(queue, review_id, seen)
        step = queue.accept(review_id, caller(directory), seen=binding, reason=reason)
    review = _taken(step)
    _told([review], as_json)
    if review.state is State.OPEN:
        raise typer.Exit(Exit.PENDING)


@app.command("refuse")
def refuse(
    review_id: Id,
    *,
    seen: Seen,
    reason: Why,
    records: Place = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Have exactly the action that you looked at undone, or seen to by hand."""
    directory = ReviewerDirectory(reviewers)
    with _queue(records, directory, key_file, checkpoint_file) as queue:
        binding = _binding(queue, review_id, seen)
        step = queue.refuse(review_id, caller(directory), seen=binding, reason=reason)
    _told([_taken(step)], as_json)


@app.command("expire")
def expire(
    *,
    records: Place = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Do, once, what silence means, and hand over undos that nobody began; for cron."""
    with _queue(records, None, key_file, checkpoint_file) as queue:
        ended = list(queue.tick())
    _told(ended, as_json, many=True)


@contextmanager
def _queue(
    records: str,
    directory: ReviewerDirectory | None,
    key: Path | None,
    checkpoints: Path | None,
) -> Iterator[ReviewQueue]:
    sealing = sealing_of(key, checkpoints)
    shelf = LateShelf(runs.reachable(records), sealing)
    try:
        yield ReviewQueue(shelf, directory or Nobody(), now_us)
    finally:
        shelf.close()


def _binding(queue: ReviewQueue, review_id: str, seen: str) -> str:
    """Return the binding that *seen* stands for, if it is the review's own."""
    typed = seen.strip().lower()
    held = queue.get(review_id)
    same = held is not None and typed in (held.fingerprint, held.binding)
    return held.binding if held is not None and same else typed


def _taken(step: Step) -> Review:
    if isinstance(step, Denied):
        told = f"the review is {step.state.value}"
        raise refused(step.reason, WORDS.get(step.reason, told))
    return step


def _told(found: list[Review], as_json: bool | None, *, many: bool = False) -> None:
    def render(console: Console) -> None:
        for one in found:
            console.print(line(one), soft_wrap=True)
            if one.state is State.OPEN:
                votes = f"{len(one.votes)} of {one.quorum} votes"
                console.print(Text(f"  waits on: {votes}", "yellow"))

    said = [summary(one) for one in found]
    output.show({"reviews": said} if many else said[0], render, as_json=as_json)

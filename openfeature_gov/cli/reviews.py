"""`gov reviews`: look at what ran at once, let it stand or have it undone.

Who answers is the operating-system user of the process, as in `gov approvals`. An undo
runs in a process that has the tool: this command orders it, and hands over what none
took up in time.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.approvals import people
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.cli import output, runs
from openfeature_gov.cli.answering import (
    REVIEWERS,
    Full,
    Id,
    LateShelf,
    Limit,
    Minutes,
    Nobody,
    Reviewers,
    Seat,
    Seen,
    Why,
    binding,
    now_us,
    reader,
    refused,
    seated,
    shelf_of,
)
from openfeature_gov.cli.approval_rows import votes
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.options import (
    RECORDS,
    CheckpointFile,
    KeyFile,
    Records,
    sealing_of,
)
from openfeature_gov.cli.review_cards import ReviewCard, line, row, summary
from openfeature_gov.reviews.queue import ReviewQueue
from openfeature_gov.reviews.review import MINUTE_US, Review, plain
from openfeature_gov.reviews.states import State, refusal
from openfeature_gov.reviews.steps import Step
from openfeature_gov.stores.opening import shown

app = typer.Typer(
    no_args_is_help=True, help="Look at what ran at once, as the OS user you are."
)


@app.command("list")
def list_reviews(
    *,
    state: Annotated[
        list[State] | None, typer.Option(help="In this state (default: open).")
    ] = None,
    limit: Limit = 1_000,
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """List what waits for somebody to look at it, the oldest first."""
    wanted = state or (State.OPEN,)
    found = LateShelf(runs.reachable(records)).reviews(states=wanted, limit=limit)
    now = now_us()
    data = {"reviews": [summary(kept.review) for kept in found]}

    def render(console: Console) -> None:
        names = ("TOOL", "RISK", "AMOUNT", "AGE", "DEADLINE", "THEN", "VOTES")
        entries = [row(kept.review, now) for kept in found]
        output.ledger(console, names, entries, spare=("VOTES", "AGE", "THEN"))
        if not found:
            console.print(Text("Nothing to look at.", "dim"))

    output.show(data, render, as_json=as_json)


@app.command("show")
def show(
    review_id: Id,
    *,
    full: Full = False,
    records: Records = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    as_json: output.Json = None,
) -> None:
    """Show one review: what ran, exactly, for whom, why, and what silence means.

    For reviewers alone. The fingerprint that ``accept`` and ``refuse`` ask for appears
    only below a card that hides nothing.
    """
    me, directory = reader(reviewers)
    kept = LateShelf(runs.reachable(records)).review(review_id)
    if kept is None:
        place = shown(records)
        raise refused("review_unknown", f"{place} holds no review {review_id!r}")
    one = kept.review
    stop = people.objection(one, me, directory)
    if stop is None and one.state is not State.OPEN:
        stop = refusal(one.state)
    whole = {**plain(one), **summary(one), "fingerprint": one.fingerprint}

    def render(console: Console) -> None:
        ReviewCard(console, one, full=full).draw(now_us(), stop)

    output.show({**whole, "objection": stop}, render, as_json=as_json)


@app.command("accept")
@seated
def accept(seat: Seat, review_id: Id, *, seen: Seen, reason: Why = "") -> None:
    """Let exactly the action that you looked at stand.

    Exit 5 while more votes are needed, 4 when you may not.
    """

    def step(queue: ReviewQueue, me: Reviewer) -> Step:
        held = binding(queue.get(review_id), seen)
        return queue.accept(review_id, me, seen=held, reason=reason)

    review = seat.take(ReviewQueue, step)
    _told([review], seat.as_json)
    if review.state is State.OPEN:
        raise typer.Exit(Exit.PENDING)


@app.command("refuse")
@seated
def refuse(seat: Seat, review_id: Id, *, seen: Seen, reason: Why) -> None:
    """Have exactly the action that you looked at undone, or seen to by hand."""

    def step(queue: ReviewQueue, me: Reviewer) -> Step:
        held = binding(queue.get(review_id), seen)
        return queue.refuse(review_id, me, seen=held, reason=reason)

    _told([seat.take(ReviewQueue, step)], seat.as_json)


@app.command("extend")
@seated
def extend(seat: Seat, review_id: Id, *, by: Minutes) -> None:
    """Move the deadline of a review that is open, by a day in all at most."""

    def step(queue: ReviewQueue, me: Reviewer) -> Step:
        held = queue.get(review_id)
        until = 0 if held is None else held.deadline_us + by * MINUTE_US
        return queue.extend(review_id, me, until_us=until)

    _told([seat.take(ReviewQueue, step)], seat.as_json)


@app.command("expire")
def expire(
    *,
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Do, once, what silence means, and hand over undos that nobody began; for cron."""
    with shelf_of(records, sealing_of(key_file, checkpoint_file)) as shelf:
        ended = list(ReviewQueue(shelf, Nobody(), now_us).tick())
    _told(ended, as_json, many=True)


def _told(found: list[Review], as_json: bool | None, *, many: bool = False) -> None:
    def render(console: Console) -> None:
        for one in found:
            console.print(line(one), soft_wrap=True)
            if one.state is State.OPEN:
                console.print(votes(one))

    said = [summary(one) for one in found]
    output.show({"reviews": said} if many else said[0], render, as_json=as_json)

"""`gov approvals`: look at what waits for a person, and answer it.

Who answers is the operating-system user of the process, found in the reviewers file;
no option claims a name. What one has not looked at cannot be approved: the fingerprint
that ``show`` prints below the whole card must be typed.
"""

from __future__ import annotations

import re
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.approvals import people
from openfeature_gov.approvals.health import measured
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.steps import MINUTE_US, Step
from openfeature_gov.cli import approval_health, output, runs
from openfeature_gov.cli.answering import (
    MOST,
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
    binding,
    now_us,
    reader,
    refused,
    seated,
    shelf_of,
)
from openfeature_gov.cli.approval_cards import Card
from openfeature_gov.cli.approval_rows import details, line, row, show_request, summary
from openfeature_gov.cli.approval_turns import answer, ask, break_glass, reassign
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.notifying import notify
from openfeature_gov.cli.options import (
    RECORDS,
    CheckpointFile,
    KeyFile,
    Records,
    sealing_of,
)
from openfeature_gov.controls.queue import HOUR_US, LIMITS, QueueLimits
from openfeature_gov.decisions import Constraint
from openfeature_gov.stores.opening import shown

app = typer.Typer(
    no_args_is_help=True, help="Answer what waits for a person, as the OS user you are."
)
POLL_S = 0.5
LIMIT = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,63})=(0|[1-9][0-9]{0,14})")
Told = Annotated[str, typer.Option("--reason", help="Why; recorded, and the agent's.")]


@app.command("list")
def list_requests(
    *,
    state: Annotated[
        list[State] | None, typer.Option(help="In this state (default: pending).")
    ] = None,
    limit: Limit = 1_000,
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """List the requests that wait for a person, the oldest first."""
    wanted = state or (State.PENDING,)
    found = LateShelf(runs.reachable(records)).requests(states=wanted, limit=limit)
    now = now_us()
    data = {"requests": [summary(kept.request) for kept in found]}

    def render(console: Console) -> None:
        names = ("TOOL", "RISK", "UNDO", "AMOUNT", "AGE", "DEADLINE", "VOTES")
        entries = [row(kept.request, now) for kept in found]
        output.ledger(console, names, entries, spare=("UNDO", "VOTES", "AGE"))
        if not found:
            console.print(Text("Nothing waits.", "dim"))

    output.show(data, render, as_json=as_json)


@app.command("show")
def show(
    request_id: Id,
    *,
    full: Full = False,
    records: Records = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    as_json: output.Json = None,
) -> None:
    """Show one request: what happens, exactly what runs, why it waits, and for whom.

    For reviewers alone. A long value is cut and says so; the fingerprint that
    ``approve`` asks for appears only below a card that hides nothing.
    """
    me, directory = reader(reviewers)
    kept = LateShelf(runs.reachable(records)).request(request_id)
    if kept is None:
        place = shown(records)
        raise refused("approval_unknown", f"{place} holds no request {request_id!r}")
    request = kept.request
    stop = people.objection(request, me, directory)
    whole = {**summary(request), **details(request), "objection": stop}

    def render(console: Console) -> None:
        Card(console, request, full=full).draw(now_us(), stop)

    output.show(whole, render, as_json=as_json)


@app.command("approve")
@seated
def approve(
    seat: Seat,
    request_id: Id,
    *,
    seen: Seen,
    reason: Told = "",
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=NUMBER", help="At most that; repeatable."),
    ] = None,
) -> None:
    """Release exactly the action that you looked at, for one execution.

    Exit 5 while more votes are needed, 4 when you may not.
    """
    tighter = [_limit(one) for one in limit or ()]

    def step(queue: ApprovalQueue, me: Reviewer) -> Step:
        held = binding(queue.get(request_id), seen)
        return queue.approve(
            request_id, me, seen=held, reason=reason, constraints=tighter
        )

    request = seat.take(ApprovalQueue, step)
    show_request(request, seat.as_json)
    if request.state is State.PENDING:
        raise typer.Exit(Exit.PENDING)


@app.command("deny")
@seated
def deny(seat: Seat, request_id: Id, *, reason: Told) -> None:
    """Refuse the action, or take back a release that was not used yet."""

    def step(queue: ApprovalQueue, me: Reviewer) -> Step:
        return queue.refuse(request_id, me, reason=reason)

    show_request(seat.take(ApprovalQueue, step), seat.as_json)


@app.command("extend")
@seated
def extend(seat: Seat, request_id: Id, *, by: Minutes) -> None:
    """Move the deadline of a request that waits, to a day from now at most."""

    def step(queue: ApprovalQueue, me: Reviewer) -> Step:
        held = queue.get(request_id)
        until = 0 if held is None else held.deadline_us + by * MINUTE_US
        return queue.extend(request_id, me, until_us=until)

    show_request(seat.take(ApprovalQueue, step), seat.as_json)


@app.command("watch")
def watch(*, records: Records = RECORDS, as_json: output.Json = None) -> None:
    """Print each request that waits, and each new one as it comes; ends at Ctrl-C."""
    shelf = LateShelf(runs.reachable(records))
    known: frozenset[str] = frozenset()
    while True:
        found = shelf.requests(states=(State.PENDING,), limit=MOST)
        for kept in found:
            if kept.request.id not in known:
                data = summary(kept.request)
                output.line(data, line(kept.request), as_json=as_json)
        known = frozenset(kept.request.id for kept in found)
        time.sleep(POLL_S)


@app.command("health")
def health(
    *,
    days: Annotated[int, typer.Option(min=1, max=365, help="Look so far back.")] = 7,
    depth: Annotated[
        int, typer.Option(min=0, max=MOST - 1, help="More waiting is too much.")
    ] = LIMITS.depth,
    hours: Annotated[
        int, typer.Option(min=1, max=168, help="Waiting longer is too long.")
    ] = LIMITS.oldest_us // HOUR_US,
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """Show how people cope: what waits, how fast and how each of them answers.

    Exit 4 when the queue is overrun, a workflow paused, or a reviewer approves unread.
    """
    limits = QueueLimits(depth=depth, oldest_us=hours * HOUR_US)
    now = now_us()
    shelf = LateShelf(runs.reachable(records))
    requests = approval_health.found(shelf, now - days * 24 * HOUR_US, MOST)
    seen = measured(requests, now, limits)

    def render(console: Console) -> None:
        approval_health.draw(console, seen, limits)

    output.show(approval_health.told(seen, limits), render, as_json=as_json)
    if seen.findings:
        raise typer.Exit(Exit.REFUSED)


@app.command("expire")
def expire(
    *,
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Escalate or end, once, what nobody answered in time; for cron."""
    with shelf_of(records, sealing_of(key_file, checkpoint_file)) as shelf:
        ended = list(ApprovalQueue(shelf, Nobody(), now_us).tick())
    data = {"requests": [summary(one) for one in ended]}

    def render(console: Console) -> None:
        for one in ended:
            console.print(line(one), soft_wrap=True)

    output.show(data, render, as_json=as_json)


app.command("ask")(ask)
app.command("answer")(answer)
app.command("reassign")(reassign)
app.command("break-glass")(break_glass)
app.command("notify")(notify)


def _limit(text: str) -> Constraint:
    found = LIMIT.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is none; say it as records=10", param_hint="'--limit'"
        )
    return Constraint(found[1], limit=int(found[2]))

"""How people cope with the requests, as a table and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from openfeature_gov.approvals.health import Health
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import Shelf
from openfeature_gov.approvals.showing import visible
from openfeature_gov.approvals.states import State
from openfeature_gov.cli import output
from openfeature_gov.cli.approval_cards import span
from openfeature_gov.controls.queue import QueueLimits

ADVICE = {
    "queue_saturated": "every action is held at its safest mode; answer, or ask more"
    " people",
    "workflow_paused": "it is held at observe meanwhile; look at what it asks for",
    "glass_broken": "two people released it because no reviewer could be reached;"
    " look at what ran, and at why nobody was there",
    "rubber_stamp": "talk to the reviewer; ask for less, or for two votes",
}


def found(shelf: Shelf, since_us: int, most: int) -> list[Request]:
    """Return what waits, and what was made since, at most *most* of each."""
    waiting = shelf.requests(states=(State.PENDING,), limit=most)
    settled = frozenset(State) - {State.PENDING}
    made = shelf.requests(states=settled, since_us=since_us, newest=True, limit=most)
    return [kept.request for kept in (*waiting, *made)]


def told(health: Health, limits: QueueLimits) -> dict[str, Any]:
    """Return *health* as JSON values; times in microseconds."""
    queue = health.queue
    return {
        "depth": queue.depth,
        "depthLimit": limits.depth,
        "oldestUs": queue.oldest_us,
        "oldestLimitUs": limits.oldest_us,
        "overdue": health.overdue,
        "answered": health.answered,
        "medianUs": health.median_us,
        "p95Us": health.p95_us,
        "reviewers": [
            {
                "reviewer": one.reviewer,
                "approvals": one.approvals,
                "refusals": one.refusals,
                "dwellUs": one.dwell_us,
            }
            for one in health.reviewers
        ],
        "pausedUntilUs": dict(queue.paused),
        "findings": [
            {**one._asdict(), "advice": ADVICE[one.code]} for one in health.findings
        ],
    }


def draw(console: Console, health: Health, limits: QueueLimits) -> None:
    """Print *health* for people: the queue, each reviewer, and what is wrong."""
    queue = health.queue
    overdue = f"{health.overdue}; gov approvals expire settles them"
    output.facts(
        console,
        [
            ("waiting", f"{queue.depth} (limit {limits.depth})"),
            ("oldest", f"{span(queue.oldest_us)} (limit {span(limits.oldest_us)})"),
            ("overdue", overdue if health.overdue else "0"),
            ("answered", str(health.answered)),
            ("median", _span(health.median_us)),
            ("95 % within", _span(health.p95_us)),
        ],
    )
    names = ("REVIEWER", "APPROVED", "REFUSED", "LOOKED AT MOST")
    rows = [
        (
            visible(one.reviewer),
            f"{one.approvals}",
            f"{one.refusals}",
            span(one.dwell_us),
        )
        for one in health.reviewers
    ]
    if rows:
        console.print(output.columns(*names, rows=rows))
    for finding in health.findings:
        whom = f" {visible(finding.subject)}:" if finding.subject else ":"
        head = Text(f"✖ {finding.code}{whom} {finding.seen}", "red")
        console.print(head, soft_wrap=True)
        until = queue.paused.get(finding.subject)
        when = f"until {output.moment(until)} UTC: " if until else ""
        advice = Text(f"  {when}{ADVICE[finding.code]}", "dim")
        console.print(advice, soft_wrap=True)
    if not health.findings:
        console.print(Text("Nothing is wrong.", "dim"))


def _span(microseconds: int | None) -> output.Cell:
    return output.styled(None if microseconds is None else span(microseconds))

"""How a review is shown: what ran, as whole and undisguised as a request's card."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from openfeature_gov.approvals.showing import visible
from openfeature_gov.cli import output
from openfeature_gov.cli.approval_cards import Card, span
from openfeature_gov.cli.approval_rows import brief, paid_and_due, stands
from openfeature_gov.reviews.likeness import likeness
from openfeature_gov.reviews.review import Review
from openfeature_gov.reviews.states import BY_HAND, DUE, State

SILENCE = {
    "undo": "the tool's own undo takes it back",
    "keep": "it stands",
    "handOver": "it is handed over to {owner}",
}


class ReviewCard(Card):
    """Draw *review* on *console* for one reviewer; lives for one command."""

    HAPPENS, RUNS, WAITS = "What happened", "What ran", "Why it ran"

    def __init__(self, console: Console, review: Review, *, full: bool) -> None:
        super().__init__(console, likeness(review), full=full)
        self._review = review

    def draw(self, now_us: int, objection: str | None) -> None:
        """Print the card; *objection* is why its reader may not answer."""
        review = self._review
        self._head(f"{review.tool}: {review.state.value}", review.id)
        self._consequence()
        if review.arguments:
            self._arguments()
        else:
            self._head(self.RUNS)
            self._entry("", "(not kept any more: the review has ended)")
        self._whom()
        self._why()
        self._time(now_us)
        self._votes()
        self._fingerprint(objection)

    def _time(self, now_us: int) -> None:
        review = self._review
        if review.state in BY_HAND:
            self._head("By hand")
            self._entry("owner", f"{review.owner} sees to it")
            self._entry("why", review.why)
            return
        if review.state in DUE:
            self._head("Undo")
            self._entry("due", "a process with this tool runs it")
        elif review.state is State.OPEN:
            self._head("If nobody looks")
            end = SILENCE[review.on_expiry].format(owner=review.owner)
            if review.on_expiry == "undo" and not review.undoable:
                end = SILENCE["handOver"].format(owner=review.owner)
            self._entry("at the end", end)
            self._entry("asked", review.group)
        else:
            return
        left = review.deadline_us - now_us
        when = f"in {span(left)}" if left > 0 else f"{span(-left)} ago"
        self._entry("deadline", f"{output.moment(review.deadline_us)} UTC, {when}")

    def _votes(self) -> None:
        review = self._review
        self._head("Votes", f"{len(review.votes)} of {review.quorum}")
        for subject, reason in review.votes.items():
            self._entry("accepted", f"{subject}: {reason}" if reason else subject)
        if review.answered_us and review.state is not State.OPEN:
            word = "refused" if review.refused else review.state.value
            self._entry("answer", f"{word} by {review.reviewer}: {review.reason}")

    def _fingerprint(self, objection: str | None) -> None:
        super()._fingerprint(objection)
        if objection is None and not self.hidden:
            for word in ("accept", "refuse"):
                mark = self._review.fingerprint
                how = f"gov reviews {word} {self._review.id} --seen {mark}"
                self._print(Text(visible(how), "dim"))


def summary(review: Review) -> dict[str, Any]:
    """Return what may be told of *review* to anyone: no argument, no fingerprint."""
    return {
        **brief(review),
        "onExpiry": review.on_expiry,
        "undoable": review.undoable,
        "why": review.why,
        "undo": review.undo_id,
    }


def row(review: Review, now: int) -> tuple[list[output.Cell], Text]:
    """Return a row of the list at *now*; what an agent may have named stands last."""
    cells: list[output.Cell] = [
        output.styled(review.tool, "bold"),
        output.styled(review.facts.get("riskClass")),
        *paid_and_due(review, now),
        output.styled(review.on_expiry if review.undoable else "no undo"),
        f"{len(review.votes)}/{review.quorum}",
    ]
    return cells, stands(review, "of")


def line(review: Review) -> Text:
    """Return *review* in one line for people."""
    why = f" ({review.why})" if review.why else ""
    return Text.assemble(
        (f"{output.moment(review.created_us)} ", "dim"),
        (visible(review.tool), "bold"),
        visible(f" {review.state.value}{why} {review.id}"),
        visible(f" with {review.holder} of {review.agent}"),
    )

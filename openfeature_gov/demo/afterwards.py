"""Cancellations that run at once and that a person looks at afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.decisions import Effect
from openfeature_gov.demo.agent import CANCEL
from openfeature_gov.demo.flags import APPROVAL, MODE
from openfeature_gov.demo.orders import OrderStore
from openfeature_gov.demo.recorded import RecordedCall
from openfeature_gov.demo.session import PATIENCE_S, Session, edit, opened
from openfeature_gov.reviews.queue import ReviewQueue
from openfeature_gov.reviews.review import Review
from openfeature_gov.reviews.states import FINAL, State

LEAD = Reviewer("lead-1", way="demo")


class Leads:
    """Know one reviewer, the lead."""

    def groups(self, subject: str) -> frozenset[str]:
        """Return the groups of *subject*."""
        known = subject == LEAD.subject
        return frozenset({"support-leads"}) if known else frozenset()

    def aliases(self, subject: str) -> frozenset[str]:
        """Return the names of *subject*, if that is the lead."""
        return frozenset({subject}) if subject == LEAD.subject else frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewReport:
    """Say what became of the recorded cancellations, and which promises broke.

    *ran* at once, of which *refused* were undone and *restored* exactly, *accepted*
    stand, and *void* were refused by the shop itself; *waited* were not run at once.
    """

    calls: int
    ran: int
    refused: int
    restored: int
    accepted: int
    void: int
    waited: int
    broken: tuple[str, ...]


def review_cancels(
    folder: Path,
    pristine: OrderStore,
    calls: Iterable[RecordedCall],
    *,
    poll_seconds: float = 0.05,
    advance: Callable[[], None] = lambda: None,
) -> ReviewReport:
    """Let every cancellation of *calls* run at once; refuse and accept them by turns.

    The store starts anew with each, so that it must be as it was after an undo.
    """
    with opened(folder, pristine, poll_seconds=poll_seconds, people=Leads()) as session:
        edit(session, {MODE: "autonomous", APPROVAL: "false"})
        if session.governor.reviews is None:
            raise RuntimeError("nobody reviews")
        desk = _Desk(session, session.governor.reviews, pristine)
        cancels = [one for one in calls if one.tool == CANCEL]
        for call in cancels:
            desk.look_at(call)
            advance()
    seen = desk.counts
    return ReviewReport(
        calls=len(cancels),
        ran=seen["ran"],
        refused=seen["refused"],
        restored=seen["restored"],
        accepted=seen["accepted"],
        void=seen["void"],
        waited=seen["waited"],
        broken=tuple(desk.broken),
    )


class _Desk:
    """Look at one cancellation after the other; lives for one run."""

    def __init__(
        self, session: Session, reviews: ReviewQueue, pristine: OrderStore
    ) -> None:
        self._session, self._reviews, self._pristine = session, reviews, pristine
        self.counts = Counter[str]()
        self.broken: list[str] = []

    def look_at(self, call: RecordedCall) -> None:
        store = self._session.store
        store.reset(self._pristine)
        before = store.fingerprint()
        (played,) = self._session.play([call], "reviewed")
        if not played.outcome.review_id:
            waits = played.outcome.effect is Effect.QUEUE_FOR_APPROVAL
            self._expect(waits, f"neither ran nor waits: {played.outcome.reason}")
            self.counts["waited"] += 1
            return
        review = self._settled(played.outcome.review_id)
        if played.refusal:
            self.counts["void"] += 1
            self._expect(review.state is State.VOID, "a refused call stayed open")
            return
        self.counts["ran"] += 1
        cancelled = store.fingerprint()
        self._expect(review.state is State.OPEN, "a cancellation was not open")
        self._expect(cancelled != before, "a cancellation changed nothing")
        if self.counts["ran"] % 2:
            self._refuse(review, before)
        else:
            self._accept(review, cancelled)

    def _refuse(self, review: Review, before: str) -> None:
        self._reviews.refuse(review.id, LEAD, seen=review.binding, reason="a mistake")
        self.counts["refused"] += 1
        self._session.governor.settle_reviews()
        after = self._settled(review.id, final=True)
        self._expect(after.state is State.UNDONE, f"not undone: {after.why}")
        same = self._session.store.fingerprint() == before
        self.counts["restored"] += same
        self._expect(same, "an undone cancellation left the store changed")

    def _accept(self, review: Review, cancelled: str) -> None:
        self._reviews.accept(review.id, LEAD, seen=review.binding)
        self.counts["accepted"] += 1
        self._session.governor.settle_reviews()
        same = self._session.store.fingerprint() == cancelled
        self._expect(same, "an accepted cancellation did not stand")

    def _settled(self, review_id: str, *, final: bool = False) -> Review:
        """Return the review once its action has ended, or it has itself."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            found = self._reviews.get(review_id)
            if found is not None and (
                found.state in FINAL or (found.state is State.OPEN and not final)
            ):
                return found
            time.sleep(0.002)
        raise TimeoutError(f"review {review_id}: nothing came of it")

    def _expect(self, kept: bool, promise: str) -> None:
        if not kept:
            self.broken.append(f"review: {promise}")

"""`ReviewQueue`: reviews in a store, answered by people, moved on by the clock.

Every step is one transaction: the new version of the review, and the record that says
who did what. Two steps at once never both happen; the later one is computed anew from
what the first left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from secrets import token_hex
from typing import NamedTuple, Protocol

from openfeature_gov.approvals.people import Directory, Reviewer
from openfeature_gov.approvals.queue import TRIES, WHOM
from openfeature_gov.approvals.steps import Denied
from openfeature_gov.errors import LostRaceError, RecordStoreError
from openfeature_gov.evidence.records import Record, Stamp, parted_record
from openfeature_gov.reviews import steps
from openfeature_gov.reviews.review import Review, change
from openfeature_gov.reviews.states import BY_HAND, TIMED, Event, State
from openfeature_gov.reviews.steps import Step

KIND = "review"


class Kept(NamedTuple):
    """Hold a review as stored, with the number of its version from 1."""

    review: Review
    version: int


class Shelf(Protocol):
    """Keep reviews beside the records, in one transaction with them."""

    def commit(self, record: Record) -> None:
        """Make *record*, and the `Change` that it carries, durable together.

        Raises:
            LostRaceError: when the review has another version by now.
            RecordStoreError: when it could not be made durable.

        """

    def stamp(self) -> Stamp:
        """Return the identity of a new record."""

    def review(self, review_id: str) -> Kept | None:
        """Return the review *review_id*, None for an unknown one."""

    def reviews(
        self,
        *,
        states: Iterable[State] = TIMED,
        digest: str = "",
        due_us: int | None = None,
        limit: int = 1_000,
    ) -> list[Kept]:
        """Return reviews in *states*, the oldest first, at most *limit*.

        *digest* keeps those of one action, *due_us* those whose deadline has passed.
        """


class ReviewQueue:
    """Take answers and the clock's steps. Safe to share; keeps no state.

    *directory* knows people, *now* returns microseconds since 1970.
    """

    def __init__(
        self, shelf: Shelf, directory: Directory, now: Callable[[], int]
    ) -> None:
        self.shelf, self.now = shelf, now
        self._directory = directory

    def get(self, review_id: str) -> Review | None:
        """Return the review *review_id* as it stands, None for an unknown one."""
        kept = self.shelf.review(review_id)
        return None if kept is None else kept.review

    def waiting(self, *, limit: int = 1_000) -> list[Review]:
        """Return the reviews that wait for a person, the oldest first."""
        found = self.shelf.reviews(states=(State.OPEN,), limit=limit)
        return [kept.review for kept in found]

    def accept(
        self, review_id: str, reviewer: Reviewer, *, seen: str, reason: str = ""
    ) -> Step:
        """Let the action stand for *reviewer*, who was shown the binding *seen*.

        Raises:
            RecordStoreError: when nothing could be recorded; nothing changed then.

        """

        def step(review: Review, now_us: int) -> Step:
            return steps.accept(
                *(review, reviewer, self._directory),
                now_us=now_us,
                seen=seen,
                reason=reason,
            )

        return self._take(review_id, Event.ACCEPT, step, reviewer)

    def refuse(
        self, review_id: str, reviewer: Reviewer, *, seen: str, reason: str
    ) -> Step:
        """Have the action undone for *reviewer*, who was shown the binding *seen*.

        Raises:
            RecordStoreError: when nothing could be recorded; nothing changed then.

        """

        def step(review: Review, now_us: int) -> Step:
            return steps.refuse(
                *(review, reviewer, self._directory),
                now_us=now_us,
                seen=seen,
                reason=reason,
            )

        return self._take(review_id, Event.REFUSE, step, reviewer)

    def extend(self, review_id: str, reviewer: Reviewer, *, until_us: int) -> Step:
        """Move the deadline, microseconds since 1970.

        Raises:
            RecordStoreError: when nothing could be recorded; nothing changed then.

        """

        def step(review: Review, now_us: int) -> Step:
            return steps.extend(
                review, reviewer, self._directory, now_us=now_us, until_us=until_us
            )

        return self._take(review_id, Event.EXTEND, step, reviewer)

    def tick(self) -> Iterator[Review]:
        """Do what the clock asks for, each once whoever asks; yield what changed.

        Raises:
            RecordStoreError: when nothing could be recorded; the rest stays due.

        """
        for kept in self.shelf.reviews(due_us=self.now()):
            step = self._take(kept.review.id, Event.EXPIRE, steps.expire)
            if isinstance(step, Review):
                yield step

    def hand_over(self, review_id: str, why: str) -> Step:
        """Give the review to a person to see to by hand, *why* being a reason code.

        Raises:
            RecordStoreError: when nothing could be recorded; nothing changed then.

        """
        return self._take(
            review_id,
            Event.HAND_OVER,
            lambda review, _now_us: steps.hand_over(review, why),
        )

    def _take(
        self,
        review_id: str,
        event: Event,
        step: Callable[[Review, int], Step],
        reviewer: Reviewer | None = None,
    ) -> Step:
        for _ in range(TRIES):
            kept = self.shelf.review(review_id)
            if kept is None:
                return Denied("review_unknown", State.VOID)
            taken = step(kept.review, self.now())
            if isinstance(taken, Denied) and reviewer is None:
                return taken  # the clock of another process was faster
            try:
                self.shelf.commit(self._record(kept, event, taken, reviewer))
            except LostRaceError:
                continue
            return taken
        raise RecordStoreError(f"review {review_id}: others were faster {TRIES}x")

    def _record(
        self, kept: Kept, event: Event, taken: Step, reviewer: Reviewer | None
    ) -> Record:
        """Return the record of a step; one that was denied changes nothing."""
        review = kept.review
        after = taken if isinstance(taken, Review) else review
        # Words of people, and a digest that their data could be guessed from: erasable.
        personal = {
            **{name: review.facts.get(name) or "" for name in WHOM},
            "rationale": after.reason if isinstance(taken, Review) else "",
            "binding": review.binding,
        }
        record = parted_record(
            self.shelf.stamp(),
            KIND,
            review.record_id,
            personal,
            salt=token_hex(16),
            review=review.id,
            event=event.value,
            stateBefore=review.state.value,
            state=after.state.value,
            denied=taken.reason if isinstance(taken, Denied) else "",
            reviewer=None if reviewer is None else reviewer.subject,
            way=None if reviewer is None else reviewer.way,
            deadlineUs=after.deadline_us,
            votes=len(after.votes),
            quorum=review.quorum,
            why=after.why,
            handOver=after.owner if after.state in BY_HAND else "",
        )
        if isinstance(taken, Denied):
            return record
        return record._replace(change=change(taken, kept.version))

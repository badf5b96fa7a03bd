"""`ApprovalQueue`: requests in a store, answered by people, used once.

Every step is one transaction: the new version of the request, and the record that says
who did what. Two steps at once never both happen; the later one is computed anew from
what the first left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from secrets import token_hex
from threading import Lock

from openfeature_gov.approvals import steps, turns
from openfeature_gov.approvals.people import Directory, Reviewer
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import Kept, Shelf, change
from openfeature_gov.approvals.states import OPEN, Event, State
from openfeature_gov.approvals.steps import Denied, Step
from openfeature_gov.decisions import Constraint
from openfeature_gov.errors import LostRaceError, RecordStoreError
from openfeature_gov.evidence.records import Record, parted_record
from openfeature_gov.locks import renewed

TRIES = 20
"""How often a step is computed anew when others were faster."""
CONTACT_US = 15 * steps.MINUTE_US
"""How long each contact of an escalation chain has where the request does not say."""
KIND = "approval"
WHOM = ("user", "account", "targetRecord")
"""The facts of a request that say whom it is about."""


class ApprovalQueue:
    """Take requests, answers and the clock's steps. Safe to share; keeps no state.

    *directory* knows people, *now* returns microseconds since 1970, *told* hears of
    every step that was taken, after it is durable.

    A step that ends in `RecordStoreError` did not become durable while anybody waited.
    The store keeps it, and it is taken when the store recovers, unless the request has
    moved on by then: look at the request before you take the step again.
    """

    def __init__(
        self,
        shelf: Shelf,
        directory: Directory,
        now: Callable[[], int],
        told: Callable[[Request, Event], None] = lambda _request, _event: None,
    ) -> None:
        self._shelf, self._directory = shelf, directory
        self._now, self._told = now, told
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin with a lock that nobody holds."""
        self._one_by_one = Lock()

    def get(self, request_id: str) -> Request | None:
        """Return the request *request_id* as it stands, None for an unknown one."""
        kept = self._shelf.request(request_id)
        return None if kept is None else kept.request

    def standing(self, request_id: str) -> Request | None:
        """Return the request as it stands now, whether a clock goes round or not.

        One whose time is up is escalated or ended first. None for an unknown one.

        Raises:
            RecordStoreError: when that was not seen to be recorded; see the class.

        """
        found = self.get(request_id)
        if found is None or found.state not in OPEN or self._now() < found.deadline_us:
            return found
        self.expire(request_id)
        return self.get(request_id)

    def waiting(self, *, limit: int = 1_000) -> list[Request]:
        """Return the requests that wait for a person, the oldest first."""
        found = self._shelf.requests(states=(State.PENDING,), limit=limit)
        return [kept.request for kept in found]

    def about(self, digest: str) -> list[Request]:
        """Return the open requests about the action *digest*, the oldest first."""
        return [kept.request for kept in self._shelf.requests(digest=digest)]

    def approve(
        self,
        request_id: str,
        reviewer: Reviewer,
        *,
        seen: str,
        reason: str = "",
        constraints: Iterable[Constraint] = (),
    ) -> Step:
        """Release the action for *reviewer*, who was shown the binding *seen*.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """
        tighter = tuple(constraints)

        def step(request: Request, now_us: int) -> Step:
            return steps.approve(
                request,
                reviewer,
                self._directory,
                now_us=now_us,
                seen=seen,
                reason=reason,
                constraints=tighter,
                busy_us=self._busy_us(request, reviewer),
            )

        with self._reading(request_id):
            return self._take(request_id, Event.APPROVE, step, reviewer)

    def refuse(self, request_id: str, reviewer: Reviewer, *, reason: str) -> Step:
        """Refuse the action for *reviewer*; the agent gets the *reason*.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """

        def step(request: Request, now_us: int) -> Step:
            return steps.refuse(
                request, reviewer, self._directory, now_us=now_us, reason=reason
            )

        return self._take(request_id, Event.REFUSE, step, reviewer)

    def extend(self, request_id: str, reviewer: Reviewer, *, until_us: int) -> Step:
        """Move the deadline, microseconds since 1970.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """

        def step(request: Request, now_us: int) -> Step:
            return steps.extend(
                request, reviewer, self._directory, now_us=now_us, until_us=until_us
            )

        return self._take(request_id, Event.EXTEND, step, reviewer)

    def ask(self, request_id: str, reviewer: Reviewer, *, text: str) -> Step:
        """Ask whoever stands behind the action; the deadline stays.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """

        def step(request: Request, now_us: int) -> Step:
            return turns.ask(
                request, reviewer, self._directory, now_us=now_us, text=text
            )

        return self._take(request_id, Event.ASK, step, reviewer, said=text)

    def answer(
        self, request_id: str, caller: Reviewer, *, number: int, text: str
    ) -> Step:
        """Answer the question *number*, from 1, as *caller* behind the action.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """

        def step(request: Request, now_us: int) -> Step:
            return turns.answer(
                request,
                caller,
                self._directory,
                now_us=now_us,
                number=number,
                text=text,
            )

        return self._take(request_id, Event.ANSWER, step, said=text, by=caller.subject)

    def reassign(
        self, request_id: str, reviewer: Reviewer, *, to: str, reason: str
    ) -> Step:
        """Let it be the turn of the group or person *to*; the deadline stays.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """

        def step(request: Request, now_us: int) -> Step:
            return turns.reassign(
                request, reviewer, self._directory, now_us=now_us, to=to, reason=reason
            )

        return self._take(request_id, Event.REASSIGN, step, reviewer, said=reason)

    def break_glass(
        self, request_id: str, caller: Reviewer, *, seen: str, reason: str
    ) -> Step:
        """Say as *caller*, who was shown *seen*, that no reviewer can be reached.

        The second different person releases the action.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """

        def step(request: Request, now_us: int) -> Step:
            return steps.break_glass(
                request,
                caller,
                self._directory,
                now_us=now_us,
                seen=seen,
                reason=reason,
            )

        return self._take(request_id, Event.BREAK_GLASS, step, caller, said=reason)

    def withdraw(self, request_id: str, subject: str) -> Step:
        """Take the request back for *subject*, who stands behind the action.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """
        return self._take(
            request_id,
            Event.WITHDRAW,
            lambda request, _now_us: steps.withdraw(request, subject),
            by=subject,
        )

    def supersede(self, request_id: str, why: str) -> Step:
        """End a request that binds what is no longer so.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """
        return self._take(
            request_id,
            Event.SUPERSEDE,
            lambda request, _now_us: steps.supersede(request, why),
        )

    def finish(self, request_id: str, event: Event) -> Step:
        """Note how the one execution ended.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """
        return self._take(
            request_id, event, lambda request, _now_us: steps.finish(request, event)
        )

    def tick(self) -> Iterator[Request]:
        """Escalate or end what is due, each once whoever asks; yield what changed.

        Raises:
            RecordStoreError: when nothing could be recorded; the rest stays due.

        """
        for kept in self._shelf.requests(due_us=self._now()):
            step = self.expire(kept.request.id)
            if isinstance(step, Request):
                yield step

    def expire(self, request_id: str) -> Step:
        """Escalate or end the request, if that is due.

        Raises:
            RecordStoreError: when it was not seen to be recorded; see the class.

        """
        return self._take(
            request_id,
            Event.EXPIRE,
            lambda request, now_us: steps.expire(
                request, now_us, request.patience_us or CONTACT_US
            ),
        )

    def used(self, request: Request, *, binding: str, by: str) -> Step:
        """Return *request* used up for the execution *by*; stores and records nothing.

        Whoever runs the action does that, in the transaction of its own record.
        """
        return steps.consume(
            request, self._directory, binding=binding, by=by, now_us=self._now()
        )

    @contextmanager
    def _reading(self, request_id: str) -> Iterator[None]:
        """Let approvals that take time to read pass one by one in this process.

        Two at the same moment would each find that nothing came before it.
        """
        kept = self._shelf.request(request_id)
        if kept is None or not kept.request.minimum_us:
            yield
            return
        with self._one_by_one:
            yield

    def _busy_us(self, request: Request, reviewer: Reviewer) -> int:
        """Return when *reviewer* was last at another request, where that matters."""
        if not request.minimum_us:
            return 0
        return self._shelf.last_step_us(reviewer.subject, request.record_id)

    def _take(
        self,
        request_id: str,
        event: Event,
        step: Callable[[Request, int], Step],
        reviewer: Reviewer | None = None,
        *,
        said: str = "",
        by: str = "",
    ) -> Step:
        """Take *step*; *said* are words of its own, *by* who is no reviewer."""
        for _ in range(TRIES):
            kept = self._shelf.request(request_id)
            if kept is None:
                return Denied("approval_unknown", State.WITHDRAWN)
            taken = step(kept.request, self._now())
            try:
                self._shelf.commit(
                    self._record(kept, event, taken, reviewer, said=said, by=by)
                )
            except LostRaceError:
                continue
            if isinstance(taken, Request):
                self._told(taken, event)
            return taken
        raise RecordStoreError(f"approval {request_id}: others were faster {TRIES}x")

    def _record(
        self,
        kept: Kept,
        event: Event,
        taken: Step,
        reviewer: Reviewer | None,
        *,
        said: str,
        by: str,
    ) -> Record:
        """Return the record of a step; one that was denied changes nothing."""
        request = kept.request
        after = taken if isinstance(taken, Request) else request
        # Words of people, and a digest that their data could be guessed from: erasable.
        personal = {
            **{name: request.facts.get(name) or "" for name in WHOM},
            "rationale": (said or after.reason) if isinstance(taken, Request) else "",
            **({"by": by} if by else {}),
            "binding": request.binding,
        }
        record = parted_record(
            self._shelf.stamp(),
            KIND,
            request.record_id,
            personal,
            salt=token_hex(16),
            approval=request.id,
            event=event.value,
            stateBefore=request.state.value,
            state=after.state.value,
            denied=taken.reason if isinstance(taken, Denied) else "",
            reviewer=None if reviewer is None else reviewer.subject,
            way=None if reviewer is None else reviewer.way,
            deadlineUs=after.deadline_us,
            level=after.level,
            holder=after.holder,
            votes=len(after.votes),
            tightened=after.constraints != request.constraints,
            quorum=request.quorum,
            questions=len(after.questions),
            calls=len(after.callers),
        )
        if isinstance(taken, Denied):
            return record
        return record._replace(change=change(taken, kept.version))

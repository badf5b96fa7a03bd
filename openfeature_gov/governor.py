"""The Governor: the only place that runs a tool.

`plan` looks, `decide` records, `enforce` records and leaves a ticket for the tool's own
function, `run` records and runs. Each has an async twin. None raises for a policy
reason; what a tool raises is recorded and passed on, and so is cancellation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from openfeature.provider import FeatureProvider

from openfeature_gov import resuming, signals
from openfeature_gov.admission import Admission
from openfeature_gov.allowances.rates import Rates
from openfeature_gov.approvals.people import Directory
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.contracts import CallContext, ToolCall
from openfeature_gov.controls import Controls
from openfeature_gov.deciding import Token
from openfeature_gov.extracting import Extractors
from openfeature_gov.fairness import in_thread
from openfeature_gov.flags.reader import FlagReader
from openfeature_gov.gate import gated
from openfeature_gov.governance import Governance
from openfeature_gov.handing import Handing
from openfeature_gov.judging import ambient
from openfeature_gov.ladder import Mode
from openfeature_gov.outcomes import Outcome, Status
from openfeature_gov.releasing import Approvals, Releases, queued
from openfeature_gov.resuming import call_of
from openfeature_gov.reviewing import Reviewing
from openfeature_gov.reviews.queue import ReviewQueue
from openfeature_gov.reviews.review import Review
from openfeature_gov.running import Runner, heard
from openfeature_gov.stores import RecordStore
from openfeature_gov.ticketing import Ticketing
from openfeature_gov.toolbox import (
    Toolbox,
    elsewhere,
    name_of,
    refuse_async,
    refuse_injected,
)
from openfeature_gov.tools import Consequence, Function, Narrower, Reference, Tool, Undo
from openfeature_gov.undoing import Rounds, Undoer
from openfeature_gov.wiring import decider_of

if TYPE_CHECKING:  # what seals is loaded with the store that it seals
    from openfeature_gov.evidence.sealing import Sealing


F = TypeVar("F", bound=Callable[..., Any])


class Governor:
    """Decide about tool calls and run those that may run.

    Lives as long as the agent's process, is safe to share between threads, and owns
    *records*. *clock* counts monotonic and *now* wall nanoseconds.
    """

    def __init__(
        self,
        governance: Governance,
        reader: FlagReader,
        records: RecordStore,
        *,
        controls: Controls | None = None,
        approvals: Approvals | None = None,
        rates: Rates | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.governance, self.records, self._clock = governance, records, clock
        self._decider, self._releases = decider_of(
            *(governance, reader, records),
            controls=controls or Controls(),
            approvals=approvals,
            rates=rates,
            clock=clock,
            now=now,
        )
        self.approvals: ApprovalQueue | None = None
        self.reviews: ReviewQueue | None = None
        self._undoer: Undoer | None = None
        self._rounds = Rounds(self.settle_reviews)
        if approvals is not None:
            self._ask(approvals, reader, lambda: now() // 1000)
        self._toolbox = Toolbox(
            governance, self._decider.tools, reviewed=approvals is not None
        )
        self._runner = Runner(self._decider, clock)
        self._tickets = Ticketing(self._decider, self._runner, clock)
        self._handing = Handing(self._decider)

    @classmethod
    def open(
        cls,
        governance: Path | str,
        flags: Path | str | FeatureProvider,
        records: Path | str,
        *,
        controls: Controls | None = None,
        people: Directory | None = None,
        sealing: Sealing | None = None,
        rates: Rates | None = None,
    ) -> Governor:
        """Return a Governor on the embedded default: two files and a SQLite log.

        *governance* is a YAML file, *flags* FeatBit's data-sync JSON, hot-reloaded, or
        a provider that is not bound yet and is shut down with the Governor, such as
        ``FeatBitProvider.live(...)``; *records* is a file, created where missing, or
        ``postgresql://USER@HOST/DATABASE`` (extra ``sql``), which is sealed only where
        *sealing* names a key and a file for checkpoints. With *people*, who know the
        reviewers, what waits for a person becomes a request that they can answer.
        *rates* counts how often calls begin, by default in this process; `RedisRates`
        counts for many.

        Raises:
            InvalidContractError: for a refused governance file.
            RecordStoreError: when *records* cannot be opened as a durable log.
            OSError: when a file cannot be read.
            openfeature.exception.OpenFeatureError: when *flags* cannot be loaded.

        """
        from openfeature_gov.embedded import assemble  # noqa: PLC0415 - optional part
        from openfeature_gov.stores.shelves import RecordShelf  # noqa: PLC0415

        source = Path(flags) if isinstance(flags, str) else flags
        parts = assemble(Path(governance), source, records, sealing)
        shelf = RecordShelf(parts.records, records)
        with ExitStack() as undo:
            undo.callback(parts.release)
            undo.callback(parts.records.close)
            governor = cls(
                parts.governance,
                parts.reader,
                parts.records,
                controls=controls,
                approvals=None if people is None else Approvals(shelf, people),
                rates=rates,
            )
            governor._recall(records)
            undo.pop_all()
        governor._releases.append(parts.release)
        return governor

    def _recall(self, records: Path | str) -> None:
        """Take over from *records* what guardrails must not forget by a restart."""
        observer = self._decider.observer
        if not observer.idle:
            from openfeature_gov.recalling import (  # noqa: PLC0415 - if needed
                recall,
                releases,
            )

            recall(
                observer, self.governance, records, self._decider.judge.stamp().at_us
            )
            observer.follow(partial(releases, records))

    def _ask(
        self, approvals: Approvals, reader: FlagReader, now_us: Callable[[], int]
    ) -> None:
        """Ask people beforehand where a call waits, and afterwards where one ran."""
        (shelf, people), judge = approvals, self._decider.judge
        self.approvals = ApprovalQueue(shelf, people, now_us)
        self._decider.releases = Releases(judge, shelf, self.approvals, now_us)
        self.reviews = ReviewQueue(shelf, people, now_us)
        self._decider.reviewing = Reviewing(judge, shelf, now_us, self._rounds.begin)
        self._undoer = Undoer(
            *(judge, reader, self.reviews, self.records),
            tools=self._decider.tools,
            clock=self._clock,
        )

    def close(self) -> None:
        """Make every record durable and let go of everything; idempotent.

        Raises:
            RecordStoreError: when records were left that could not be written.

        """
        self._rounds.end()
        self._runner.close()
        self._decider.close()
        try:
            self.records.close()
        finally:
            while (release := self._last_release()) is not None:
                release()

    def _last_release(self) -> Callable[[], None] | None:
        """Return what is yet to be let go, each to one of all threads that close."""
        try:
            return self._releases.pop()
        except IndexError:
            return None

    def __enter__(self) -> Governor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tool(
        self,
        name: str | None = None,
        *,
        extract: Extractors | None = None,
        search: Function | None = None,
        read: Function | None = None,
        draft: Function | None = None,
        fallback: Function | None = None,
        narrow: Narrower | None = None,
        consequence: Consequence | None = None,
        injected: tuple[str, ...] = (),
        cost: Callable[[Any], Any] | None = None,
        undo: Undo | None = None,
        reference: Reference | None = None,
        refusals: tuple[type[Exception], ...] = (),
    ) -> Callable[[F], F]:
        """Register the decorated function as a tool and put the last gate before it.

        *search*, *read* and *draft* do less, in the modes search_only, scoped_read
        and draft_write; *fallback* runs in an incident. Each gets the arguments of the
        call. *narrow* applies constraints to the arguments; without it a call under
        constraints does not run. *consequence* says in plain words what happens to
        whom, for the person who approves a call. *injected* names parameters that the
        framework fills in. *cost* returns from what the function returned what the
        call cost, as a number or by unit. The function that is returned decides by
        itself when it is called without a ticket, and returns a text for the model
        when it may not run.

        *undo* takes back a call that people refused afterwards, or that nobody looked
        at in time where the contract says so; it gets what *reference* kept of the
        result, plain JSON without personal data. *refusals* are the exceptions by
        which the function says that it changed nothing: after any other, a person is
        asked to see what it did.

        Raises:
            RegistrationError: for a name that is taken, looks like another, or has no
                governance contract, for functions that cannot be governed, and for a
                contract whose review could not happen.

        """

        def register(function: F) -> F:
            handlers = {
                Mode.SEARCH_ONLY: search,
                Mode.SCOPED_READ: read,
                Mode.DRAFT_WRITE: draft,
            }
            tool = Tool(
                name=name if name is not None else name_of(function),
                function=function,
                extractors=extract or Extractors(),
                handlers={mode: one for mode, one in handlers.items() if one},
                fallback=fallback,
                narrow=narrow,
                consequence=consequence,
                injected=frozenset(injected),
                cost=cost,
                undo=undo,
                reference=reference,
                refusals=refusals,
            )
            self._add(tool)
            return cast("F", gated(tool, self._tickets, self._runner))

        return register

    def foreign(
        self,
        name: str,
        *,
        extract: Extractors | None = None,
        fallback: Function | None = None,
        narrow: Narrower | None = None,
        consequence: Consequence | None = None,
    ) -> None:
        """Register a tool whose function is somebody else's, such as a remote server's.

        It takes any arguments and runs only within the `Admission` of an adapter. The
        other arguments are as for `tool`.

        Raises:
            RegistrationError: for a name that is taken or has no governance contract.

        """
        self._add(
            Tool(
                name=name,
                function=elsewhere,
                extractors=extract or Extractors(),
                fallback=fallback,
                narrow=narrow,
                consequence=consequence,
                foreign=True,
            )
        )

    def registered(self, name: str) -> Tool | None:
        """Return the tool of exactly this *name*, None for an unknown one."""
        return self._decider.tools.get(name)

    def _add(self, tool: Tool) -> None:
        if self._toolbox.add(tool).review is not None:
            self._rounds.begin()

    @contextmanager
    def acting(self, context: CallContext) -> Iterator[None]:
        """Make *context* the one for calls that carry none, within the block."""
        token = ambient.set(context)
        try:
            yield
        finally:
            ambient.reset(token)

    def visible_tools(self, context: CallContext) -> tuple[str, ...]:
        """Return the registered tools that are not denied to *context* anyhow.

        By hard authorization, denylists and modes alone, so that a model is not offered
        what it cannot have. A convenience: what is left out is denied all the same, and
        what is listed may still be.
        """
        judge, tools = self._decider.judge, self._decider.tools.values()
        return tuple(sorted(one.name for one in tools if judge.visible(one, context)))

    def report_signal(self, metric: str, value: Decimal | float) -> int:
        """Take a sample of a quality or safety signal; return how many look at it.

        Raises:
            ValueError: when *value* is no finite number, or no guardrail asks for it.

        """
        return signals.report(self._decider.observer, metric, value)

    def release_signal(self, metric: str, *, by: str, reason: str) -> tuple[str, ...]:
        """Let go of a signal that holds; return the tools that it still holds.

        It is recorded before it counts. A signal that is still bad, or that nobody has
        heard since the start, holds on.

        Raises:
            ValueError: for an unknown *metric*, a *by* that is no id, and a *reason*
                that is empty or longer than 256 characters.
            RecordStoreError: when it could not be recorded; nothing was let go.

        """
        stamp = self._decider.judge.stamp()
        self.records.commit(signals.release_record(stamp, metric, by, reason))
        return self._decider.observer.release(metric, by)

    def plan(self, call: ToolCall, *, at_least_as_fresh: Token = None) -> Outcome:
        """Return what would happen to *call*, without a record or any other effect.

        *at_least_as_fresh* as in `decide`.
        """
        demanded = self._decider.demand(at_least_as_fresh)
        return heard(self._decider.judged(call, demanded), Status.PLANNED)

    async def aplan(
        self, call: ToolCall, *, at_least_as_fresh: Token = None
    ) -> Outcome:
        """Return what would happen to *call*; the async twin of `plan`."""
        demanded = await self._decider.ademand(at_least_as_fresh)
        return heard(await self._decider.ajudged(call, demanded), Status.PLANNED)

    async def aqueues(self, call: ToolCall) -> bool:
        """Say whether people could be asked about *call*, and nothing else of it.

        What waits may have been released or refused meanwhile, and what may not run is
        told so by a decision alone: this is no authority for anything.
        """
        if self.approvals is None:
            return False
        return await self._decider.aqueues(call)

    def decide(self, call: ToolCall, *, at_least_as_fresh: Token = None) -> Outcome:
        """Return the recorded decision about *call*.

        Whoever asked runs the tool, and says how it went with `report`.
        *at_least_as_fresh* is the token of a flag change: the decision waits up to two
        seconds for flag data that holds it, and believes no flag without it.
        """
        demanded = self._decider.demand(at_least_as_fresh)
        return self._handing.over(self._decider.recorded(call, demanded))

    async def adecide(
        self, call: ToolCall, *, at_least_as_fresh: Token = None
    ) -> Outcome:
        """Return the recorded decision about *call*; the async twin of `decide`."""
        demanded = await self._decider.ademand(at_least_as_fresh)
        return self._handing.over(await self._decider.arecorded(call, demanded))

    def enforce(self, call: ToolCall, *, at_least_as_fresh: Token = None) -> Outcome:
        """Decide, and leave a ticket for the tool's own function to run once.

        A handler that the decision selects instead (draft, search, fallback) runs
        here; what it raises is recorded and passed on. *at_least_as_fresh* as in
        `decide`.

        Raises:
            RegistrationError: when the tool is async; use `aenforce`.

        """
        refuse_async(self._decider.known(call))
        judged = self._decider.recorded(call, self._decider.demand(at_least_as_fresh))
        return self._tickets.left(judged) or self._runner.run(judged)

    async def aenforce(
        self, call: ToolCall, *, at_least_as_fresh: Token = None
    ) -> Outcome:
        """Decide, and leave a ticket for the tool; the async twin of `enforce`."""
        judged = await self._decider.arecorded(
            call, await self._decider.ademand(at_least_as_fresh)
        )
        return self._tickets.left(judged) or await self._runner.arun(judged)

    def admit(self, call: ToolCall) -> Admission:
        """Decide, for an adapter whose framework runs the tool in its own way."""
        asked = self._clock()
        return self._tickets.admission(self._decider.recorded(call), asked)

    async def aadmit(self, call: ToolCall) -> Admission:
        """Decide, for a framework that runs the tool; the async twin of `admit`."""
        asked = self._clock()
        return self._tickets.admission(await self._decider.arecorded(call), asked)

    def run(
        self,
        call: ToolCall,
        *,
        injected: Mapping[str, Any] | None = None,
        at_least_as_fresh: Token = None,
    ) -> Outcome:
        """Decide and run what may run: the tool, or the handler of a lower mode.

        *injected* holds the parameters that the framework fills in. What the function
        raises is recorded and passed on. *at_least_as_fresh* as in `decide`.

        Raises:
            RegistrationError: when the tool is async (use `arun`), or *injected* names
                a parameter that was not registered as such.

        """
        refuse_async(self._decider.known(call))
        refuse_injected(self._decider.known(call), injected)
        judged = self._decider.recorded(call, self._decider.demand(at_least_as_fresh))
        return self._runner.run(judged, injected)

    async def arun(
        self,
        call: ToolCall,
        *,
        injected: Mapping[str, Any] | None = None,
        at_least_as_fresh: Token = None,
    ) -> Outcome:
        """Decide and run what may run; a sync function runs in a thread.

        Cancellation is passed on once the record is safe. A thread cannot be
        cancelled: what it does is recorded when it ends.

        Raises:
            RegistrationError: *injected* names a parameter that was not registered.

        """
        refuse_injected(self._decider.known(call), injected)
        judged = await self._decider.arecorded(
            call, await self._decider.ademand(at_least_as_fresh)
        )
        return await self._runner.arun(judged, injected)

    def request_approval(self, call: ToolCall) -> Outcome:
        """Ask people about *call* where it waits for them; run nothing.

        The outcome has the id of the request, for `answered` and `resume`. What waits
        for nobody, because it may run, may not, or was answered already, is only looked
        at, as by `plan`; released in this very moment, it is decided as by `decide`.
        """
        asked = self._decider.asked(call)
        return self.decide(call) if queued(asked) else heard(asked, Status.PLANNED)

    async def arequest_approval(self, call: ToolCall) -> Outcome:
        """Ask people about *call*; the async twin of `request_approval`."""
        asked = await self._decider.aasked(call)
        if queued(asked):
            return await self.adecide(call)
        return heard(asked, Status.PLANNED)

    def resume(
        self, approval_id: str, *, injected: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Decide again about the call that *approval_id* is about, and run it.

        In any process that acts for the same user and agent (`acting`). A release
        counts only if everything that it bound is still so. The arguments are those of
        the request, as JSON: what a framework asked is its own to make again, for it
        reads a Decimal or a date out of their text.

        Raises:
            ValueError: for an unknown request, or one whose arguments are not plain
                JSON: make that call again instead. Recorded as a refusal.
            RecordStoreError: when the request cannot be read.
            RegistrationError: as `run`.

        """
        return self.run(
            call_of(self.approvals, approval_id, self._decider), injected=injected
        )

    async def aresume(
        self, approval_id: str, *, injected: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Decide again about a call that waited; the async twin of `resume`."""
        call = await in_thread(call_of, self.approvals, approval_id, self._decider)
        return await self.arun(call, injected=injected)

    async def answered(self, approval_id: str, *, every_s: float = 0.5) -> Request:
        """Return the request *approval_id* once it does not wait any more.

        Looks every *every_s* seconds and holds no thread meanwhile. Ends a request
        whose time is up, wherever the clock of the queue runs, and if it does at all.

        Raises:
            ValueError: for an unknown request.
            RecordStoreError: when it cannot be read, or its end not be recorded.

        """
        return await resuming.answered(self.approvals, approval_id, every_s)

    def report(
        self,
        record_id: str,
        status: str,
        *,
        error: str = "",
        cost: Decimal | None = None,
        tokens: int | None = None,
        undo: str = "",
        hand_over: str = "",
        incident: str = "",
        output: str = "",
        result: Any = None,
    ) -> None:
        """Record how a call ended that someone else ran after `decide`.

        *status* is executed, failed, cancelled or not_run; *error* an exception class,
        *output* says where what came out is kept, or is a keyed digest of it. *cost* is
        money in the currency of the budgets that the call was charged to, *tokens* what
        it used of theirs. Of *result*, what the tool returned, only what its
        ``reference`` names is kept.
        Each decision that let something run is reported once, by the same Governor.

        Raises:
            ValueError: for another *status*, a record that awaits no report, and what
                is no cost: negative, not finite.
            RecordStoreError: when the outcome could not be made durable.

        """
        record = self._handing.ended(
            *(record_id, status),
            cost=cost,
            tokens=tokens,
            result=result,
            error=error,
            undo=undo,
            hand_over=hand_over,
            incident=incident,
            output=output,
        )
        self.records.commit(record)

    async def areport(
        self,
        record_id: str,
        status: str,
        *,
        error: str = "",
        cost: Decimal | None = None,
        tokens: int | None = None,
        undo: str = "",
        hand_over: str = "",
        incident: str = "",
        output: str = "",
        result: Any = None,
    ) -> None:
        """Record how a call ended; the async twin of `report`."""
        record = self._handing.ended(
            *(record_id, status),
            cost=cost,
            tokens=tokens,
            result=result,
            error=error,
            undo=undo,
            hand_over=hand_over,
            incident=incident,
            output=output,
        )
        await self.records.acommit(record)

    def settle_reviews(self) -> list[Review]:
        """Do what is due now with reviews, and run the undos that are registered here.

        Happens by itself every second in a thread, from the first tool on whose
        contract asks for a review. Returns the reviews that changed.

        Raises:
            RecordStoreError: when nothing could be recorded; the rest stays due.

        """
        return [] if self._undoer is None else [*self._undoer.settle()]

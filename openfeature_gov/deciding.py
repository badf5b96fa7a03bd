"""Decide and record: every judgement is in the log before anything comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

from openfeature_gov.allowances.aside import Held
from openfeature_gov.allowances.taking import Allowances, Anomaly, priced
from openfeature_gov.approvals.ending import finished
from openfeature_gov.approvals.shelf import Kept
from openfeature_gov.contracts import ToolCall
from openfeature_gov.controls.guardrails.refusals import REASON
from openfeature_gov.decisions import Effect, Verdict
from openfeature_gov.errors import LostRaceError, OverspentError, RecordStoreError
from openfeature_gov.evidence.decision_records import refusal_record
from openfeature_gov.evidence.records import (
    Change,
    Record,
    note_record,
    outcome_record,
)
from openfeature_gov.evidence.telemetry import Telemetry
from openfeature_gov.fairness import give_way, in_thread
from openfeature_gov.flags.reader import NOTHING_DEMANDED, Demanded, FlagReader
from openfeature_gov.judging import Judge, Judged, Route, ambient, denial
from openfeature_gov.ladder import Mode
from openfeature_gov.observing import Observer
from openfeature_gov.projection import Projection
from openfeature_gov.releasing import Releases, consulted, unsettled
from openfeature_gov.reviewing import Reviewing, wanted
from openfeature_gov.reviews import ending
from openfeature_gov.reviews.queue import Kept as KeptReview
from openfeature_gov.stores import RecordStore
from openfeature_gov.taking import Taking
from openfeature_gov.tools import Tool

Token = str | None
"""A freshness token: what a write to a flag returned, ``<flag key>@<version>``."""
TRIES = 5
"""How often a call is judged anew when others were faster with its request."""


class Decider:
    """Judge and record calls of the registered *tools*. Lives with its Governor."""

    def __init__(
        self,
        judge: Judge,
        reader: FlagReader,
        records: RecordStore,
        clock: Callable[[], int],
        observer: Observer,
    ) -> None:
        self.judge, self.tools, self.observer = judge, dict[str, Tool](), observer
        self._reader, self._records, self._clock = reader, records, clock
        self._telemetry = Telemetry()
        self.releases: Releases | None = None
        self.allowances: Allowances | None = None
        self.reviewing: Reviewing | None = None

    def known(self, call: ToolCall) -> Tool | None:
        """Return the tool that *call* names, None for none of exactly this name."""
        return self.tools.get(call.tool) if type(call.tool) is str else None

    def demand(self, token: Token) -> Demanded:
        """Wait until the flag data is at least as fresh as *token*, or say that not."""
        if token is None:
            return NOTHING_DEMANDED
        return Demanded(token, self._reader.demand(token))

    async def ademand(self, token: Token) -> Demanded:
        """Wait for data as fresh as *token*; the async twin of `demand`."""
        if token is None:
            return NOTHING_DEMANDED
        return await in_thread(self.demand, token)

    def judged(self, call: ToolCall, demanded: Demanded = NOTHING_DEMANDED) -> Judged:
        """Return the judgement of *call*, without a record or any other effect."""
        give_way()
        return self.judge.judge(call, self.known(call), demanded)

    def _settled(self, call: ToolCall, demanded: Demanded) -> Judged:
        """Return the judgement of *call*, with what people said where it waits."""
        judged, tool = self.judged(call, demanded), self.known(call)
        if tool is None:
            return judged
        if self.releases is not None and consulted(judged):
            try:
                judged = self.releases.settled(call, tool, demanded, judged)
            except RecordStoreError:
                return unsettled(judged)
        return self.reviewed(call, tool, demanded, judged)

    def stands(self, judged: Judged) -> bool:
        """Say whether the same would run if *judged* were judged now; no effect.

        A handler also stands where the tool itself would run by now: it is less.
        """
        contract, route = judged.contract, judged.route
        if contract is None:
            return False
        again = self.judge.judge(
            contract.call,
            self.tools.get(contract.tool),
            NOTHING_DEMANDED,
            judged.release,
            begun=judged.record.id,
        ).route
        if again.ran == "tool" != route.ran:
            return True
        return again.ran == route.ran and again.canonical == route.canonical

    def reviewed(
        self, call: ToolCall, tool: Tool, demanded: Demanded, judged: Judged
    ) -> Judged:
        """Return *judged* with its review, where people look at it afterwards."""
        if self.reviewing is None or not wanted(self.judge.rules(tool), judged):
            return judged
        try:
            return self.reviewing.asked(call, tool, demanded, judged)
        except RecordStoreError:
            return unsettled(judged)

    def _asks(self, tool: Tool, judged: Judged) -> bool:
        """Say whether people have a say in *judged*, before it runs or afterwards."""
        if self.releases is not None and consulted(judged):
            return True
        return self.reviewing is not None and wanted(self.judge.rules(tool), judged)

    async def ajudged(
        self, call: ToolCall, demanded: Demanded = NOTHING_DEMANDED
    ) -> Judged:
        """Return the judgement of *call*; foreign policies keep no loop waiting."""
        if not self.judge.waits(self.known(call)):
            return self.judged(call, demanded)
        return await in_thread(self.judged, call, demanded)

    async def aqueues(self, call: ToolCall) -> bool:
        """Say whether the law would let *call* wait for a person."""
        tool = self.known(call)
        if not self.judge.waits(tool):
            return self.judge.queues(call, tool)
        return await in_thread(self.judge.queues, call, tool)

    async def _asettled(self, call: ToolCall, demanded: Demanded) -> Judged:
        judged, tool = await self.ajudged(call, demanded), self.known(call)
        if tool is None or not self._asks(tool, judged):
            return judged
        return await in_thread(self._settled, call, demanded)

    def asked(self, call: ToolCall) -> Judged:
        """Return the judgement of *call* with what people said, without any effect."""
        return self._settled(call, NOTHING_DEMANDED)

    async def aasked(self, call: ToolCall) -> Judged:
        """Return the judgement of *call*; the async twin of `asked`."""
        return await self._asettled(call, NOTHING_DEMANDED)

    def recorded(self, call: ToolCall, demanded: Demanded = NOTHING_DEMANDED) -> Judged:
        """Return the judgement of *call*, recorded: durable if it changes something."""
        with self._observed(call) as seen:
            taking = Taking(self, call, demanded)
            for _ in range(TRIES):
                seen.judged = judged = taking.admitted(self._settled(call, demanded))
                if not self._begun(judged):
                    self._undone(judged)
                    continue  # what others did meanwhile lowers it
                try:
                    if judged.durable:
                        self._records.commit(judged.record)
                    else:
                        self._records.append(judged.record)
                except OverspentError as error:
                    self.observer.end(judged.record.id, "not_run")
                    taking.overspent(judged, error)
                    continue
                except LostRaceError:
                    self._lost(judged)
                    continue  # somebody else used the release, or answered
                except RecordStoreError:
                    seen.judged = self._unrecorded(judged)
                    return seen.judged
                seen.alerts = self._alarmed(judged)
                self._refused(judged)
                return judged
            seen.judged = self._outrun(call, demanded)
        return seen.judged

    async def arecorded(
        self, call: ToolCall, demanded: Demanded = NOTHING_DEMANDED
    ) -> Judged:
        """Return the recorded judgement of *call*; the async twin of `recorded`."""
        with self._observed(call) as seen:
            taking = Taking(self, call, demanded)
            for _ in range(TRIES):
                settled = await self._asettled(call, demanded)
                seen.judged = judged = await taking.aadmitted(settled)
                if not self._begun(judged):
                    self._undone(judged)
                    continue  # what others did meanwhile lowers it
                try:
                    if judged.durable:
                        await self._records.acommit(judged.record)
                    else:
                        self._records.append(judged.record)
                except OverspentError as error:
                    self.observer.end(judged.record.id, "not_run")
                    taking.overspent(judged, error)
                    continue
                except LostRaceError:
                    self._lost(judged)
                    continue  # somebody else used the release, or answered
                except RecordStoreError:
                    seen.judged = self._unrecorded(judged)
                    return seen.judged
                except asyncio.CancelledError:
                    self._undone(judged)
                    self.settle(judged, "cancelled")
                    raise
                seen.alerts = self._alarmed(judged)
                self._refused(judged)
                return judged
            seen.judged = await in_thread(self._outrun, call, demanded)
        return seen.judged

    def _alarmed(self, judged: Judged) -> tuple[Anomaly, ...]:
        """Return what spending is unusual since *judged*, recorded."""
        if self.allowances is None or not judged.held:
            return ()
        self.allowances.kept(judged.record.entries)
        found = tuple(self.allowances.anomalies(judged.held))
        for anomaly in found:
            stamp, facts = self.judge.stamp(), anomaly.facts()
            record = note_record(stamp, "budget_anomaly", judged.record.id, **facts)
            with suppress(RecordStoreError):
                self._records.append(record)
        return found

    def _lost(self, judged: Judged) -> None:
        """Let go of a judgement that others were faster than."""
        self.observer.end(judged.record.id, "not_run")
        self._undone(judged)

    def _undone(self, judged: Judged) -> None:
        """Take back what *judged* reserved: its record may not be in the store."""
        if self.allowances is not None and judged.held:
            self.allowances.undone(judged.record.entries)

    def close(self) -> None:
        """Give back what this process had set aside of budgets; idempotent."""
        entries = () if self.allowances is None else self.allowances.returned()
        if entries:
            note = note_record(self.judge.stamp(), "budgets_returned")
            # What cannot be given back counts as spent until its window is over.
            with suppress(RecordStoreError):
                self._records.append(note._replace(entries=entries))

    def _observed(self, call: ToolCall) -> Projection:
        return Projection(self._telemetry, self.known(call), self._clock)

    def _begun(self, judged: Judged) -> bool:
        """Tell the guardrails that the call runs, if it does; False to judge anew."""
        if judged.route.function is None:
            return True
        return self.observer.begin(
            judged.contract,
            judged.decision.verdicts,
            judged.record.id,
            full=judged.route.ran == "tool",
        )

    def _refused(self, judged: Judged) -> None:
        """Tell the guardrails about a refusal that is not their own echo."""
        decision, record = judged.decision, judged.record
        if decision.effect is Effect.DENY and decision.reason != REASON:
            self.observer.refused(record.agent, record.task, record.at_us)

    def _outrun(self, call: ToolCall, demanded: Demanded) -> Judged:
        """Deny what others were faster than each time, and record that."""
        late = Verdict("recording", Mode.OFF, "records_unavailable")
        judged = self.judge.judge(call, self.known(call), demanded, more=(late,))
        with suppress(RecordStoreError):
            self._records.append(judged.record)
        return judged

    def _unrecorded(self, judged: Judged) -> Judged:
        """Deny what could not be recorded; its record may still be in the backlog."""
        self._undone(judged)
        return self.unbegun(judged)

    def unbegun(self, judged: Judged) -> Judged:
        """Deny what was allowed and cannot begin any more: nothing can be recorded."""
        self.settle(judged, "not_run")
        refused = denial("recording", "records_unavailable")
        return replace(judged, decision=refused, route=Route(), durable=False)

    def refuse(self, tool: str, reason: str, detail: str) -> None:
        """Record that a call of *tool* was refused before it could be judged."""
        record = refusal_record(
            self.judge.stamp(),
            tool=tool,
            context=ambient.get(),
            reason=reason,
            detail=detail,
        )
        # It is refused whether the store takes the record or not.
        with suppress(RecordStoreError):
            self._records.append(record)

    def settle(
        self,
        judged: Judged,
        status: str,
        raised: BaseException | None = None,
        started: int | None = None,
        value: Any = None,
    ) -> None:
        """Record how *judged* ended, if it let something run.

        *raised* is what the function raised, *value* what it returned, *started* when
        it was called, in the clock's nanoseconds; None when it never was.
        """
        if judged.route.function is None:
            return
        began = started is not None
        self.observer.end(judged.record.id, status, began=began)
        costs = self._costs(judged, value) if status == "executed" else {}
        review = None
        if judged.review is not None:
            known = status if began else "not_run"
            review = self.review_ended(judged.review, known, raised=raised, value=value)
        record = outcome_record(
            self.judge.stamp(),
            judged.record.id,
            status=status,
            ran=judged.route.ran if began else "",
            error="" if raised is None else type(raised).__name__,
            latency_us=None if started is None else (self._clock() - started) // 1000,
            cost=priced(costs) if costs else None,
            **(ending.told(review) if review is not None else {}),
        )
        if judged.used is not None or review is not None:
            record = record._replace(change=step_of(judged.used, review, status))
        if judged.held:
            name = "" if judged.contract is None else judged.contract.tool
            moved = self.moved(name, raised)
            record = self.ended(
                record, judged.held, status, began=began, costs=costs, moved=moved
            )
        try:  # noqa: SIM105 - every call passes here
            self._records.append(record)
        except RecordStoreError:
            pass  # it stays open: reconciled to unknown
        give_way()

    def review_ended(
        self,
        kept: KeptReview,
        status: str,
        *,
        raised: BaseException | None = None,
        value: Any = None,
    ) -> ending.Ended | None:
        """Return what becomes of the review *kept* as its action ends with *status*."""
        if self.reviewing is None:
            return None
        tool = self.tools.get(kept.review.tool)
        return self.reviewing.ended(kept, tool, status, raised=raised, value=value)

    def ended(
        self,
        record: Record,
        held: tuple[Held, ...],
        status: str,
        *,
        began: bool,
        costs: Mapping[str, Decimal],
        moved: bool,
    ) -> Record:
        """Return the outcome *record* with the entries that end what was *held*."""
        if self.allowances is None or not held:
            return record
        ends = self.allowances.ended(
            held, status, began=began, costs=costs, moved=moved
        )
        return record._replace(entries=ends)

    def moved(self, name: str, raised: BaseException | str | None) -> bool:
        """Say whether *raised*, or an exception called so, may follow an effect.

        Only a tool that names the exceptions by which it changed nothing is known to
        have done nothing: after any other failure its effect is unknown.
        """
        tool = self.tools.get(name)
        if tool is None:
            return True
        if isinstance(raised, str):
            return raised not in [one.__name__ for one in tool.refusals]
        return not isinstance(raised, tool.refusals)

    def _costs(self, judged: Judged, value: Any) -> dict[str, Decimal]:
        if judged.route.ran != "tool" or judged.contract is None:
            return {}
        tool = self.tools.get(judged.contract.tool)
        return {} if tool is None else tool.costs(value)


def step_of(
    used: Kept | None, review: ending.Ended | None, status: str
) -> Change | None:
    """Return the step that an outcome with *status* carries, None for none.

    It is that of the request that the call *used* up, or that of its *review*: what
    was released beforehand is not reviewed.
    """
    return ending.change_of(review) if used is None else finished(used, status)

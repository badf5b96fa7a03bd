"""Decide and record: every judgement is in the log before anything comes of it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from openfeature_gov.contracts import ToolCall
from openfeature_gov.errors import LostRaceError, RecordStoreError
from openfeature_gov.evidence.decision_records import refusal_record
from openfeature_gov.evidence.records import outcome_record
from openfeature_gov.evidence.telemetry import UNKNOWN_TOOL, Telemetry
from openfeature_gov.flags.reader import NOTHING_DEMANDED, Demanded, FlagReader
from openfeature_gov.judging import Judge, Judged, Route, ambient, denial
from openfeature_gov.releasing import Releases, finished, queued, unsettled
from openfeature_gov.stores import RecordStore
from openfeature_gov.tools import Tool

Token = str | None
"""A freshness token: what a write to a flag returned, ``<flag key>@<version>``."""
TRIES = 5
"""How often a call is judged anew when others were faster with its request."""


class _Seen:
    """Carry the judgement out of an observed block; set before the block ends."""

    judged: Judged


class Decider:
    """Judge and record calls of the registered *tools*. Lives with its Governor."""

    def __init__(
        self,
        judge: Judge,
        reader: FlagReader,
        records: RecordStore,
        clock: Callable[[], int],
    ) -> None:
        self.judge, self.tools = judge, dict[str, Tool]()
        self._reader, self._records, self._clock = reader, records, clock
        self._telemetry = Telemetry()
        self.releases: Releases | None = None

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
        return await asyncio.to_thread(self.demand, token)

    def judged(self, call: ToolCall, demanded: Demanded = NOTHING_DEMANDED) -> Judged:
        """Return the judgement of *call*, without a record or any other effect."""
        return self.judge.judge(call, self.known(call), demanded)

    def _settled(self, call: ToolCall, demanded: Demanded) -> Judged:
        """Return the judgement of *call*, with what people said where it waits."""
        judged, tool = self.judged(call, demanded), self.known(call)
        if self.releases is None or tool is None or not queued(judged):
            return judged
        try:
            return self.releases.settled(call, tool, demanded, judged)
        except RecordStoreError:
            return unsettled(judged)

    async def _asettled(self, call: ToolCall, demanded: Demanded) -> Judged:
        judged = self.judged(call, demanded)
        if self.releases is None or not queued(judged):
            return judged
        context = contextvars.copy_context()
        settled = partial(context.run, self._settled, call, demanded)
        return await asyncio.to_thread(settled)

    def recorded(self, call: ToolCall, demanded: Demanded = NOTHING_DEMANDED) -> Judged:
        """Return the judgement of *call*, recorded: durable if it changes something."""
        with self._observed(call) as seen:
            for _ in range(TRIES):
                seen.judged = self._settled(call, demanded)
                try:
                    if seen.judged.durable:
                        self._records.commit(seen.judged.record)
                    else:
                        self._records.append(seen.judged.record)
                except LostRaceError:
                    continue  # somebody else used the release, or answered
                except RecordStoreError:
                    break
                return seen.judged
            seen.judged = self._unrecorded(seen.judged)
        return seen.judged

    async def arecorded(
        self, call: ToolCall, demanded: Demanded = NOTHING_DEMANDED
    ) -> Judged:
        """Return the recorded judgement of *call*; the async twin of `recorded`."""
        with self._observed(call) as seen:
            for _ in range(TRIES):
                seen.judged = await self._asettled(call, demanded)
                try:
                    if seen.judged.durable:
                        await self._records.acommit(seen.judged.record)
                    else:
                        self._records.append(seen.judged.record)
                except LostRaceError:
                    continue  # somebody else used the release, or answered
                except RecordStoreError:
                    break
                except asyncio.CancelledError:
                    self.settle(seen.judged, "cancelled")
                    raise
                return seen.judged
            seen.judged = self._unrecorded(seen.judged)
        return seen.judged

    @contextmanager
    def _observed(self, call: ToolCall) -> Iterator[_Seen]:
        """Project the decision that stands at the end of the block on telemetry."""
        tool, started = self.known(call), self._clock()
        span = self._telemetry.start(tool.name if tool else UNKNOWN_TOOL)
        seen = _Seen()
        yield seen
        judged = seen.judged
        self._telemetry.end(
            span,
            judged.decision,
            judged.record.id,
            self._clock() - started,
            contract=judged.contract,
            flags=judged.flags,
        )

    def _unrecorded(self, judged: Judged) -> Judged:
        """Deny what could not be recorded; its record may still be in the backlog."""
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
        self, judged: Judged, status: str, error: str = "", started: int | None = None
    ) -> None:
        """Record how *judged* ended, if it let something run.

        *error* is an exception class, *started* when the function was called, in the
        clock's nanoseconds; None when it never was.
        """
        if judged.route.function is None:
            return
        record = outcome_record(
            self.judge.stamp(),
            judged.record.id,
            status=status,
            ran=judged.route.ran if started is not None else "",
            error=error,
            latency_us=None if started is None else (self._clock() - started) // 1000,
        )
        if judged.used is not None:
            record = record._replace(change=finished(judged.used, status))
        # A store that cannot take the outcome leaves it open: reconciled to unknown.
        with suppress(RecordStoreError):
            self._records.append(record)

"""Admissions: recorded decisions whose tool a framework's own code runs.

What a framework does next ends at the tool's own function, whose gate finds the ticket
and records the outcome. A foreign tool has no function here: for it the framework's
step is the run, and how that ends is the outcome.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

from openfeature_gov import tickets
from openfeature_gov.contracts import CallContext
from openfeature_gov.deciding import Decider
from openfeature_gov.judging import Judged, ambient
from openfeature_gov.outcomes import Outcome, Status
from openfeature_gov.releasing import queued
from openfeature_gov.running import CANCELLED, Runner, heard, own
from openfeature_gov.tickets import Ticket

Body = Callable[[dict[str, Any]], Any]
ABody = Callable[[dict[str, Any]], Awaitable[Any]]


class Admission:
    """Hold one recorded decision. Lives until it was run, which happens once.

    Where nothing may run, `run` may be left out: nothing is kept for it.
    """

    def __init__(
        self,
        judged: Judged,
        ticket: Ticket,
        decider: Decider,
        runner: Runner,
        clock: Callable[[], int],
    ) -> None:
        self._judged, self._ticket = judged, ticket
        self._decider, self._runner, self._clock = decider, runner, clock
        self._fresh = threading.Lock()

    @property
    def outcome(self) -> Outcome:
        """Return what was decided, as far as it got before anything ran."""
        runs = self._judged.route.ran == "tool"
        return heard(self._judged, Status.RELEASED if runs else Status.DECIDED)

    @property
    def waits(self) -> bool:
        """Say whether a person was asked, so that a framework may pause."""
        return queued(self._judged) and bool(self._judged.approval)

    def run(self, body: Body) -> Outcome:
        """Let *body* run the tool with the arguments it is given, or run a handler.

        *body* returns what becomes the outcome's value. What it or a handler raises
        is recorded and passed on. Calls below it that carry no context act for the
        same actor.

        Raises:
            RuntimeError: when it was run or left before.

        """
        judged = self._begun()
        if judged.route.ran != "tool":
            return self._runner.run(judged)
        with self._passed(judged) as passed:
            passed.value = value = body(own(judged.route.arguments))
        return heard(judged, Status.EXECUTED, value)

    async def arun(self, body: ABody) -> Outcome:
        """Let *body* run the tool, or run a handler; the async twin of `run`.

        Raises:
            RuntimeError: when it was run or left before.

        """
        judged = self._begun()
        if judged.route.ran != "tool":
            return await self._runner.arun(judged)
        with self._passed(judged) as passed:
            passed.value = value = await body(own(judged.route.arguments))
        return heard(judged, Status.EXECUTED, value)

    def begin(self) -> Callable[..., None]:
        """Hold the ticket out from here on, for a framework that has hooks alone.

        Return what to call with the value or the ``error`` that the tool ended with, or
        with ``known=False`` where a foreign tool may have run or not.
        Where the outcome would not run the tool, use `run`.

        Raises:
            RuntimeError: when the tool may not run, or this was run or left before.

        """
        if self._judged.route.ran != "tool":
            raise RuntimeError("nothing to begin: the tool may not run")
        judged, started = self._begun(), self._clock()
        token = ambient.set(_acting(judged))
        tickets.leave(self._ticket, started)
        passed = _Passed(judged, self._ticket, self._decider, started)

        def end(
            value: Any = None,
            error: BaseException | None = None,
            *,
            known: bool = True,
        ) -> None:
            with suppress(ValueError):  # another context: this one never acted
                ambient.reset(token)
            passed.end(error, value, known=known)

        return end

    def leave(self) -> None:
        """Run nothing, and record that where something might have run."""
        if self._fresh.acquire(blocking=False) and self._ticket.take():
            self._decider.settle(self._judged, "not_run")

    def _begun(self) -> Judged:
        """Return what was decided, to one caller; a decision is for one run."""
        if not self._fresh.acquire(blocking=False):
            raise RuntimeError("this admission was run or left before; ask anew")
        return self._judged

    def _passed(self, judged: Judged) -> _Passed:
        return _Passed(judged, self._ticket, self._decider, self._clock())


class _Passed:
    """Hold out *ticket* in the block, and record how it ends if no gate did.

    The block says what was returned. A class, for every call of a tool passes here.
    """

    __slots__ = (
        *("_acted", "_decider", "_held", "_judged", "_started", "_ticket"),
        "value",
    )

    def __init__(
        self, judged: Judged, ticket: Ticket, decider: Decider, started: int
    ) -> None:
        self._judged, self._ticket, self._decider = judged, ticket, decider
        self._started = started
        self.value: Any = None

    def __enter__(self) -> Self:
        self._acted = ambient.set(_acting(self._judged))
        self._held = tickets.hold_out(self._ticket)
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _trace: object
    ) -> None:
        try:
            self.end(error, self.value)
        finally:
            # In another context than the block began in, neither was ever set.
            try:
                tickets.take_back(self._held)
                ambient.reset(self._acted)
            except ValueError:
                pass

    def end(
        self, error: BaseException | None, value: Any, *, known: bool = True
    ) -> None:
        """Record how it ended, if no gate did."""
        # INVARIANT: a ticket ends with its block; a later run meets a new decision.
        if not self._ticket.take():
            return
        if error is not None:
            status = "cancelled" if isinstance(error, CANCELLED) else "failed"
        else:
            tool = self._decider.tools[self._ticket.tool]
            # A gate that nobody reached: what the framework did instead is not known.
            status = "executed" if tool.foreign and known else "unknown"
        self._decider.settle(self._judged, status, error, self._started, value)


def _acting(judged: Judged) -> CallContext | None:
    return None if judged.contract is None else judged.contract.context

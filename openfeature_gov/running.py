"""Run what was decided, the tool or a handler, and record how it ended."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import inspect
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from openfeature_gov import outcomes
from openfeature_gov.contracts import ToolCall
from openfeature_gov.deciding import Decider
from openfeature_gov.errors import RegistrationError
from openfeature_gov.flags.hook import active
from openfeature_gov.judging import Judged
from openfeature_gov.outcomes import Outcome, Status

CANCELLED = (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)


class Runner:
    """Run tools and handlers. Lives with its Governor, safe to share."""

    def __init__(self, decider: Decider, clock: Callable[[], int]) -> None:
        self._decider, self._clock = decider, clock
        self._lock = threading.Lock()
        self._threads: tuple[int, ThreadPoolExecutor] | None = None

    def close(self) -> None:
        """Wait for what runs in threads; idempotent."""
        if self._threads is not None:
            self._threads[1].shutdown(wait=True)
            self._threads = None

    def run(
        self, what: ToolCall | Judged, injected: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Run what a judged call allows, or judge and run one.

        *injected* holds the parameters that the framework fills in. What the function
        raises is recorded and passed on.
        """
        if isinstance(what, ToolCall):
            what = self._decider.recorded(what)
        call = _bound(what, injected)
        if call is None:
            return heard(what, Status.NOT_RUN)
        with self._running(what) as returned:
            value = finished_work(call())
            returned.append(value)
        return heard(what, Status.EXECUTED, value)

    async def arun(
        self, what: ToolCall | Judged, injected: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Run what a call allows, a sync function in a thread; the twin of `run`."""
        if isinstance(what, ToolCall):
            what = await self._decider.arecorded(what)
        call = _bound(what, injected)
        if call is None:
            return heard(what, Status.NOT_RUN)
        if not inspect.iscoroutinefunction(what.route.function):
            return await self._threaded(what, injected)
        with self._running(what) as returned:
            value = finished_work(await call())
            returned.append(value)
        return heard(what, Status.EXECUTED, value)

    async def _threaded(
        self, judged: Judged, injected: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Run a sync function in a thread, which records the outcome itself."""
        context = contextvars.copy_context()
        work = functools.partial(context.run, self.run, judged, injected)
        future = self._executor().submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled():
                self._decider.settle(judged, "cancelled")
            raise

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            # After a fork the parent's pool has no threads here.
            if self._threads is None or self._threads[0] != os.getpid():
                pool = ThreadPoolExecutor(thread_name_prefix="gov-tool")
                self._threads = (os.getpid(), pool)
            return self._threads[1]

    @contextmanager
    def _running(self, judged: Judged) -> Iterator[list[Any]]:
        """Record how the block ends; pass on whatever it raises.

        The block says what was returned: what it cost may stand there.
        """
        token, started = active.set(judged.contract), self._clock()
        returned: list[Any] = []
        try:
            yield returned
        except BaseException as error:
            status = "cancelled" if isinstance(error, CANCELLED) else "failed"
            self._decider.settle(judged, status, error, started)
            raise
        else:
            value = returned[0] if returned else None
            self._decider.settle(judged, "executed", None, started, value)
        finally:
            active.reset(token)


def _bound(
    judged: Judged, injected: Mapping[str, Any] | None
) -> Callable[[], Any] | None:
    route = judged.route
    if route.function is None:
        return None
    extra = injected if injected and route.ran == "tool" else {}
    return functools.partial(route.function, **route.arguments, **extra)


def finished_work(value: Any) -> Any:
    """Return *value* unless it is work that has only begun.

    Raises:
        RegistrationError: for an awaitable or a generator: nothing ran yet, and what
            runs later would run unseen.

    """
    if inspect.isawaitable(value) or inspect.isgenerator(value):
        if inspect.iscoroutine(value) or inspect.isgenerator(value):
            value.close()
        raise RegistrationError(
            "the function returned unfinished work; register an async function, and "
            "return lists"
        )
    if inspect.isasyncgen(value):
        raise RegistrationError("the function returned an async generator")
    return value


def own(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of *arguments* that shares no container with them."""
    plain = all(type(one) in _PLAIN for one in arguments.values())
    return dict(arguments) if plain else copy.deepcopy(arguments)


_PLAIN = frozenset({str, int, float, bool, type(None)})


def heard(judged: Judged, status: Status, value: Any = None) -> Outcome:
    """Return what the caller hears of *judged*."""
    route, decision = judged.route, judged.decision
    record_id = judged.record.id if status is not Status.PLANNED else ""
    return Outcome(
        decision=decision,
        status=status,
        record_id=record_id,
        message=outcomes.message(
            decision, status, ran=route.ran, ref=judged.approval or record_id
        ),
        approval_id=judged.approval,
        review_id="" if judged.review is None else judged.review.review.id,
        ran=route.ran,
        value=value,
        arguments=own(route.arguments),
        contract=judged.contract,
    )

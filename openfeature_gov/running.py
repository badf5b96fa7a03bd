"""Run what was decided, the tool or a handler, and record how it ended."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import io
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import FunctionType
from typing import Any, NamedTuple, Self

from openfeature_gov import outcomes
from openfeature_gov.contracts import ToolCall
from openfeature_gov.deciding import Decider
from openfeature_gov.errors import RegistrationError
from openfeature_gov.fairness import answered
from openfeature_gov.flags.hook import active
from openfeature_gov.judging import Judged
from openfeature_gov.outcomes import Outcome, Status
from openfeature_gov.threads import Threads

LATE_NS = 100_000_000
"""After which time for a thread one looks again whether a decision still stands."""
CANCELLED = (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)


class Ran(NamedTuple):
    """Say how far a *judged* call got, and what its function returned."""

    judged: Judged
    status: Status
    value: Any = None


class Runner:
    """Run tools and handlers. Lives with its Governor, safe to share."""

    def __init__(self, decider: Decider, clock: Callable[[], int]) -> None:
        self._decider, self._clock = decider, clock
        self._threads = Threads("gov-tool")

    def close(self) -> None:
        """Begin nothing more in threads, wait for what runs there; idempotent."""
        self._threads.close()

    def run(
        self, what: ToolCall | Judged, injected: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Run what a judged call allows, or judge and run one.

        *injected* holds the parameters that the framework fills in. What the function
        raises is recorded and passed on.
        """
        return heard(*self.ran(what, injected))

    def ran(
        self, what: ToolCall | Judged, injected: Mapping[str, Any] | None = None
    ) -> Ran:
        """Do what `run` does; return it as the gate needs it, in fewer words."""
        if isinstance(what, ToolCall):
            what = self._decider.recorded(what)
        call = _bound(what, injected)
        if call is None:
            return Ran(what, Status.NOT_RUN)
        with _Running(what, self._decider, self._clock) as running:
            value = finished_work(call())
            running.value = value
        return Ran(what, Status.EXECUTED, value)

    async def arun(
        self, what: ToolCall | Judged, injected: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Run what a call allows, a sync function in a thread; the twin of `run`."""
        return heard(*await self.aran(what, injected))

    async def aran(
        self, what: ToolCall | Judged, injected: Mapping[str, Any] | None = None
    ) -> Ran:
        """Do what `arun` does; the async twin of `ran`."""
        if isinstance(what, ToolCall):
            what = await self._decider.arecorded(what)
        call = _bound(what, injected)
        if call is None:
            return Ran(what, Status.NOT_RUN)
        if not _asynchronous(what.route.function):
            return await self._threaded(what, injected)
        with _Running(what, self._decider, self._clock) as running:
            value = finished_work(await call())
            running.value = value
        return Ran(what, Status.EXECUTED, value)

    async def _threaded(
        self, judged: Judged, injected: Mapping[str, Any] | None = None
    ) -> Ran:
        """Run a sync function in a thread, which records the outcome itself."""
        work = functools.partial(self._inside, judged, injected, self._clock())
        future = self._threads.begin(work)
        if future is None:
            return Ran(self._decider.unbegun(judged), Status.NOT_RUN)
        try:
            return await answered(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            if future.cancelled():
                self._decider.settle(judged, "cancelled")
            raise

    def _inside(
        self, judged: Judged, injected: Mapping[str, Any] | None, asked_ns: int
    ) -> Ran:
        """Run what was *judged*, in a thread that was *asked_ns* for.

        Others may have kept all threads for long: a kill meanwhile is obeyed.
        """
        if self._threads.closed:
            return Ran(self._decider.unbegun(judged), Status.NOT_RUN)
        late = self._clock() - asked_ns > LATE_NS
        if not late or judged.contract is None or self._decider.stands(judged):
            return self.ran(judged, injected)
        self._decider.settle(judged, "not_run")
        token = "" if judged.flags is None else judged.flags.demanded
        demanded = self._decider.demand(token or None)
        again = self._decider.recorded(judged.contract.call, demanded)
        if again.route.ran == "tool" != judged.route.ran:
            # Who asked for a handler has no place here for what the tool needs.
            return Ran(self._decider.unbegun(again), Status.NOT_RUN)
        return self.ran(again, injected)


class _Running:
    """Record how the block ends that runs *judged*; pass on whatever it raises.

    The block says what was returned: what it cost may stand there. A class, for a
    generator takes three times as long to enter and to leave.
    """

    __slots__ = ("_clock", "_decider", "_judged", "_started", "_token", "value")

    def __init__(
        self, judged: Judged, decider: Decider, clock: Callable[[], int]
    ) -> None:
        self._judged, self._decider, self._clock = judged, decider, clock
        self.value: Any = None

    def __enter__(self) -> Self:
        self._token = active.set(self._judged.contract)
        self._started = self._clock()
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _trace: object
    ) -> None:
        judged, started, value = self._judged, self._started, self.value
        try:
            if error is None:
                self._decider.settle(judged, "executed", None, started, value)
            else:
                status = "cancelled" if isinstance(error, CANCELLED) else "failed"
                self._decider.settle(judged, status, error, started)
        finally:
            active.reset(self._token)


def _bound(
    judged: Judged, injected: Mapping[str, Any] | None
) -> Callable[[], Any] | None:
    route = judged.route
    if route.function is None:
        return None
    extra = injected if injected and route.ran == "tool" else {}
    return functools.partial(route.function, **route.arguments, **extra)


def _asynchronous(function: object) -> bool:
    # Python's own question takes ten times as long, and every call asks it.
    if type(function) is FunctionType and function.__code__.co_flags & _COROUTINE:
        return True
    return inspect.iscoroutinefunction(function)


def finished_work(value: Any) -> Any:
    """Return *value* unless it is, or is a list or tuple of, work that is not done.

    Raises:
        RegistrationError: for an awaitable, a future, a generator or any other iterator
            but an open file: nothing ran yet, and what runs later would run unseen.

    """
    if type(value) in _FINISHED:
        return value
    several = isinstance(value, list | tuple)
    if several and _HOLDABLE.issuperset(map(type, value)):
        return value
    unfinished = [
        one for one in (value if several else (value,)) if _unfinished(type(one))
    ]
    for one in unfinished:
        if inspect.iscoroutine(one) or inspect.isgenerator(one):
            one.close()
    if unfinished:
        raise RegistrationError(
            f"the function returned unfinished work, a {type(unfinished[0]).__name__}; "
            "register an async function, await what it starts, and return lists"
        )
    return value


def _unfinished(kind: type) -> bool:
    """Say whether values of *kind* stand for what is yet to happen.

    An open file is an iterator as well, but opening it was the work.
    """
    if issubclass(kind, io.IOBase):
        return False
    later = ("__await__", "__next__", "__anext__")
    return issubclass(kind, Future) or any(hasattr(kind, name) for name in later)


def own(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of *arguments* that shares no container with them."""
    return dict(arguments) if plain(arguments) else copy.deepcopy(arguments)


def plain(arguments: dict[str, Any]) -> bool:
    """Say whether *arguments* are scalars of JSON alone."""
    return _PLAIN.issuperset(map(type, arguments.values()))


_PLAIN = frozenset({str, int, float, bool, type(None)})
_COROUTINE = inspect.CO_COROUTINE
_FINISHED = _PLAIN | {dict}
_HOLDABLE = _FINISHED | {list, tuple}


def heard(judged: Judged, status: Status, value: Any = None) -> Outcome:
    """Return what the caller hears of *judged*."""
    route, decision = judged.route, judged.decision
    record_id = judged.record.id if status is not Status.PLANNED else ""
    return Outcome(
        decision=decision,
        status=status,
        record_id=record_id,
        message=outcomes.message(
            *(decision, status),
            ran=route.ran,
            ref=judged.approval or record_id,
            # A plan asks nobody: who would be is not known yet.
            asked=status is Status.PLANNED or bool(judged.approval),
        ),
        approval_id=judged.approval,
        review_id="" if judged.review is None else judged.review.review.id,
        ran=route.ran,
        value=value,
        arguments=own(route.arguments),
        contract=judged.contract,
    )

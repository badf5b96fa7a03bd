"""The one shape of every adapter: asked, admitted, run or told why not."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol, get_type_hints

import orjson
from pydantic import TypeAdapter

from openfeature_gov.approvals.states import State
from openfeature_gov.canonical import seal
from openfeature_gov.contracts import CallContext, ToolCall
from openfeature_gov.decisions import Effect
from openfeature_gov.errors import InvalidCallError
from openfeature_gov.fairness import in_thread
from openfeature_gov.governor import Governor
from openfeature_gov.judging import ambient, denial
from openfeature_gov.outcomes import Outcome, Status, message
from openfeature_gov.tools import Tool

Who = CallContext | Callable[[Any], CallContext]
"""Who acts: the same for every call, or read from the framework's own object."""
RECALL = "Once it is approved, the identical call runs, once."
REMEMBERED = 1_024
logger = logging.getLogger(__name__)


class ToolFailedError(Exception):
    """Carry the framework's own *answer* out of a run whose tool failed."""

    def __init__(self, answer: Any) -> None:
        super().__init__("the tool answered with an error")
        self.answer = answer


class Admitted(Protocol):
    """Be a decision that can be run once: an `Admission`, or a refusal."""

    @property
    def outcome(self) -> Outcome:
        """Return what was decided."""

    @property
    def waits(self) -> bool:
        """Say whether a person was asked, so that the framework may pause."""

    def run(self, body: Callable[[dict[str, Any]], Any]) -> Outcome:
        """Run what may run; *body* is the framework's next step."""

    async def arun(self, body: Callable[[dict[str, Any]], Awaitable[Any]]) -> Outcome:
        """Run what may run; the async twin of `run`."""

    def begin(self) -> Callable[..., None]:
        """Let the framework run the tool; return what to tell how that ended."""

    def leave(self) -> None:
        """Run nothing, and record that."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Be the answer when no decision could be reached: nothing runs."""

    outcome: Outcome
    waits: bool = False

    def run(self, _body: object) -> Outcome:
        """Run nothing."""
        return self.outcome

    async def arun(self, _body: object) -> Outcome:
        """Run nothing."""
        return self.outcome

    def begin(self) -> Callable[..., None]:
        """Refuse: nothing may run."""
        raise RuntimeError("nothing was admitted")

    def leave(self) -> None:
        """Run nothing."""


class Asked(NamedTuple):
    """Hold what a framework says of one call. Given by name.

    *tool* is the name as the framework has it, *call_id* its id if that survives a
    resume, *user* and *session* opaque ids from where its users keep them, *native*
    its own object. Nothing of this but name and arguments comes from the model.
    """

    tool: str
    arguments: Any
    call_id: str = ""
    user: str = ""
    session: str = ""
    native: Any = None


class Door:
    """Ask *governor* about the calls of one framework. Safe to share.

    *who* says who acts, or reads it from the framework's object; where it leaves user,
    session or task open, what the framework knows fills in. *names* maps prefixed or
    nested tool names to those of the registry; any other name stands for itself.
    """

    def __init__(
        self, governor: Governor, who: Who, names: Mapping[str, str] | None = None
    ) -> None:
        self.governor, self._names = governor, dict(names or {})
        self._who = who if callable(who) else None
        fixed = partial(_filled, None if callable(who) else who)
        self._fixed = lru_cache(maxsize=REMEMBERED)(fixed)
        self._coercions: dict[str, Mapping[str, _Coercion]] = {}

    def admit(self, asked: Asked) -> Admitted:
        """Return the recorded decision about a call; never raises."""
        try:
            call = self.call(asked)
            if call.context is not None:
                return self.governor.admit(call)
            token = ambient.set(None)
            try:
                return self.governor.admit(call)
            finally:
                ambient.reset(token)
        except Exception as error:  # noqa: BLE001 - the check itself failed: deny
            return _refused(error)

    async def aadmit(self, asked: Asked) -> Admitted:
        """Return the recorded decision; the async twin of `admit`."""
        try:
            call = self.call(asked)
            if call.context is not None:
                return await self.governor.aadmit(call)
            token = ambient.set(None)
            try:
                return await self.governor.aadmit(call)
            finally:
                ambient.reset(token)
        except Exception as error:  # noqa: BLE001 - the check itself failed: deny
            return _refused(error)

    async def aask(self, asked: Asked) -> Outcome | None:
        """Return the outcome of a call that waits for a person; never raises.

        For a framework that asks before it calls. Only such a call is recorded here,
        with its request: what may run, was released by a person, or may not run, is
        decided when it is called, and is None here.
        """
        try:
            call = self.call(asked)
            if not await self.governor.aqueues(call):
                return None
            planned = await self.governor.aplan(call)
            queued = planned.effect is Effect.QUEUE_FOR_APPROVAL
            if not queued or await in_thread(self._released, planned):
                return None
        except Exception as error:  # noqa: BLE001 - the call meets its own decision
            logger.warning("a call was not asked about: %s", type(error).__name__)
            return None
        admitted = await self.aadmit(asked)
        admitted.leave()
        return admitted.outcome if admitted.waits else None

    def _released(self, planned: Outcome) -> bool:
        queue, contract = self.governor.approvals, planned.contract
        if queue is None or contract is None:
            return False
        return any(one.state is State.APPROVED for one in queue.about(contract.digest))

    def known(self, tool: str) -> bool:
        """Say whether the framework's *tool* is one of the registry."""
        return self.governor.registered(self.name(tool)) is not None

    def name(self, tool: str) -> str:
        """Return the registry's name of the framework's *tool*."""
        return self._names.get(tool, tool)

    def call(self, asked: Asked) -> ToolCall:
        """Return the call as the Governor takes it, with arguments made canonical.

        A framework converts ``"5"`` to 5 only after its hook: the tool's own gate would
        see another action than the one that was decided, so it is done here already.
        """
        name, given = self.name(asked.tool), asked.arguments
        tool = self.governor.registered(name)
        if tool is not None and (type(given) is dict or isinstance(given, Mapping)):
            given = self._coerced(tool, given)
        return ToolCall(name, given, self._context(asked), asked.call_id)

    def _coerced(self, tool: Tool, given: Mapping[str, Any]) -> dict[str, Any]:
        found = self._coercions.get(tool.name)
        if found is None:
            found = self._coercions[tool.name] = _coercions(tool)
        known = found.get
        return {
            key: value
            # What has just the type that is asked for stays as it is.
            if (one := known(key)) is None or type(value) is one.plain
            else _coerced(one.adapter, value)
            for key, value in given.items()
        }

    def _context(self, asked: Asked) -> CallContext | None:
        """Return who acts; None, which is denied, where that cannot be told."""
        try:
            if self._who is None:
                return self._fixed(asked.user, asked.session)
            return _filled(self._who(asked.native), asked.user, asked.session)
        except Exception as error:  # noqa: BLE001 - nobody is nobody
            logger.warning("no identity for a call: %s", type(error).__name__)
            return None


def told(outcome: Outcome) -> str:
    """Return what the model must hear: why nothing ran, or what ran instead or how.

    Empty for a tool that ran as it was asked to.
    """
    if outcome.ran == "tool":
        if outcome.effect is not Effect.CONSTRAIN:
            return ""
        return f"{outcome.message} It ran with {_text(outcome.arguments)}."
    if outcome.status is Status.EXECUTED:
        return f"{outcome.message}\n{_text(outcome.value)}"
    return outcome.message


def waits(outcome: Outcome) -> bool:
    """Say whether a person was asked, so that the framework may pause."""
    return outcome.effect is Effect.QUEUE_FOR_APPROVAL and bool(outcome.approval_id)


def card(outcome: Outcome) -> dict[str, Any]:
    """Return what a pause says to whoever sees it: plain JSON, and no authority."""
    contract = outcome.contract
    return {
        "type": "gov_approval",
        "approval_id": outcome.approval_id,
        "tool": "" if contract is None else contract.tool,
        "arguments": None if contract is None else orjson.loads(contract.canonical),
        "message": outcome.message,
    }


def facts(outcome: Outcome) -> dict[str, str]:
    """Return what a program on the other side may know of *outcome*."""
    every = {
        "gov/effect": outcome.effect.value,
        "gov/record_id": outcome.record_id,
        "gov/approval_id": outcome.approval_id,
    }
    return {name: value for name, value in every.items() if value}


def _refused(error: Exception) -> Refused:
    logger.warning("the policy check of a call failed: %s", type(error).__name__)
    decision = denial("adapter", "check_failed")
    text = message(decision, Status.NOT_RUN, ran="", ref="")
    return Refused(Outcome(decision=decision, status=Status.NOT_RUN, message=text))


def _filled(base: CallContext | None, user: str, session: str) -> CallContext:
    if not isinstance(base, CallContext):
        raise TypeError("who acts is not a CallContext")
    actor = replace(
        base.actor, user=base.actor.user or user, session=base.actor.session or session
    )
    return replace(base, actor=actor, task=base.task or session)


class _Coercion(NamedTuple):
    """Convert the values of one parameter; those of the type *plain* are right."""

    plain: type | None
    adapter: TypeAdapter[Any]


def _coercions(tool: Tool) -> dict[str, _Coercion]:
    """Return by parameter what converts its values, where the function says a type."""
    found: dict[str, _Coercion] = {}
    if tool.foreign:
        return found
    with suppress(Exception):  # what cannot be read converts nothing
        hints = get_type_hints(tool.function, include_extras=True)
        for name in inspect.signature(tool.function).parameters:
            if name in hints and name not in tool.injected:
                with suppress(Exception):
                    hint = hints[name]
                    plain = hint if type(hint) is type and hint in _PLAIN else None
                    found[name] = _Coercion(plain, TypeAdapter(hint))
    return found


def _coerced(coercion: TypeAdapter[Any], value: Any) -> Any:
    """Return *value* as the function would get it, as JSON; as it is if it would not.

    The framework refuses such a value itself.
    """
    try:
        python = coercion.validate_python(value)
        if type(python) in _PLAIN:
            return python
        with suppress(InvalidCallError):  # the very text that the gate will see
            return orjson.loads(seal({"": python})[1])[""]
        return coercion.dump_python(python, mode="json")
    except Exception:  # noqa: BLE001 - not of this type
        return value


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return str(value)

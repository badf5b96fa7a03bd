"""Signals that other systems send: signed by a known sender, each recorded once.

A sender that hears nothing sends again, under the same id: it gets the record that is
there already. What is sent names a case and holds nothing about a person.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.strict_json import read_json
from openfeature_gov.approvals.signing import verify
from openfeature_gov.stores.logs import opened
from openfeature_gov_rollout.plan import Plan
from openfeature_gov_rollout.rows import signals
from openfeature_gov_rollout.signals import Log, SignalError, report

LARGEST = 16_384
"""Bytes of a body."""
Id = Annotated[str, Field(min_length=1, max_length=128)]


class UnsignedError(SignalError):
    """Report what no known sender has signed, or not lately."""


class ConflictError(SignalError):
    """Report something else under an id that was used before."""


class Delivery(BaseModel):
    """Be what is sent: *id* names it, for this sender and for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Id
    plan: Id
    signal: Id
    reference: Id
    tool: str = ""
    decision: Id | None = None


class Taken(NamedTuple):
    """Hold the id of the *record* of *signal*; *new* says that it was made now."""

    record: str
    signal: str
    by: str
    new: bool


class Inbox:
    """Take signals for *plans* into *log*, which is open at *records*.

    *senders* maps the name of each to its secret, *now_ms* returns milliseconds since
    1970. Safe to share between threads.
    """

    def __init__(
        self,
        plans: Iterable[Plan],
        senders: Mapping[str, bytes],
        log: Log,
        records: Path | str,
        now_ms: Callable[[], int],
    ) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._senders, self._log, self._records = senders, log, records
        self._now_ms, self._one_by_one = now_ms, threading.Lock()

    def take(self, body: bytes, signature: str | None) -> Taken:
        """Record what *body* says, whose header ``Gov-Signature`` is *signature*.

        Raises:
            UnsignedError: when no sender has signed it within five minutes.
            ConflictError: when the sender used its id for something else.
            SignalError: when it cannot be read, or no gate of a plan would count it.
            RecordStoreError: when it was not seen to be recorded; send it again.

        """
        now_ms = self._now_ms()
        by = [
            name
            for name, secret in self._senders.items()
            if verify(secret, body, signature, now_ms=now_ms)
        ]
        if not by:
            raise UnsignedError("signal: no sender has signed it, or not lately")
        told = _read(body)
        about = self._about(told, by[0])
        with self._one_by_one:
            known = self._known(about)
            record = known or report(self._log, **about)
        return Taken(record, told.signal, by[0], new=known is None)

    def _about(self, told: Delivery, by: str) -> dict[str, Any]:
        plan = self._plans.get(told.plan)
        if plan is None:
            raise SignalError("signal: there is no such plan")
        if told.tool and told.tool not in plan.tools:
            raise SignalError(f"signal: that is no tool of {plan.name}")
        return {
            "signal": told.signal,
            "workflow": plan.workflow,
            "tool": told.tool,
            "reference": told.reference,
            "by": by,
            "decision": told.decision,
            "delivery": told.id,
        }

    def _known(self, about: Mapping[str, Any]) -> str | None:
        """Return the record of what was delivered before, None for what is new."""
        wanted = {**about, "ref": about["decision"]}
        del wanted["decision"]
        with opened(self._records) as log:
            for said in signals(log):
                if any(said.get(name) != wanted[name] for name in ("by", "delivery")):
                    continue
                if any(said.get(name) != value for name, value in wanted.items()):
                    raise ConflictError("signal: its id was used for another one")
                return str(said["id"])
        return None


def _read(body: bytes) -> Delivery:
    """Return what *body* says.

    Raises:
        SignalError: when it is none; names the fields, not what stands in them.

    """
    try:
        return Delivery.model_validate(read_json(body))
    except FeatBitDataError as error:
        raise SignalError(f"signal: {error}") from None
    except ValidationError as error:
        known = Delivery.model_fields.keys()
        fields = {str(one["loc"][0]) for one in error.errors() if one["loc"]}
        named = ", ".join(sorted(fields & known)) or ", ".join(known)
        raise SignalError(f"signal: cannot be read; look at {named}") from None

"""Signals: incidents and support cases, told by the people and systems that see them.

A signal is a record like any other. It names a tool or a whole workflow and refers to
where the case is kept; it holds nothing about a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from openfeature_gov.contracts import is_opaque
from openfeature_gov.errors import GovernanceError
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov_rollout.metrics import SIGNALS

KIND = "signal"


class SignalError(GovernanceError):
    """Report a signal that cannot be recorded as it stands (the sender's mistake)."""


class Log(Protocol):
    """Take records: any store of ours."""

    def stamp(self) -> Stamp:
        """Return the identity of a new record."""

    def commit(self, record: Record) -> None:
        """Make *record* durable.

        Raises:
            RecordStoreError: when that is not possible.

        """


def report(
    log: Log,
    signal: str,
    *,
    workflow: str,
    tool: str = "",
    reference: str,
    by: str,
    decision: str | None = None,
    delivery: str = "",
) -> str:
    """Record that *signal*, ``incident`` or ``support``, was seen; return its id.

    It counts for the *tool*, or for every tool of the *workflow*. *reference* is the
    id of the case where it is kept, *by* who or what tells, *decision* the record of
    the decision that led to it, where that is known. What *by* tells under one
    *delivery* counts once.

    Raises:
        SignalError: for another name, or an id that is free text.
        RecordStoreError: when it could not be made durable.

    """
    if signal not in SIGNALS:
        known = " or ".join(sorted(SIGNALS))
        raise SignalError(f"{signal!r} is no signal that a gate reads; use {known}")
    named = {"reference": reference, "by": by, "tool": tool, "decision": decision}
    named["delivery"] = delivery
    for name, value in named.items():
        if value and not is_opaque(value):
            raise SignalError(f"{name}: use an id of letters, digits and ._:/-")
    if not (workflow and reference and by):
        raise SignalError("workflow, reference and by: each must be stated")
    record = note_record(
        log.stamp(),
        KIND,
        decision,
        signal=signal,
        workflow=workflow,
        tool=tool,
        reference=reference,
        by=by,
        **({"delivery": delivery} if delivery else {}),
    )
    log.commit(record)
    return record.id


def concerns(said: Mapping[str, Any], workflow: str, tools: frozenset[str]) -> bool:
    """Say whether the signal *said* counts for *tools* of *workflow*."""
    if said.get("tool"):
        return said["tool"] in tools
    return said.get("workflow") == workflow

"""Signals: what evaluators and monitors report, and who lets go of them by name."""

from __future__ import annotations

from decimal import Decimal

from openfeature_gov.contracts import is_opaque
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.evidence.texts import FIELD_LIMIT, readable
from openfeature_gov.observing import Observer

RELEASED = "signal_release"
"""The kind of the record of a release."""


def report(observer: Observer, metric: str, value: Decimal | float) -> int:
    """Take a sample of *metric*; return how many guardrails look at it.

    Raises:
        ValueError: when *value* is no finite number, or no guardrail names *metric*.

    """
    plain = type(value) in (int, float, Decimal)
    number = Decimal(str(value)) if plain else Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"signal {readable(metric)}: the value is no finite number")
    found = observer.sample(metric, number)
    if not found:
        raise ValueError(f"signal {readable(metric)}: no guardrail names this metric")
    return found


def release_record(stamp: Stamp, metric: str, by: str, reason: str) -> Record:
    """Return the record that *by* lets go of *metric*.

    Raises:
        ValueError: when *metric* or *by* is no id, there is no *reason*, or one that
            the record would cut.

    """
    if not is_opaque(metric) or not is_opaque(by):
        raise ValueError("a signal is released by an opaque id, by its metric's name")
    if not reason.strip() or len(reason) > FIELD_LIMIT:
        raise ValueError(f"a release needs a reason of 1 to {FIELD_LIMIT} characters")
    facts = {"metric": metric, "actor": by, "reason": readable(reason)}
    return note_record(stamp, RELEASED, **facts)

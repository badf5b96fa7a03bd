"""The metrics that gates may ask for: each a share of something in the records. Pure.

A metric says of one row whether it is true of it, or None where the row does not count
for it. Rows are decisions, what the next stage would have decided, outcomes, what
failed, and what people answered; each metric is of one kind of row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

REFUSED = frozenset({"deny", "fallback"})
RELEASING = frozenset({"approve", "accept"})
ANSWERING = RELEASING | {"refuse"}
LATE = frozenset({"expire", "lapse"})
BROKEN = frozenset({"failed", "unknown"})
OBSERVED = frozenset({"off", "observe"})
"""The modes in which nothing runs: only a shadow tells what would have."""
_SHADOW = b'"shadow":{"effect":"'


class Source(StrEnum):
    """Name the kinds of rows."""

    DECISIONS = "decisions"
    SHADOWS = "shadows"
    OUTCOMES = "outcomes"
    FAILURES = "failures"
    ANSWERS = "answers"


class Row(NamedTuple):
    """Hold one row: a decision's *effect* and *reason*, and what stands behind it.

    *told* is the outcome's status or the event of an answer, *said* what its record
    says; *decided* is the body of the decision, for the kinds of rows that need it.
    *took_us* is the time from the decision to the answer.
    """

    effect: str
    reason: str
    told: str = ""
    said: Mapping[str, Any] = {}
    decided: bytes = b""
    took_us: int = 0


Hit = Callable[[Row, Decimal | None], bool | None]


class Metric(NamedTuple):
    """Describe a metric: the rows that it is of, and what it says of one.

    *within* is the unit of the bound that a gate on it states, empty where there is
    none.
    """

    source: Source
    hit: Hit
    within: str = ""


def shadow_effect(body: bytes) -> str:
    """Return what the next stage would have decided, empty where there is none.

    The bytes are canonical, so that this cannot be found within a text.
    """
    start = body.find(_SHADOW)
    if start < 0:
        return ""
    start += len(_SHADOW)
    return body[start : body.index(b'"', start)].decode()


def _shadow_full(body: bytes) -> bool:
    found = orjson.loads(body).get("shadow") or {}
    return found.get("full") is True


def _policy_match(row: Row, _: Decimal | None) -> bool | None:
    if row.effect in REFUSED or not row.decided:
        return row.effect not in REFUSED
    shadow = shadow_effect(row.decided)
    return None if not shadow else shadow not in REFUSED


def _error(row: Row, _: Decimal | None) -> bool | None:
    return None if row.told not in BROKEN | {"executed"} else row.told in BROKEN


def _irreversible(row: Row, _: Decimal | None) -> bool:
    said: dict[str, Any] = orjson.loads(row.decided)
    no_way_back = said.get("reversibility") == "none"
    return no_way_back or said.get("riskClass") == "irreversible"


def _undo(row: Row, _: Decimal | None) -> bool | None:
    return bool(row.said.get("undo")) if row.told == "executed" else None


def _incident(row: Row, _: Decimal | None) -> bool:
    return bool(row.said.get("incident"))


def _latency(row: Row, within: Decimal | None) -> bool | None:
    took = row.said.get("latencyUs")
    if within is None or not isinstance(took, int) or took < 0:
        return None
    return took <= within * 1_000_000


def _cost(row: Row, within: Decimal | None) -> bool | None:
    cost = row.said.get("cost")
    if within is None or not isinstance(cost, str):
        return None
    try:
        spent = Decimal(cost)
    except InvalidOperation:
        return None
    return spent <= within if spent.is_finite() and spent >= 0 else None


def _acceptance(row: Row, _: Decimal | None) -> bool | None:
    return row.told in RELEASING if row.told in ANSWERING else None


def _correction(row: Row, _: Decimal | None) -> bool | None:
    if row.told not in RELEASING:
        return None
    return row.said.get("tightened") is True


def _time_to_decide(row: Row, within: Decimal | None) -> bool | None:
    # A clock that went back tells nothing of how long it took.
    if within is None or row.told not in ANSWERING | LATE or row.took_us < 0:
        return None
    return row.told in ANSWERING and row.took_us <= within * 1_000_000


def _agreement(row: Row, _: Decimal | None) -> bool | None:
    if row.told not in ANSWERING or not shadow_effect(row.decided):
        return None
    clean = row.told in RELEASING and row.said.get("tightened") is not True
    return _shadow_full(row.decided) is clean


METRICS: Mapping[str, Metric] = {
    # Intended calls that this stage, or in observe the next, does not refuse.
    "policy_match": Metric(Source.SHADOWS, _policy_match),
    "denial": Metric(Source.DECISIONS, lambda row, _: row.effect == "deny"),
    "fallback": Metric(Source.DECISIONS, lambda row, _: row.effect == "fallback"),
    "escalation": Metric(
        Source.DECISIONS, lambda row, _: row.effect == "queue_for_approval"
    ),
    "denylist_hit": Metric(Source.DECISIONS, lambda row, _: row.reason == "denylisted"),
    "source_violation": Metric(
        Source.DECISIONS, lambda row, _: row.reason == "source_not_allowed"
    ),
    "error": Metric(Source.OUTCOMES, _error),
    "undo": Metric(Source.OUTCOMES, _undo),
    "latency": Metric(Source.OUTCOMES, _latency, "seconds"),
    "cost": Metric(Source.OUTCOMES, _cost, "times the baseline"),
    "irreversible_error": Metric(Source.FAILURES, _irreversible),
    # What people said of what the agent wanted to do, or did.
    "acceptance": Metric(Source.ANSWERS, _acceptance),
    "correction": Metric(Source.ANSWERS, _correction),
    "time_to_decide": Metric(Source.ANSWERS, _time_to_decide, "seconds"),
    # Whether the next stage would have done just what people said.
    "agreement": Metric(Source.ANSWERS, _agreement),
    # Told from outside by `signals`, and incidents by outcomes as well.
    "incident": Metric(Source.OUTCOMES, _incident),
    "support": Metric(Source.DECISIONS, lambda _row, _: False),
}
SIGNALS = frozenset({"incident", "support"})
OF_ALL = frozenset({"irreversible_error", *SIGNALS})
"""The metrics of events, each counted for as many decisions as there were."""
LATER = OF_ALL | {"undo"}
"""The metrics of what may come to light long after the sample: always watched."""
COMPARED: Mapping[str, str] = {
    "tool_choice": "",
    "argument_drift": "",
    "cost_drift": "times the cost of the old release",
}
"""The metrics of a new release beside the old one alone (`lineage`), each with the unit
of its bound. Agreement and escalation are compared as well."""
NAMES = METRICS.keys() | COMPARED.keys()
BOUNDED = {name for name, one in METRICS.items() if one.within} | {"cost_drift"}

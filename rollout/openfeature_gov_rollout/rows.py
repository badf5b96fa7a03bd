"""Read from a record log what metrics are counted from: one statement a kind of row.

The decisions lead each statement, in an index that holds all that is asked of them;
bodies are read only of the rows, and for the metrics, that need them. Read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from openfeature_gov.ladder import MODES
from openfeature_gov.stores.logs import Log
from openfeature_gov_rollout.counting import UNDO, Known
from openfeature_gov_rollout.metrics import Row, Source

LATER = "kind NOT IN ('decision', 'outcome')"
"""The words of the index that leads to all records but these."""
ANSWERS = f"('approval', 'review', '{UNDO}')"
INDEX = "records_decided"
MALFORMED = ("arguments_invalid", "arguments_too_large", "arguments_mismatch")
"""Why a call is refused before any flag is asked: what was intended makes no sense, in
whatever mode. A flag that was lost is no fault of the agent and counts nowhere."""
_UNASKED = f"d.variant IS NULL AND d.reason IN {MALFORMED}"
DELIVERED = ("by", "delivery", "signal", "workflow", "tool", "reference", "ref")
"""What is the same where a delivery is repeated."""
Key = tuple[str | None, str | None]
"""A tool, and the variant of its mode flag."""
Placed = tuple[Key, int, Known, Row]
"""A row: where it belongs, when it was decided, and when it became known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Say which rows are wanted: decided from *since_us* until *until_us*.

    Times are microseconds since 1970, the second excluded. *observed* are the variants
    that let nothing run, *metrics* what is to be counted: what none of them needs is
    not read.
    """

    since_us: int
    until_us: int
    observed: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()

    @property
    def span(self) -> dict[str, int]:
        """Return the time as parameters."""
        return {"since": self.since_us, "until": self.until_us}


def modes(log: Log, wanted: Wanted) -> dict[Key, str]:
    """Return which mode each variant meant, by tool and variant.

    A store that names variants by ids of its own is asked what one of them served.
    """
    rows = log.rows(
        f"SELECT d.tool, d.variant, min(d.id) FROM ({_decided(log)}) d"  # noqa: S608 - constants
        " GROUP BY d.tool, d.variant",
        wanted.span,
    )
    found: dict[Key, str] = {}
    samples: dict[str, Key] = {}
    for tool, variant, sample in rows:
        if variant in MODES:
            found[tool, variant] = variant
        elif variant is not None:
            samples[sample] = (tool, variant)
    for one in log.named("id", sorted(samples)):
        for flag in one.get("flags") or ():
            if flag["kind"] == "mode" and flag["value"] in MODES:
                found[samples[one["id"]]] = flag["value"]
    return found


def decisions(log: Log, wanted: Wanted) -> Iterator[Placed]:
    """Yield every decision."""
    rows = log.rows(
        "SELECT d.tool, d.variant, d.at_us, d.id, d.effect, d.reason"  # noqa: S608 - constants
        f" FROM ({_decided(log)}) d WHERE d.variant IS NOT NULL OR {_UNASKED}",
        wanted.span,
    )
    made: dict[tuple[str, str], Row] = {}
    for tool, variant, at_us, identity, effect, reason in rows:
        row = made.get((effect, reason))
        if row is None:
            row = made[effect, reason] = Row(effect, reason)
        yield (tool, variant), at_us, (at_us, identity), row


def shadows(log: Log, wanted: Wanted) -> Iterator[Placed]:
    """Yield the decisions under which nothing ran, each with its body."""
    named = {f"v{n}": one for n, one in enumerate(sorted(wanted.observed))}
    marks = ", ".join(f":{name}" for name in named) or "NULL"
    rows = log.rows(
        "SELECT d.tool, d.variant, d.at_us, d.id, d.effect, d.reason, d.body"  # noqa: S608 - constants
        f" FROM ({_decided(log, body=True)}) d"
        f" WHERE d.variant IN ({marks}) OR {_UNASKED}",
        {**wanted.span, **named},
    )
    for tool, variant, at_us, identity, effect, reason, body in rows:
        row = Row(effect, reason, decided=body)
        yield (tool, variant), at_us, (at_us, identity), row


def outcomes(log: Log, wanted: Wanted) -> Iterator[Placed]:
    """Yield what became of decisions."""
    body = "o.body" if wanted.metrics - {"error"} else "NULL"
    rows = log.rows(
        "SELECT d.tool, d.variant, d.at_us, o.at_us, o.id, d.effect, d.reason,"  # noqa: S608 - constants
        f" o.reason, {body} FROM ({_decided(log)}) d {log.ended}",
        wanted.span,
    )
    for tool, variant, at_us, told_us, identity, effect, reason, told, body in rows:
        row = Row(effect, reason, told or "", _said(body))
        yield (tool, variant), at_us, (told_us, identity), row


def failures(log: Log, wanted: Wanted) -> Iterator[Placed]:
    """Yield what failed, or may have, each with the decision."""
    # They are few, so that they lead.
    hint = " INDEXED BY records_ref" if indexed(log) else ""
    rows = log.rows(
        "SELECT d.tool, d.variant, d.at_us, o.at_us, o.id, d.effect, d.reason,"  # noqa: S608 - constants
        f" o.reason, d.body FROM records o{hint}"
        f" CROSS JOIN ({_decided(log, body=True, led=True)}) d"
        " WHERE o.ref IS NOT NULL AND o.kind = 'outcome'"
        " AND o.reason IN ('failed', 'unknown') AND d.id = o.ref AND d.executes = 1",
        wanted.span,
    )
    for tool, variant, at_us, told_us, identity, effect, reason, told, body in rows:
        row = Row(effect, reason, told, decided=body)
        yield (tool, variant), at_us, (told_us, identity), row


def answers(log: Log, wanted: Wanted) -> Iterator[Placed]:
    """Yield what people, or the clock in their place, said of decisions, and undid."""
    decided = "d.body" if "agreement" in wanted.metrics else "NULL"
    rows = log.rows(
        "SELECT d.tool, d.variant, d.at_us, a.at_us, a.id, d.effect, d.reason, a.kind,"  # noqa: S608 - constants
        f" a.body, {decided} FROM records a"
        f" CROSS JOIN ({_decided(log, body=True, led=True)}) d"
        f" WHERE a.kind IN {ANSWERS} AND a.{LATER} AND d.id = a.ref",
        wanted.span,
    )
    for tool, variant, at_us, told_us, identity, *rest in rows:
        effect, reason, kind, body, whole = rest
        said = _said(body)
        if not said.get("denied"):
            event = kind if kind == UNDO else str(said.get("event"))
            row = Row(effect, reason, event, said, whole or b"", told_us - at_us)
            yield (tool, variant), at_us, (told_us, identity), row


READ: Mapping[Source, Callable[[Log, Wanted], Iterator[Placed]]] = {
    Source.DECISIONS: decisions,
    Source.SHADOWS: shadows,
    Source.OUTCOMES: outcomes,
    Source.FAILURES: failures,
    Source.ANSWERS: answers,
}


def signals(log: Log) -> Iterator[Mapping[str, Any]]:
    """Yield the signals that were told; what was delivered again is told once.

    Two processes may take one id for different cases at once: then each counts.
    """
    seen = set[tuple[Any, ...]]()
    query = f"SELECT body FROM records WHERE {LATER} AND kind = 'signal'"  # noqa: S608 - constants
    for (body,) in log.rows(query, {}):
        said = orjson.loads(body)
        delivery = tuple(said.get(name) for name in DELIVERED)
        if not said.get("delivery") or delivery not in seen:
            seen.add(delivery)
            yield said


def indexed(log: Log) -> bool:
    """Say whether *log* is a file with the index that answers for decisions."""
    if not log.one_log:
        return False
    found = log.rows("SELECT 1 FROM sqlite_master WHERE name = :name", {"name": INDEX})
    return next(found, None) is not None


def _decided(log: Log, *, body: bool = False, led: bool = False) -> str:
    """Return the statement that finds the decisions; *led* says that others lead it."""
    hint = f" INDEXED BY {INDEX}" if not led and indexed(log) else ""
    variant = log.said["variant"]
    rest = ", body" if body else ""
    return (
        f"SELECT id, at_us, tool, effect, reason, executes, {variant} AS variant{rest}"  # noqa: S608 - constants
        f" FROM records{hint} WHERE kind = 'decision'"
        f" AND {log.by}at_us >= :since AND {log.by}at_us < :until"
    )


def _said(body: bytes | None) -> Mapping[str, Any]:
    return {} if body is None else orjson.loads(body)

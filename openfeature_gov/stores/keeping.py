"""What of a record log must stay: what is young, unsealed, still needed, or held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Protocol

import orjson

from openfeature_gov.evidence.archives import HOLD, RELEASE, hold_of, why_held
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Archive, Evidence
from openfeature_gov.stores.inspection import UNFINISHED
from openfeature_gov.stores.logs import NOTHING, Log, opened

NOTES = "kind NOT IN ('decision', 'outcome')"
IN_FORCE = f"""
SELECT h.id, h.ref, h.seq, h.writer, h.body FROM records h WHERE h.kind = '{HOLD}'
  AND h.{NOTES} AND NOT EXISTS
  (SELECT 1 FROM records r WHERE r.ref = h.id AND r.kind = '{RELEASE}')
"""  # noqa: S608 - constants
ON = {True: "task = :task", False: "at_us >= :start AND at_us < :end"}


class Removal(Protocol):
    """Take records out of a store, for what stands for them."""

    def __call__(self, archive: Archive, at_us: int) -> None:
        """Put *archive* in the place of its records, in one transaction."""


class Source(NamedTuple):
    """Hold what is to be archived: one *log*, and how to read and to shorten it.

    *sealed* is how many records its last published checkpoint covers.
    """

    log: str
    records: str
    opener: Callable[[], Evidence]
    sealed: int
    remove: Removal


class Stop(NamedTuple):
    """Say up to which record a log can be archived now, and *why* not further."""

    log: str
    first: int
    last: int
    why: str


def stop(source: Source, before_us: int, sent: Mapping[str, int] = NOTHING) -> Stop:
    """Return how far *source* can be archived: its records from before *before_us*.

    Nothing is passed over: it ends before the first record that must stay. *sent* says
    up to which record somebody sent the log on, by name: what follows must stay for
    them, and so must the last one, by which they know the log again.

    Raises:
        RecordStoreError: when the log cannot be read.

    """
    with closing(source.opener()) as evidence:
        first = gov_verify.archived(evidence.archives) + 1
    with opened(source.records) as log:
        mine = "" if log.one_log else " AND writer = :log"
        values: dict[str, Any] = {"log": source.log, "before": before_us}

        def seq(query: str, **more: Any) -> int:
            rows = [*log.rows(query.format(mine), {**values, **more})]
            return int(rows[0][0] or 0) if rows else 0

        young = seq(
            f"SELECT seq FROM records WHERE {log.by}at_us >= :before{{}}"  # noqa: S608 - constants
            " ORDER BY seq LIMIT 1"
        )
        last = seq("SELECT max(seq) FROM records WHERE 1 = 1{}")
        bounds = [
            (source.sealed, "the last published checkpoint covers no more"),
            (last - 1, ""),  # the next number follows from it
        ]
        if young:
            bounds.append((young - 1, ""))
        bounds += [
            (place - 1, f"{name} has sent the records up to {place} and no further")
            for name, place in sent.items()
        ]
        bounds += _held(log, source.log, seq)
        bounds += _needed(log, source.log)
    end, why = min(bounds, key=lambda one: one[0])
    return Stop(source.log, first, max(end, first - 1), why)


def _held(log: Log, name: str, seq: Callable[..., int]) -> Iterator[tuple[int, str]]:
    """Yield before which records of the log *name* holds stop, and which."""
    for identity, ref, place, writer, body in [*log.rows(IN_FORCE, {})]:
        hold, said = hold_of(ref), orjson.loads(bytes(body))
        found = seq(
            f"SELECT min(seq) FROM records WHERE {ON[bool(hold.task)]}{{}}",  # noqa: S608 - constants
            task=hold.task,
            start=hold.from_us,
            end=hold.to_us,
        )
        if found:
            yield found - 1, why_held(f"record {found}", said)
        if log.one_log or writer == name:
            yield place - 1, why_held(f"the hold {identity} itself", said)


def _needed(log: Log, name: str) -> Iterator[tuple[int, str]]:
    """Yield before which records that others depend on the log *name* stops."""
    for place, _, writer in log.rows(UNFINISHED, {}):
        if log.one_log or writer == name:
            yield place - 1, f"writer {writer}, which began there, has not ended"
    if log.one_log:
        return
    releases = (
        f"SELECT min(r.seq) FROM records r JOIN records h ON h.id = r.ref"  # noqa: S608 - constants
        f" WHERE r.kind = '{RELEASE}' AND r.{NOTES} AND h.kind = '{HOLD}'"
        " AND r.writer = :log AND h.writer <> r.writer"
    )
    for (place,) in log.rows(releases, {"log": name}):
        if place:
            yield place - 1, f"record {place} releases a hold of another log"
    erasures = f"kind = 'erasure' AND {NOTES} AND writer = :log ORDER BY seq"
    for body in log.recorded(erasures, {"log": name}):
        if any(one["writer"] != name for one in log.named("id", body["records"])):
            place = body["seq"]
            yield place - 1, f"record {place} tells of an erasure in another log"
            return


def held(records: str, ids: Sequence[str]) -> list[str]:
    """Return of each record of *ids* that is held by whom and why.

    Raises:
        RecordStoreError: when the log cannot be read.

    """
    found = []
    with opened(records) as log:
        holds = [
            (hold_of(ref), orjson.loads(bytes(body)))
            for _, ref, _, _, body in log.rows(IN_FORCE, {})
        ]
        for one in log.named("id", ids) if holds else ():
            task, at_us = (one.get("context") or {}).get("task"), one["atUs"]
            found += [
                why_held(one["id"], said)
                for hold, said in holds
                if (
                    task == hold.task
                    if hold.task
                    else hold.from_us <= at_us < hold.to_us
                )
            ]
    return found


def in_force(records: str, identity: str) -> bool:
    """Say whether *identity* is a hold that was not released.

    Raises:
        RecordStoreError: when the log cannot be read.

    """
    with opened(records) as log:
        return any(row[0] == identity for row in log.rows(IN_FORCE, {}))
